"""What the report says in words: rungs, assumptions, warnings and the next step; it computes nothing."""

from costplan.compression.structural import KEEP_RESULTS, TRIGGER_TOKENS
from costplan.results import Assumption
from costplan.results.compress import Compress
from costplan.settings import CompressSettings
from costplan.units import plural

WHAT = (
    "JSON without blanks, lines without trailing blanks, no paragraph twice",
    "uniform JSON arrays as tables",
    "lines and sentences of earlier turns left out",
    "old tool results cleared",
    "long prose thinned to a share of its tokens",
)
NOTES = (
    "every document parses back equal; repeated paragraphs give way to a pointer",
    "every table decodes back equal; whether the model reads tables as well as JSON is for a test to say",
    "outside code and data; the model has to look further back",
    f"as Anthropic's context editing: over {TRIGGER_TOKENS:,} input tokens all results but the last {KEEP_RESULTS} go",
    "numbers and names are favoured by the method itself: what survives says little about answers",
)


def assumptions(settings: CompressSettings, origins: dict[str, str], keep: float) -> list[Assumption]:
    """What the figures take for granted, and who said so."""
    source = "platform.claude.com, Context editing, 2026-11"
    rows = [
        ("roles", ", ".join(sorted(settings.roles)), origins["roles"]),
        ("keep", f"{keep:g}", origins["keep"]),
        ("sample", f"{settings.sample:,} requests", origins["sample"]),
        ("trigger_tokens", f"{TRIGGER_TOKENS:,}", source), ("keep_tool_results", f"{KEEP_RESULTS}", source),
        ("never_rewritten", "code in fences, tool schemas, tool calls", "definition"),
        ("tokens", "counted tokens are scaled to those reported", "definition"),
        ("cache", "what is cut from a cached prefix saves the read price only", "definition"),
        ("answers", "as long as before", "assumed"),
    ]  # fmt: skip
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in rows]


def warnings(document: Compress, is_sample: bool) -> list[str]:
    """One sentence each, the most important first."""
    found: list[str] = []
    if document.unpriced:
        found.append(f"{plural(document.unpriced, 'request')} without a price: what they lose counts as $0")
    if document.estimated_token_share:
        share = f"{document.estimated_token_share:.0%}"
        found.append(f"{share} of the input tokens are of models whose tokenizer is not public: savings are estimated")
    negative = [row.rung for row in document.rungs if (row.saved_usd.value or 0.0) < 0]
    if negative:
        found.append(f"{', '.join(negative)}: costs more than it saves, because cached prefixes break")
    if is_sample:
        found.append("the log is a sample: dollars stand for the whole traffic, requests and texts for the sample")
    return found


def next_step(document: Compress) -> str:
    """One thing to do."""
    rest = [row for row in document.rungs if not row.headline and (row.saved_usd.value or 0.0) > 0]
    if document.headline_usd > 0.001 * document.cost_usd:
        site = document.by_call_site[0].call_site
        return f"send JSON without blanks at {site}, watch prompt tokens fall and compare answers for a day"
    if not rest:
        return "nothing to shorten: look at costplan analyze for other levers"
    best = max(rest, key=lambda row: row.saved_usd.value or 0.0)
    return f"A/B test of {best.rung}: send half of the requests shortened and compare answers, not tokens"
