"""A measurement as text, for a terminal and as Markdown; it formats and measures nothing."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain, seconds
from costplan.report.page import bullets, grid, line, markdown_tail, md_table, tail, tokens
from costplan.report.screen import put
from costplan.report.serving import rate, verdict_rows
from costplan.results import Estimate
from costplan.results.measurement import Measurement, PredictedFigure, SweepPoint
from costplan.results.serving import Spread
from costplan.units import plural

_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
_LEGEND = "Latencies count from the moment a request was due; rates are of the steady window; ≈ simulated."
_POINT_HEADS = ("Load", "Requests", "Failed", "req/s", "output tok/s", "TTFT p50", "TTFT p95", "TPOT p50", "TPOT p95",
                "Goodput", "")  # fmt: skip
_NAMES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "E2E", "req_s": "req/s", "output_tok_s": "output tok/s",
          "prefix_hit_share": "prefix hits"}  # fmt: skip
Row = tuple[str, str]


def invalid(run: Measurement) -> str | None:
    """Why nothing below may be taken for the server's; None where the client kept up."""
    return None if run.client.valid else "the client was the limit, not the server: " + "; ".join(run.client.reasons)


def sent_facts(run: Measurement) -> list[Row]:
    """(heading, line) of what was asked of whom."""
    server, counts, load = run.server, run.requests, run.workload
    facts = [server.url, " ".join(filter(None, [server.kind, server.version]))]
    if server.block_size:
        blocks = f"{server.kv_blocks:,} blocks of {server.block_size} tokens" if server.kv_blocks else ""
        facts.append(blocks or f"blocks of {server.block_size} tokens")
    facts += [*server.gpus[:1], *server.kernels[:1]]
    total = counts.sent + counts.unsent
    shown = f"{counts.sent:,} of {plural(total, 'request')} · {counts.completed:,} completed · {counts.failed:,} failed"
    if run.failures:
        shown += " (" + ", ".join(f"{count:,} {reason}" for reason, count in run.failures.items()) + ")"
    shown += f" · {counts.unsent:,} not sent" if counts.unsent else ""
    sizes = {"input": load.input_tokens, "output": load.output_tokens}
    size = " · ".join(f"{name} {tokens(found) if found.max else 'not known'}" for name, found in sizes.items())
    size += f" · {numbers.percent(load.shared_share)} of the input shared" if load.shared_share else ""
    words = {"log": "the log's own words", "tasks": "tasks"}.get(run.prompts, "made-up words")
    exact = [
        f"{name} length as in the trace {numbers.percent(share)}"
        for name, share in (("prompt", run.lengths_exact_share), ("answer", run.output_exact_share))
        if share is not None
    ]
    return [
        ("Server", " · ".join(facts)), ("Sent", shown), ("Tokens", size),
        ("Prompts", " · ".join([words, *exact, f"salt {run.salt}"])),
    ]  # fmt: skip


def latency_rows(run: Measurement) -> list[tuple[str, Spread]]:
    """(name, figures) of every latency; none of a run in which nothing was completed."""
    if not run.requests.completed:
        return []
    rows = [("TTFT", run.ttft_s), ("  from send", run.from_send.get("ttft_s", Spread())), ("TPOT", run.tpot_s)]
    rows += [("ITL", run.itl_s), ("E2E", run.e2e_s)]
    return rows + ([("Queue", run.queue_s)] if run.queue_s.mean is not None else [])


def outcome_facts(run: Measurement) -> list[Row]:
    """(heading, line) of throughput, money and how the server was used."""
    rates = f"{rate(run.req_s)} req/s · {run.input_tok_s:,.0f} input tok/s · {run.output_tok_s:,.0f} output tok/s"
    window = f"steady from {run.steady[0]:,.1f} s to {run.steady[1]:,.1f} s" if run.steady else "whole run"
    rows = [("Throughput", f"{rates} · {window} of {run.duration_s:,.1f} s")]
    if run.usd_per_mtok is not None:
        parts = [f"{_usd(run.usd_per_mtok)} per million tokens"]
        parts += [
            f"{name} {_usd(part)}"
            for name, part in (("input", run.usd_per_mtok_input), ("output", run.usd_per_mtok_output))
            if part is not None
        ]
        rows.append(("Cost", " · ".join([*parts, run.usd_per_mtok.note.split(";")[0]])))
    if run.joule_per_mtok is not None and run.joule_per_mtok.value is not None:
        power = f" at {run.server.power_mean_w:,.0f} W" if run.server.power_mean_w is not None else ""
        rows.append(("Energy", f"{run.joule_per_mtok.value:,.0f} J per million tokens{power}"))
    use = [f"KV peak {numbers.percent(run.kv.peak_share)}"] if run.kv.peak_share is not None else []
    use += [plural(run.kv.preemptions, "preemption")] if run.kv.preemptions is not None else []
    use += [f"prefix hits {numbers.percent(run.prefix_hit_share)}"] if run.prefix_hit_share is not None else []
    if use:
        rows.append(("Use", " · ".join(use)))
    if run.goodput_share is not None and run.goodput_req_s is not None:
        share = numbers.percent(run.goodput_share)
        rows.append(("Goodput", f"{share} of the requests, {rate(run.goodput_req_s)} req/s"))
    if run.saturated:
        rows.append(("Saturated", f"the queue grew; it sustained {rate(run.sustainable_req_s or 0.0)} req/s"))
    return [*rows, ("Client", _client(run))]


def predicted_rows(run: Measurement) -> list[list[str]]:
    """[figure, measured, simulated, difference]."""
    return [
        [_figure_name(each), _shown(each.figure, each.measured), "≈ " + _shown(each.figure, each.predicted),
         _difference(each)]
        for each in run.predicted
    ]  # fmt: skip


def sweep_rows(run: Measurement) -> list[list[str]]:
    """The cells of every load tried; the last one says which is the knee and which the best."""
    sweep = run.sweep
    return [] if sweep is None else [
        [rate(p.load) if p.unit == "req_s" else f"{p.load:,.0f}", f"{p.requests:,}", f"{p.failed:,}", rate(p.req_s),
         f"{p.output_tok_s:,.0f}", seconds(p.ttft_p50_s), seconds(p.ttft_p95_s), seconds(p.tpot_p50_s),
         seconds(p.tpot_p95_s), numbers.percent(p.goodput_share) if p.goodput_share is not None else "-",
         _marks(p, p == sweep.knee, p == sweep.best)]
        for p in sweep.points
    ]  # fmt: skip


def sweep_facts(run: Measurement) -> list[Row]:
    """(heading, line) of what a sweep found."""
    sweep = run.sweep
    if sweep is None:
        return []
    unit = "req/s" if sweep.points[0].unit == "req_s" else "in flight"
    rows: list[Row] = []
    if sweep.knee is not None:
        knee = sweep.knee
        rows.append(("Knee", f"{rate(knee.load)} {unit}: {knee.output_tok_s:,.0f} output tok/s, TTFT p95 "
                             f"{seconds(knee.ttft_p95_s)}; more load brings latency"))  # fmt: skip
    if sweep.best is not None:
        best = sweep.best
        kept = best.req_s if best.goodput_req_s is None else best.goodput_req_s
        rows.append(("Best", f"{rate(best.load)} {unit}: {rate(kept)} req/s within the SLO"))
    elif run.slo:
        rows.append(("Best", "no load tried keeps the SLO"))
    return rows + ([("Note", sweep.note)] if sweep.note else [])


def render_measurement(run: Measurement, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    reason = invalid(run)
    if reason is not None:
        line(console, "INVALID", plain(reason, 300), style="bold red", colour="red")
    line(console, plain(run.server.model, 80), plain(run.workload.text, 120), style="bold")
    for name, text in sent_facts(run):
        failed = name == "Sent" and run.requests.failed + run.requests.unsent > 0
        line(console, name, plain(text, 400), colour="yellow" if failed else "")
    if latencies := latency_rows(run):
        _print(console, [["", *_STATISTICS], *([name, *_cells(found)] for name, found in latencies)])
    for name, text in outcome_facts(run):
        line(console, name, plain(text, 400))
    for target, value, met in verdict_rows(run):
        line(console, "SLO", f"{target}   {value}   {met}", colour="green" if met == "met" else "red")
    if run.sweep is not None:
        _print(console, [list(_POINT_HEADS), *sweep_rows(run)], left=(10,))
        for name, text in sweep_facts(run):
            line(console, name, plain(text, 200))
    if run.predicted:
        _print(console, [["", "measured", "predicted", "difference"], *predicted_rows(run)])
        line(console, "Predicted", plain(run.predicted_basis or "", 300))
    tail(console, run.warnings, run.assumptions, verbose)
    console.print(Text(_LEGEND, "dim"), soft_wrap=True)


def measurement_markdown(run: Measurement) -> str:
    """The same with every figure."""
    reason = invalid(run)
    blocks = ["# costplan replay"] + ([f"**INVALID**: {markdown_text(reason, 400)}"] if reason else [])
    facts = [("Model", run.server.model), ("Load", run.workload.text), *sent_facts(run), *outcome_facts(run)]
    heads = " | ".join(["Latency", *(f"{name}:" for name in _STATISTICS)])
    blocks.append(bullets([*facts, *sweep_facts(run)]))
    if latencies := latency_rows(run):
        blocks.append(md_table(heads, [[name.strip(), *_cells(found)] for name, found in latencies]))
    if run.slo:
        rows = [[markdown_text(cells[0]), *cells[1:]] for cells in verdict_rows(run)]
        blocks.append(md_table("Limit | Value: | Verdict", rows))
    if run.sweep is not None:
        blocks.append(md_table(" | ".join([*(f"{head}:" for head in _POINT_HEADS[:-1]), " "]), sweep_rows(run)))
    if run.predicted:
        blocks.append(md_table("Figure | Measured: | Predicted: | Difference:", predicted_rows(run)))
        blocks.append(f"Predicted: {markdown_text(run.predicted_basis or '', 300)}")
    rows = [[markdown_text(name), markdown_text(value)] for name, value in run.environment.items()]
    blocks.append(md_table("Environment | ", rows))
    return "\n\n".join([*blocks, *markdown_tail(run.warnings, run.assumptions), _LEGEND]) + "\n"


def _client(run: Measurement) -> str:
    client = run.client
    named = (("p50", client.lateness_p50_s), ("p99", client.lateness_p99_s), ("max", client.lateness_max_s))
    late = [f"{name} {seconds(value)}" for name, value in named if value is not None]
    opened = f", {client.opened_late} opened late" if client.opened_late else ""
    return (
        f"late {', '.join(late) or '-'} · {numbers.percent(client.cpu_share)} of a core · "
        f"{client.peak_in_flight:,} in flight at most · {plural(client.connections, 'connection')}{opened}"
    )


def _cells(found: Spread) -> list[str]:
    return [seconds(getattr(found, statistic)) for statistic in _STATISTICS]


def _usd(found: Estimate) -> str:
    if found.value is None:
        return numbers.UNKNOWN
    shown = f"{numbers.money(found.value)}"
    if found.low is None or found.high is None:
        return shown
    return f"{shown} ({numbers.money(found.low)} to {numbers.money(found.high)})"


def _figure_name(each: PredictedFigure) -> str:
    field, _, statistic = each.figure.partition(".")
    return f"{_NAMES.get(field, field)} {statistic}".strip()


def _difference(each: PredictedFigure) -> str:
    """In per cent; of shares in points."""
    if each.figure.endswith("_share") and each.measured is not None and each.predicted is not None:
        return f"{100 * (each.predicted - each.measured):+.1f} points"
    return "-" if each.error_share is None else f"{100 * each.error_share:+.1f}%"


def _shown(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if figure.endswith("_share"):
        return numbers.percent(value)
    return rate(value) if figure.endswith("req_s") or figure.endswith("tok_s") else seconds(value)


def _marks(point: SweepPoint, knee: bool, best: bool) -> str:
    said = (("knee", knee), ("best", best), ("SLO missed", point.slo_met is False), ("INVALID", not point.valid))
    return ", ".join(name for name, holds in said if holds)


def _print(console: Console, rows: list[list[str]], left: tuple[int, ...] = ()) -> None:
    """A table with dim headings, between empty lines."""
    table = grid(len(rows[0]), left=(0, *left))
    table.add_row(*(Text(head, "dim") for head in rows[0]))
    for row in rows[1:]:
        table.add_row(Text(row[0], "bold"), *row[1:])
    console.print()
    put(console, table)
    console.print()
