"""cache.json as text, for a terminal and as one Markdown page; it formats and knows no way to a verdict."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.page import bullets, grid, line, markdown_tail, md_table, tail
from costplan.report.screen import put
from costplan.results.cache import Cache, CachePairs, FrontierRow, SiteRow
from costplan.units import format_duration, plural

_TOP_SITES = 8
_TOP_CLUSTERS = 5
HEADS = ("Threshold", "Hits", "No guard", "Tokens", "Dollars", "Similar", "Wrong", "At most", "Wrong/1k", "Net", "")
_LEGEND = (
    "Hits: share of the eligible requests. Similar: hits on a prompt worded otherwise. Wrong: share of these that get "
    "a wrong answer, in this log, with its 95% upper bound. Net: saved less lookups, embedding and storage, in the log."
)


def verdict(document: Cache) -> str:
    """One sentence."""
    row, chosen = document.recommended.row, document.recommended
    net = numbers.money(row.net_usd)
    hits = f"{numbers.percent(row.hit_share)} of the requests"
    if row.threshold is not None and row.verified:
        text = f"A semantic cache at {cosine(row.threshold)} pays: it answers {hits} and saves {net} of "
        more = numbers.money(row.net_usd - _exact(document).net_usd)
        text += (
            f"{numbers.money(document.eligible_usd)}, {more} more than an exact cache; of its semantic hits in this "
        )
        return text + f"log at most {numbers.percent(row.wrong_upper)} are wrong (95%)."
    if row.threshold is not None:
        why = chosen.reason.partition(": ")[2].partition(";")[0]
        text = f"A semantic cache at {cosine(row.threshold)} would answer {hits} ({net}), but it is"
        return f"{text} {why or 'not verified'}."
    if document.headline == "no cache":
        text = f"No cache pays: an exact one answers {hits} and changes the bill by {net}"
    else:
        text = f"Exact cache only: it answers {hits} and saves {net} of {numbers.money(document.eligible_usd)}"
        if row.respelled_hits:
            text += f" ({row.respelled_hits:,} of {row.hits:,} hits differ in case, blanks or final punctuation)"
    more = document.potential
    if more is None:
        return text + "."
    added = numbers.percent(max(0.0, more.hit_share - row.hit_share))
    known = "nothing says how many of these are wrong" if more.wrong_upper is None else (
        f"up to {numbers.percent(more.wrong_upper)} of its semantic hits may be wrong"
    )  # fmt: skip
    return f"{text}. Potential: {added} more at {cosine(more.threshold)}, but {known}."


def _exact(document: Cache) -> FrontierRow:
    """The exact cache of the recommended TTL."""
    return next(row for row in shown_rows(document) if row.threshold is None)


def cosine(threshold: float | None) -> str:
    """`0.80`, `0.985`"""
    if threshold is None:
        return "exact only"
    return f"{threshold:.2f}" if round(threshold, 2) == threshold else f"{threshold:g}"


def frontier_cells(row: FrontierRow, document: Cache) -> list[str]:
    """One line of the table; the last cell says what the line is."""
    chosen = document.recommended
    is_potential = document.potential is not None and row == document.potential
    told = "verified" if row.verified and row.threshold is not None else ""
    told = ("your setting" if chosen.chosen_by == "user" else "recommended") if row == chosen.row else told
    wrong = [numbers.percent(row.wrong_share), numbers.percent(row.wrong_upper)]
    if not row.semantic_hits:
        wrong, per_1k = ["", ""], ""
    else:
        per_1k = numbers.UNKNOWN if row.wrong_per_1k_requests is None else f"{row.wrong_per_1k_requests:.2g}"
    return [
        cosine(row.threshold), numbers.percent(row.hit_share),
        numbers.percent(row.hit_share_unguarded), numbers.percent(row.hit_token_share),
        numbers.percent(row.hit_usd_share), numbers.count(row.semantic_hits), *wrong, per_1k,
        numbers.money(row.net_usd), "potential" if is_potential else told,
    ]  # fmt: skip


def shown_rows(document: Cache) -> list[FrontierRow]:
    """The settings of the recommended TTL."""
    return [row for row in document.frontier if row.ttl_s == document.recommended.row.ttl_s]


def facts(document: Cache) -> list[tuple[str, str]]:
    """(heading, line) under the table."""
    chosen, growth, lag = document.recommended, document.growth, document.latency
    row = chosen.row
    month = chosen.net_usd_month
    per_month = month.note if month.value is None else f"{numbers.money(month.value)} {numbers.interval(month)} a month"
    hits = (
        f"{numbers.percent(chosen.hit_share.value)} {_span(document)}, {numbers.percent(chosen.second_half_hit_share)}"
    )
    setting = f"{'' if row.threshold is None else 'cosine '}{cosine(row.threshold)}, TTL {format_duration(row.ttl_s)} "
    setting += f"({row.policy}), {'unlimited' if row.capacity is None else f'room for {row.capacity:,}'}"
    found = [
        ("Setting", f"{setting}, {document.scope}; {chosen.reason}"),
        ("Hits", f"{hits} in the second half; pays from {numbers.percent(chosen.break_even_hit_share)} on"),
        ("Net", per_month),
        ("Breaks", breaks(document)),
    ]
    same = {row.ttl_s: row for row in document.frontier if row.threshold == _told(document).threshold}
    if len(same) > 1:
        parts = [f"{format_duration(ttl)} {numbers.percent(each.hit_share)}" for ttl, each in sorted(same.items())]
        told = "how long answers hold is yours to say"
        told = f"hits at {cosine(_told(document).threshold)}: {', '.join(parts)}; {document.freshness or told}"
        found.append(("TTL", told))
    scopes = [f"{each.scope} {numbers.percent(each.hit_share)}" for each in document.by_scope]
    found.append(("Shared", f"hits at {cosine(_told(document).threshold)}: {', '.join(scopes)}"))
    steady = "" if growth.steady_share is None else f", next request {numbers.percent(growth.steady_share)}"
    doubled = "" if growth.doubled_share is None else f", twice the log {numbers.percent(growth.doubled_share)}"
    found.append(("Growth", f"this log {numbers.percent(growth.cold_share)}{steady}{doubled}; {growth.note}"))
    if lag.before_p50_s is None:
        found.append(("Latency", lag.note))
    else:
        ends = [
            numbers.seconds(each) for each in (lag.before_p50_s, lag.after_p50_s, lag.before_p95_s, lag.after_p95_s)
        ]
        found.append(("Latency", f"p50 {ends[0]} → {ends[1]}, p95 {ends[2]} → {ends[3]}; {lag.note}"))
    return found


def breaks(document: Cache) -> str:
    """What would go wrong, in one line."""
    row, guard = _told(document), document.guard
    refused = sum(guard.objections.values())
    told = f"; the guard refuses {refused:,} of {plural(guard.pairs, 'close pair')}"
    if row.threshold is None or row.wrong_per_1k_requests is None:
        return document.wrong_note + told
    text = f"at {cosine(row.threshold)} about {row.wrong_per_1k_requests:.2g} wrong answers in 1,000 requests, "
    text += (
        f"{numbers.percent(row.wrong_share)} [{numbers.percent(row.wrong_low)} … {numbers.percent(row.wrong_high)}] "
    )
    note = f"{document.wrong_basis}: {document.wrong_note}"
    if row.wrong_new_upper is not None:
        note += f"; among new pairs like these up to {numbers.percent(row.wrong_new_upper)}"
    return f"{text}of the semantic hits ({note}){told}"


def _told(document: Cache) -> FrontierRow:
    return document.potential or document.recommended.row


def _span(document: Cache) -> str:
    hit = document.recommended.hit_share
    return (
        "" if hit.low is None or hit.low == hit.high else f"[{numbers.percent(hit.low)} … {numbers.percent(hit.high)}]"
    )


def _log(document: Cache) -> str:
    told = f"{document.eligible:,} of {plural(document.requests, 'request')} may be cached, "
    told += f"{plural(document.prompts, 'different prompt')}, {numbers.span(document.span_days)}, "
    return told + f"{numbers.money(document.eligible_usd)} of {numbers.money(document.cost_usd)}"


def _left_out(document: Cache) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in document.ineligible.items())


def site_cells(row: SiteRow) -> list[str]:
    """Call site, advice, requests, dollars, hits, similar, wrong, net, why."""
    wrong = "" if row.wrong_share is None else numbers.percent(row.wrong_share)
    return [
        row.call_site, row.advice, numbers.count(row.eligible), numbers.money(row.cost_usd),
        numbers.percent(row.hit_share), numbers.count(row.semantic_hits), wrong, numbers.money(row.net_usd), row.why,
    ]  # fmt: skip


def render_cache(document: Cache, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    colour = "green" if document.headline != "no cache" else "yellow"
    line(console, "Cache", verdict(document), colour=colour)
    line(console, "Log", _log(document) + (f"; not: {_left_out(document)}" if document.ineligible else ""))
    line(console, "Vectors", f"{plain(document.embedder, 80)}; a threshold holds for these vectors only")
    console.print()
    table = grid(len(HEADS), left=(0, 10))
    table.add_row(*(Text(head, "dim") for head in HEADS))
    for row in document.frontier if verbose else shown_rows(document):
        cells = frontier_cells(row, document)
        if verbose:
            cells[0] += f" {format_duration(row.ttl_s)}"
        table.add_row(*(Text(cell, "bold" if row == document.recommended.row else "") for cell in cells))
    put(console, table)
    console.print(Text(_LEGEND, "dim"), soft_wrap=True)
    console.print()
    for name, text in facts(document):
        line(console, name, plain(text, 400))
    for site in document.by_call_site[: None if verbose else _TOP_SITES]:
        cells = [plain(cell, 60) for cell in site_cells(site)]
        line(console, "Site", f"{cells[0]}: {cells[1]} ({cells[4]} hits, {cells[7]}): {cells[8]}")
    if len(document.by_call_site) > _TOP_SITES and not verbose:
        line(console, "", f"{len(document.by_call_site) - _TOP_SITES} more call sites with --verbose")
    for cluster in document.clusters[: None if verbose else _TOP_CLUSTERS]:
        name = cluster.medoid_id if cluster.medoid is None else cluster.medoid
        told = f"{cluster.count:,} x, {numbers.percent(cluster.share)}, {numbers.money(cluster.usd)}"
        line(console, "Repeats", f"{told}, {plural(cluster.prompts, 'wording')}: {plain(name, 70)}")
    tail(console, document.warnings, document.assumptions, verbose)
    line(console, "Next", plain(document.next_step, 400))


def cache_markdown(document: Cache) -> str:
    """One page."""
    rows = [[markdown_text(cell, 60) for cell in frontier_cells(row, document)] for row in shown_rows(document)]
    heads = " | ".join(head + ":" if 0 < index < 10 else head or " " for index, head in enumerate(HEADS))
    sites = [[markdown_text(cell, 100) for cell in site_cells(row)] for row in document.by_call_site]
    site_heads = "Call site | Advice | Eligible: | Cost: | Hits: | Similar: | Wrong: | Net: | Why"
    found = [
        [markdown_text(each.medoid_id if each.medoid is None else each.medoid, 100), numbers.count(each.count),
         numbers.percent(each.share), numbers.money(each.usd), numbers.count(each.prompts)]
        for each in document.clusters
    ]  # fmt: skip
    guard = [(name, plural(count, "pair")) for name, count in document.guard.objections.items()]
    blocks = [
        f"# Response cache: {markdown_text(document.headline)}", markdown_text(verdict(document), 600),
        *markdown_tail(document.warnings, []), "## Settings", md_table(heads, rows), _LEGEND,
        bullets(facts(document)), "## Call sites", md_table(site_heads, sites),
        *(["## What is asked again and again", md_table("Prompt | Asked: | Share: | Cost: | Wordings:", found)]
          if found else []),
        *(["## Pairs that the guard refuses", bullets(guard)] if guard else []),
        "## Log", bullets([("Requests", _log(document)), ("Not cached", _left_out(document) or "none")]),
        "## Next", markdown_text(document.next_step, 600), "## Assumptions", *markdown_tail([], document.assumptions),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def pairs_lines(document: CachePairs) -> list[str]:
    """Shares of labelled pairs that would be served, as lines of text."""
    setting = plain(", ".join(f"{name} {value}" for name, value in document.setting.items()), 120)
    same, different = (numbers.percent(each) for each in (document.served.same, document.served.different))
    lines = [f"Served      {same} of the pairs with the same answer, {different} of those with another ({setting})"]
    for row in document.by:
        cells = [f"{plain(row.category, 30):30}", f"{'same' if row.same_answer else 'different':9}"]
        lines.append(f"{'':12}{'  '.join(cells)}  {numbers.percent(row.served_share):>6}  of {row.n:,}")
    return lines
