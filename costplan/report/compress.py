"""compress.json as text, for a terminal and as one Markdown page; it formats and knows no way to a verdict."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.page import bullets, grid, line, markdown_tail, md_table, tail
from costplan.report.screen import put
from costplan.results.compress import Compress, CompressorRow, CompressPairs, RoleRow, RungRow, SiteRow
from costplan.units import plural

_TOP_SITES = 6
_HEADS = ("Rung", "Requests", "Tokens", "Left", "Saved", "", "A month", "Risk", "")
_LEGEND = (
    "Each rung stands on those before it. Tokens: share of the input tokens saved. Saved: in the log, at what was paid "
    "for the tokens (fresh, read from or written to a cache), less what broken prefixes cost. = measured, ≈ simulated."
)
_TRIED_ON = "the lossy rung was tried on {sampled:,} of {looked_at:,} requests"


def verdict(document: Compress) -> str:
    """One sentence."""
    saved, share = numbers.money(document.headline_usd), numbers.percent(document.headline_share)
    first = f"Lossless compression saves {saved} ({share}) of {numbers.money(document.cost_usd)}"
    month = document.headline_usd_month
    if month.value is not None:
        first += f", {numbers.money(month.value)} {numbers.interval(month)} a month"
    rest = sum(max(0.0, row.saved_usd.value or 0.0) for row in document.rungs if not row.headline)
    if rest <= 0:
        return first + "."
    return f"{first}. Potential: {numbers.money(rest)} more, and nothing here says what that does to answers."


def rung_cells(row: RungRow) -> list[str]:
    """One line of the table."""
    month = row.saved_usd_month
    span = numbers.interval(row.saved_usd)
    told = "" if month.value is None else numbers.money(month.value)
    return [
        row.rung.replace("_", " "), numbers.percent(row.touched_share), numbers.percent(row.saved_share.value),
        numbers.percent(row.kept_share),
        numbers.money(row.saved_usd.value), f"{numbers.mark(row.saved_usd)} {span}".strip(), told, row.risk,
        "counts" if row.headline else "A/B test",
    ]  # fmt: skip


def facts(document: Compress) -> list[tuple[str, str]]:
    """(heading, line) under the table."""
    found = [(_name(row), f"{row.what}; {row.note}") for row in document.rungs]
    lossy = next((row for row in document.rungs if row.rung == "lossy"), None)
    if lossy is not None:
        kept = [
            f"{numbers.percent(each.value)} of the {name}"
            for name, each in (("numbers", lossy.numbers_kept), ("names", lossy.names_kept))
            if each is not None and each.value is not None
        ]
        if kept:
            tried = _TRIED_ON.format(sampled=document.sampled, looked_at=document.looked_at)
            found.append(("Survives", f"{', '.join(kept)} in the texts that are thinned; {tried}"))
    lost = sum(row.lost_cache_usd for row in document.rungs)
    if document.cache_read_tokens:
        share = numbers.percent(document.cache_read_tokens / max(1, document.input_tokens))
        text = f"{share} of the input tokens are cache reads and are saved at that price; broken prefixes cost "
        found.append(("Cache", text + numbers.money(lost)))
    unused = document.unused_context
    if unused is not None:
        share = unused.unused_token_share
        text = (
            f"{unused.unused:,} of {plural(unused.paragraphs, 'paragraph')} of context leave no trace in the answer, "
        )
        text += f"{numbers.percent(share.value)} of their tokens ({unused.note}): retrieve fewer"
        found.append(("Unused", text))
    return found


def _name(row: RungRow) -> str:
    return row.rung.replace("_", " ").capitalize()


def _log(document: Compress) -> str:
    told = f"{document.looked_at:,} of {plural(document.requests, 'request')} have a whole prompt, "
    told += f"{numbers.compact(document.input_tokens)} input tokens, {numbers.money(document.input_usd)} of "
    left = ", ".join(f"{count:,} {reason}" for reason, count in document.left_out.items())
    return told + numbers.money(document.cost_usd) + (f"; not: {left}" if left else "")


def site_cells(row: SiteRow) -> list[str]:
    """Call site, requests, input cost, requests touched, saved for sure, then by rung."""
    rest = sum(usd for rung, usd in row.saved_usd.items() if rung not in ("exact", "reformat"))
    return [
        row.call_site, numbers.count(row.requests), numbers.money(row.input_usd), numbers.percent(row.touched_share),
        numbers.money(row.headline_usd), numbers.money(rest),
    ]  # fmt: skip


def role_cells(row: RoleRow) -> list[str]:
    """Role, share of the text, whether it is rewritten, tokens saved."""
    return [
        row.role, numbers.percent(row.text_share), "rewritten" if row.rewritten else "left alone",
        numbers.compact(sum(row.saved_tokens.values())),
    ]  # fmt: skip


def render_compress(document: Compress, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    colour = "green" if document.headline_share >= 0.01 else "yellow"
    line(console, "Compression", verdict(document), colour=colour)
    line(console, "Log", _log(document))
    console.print()
    table = grid(len(_HEADS), left=(0, 5, 7, 8))
    table.add_row(*(Text(head, "dim") for head in _HEADS))
    for row in document.rungs:
        table.add_row(*(Text(cell, "bold" if row.headline else "") for cell in rung_cells(row)))
    put(console, table)
    console.print(Text(_LEGEND, "dim"), soft_wrap=True)
    console.print()
    for name, text in facts(document):
        line(console, name, plain(text, 400))
    for site in document.by_call_site[: None if verbose else _TOP_SITES]:
        cells = [plain(cell, 60) for cell in site_cells(site)]
        text = f"{cells[0]}: {cells[4]} without loss, {cells[5]} by structure, of {cells[2]} of input "
        line(console, "Site", f"{text}({plural(site.requests, 'request')}, {cells[3]} touched)")
    if len(document.by_call_site) > _TOP_SITES and not verbose:
        line(console, "", f"{len(document.by_call_site) - _TOP_SITES} more call sites with --verbose")
    for role in document.by_role if verbose else ():
        cells = [plain(cell, 40) for cell in role_cells(role)]
        line(console, "Role", f"{cells[0]}: {cells[1]} of the text, {cells[2]}, {cells[3]} tokens saved")
    for each in document.examples:
        if verbose or each.before is not None:
            line(console, "Example", plain(f"{each.rung}: {each.tokens:,} tokens at {each.request}", 200))
        if each.before is not None and each.after is not None:
            line(console, "  before", plain(each.before, 400))
            line(console, "  after", plain(each.after, 400))
    tail(console, document.warnings, document.assumptions, verbose)
    line(console, "Next", plain(document.next_step, 400))


def compress_markdown(document: Compress) -> str:
    """One page."""
    rows = [[markdown_text(cell, 60) for cell in rung_cells(row)] for row in document.rungs]
    heads = " | ".join(head + ":" if 0 < index < 7 and head else head or " " for index, head in enumerate(_HEADS))
    sites = [[markdown_text(cell, 100) for cell in site_cells(row)] for row in document.by_call_site]
    site_heads = "Call site | Requests: | Input: | Touched: | Without loss: | By structure:"
    roles = [[markdown_text(cell, 100) for cell in role_cells(row)] for row in document.by_role]
    shown = [
        (each.rung, f"{each.tokens:,} tokens at {each.request}") for each in document.examples
    ] + [
        (each.rung + side, text)
        for each in document.examples
        for side, text in ((" before", each.before), (" after", each.after))
        if text is not None
    ]  # fmt: skip
    blocks = [
        "# Prompt compression", markdown_text(verdict(document), 600), *markdown_tail(document.warnings, []),
        "## Rungs", md_table(heads, rows), _LEGEND, bullets(facts(document)),
        "## Call sites", md_table(site_heads, sites),
        "## Roles", md_table("Role | Text: | | Tokens saved:", roles),
        *(["## Where most is saved", bullets(shown)] if shown else []),
        "## Log", bullets([("Requests", _log(document))]),
        "## Next", markdown_text(document.next_step, 600), "## Assumptions", *markdown_tail([], document.assumptions),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def pairs_lines(document: CompressPairs) -> list[str]:
    """Answer survival by compressor, as lines of text."""
    lines = [f"Answers that survive at {numbers.percent(document.keep)} of the tokens ({document.tokenizer})"]
    lines += _table(document.by)
    if document.other_answers:
        lines += ["Of these, rows whose answers hold neither a digit nor a capital"]
        lines += _table(document.other_answers)
    if document.without_answer:
        lines.append(f"{plural(document.without_answer, 'row')} left out: no answer stands in their context")
    return lines


def _table(rows: list[CompressorRow]) -> list[str]:
    lines = [f"{'':4}{'compressor':28}{'kept':>8}{'survival':>10}  {'95% interval':16}{'n':>8}"]
    for row in rows:
        span = f"[{numbers.percent(row.low)} … {numbers.percent(row.high)}]"
        cells = f"{numbers.percent(row.kept_token_share):>8}{numbers.percent(row.answer_survival):>10}  {span:16}"
        lines.append(f"{'':4}{row.compressor:28}{cells}{row.n:>8,}")
    return lines
