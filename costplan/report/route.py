"""route.json as text, for a terminal and as one Markdown page; it formats and knows no way to a verdict."""

from itertools import groupby

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.page import bullets, grid, line, markdown_tail, md_table, tail
from costplan.report.screen import put
from costplan.results import Estimate
from costplan.results.route import PolicyRow, Route, RoutePairs, RouteSite, RuleRow
from costplan.units import plural

_TOP_SITES, _TOP_TESTS = 8, 3
_BARS = " ▁▂▃▄▅▆▇█"
HEADS = ("Call site", "From → to", "Cost", "Saves", "Break-even", "Loses", "Levels", "")
_LEGEND = (
    "Saves: over the log, at list prices. Break-even: share of today's good answers that the candidate may lose before "
    "a good answer costs more than today. Loses: points of quality, at most (95%). Levels: complexity 1 to 5."
)


def verdict(document: Route) -> str:
    """One sentence that says what to do."""
    cost = numbers.money(document.cost_usd)
    switch = [site for site in document.by_call_site if site.advice == "switch"]
    if switch:
        first = switch[0]
        saved = next(row for row in document.policies if row.policy == "site" and row.verified).saving_usd
        more = f" and {plural(len(switch) - 1, 'more call site')}" if len(switch) > 1 else ""
        text = f"Switch {first.call_site} from {first.model} to {first.candidate}{more}: saves "
        text += f"{numbers.money(saved.value)} of the log's {cost}; it {first.why}."
        best = next(row for row in document.policies if row.policy == document.chosen)
        if best.policy != "site" and best.verified:
            more = f"{numbers.money(best.saving_usd.value)}, losing at most {best.loss_points.high or 0:.1f} points"
            text += f" Policy {best.policy} ({best.setting}) saves {more}."
        return text
    if document.experiments:
        first = document.experiments[0]
        text = (
            f"Nothing is shown to be good enough yet. Test {first.candidate} for {first.model} at {first.call_site}: "
        )
        return f"{text}{numbers.money(first.saving_usd)} of the log's {cost} are at stake; {first.text}."
    return document.headline[:1].upper() + document.headline[1:] + "."


def bar(shares: list[float]) -> str:
    """Five cells, one per level, the higher the larger its share."""
    return "".join(_BARS[min(8, -int(-8 * share // 1))] for share in shares)


def ranged(estimate: Estimate) -> str:
    """`$11.17 [10.66 … 11.54]`"""
    if estimate.value is None:
        return numbers.UNKNOWN
    return f"{numbers.money(estimate.value)} {numbers.interval(estimate)}".removesuffix(" range").rstrip()


def points(loss: Estimate) -> str:
    """`1.2 ≤ 3.4`: expected, and at most."""
    if loss.value is None:
        return "?"
    return (
        f"{loss.value:.1f}" if loss.high is None or loss.high == loss.value else f"{loss.value:.1f} ≤ {loss.high:.1f}"
    )


def site_cells(site: RouteSite) -> list[str]:
    """One line of the table of call sites."""
    to = f"{site.model} → {site.candidate}" if site.candidate else site.model
    cells = [site.call_site, to, numbers.money(site.cost_usd), "", "", ""]
    if site.candidate:
        gap = numbers.percent(site.break_even_gap.value)
        cells[3:] = [numbers.money(site.saving_usd.value), gap, points(site.loss_points)]
    return [*cells, bar(site.level_share), site.advice]


def policy_cells(row: PolicyRow, chosen: str) -> list[str]:
    """One line of the table of policies."""
    told = "verified" if row.verified else ""
    if row.policy == chosen:
        told = f"{told}, chosen".removeprefix(", ")
    cheap = "" if row.cheap_share is None else numbers.percent(row.cheap_share)
    month = row.saving_usd_month
    return [
        row.policy, row.setting, cheap, ranged(row.saving_usd) if row.saving_usd.value is not None else "",
        "" if month.value is None else numbers.money(month.value), points(row.loss_points), told or row.note,
    ]  # fmt: skip


def _log(document: Route) -> str:
    told = f"{document.routable:,} of {plural(document.requests, 'request')} can be routed, "
    cost = f"{numbers.money(document.routable_usd)} of {numbers.money(document.cost_usd)}"
    told += f"{cost}, {numbers.span(document.span_days)}"
    left = ", ".join(f"{count:,} {reason}" for reason, count in document.not_routable.items())
    return told + (f"; not: {left}" if left else "")


def _complexity(document: Route) -> str:
    facts = document.complexity
    shares = ", ".join(f"{level} {numbers.percent(share)}" for level, share in enumerate(facts.level_share, 1))
    return f"{shares or 'no text'}; it {facts.says}"


def pairs_facts(pairs: RoutePairs) -> list[tuple[str, str]]:
    """(heading, line) about a router on labelled pairs."""
    found = [
        ("Router", f"{pairs.verdict} ({pairs.tier}): {pairs.reason}"),
        (
            "APGR",
            f"{_apgr(pairs.apgr)}; random {_apgr(pairs.baselines.random)}, length {_apgr(pairs.baselines.length)}",
        ),
    ]
    if pairs.slices_apgr.value is not None:
        found.append(("Groups", f"{_apgr(pairs.slices_apgr)} by the mean gap of each of {pairs.groups:,} groups alone"))
    if pairs.usd is not None:
        told = f"{_apgr(pairs.usd.apgr)}; random {_apgr(pairs.usd.baselines.random)}, "
        found.append(("In dollars", told + f"length {_apgr(pairs.usd.baselines.length)}"))
    gap = pairs.gap_points
    strong = f"strong {pairs.strong_score:.3f}, cheap {pairs.cheap_score:.3f}"
    told = f"{strong}: {gap.value:.1f} points [{gap.low:.1f} … {gap.high:.1f}], {pairs.n:,} pairs"
    if pairs.further_labels:
        told += f"; {pairs.further_labels:,} more labels make it ±2 points"
    found.append(("Gap", told))
    if pairs.cpt50.value is not None:
        ends = [f"{numbers.percent(each.value)} {_ends(each)}".rstrip() for each in (pairs.cpt50, pairs.cpt80)]
        found.append(("CPT", f"half of the gap with {ends[0]} of the requests at the strong model, 80% with {ends[1]}"))
    return found


def _apgr(estimate: Estimate) -> str:
    if estimate.value is None:
        return numbers.UNKNOWN
    ends = ["…" if end is None else f"{end:.3f}" for end in (estimate.low, estimate.high)]
    return f"{estimate.value:.3f} [{' … '.join(ends)}]" if ends[0] != ends[1] else f"{estimate.value:.3f}"


def _ends(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{numbers.percent(estimate.low)} … {numbers.percent(estimate.high)}]"


def render_route(document: Route, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    colour = "green" if any(site.advice == "switch" for site in document.by_call_site) else ""
    line(console, "Route", plain(verdict(document), 600), colour=colour)
    line(console, "Log", _log(document))
    line(console, "Complexity", _complexity(document))
    console.print()
    table = grid(len(HEADS), left=(0, 1, 6, 7))
    table.add_row(*(Text(head, "dim") for head in HEADS))
    for site in document.by_call_site[: None if verbose else _TOP_SITES]:
        table.add_row(*(Text(plain(cell, 40), "bold" if site.advice == "switch" else "") for cell in site_cells(site)))
    put(console, table)
    console.print(Text(_LEGEND, "dim"), soft_wrap=True)
    if len(document.by_call_site) > _TOP_SITES and not verbose:
        line(console, "", f"{len(document.by_call_site) - _TOP_SITES} more call sites with --verbose")
    console.print()
    for row in document.policies:
        cells = policy_cells(row, document.chosen)
        told = [cells[1], f"{cells[2]} cheap" if cells[2] else "", f"saves {cells[3]}" if cells[3] else ""]
        loss = "loss not known" if row.loss_points.value is None else f"loses {cells[5]} points"
        told += [f"{cells[4]} a month" if cells[4] else "", loss if cells[3] else "", cells[6]]
        line(console, cells[0].capitalize(), plain("; ".join(filter(None, told)), 300))
    for name, text in pairs_facts(document.labels) if document.labels else ():
        line(console, name, plain(text, 400))
    for test in document.experiments[: None if verbose else _TOP_TESTS]:
        line(
            console,
            "Test",
            plain(f"{test.candidate} for {test.model} ({numbers.money(test.saving_usd)}): {test.text}", 300),
        )
    for text in rule_lines(document.explain):
        line(console, "Rules", plain(text, 400))
    for site in document.by_call_site if verbose else ():
        line(console, "Site", plain(_site_line(site), 400))
    tail(console, document.warnings, document.assumptions, verbose)
    line(console, "Next", plain(document.next_step, 400))


def rule_lines(rows: list[RuleRow]) -> list[str]:
    """One line per call site and part of the score: which rules fire, how often, in which share of the requests."""
    lines: list[str] = []
    for (site, part), some in groupby(rows, key=lambda row: (row.call_site, row.part)):
        fired: list[str] = []
        for row in some:
            words = f": {', '.join(row.words)}" if row.words else ""
            fired.append(f"{row.rule} {row.count:,} ({numbers.percent(row.request_share)}{words})")
        lines.append(f"{site}, {part}: {', '.join(fired)}")
    return lines


def _site_line(site: RouteSite) -> str:
    offers: list[str] = []
    for offer in site.offers:
        cannot = ", ".join(f"{count:,} {reason}" for reason, count in offer.cannot.items())
        told = f"{offer.model} {ranged(offer.saving_usd)}"
        offers.append(told + (f" (cannot take {cannot})" if cannot else ""))
    return f"{site.call_site}, {site.model}: {site.why}; {'; '.join(offers) or 'no candidate'}"


def route_markdown(document: Route) -> str:
    """One page."""
    heads = "Call site | From → to | Cost: | Saves: | Break-even: | Loses: | Levels | Advice | Why"
    sites = [[markdown_text(cell, 60) for cell in [*site_cells(site), site.why]] for site in document.by_call_site]
    policies = [[markdown_text(cell, 100) for cell in policy_cells(row, document.chosen)] for row in document.policies]
    tests = [
        [markdown_text(each, 120) for each in (test.call_site, test.model, test.candidate, test.text)]
        + [numbers.money(test.saving_usd)]
        for test in document.experiments
    ]
    rules = [("Fires", text) for text in rule_lines(document.explain)]
    blocks = [
        f"# Routing: {markdown_text(document.headline, 200)}", markdown_text(verdict(document), 600),
        *markdown_tail(document.warnings, []), "## Call sites", md_table(heads, sites), _LEGEND,
        *(["## Policies", md_table("Policy | Setting | Cheap: | Saves: | A month: | Loses: | Note", policies)]
          if policies else []),
        *(["## Labels", bullets(pairs_facts(document.labels))] if document.labels else []),
        *(["## Tests", md_table("Call site | Model | Candidate | What | At stake:", tests)] if tests else []),
        *(["## Rules that fire", bullets(rules)] if rules else []),
        "## Log", bullets([("Requests", _log(document)), ("Complexity", _complexity(document))]),
        "## Next", markdown_text(document.next_step, 600), "## Assumptions", *markdown_tail([], document.assumptions),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def pairs_lines(document: RoutePairs) -> list[str]:
    """A router on labelled pairs, as lines of text."""
    lines = [f"{name:<12}{text}" for name, text in pairs_facts(document)]
    for point in document.curve[::4]:
        pgr = numbers.UNKNOWN if point.pgr is None else f"{point.pgr:.2f}"
        usd = "" if point.usd_share is None else f", {numbers.percent(point.usd_share)} of the extra dollars"
        text = f"{numbers.percent(point.strong_share)} strong: PGR {pgr}{usd}"
        lines.append(f"{'Curve' if point is document.curve[0] else '':<12}{text}")
    return [*lines, *(f"{'!':<12}{note}" for note in document.warnings)]


def pairs_markdown(document: RoutePairs) -> str:
    """The same as one Markdown page."""
    rows = [
        [numbers.percent(p.strong_share), "" if p.usd_share is None else numbers.percent(p.usd_share),
         numbers.UNKNOWN if p.pgr is None else f"{p.pgr:.3f}", f"{p.quality:.3f}", f"{p.random_quality:.3f}"]
        for p in document.curve
    ]  # fmt: skip
    blocks = [
        f"# Router: {document.verdict}", *markdown_tail(document.warnings, []), bullets(pairs_facts(document)),
        "## Curve", md_table("Strong: | Extra dollars: | PGR: | Quality: | Random:", rows), "## Method",
        markdown_text(document.method, 600),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"
