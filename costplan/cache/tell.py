"""What the report says in words: assumptions, warnings and the next step; it computes nothing."""

from costplan.cache.choose import Chosen
from costplan.cache.near import Near
from costplan.cache.read import Requests
from costplan.cache.wrong import Evidence
from costplan.levers.alike import LONG_CHARS
from costplan.levers.bins import LOOKUP_S
from costplan.levers.latency import LOOKUP_ORIGIN
from costplan.levers.response_cache import LOOKUP_USD, STORE_USD_PER_GB_HOUR
from costplan.levers.semantic import CPU_USD_PER_HOUR
from costplan.results import Assumption
from costplan.settings import CacheSettings
from costplan.similarity.replay import Setting
from costplan.units import format_duration, plural

_LIST_PRICE = "ElastiCache Serverless list price, 2026-11"


def assumptions(settings: CacheSettings, origins: dict[str, str], chosen: Setting, vectors: str) -> list[Assumption]:
    """What the figures take for granted, and who said so."""
    rows = [
        ("ttl", format_duration(chosen.ttl_s), origins["ttl"]), ("ttl_policy", chosen.policy, origins["ttl_policy"]),
        ("capacity", str(chosen.capacity or "unlimited"), origins["capacity"]),
        ("scope", settings.scope, origins["scope"]), ("max_wrong", f"{settings.max_wrong:g}", origins["max_wrong"]),
        ("penalty_usd", f"{settings.penalty:g}", origins["penalty"]),
        ("max_temperature", f"{settings.max_temperature:g}", origins["max_temperature"]),
        ("vectors", vectors, origins["embeddings" if settings.embeddings else "embedder"]),
        ("longest_prompt_chars", f"{LONG_CHARS:,}", "longer prompts are served to exact repeats only"),
        ("lookup_usd_per_million", f"{LOOKUP_USD * 1e6:g}", _LIST_PRICE),
        ("store_usd_per_gb_hour", f"{STORE_USD_PER_GB_HOUR:g}", _LIST_PRICE),
        ("embedding_usd_per_cpu_hour", f"{CPU_USD_PER_HOUR:g}", "AWS c7i.large list price, 2026-11"),
        ("lookup_ms", f"{1000 * LOOKUP_S:g}", LOOKUP_ORIGIN),
        ("admission", "every miss is stored", "definition"),
    ]  # fmt: skip
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in rows]


def warnings(requests: Requests, near: Near, settings: CacheSettings) -> list[str]:
    """One sentence each, the most important first."""
    found: list[str] = []
    if requests.unpriced:
        found.append(f"{plural(requests.unpriced, 'eligible request')} without a price: their hits count as $0 saved")
    if (requests.columns["weight"] != 1).any():
        found.append("the log is a sample: in the whole traffic a cache hits more often than here")
    if near.audit.sampled:
        audit = f"{near.audit.recall:.1%} [{near.audit.low:.1%} … {near.audit.high:.1%}]"
        found.append(f"the search for close prompts is approximate: it finds {audit} of them, and hits are too low")
    too_long = int((~near.short).sum()) // 2
    if too_long:
        found.append(
            f"{plural(too_long, 'pair')} of prompts over {LONG_CHARS:,} characters left out: their vectors look alike"
        )
    if settings.scope == "user" and (requests.columns["user"] == 0).any():
        found.append("requests without a user never hit with --scope user")
    if settings.scope == "global" and (requests.columns["user"] != 0).any():
        found.append("answers are shared between users: right only where no answer depends on who asks (--scope user)")
    return found


def next_step(requests: Requests, chosen: Chosen, told: Evidence, bound: float, settings: CacheSettings) -> str:
    """One command that would say more."""
    if not len(told.people.key):
        return "build the exact cache; no semantic hits are there to be tested"
    shown = requests.log.inputs[0].path
    if told.basis != "labels":
        text = f"costplan cache {shown} --label-sample 600 labels.csv, fill in same_answer, then --labels labels.csv: "
        if len(told.people.key) <= 600:
            return text + f"these are all {len(told.people.key):,} pairs"
        return text + f"with no wrong one among them it shows at most {bound:.1%} wrong hits"
    if chosen.potential is not None and bound <= settings.max_wrong:
        return f"costplan cache {shown} --label-sample 2000 more.csv: more labels narrow the bound"
    return f"costplan cache {shown} --labels {settings.labels} --export cache.yaml"
