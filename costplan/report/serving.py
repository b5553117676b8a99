"""Simulations and capacity plans as text, for a terminal and as Markdown; it formats and knows no model of anything."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain, seconds
from costplan.report.page import bullets, grid, line, markdown_tail, md_table, tail, tokens
from costplan.report.screen import put
from costplan.results.serving import Capacity, FleetOption, ServingConfig, ServingRun, Simulation, Spread
from costplan.units import plural

_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
_GIB = 1 << 30
_SHOWN_OPTIONS = 10
_LEGEND = "≈ simulated; ± is the median error of the engine profile on published runs."
_MEASURED = "≈ simulated; ± is the error of the measured profile in the replays it was fitted to."


def _legend(shown: ServingConfig | FleetOption | None) -> str:
    return _MEASURED if shown and shown.step_time == "measured" else _LEGEND


def rate(value: float) -> str:
    """Three significant digits: `0.00182`, `0.512`, `9.81`, `1,250`."""
    if 0 < value < 0.0995:
        return f"{value:.3g}"
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3}f}"


def band(bands: dict[str, float], name: str) -> str:
    """`±8%`, empty where the profile states none."""
    return f"±{100 * bands[name]:.0f}%" if name in bands else ""


def headroom(share: float) -> str:
    """The search for it ends at eight times the traffic."""
    return "over 690%" if share > 6.9 else numbers.percent(share)


def latency_rows(run: Simulation) -> list[tuple[str, Spread, str]]:
    """(name, figures, error band) of every latency."""
    return [
        ("TTFT", run.ttft_s, band(run.error_band, "ttft")),
        ("TPOT", run.tpot_s, band(run.error_band, "tpot")),
        ("ITL", run.itl_s, band(run.error_band, "itl")),
        ("E2E", run.e2e_s, band(run.error_band, "e2e")),
        ("Queue", run.queue_s, ""),
    ]


def fleet_facts(config: ServingConfig) -> list[tuple[str, str]]:
    """(heading, line) of what was simulated."""
    size = f"{config.gpus} x {config.gpu}, {plural(config.replicas, 'replica')} of TP{config.tp}"
    engine = f"{config.engine}, {config.max_num_seqs} sequences and {config.max_num_batched_tokens:,} tokens a step"
    memory = (
        f"{config.weights_bytes_gpu / _GIB:.1f} GiB weights and {config.kv_bytes_gpu / _GIB:.1f} GiB KV cache of "
        f"{config.memory_bytes_gpu / _GIB:.1f} GiB on each GPU; a replica caches {config.kv_tokens:,} tokens"
    )
    if config.kv_requests:
        run = min(config.kv_requests, config.max_num_seqs)
        memory += f", {plural(config.kv_requests, 'request')} of mean length; at most {run:,} run at once"
    extras: list[str] = []
    if config.replicas > 1:
        extras.append(config.routing)
    if config.autoscale:
        extras.append(f"autoscale {config.autoscale}, cold start {config.cold_start_s:g} s")
    if config.draft_tokens:
        extras.append(f"{config.draft_tokens} drafted tokens, {numbers.percent(config.acceptance)} accepted")
    kv = "" if config.kv_dtype == "auto" else f", KV cache in {config.kv_dtype}"
    return [
        ("Fleet", f"{size} · {config.precision}{kv}"), ("Engine", " · ".join([engine, *extras])), ("Memory", memory)
    ]  # fmt: skip


def outcome_facts(run: Simulation) -> list[tuple[str, str]]:
    """(heading, line) of throughput, memory and what was left."""
    band_ = band(run.error_band, "throughput")
    rates = f"{rate(run.req_s)} req/s · {run.input_tok_s:,.0f} input tok/s · {run.output_tok_s:,.0f} output tok/s"
    rows = [("Throughput", f"≈ {rates}" + (f"  {band_}" if band_ else ""))]
    kv = [f"KV peak {numbers.percent(run.kv.peak_share)}", plural(run.kv.preemptions or 0, "preemption")]
    kv += [f"prefix hits {numbers.percent(run.prefix_hit_share)}", f"busy {numbers.percent(run.busy_share)}"]
    rows.append(("Use", " · ".join(kv) + f" · {rate(run.mean_batch_tokens)} tokens a step"))
    if run.goodput_share is not None and run.goodput_req_s is not None:
        rows.append(
            ("Goodput", f"{numbers.percent(run.goodput_share)} of the requests, {rate(run.goodput_req_s)} req/s")
        )
    if run.saturated and run.sustainable_req_s is not None:
        without = "; without end there is no latency to report" if run.ttft_s.mean is None else ""
        rows.append(("Saturated", f"the queue grows; it can sustain {rate(run.sustainable_req_s)} req/s{without}"))
    return rows


def verdict_rows(run: ServingRun) -> list[tuple[str, str, str]]:
    """(limit, value, met) of the SLO."""
    rows: list[tuple[str, str, str]] = []
    for each in run.slo:
        form, beyond = (numbers.percent, "under") if each.target.startswith("goodput") else (seconds, "over")
        shown = form(each.value)
        if not each.met and shown == form(each.limit):  # missed by less than is shown
            shown += f", just {beyond}"
        rows.append((each.target, shown, "met" if each.met else "missed"))
    return rows


def render_simulation(run: Simulation, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    assert run.config is not None
    line(console, plain(run.config.model, 80), plain(run.workload.text, 120), style="bold")
    for name, text in fleet_facts(run.config):
        line(console, name, text)
    w = run.workload
    line(console, "Tokens", f"input {tokens(w.input_tokens)} · output {tokens(w.output_tokens)}"
          + (f" · {numbers.percent(w.shared_share)} of the input shared" if w.shared_share else ""))  # fmt: skip
    console.print()
    table = grid(len(_STATISTICS) + 2)
    table.add_row("", *(Text(name, "dim") for name in _STATISTICS), "")
    for name, figures, error in latency_rows(run):
        cells = [seconds(getattr(figures, statistic)) for statistic in _STATISTICS]
        table.add_row(Text(name, "bold"), *cells, Text(error, "dim"))
    put(console, table)
    console.print()
    for name, text in outcome_facts(run):
        line(console, name, text)
    for target, value, met in verdict_rows(run):
        line(console, "SLO", f"{target}   {value}   {met}", colour="green" if met == "met" else "red")
    tail(console, run.warnings, run.assumptions, verbose)
    console.print(
        Text(f"{_legend(run.config)} Basis of the step times: {run.config.step_time}.", "dim"), soft_wrap=True
    )


def simulation_markdown(run: Simulation) -> str:
    """The same with every figure."""
    assert run.config is not None
    heads = " | ".join(["Latency", *(f"{name}:" for name in _STATISTICS), "Error:"])
    rows = [[name, *(seconds(getattr(f, s)) for s in _STATISTICS), error] for name, f, error in latency_rows(run)]
    facts = [*fleet_facts(run.config), ("Load", run.workload.text), *outcome_facts(run)]
    model = f"Model: {markdown_text(run.config.model)}"
    blocks = ["# costplan simulation", model, bullets(facts), md_table(heads, rows)]
    if run.slo:
        blocks.append(md_table("Limit | Value: | Verdict", [[markdown_text(t), v, m] for t, v, m in verdict_rows(run)]))
    return "\n\n".join([*blocks, *markdown_tail(run.warnings, run.assumptions), _legend(run.config)]) + "\n"


def option_row(option: FleetOption) -> list[str]:
    """The cells of one fleet."""
    spare = f"+{option.spare}" if option.spare else ""
    return [
        f"{option.replicas}{spare} x TP{option.tp} {option.gpu} {option.precision}",
        numbers.money(option.usd_month.value), numbers.interval(option.usd_month).replace(" range", "~"),
        seconds(option.ttft_p95_s), seconds(option.tpot_p95_s), seconds(option.e2e_p95_s),
        headroom(option.headroom_share), option.binding,
    ]  # fmt: skip


OPTION_HEADS = ("Fleet", "USD/month", "Range", "TTFT p95", "TPOT p95", "E2E p95", "Headroom", "Bound by")


def capacity_facts(plan: Capacity) -> list[tuple[str, str]]:
    """(heading, line) of the answer."""
    rows: list[tuple[str, str]] = []
    best = plan.best
    if best is not None:
        amount = numbers.money(best.usd_month.value)
        rows.append(
            (
                "Cheapest",
                f"≈ {amount}/month  {numbers.interval(best.usd_month)}   {option_row(best)[0]}",
            )
        )
        target = f"; {best.binding_target} breaks first" if best.binding_target else ""
        rows.append(
            ("Bound by", f"{best.binding}{target}; {headroom(best.headroom_share)} more traffic would still fit")
        )
    if plan.usd_per_mtok is not None and plan.usd_per_mtok.value is not None:
        rows.append(
            ("Per token", f"{numbers.money(plan.usd_per_mtok.value)} per million tokens, {plan.usd_per_mtok.note}")
        )
    if plan.autoscaled_usd_month is not None and plan.autoscaled_usd_month.value is not None:
        rows.append(
            ("Autoscaled", f"{numbers.money(plan.autoscaled_usd_month.value)}/month, {plan.autoscaled_usd_month.note}")
        )
    if plan.naive is not None:
        naive = plan.naive
        cost = f"{plural(naive.gpus, 'GPU')}, {numbers.money(naive.usd_month)}/month"
        rows.append(("Naive", f"{cost}: {naive.note}"))
    pruned = sum(plan.pruned.values())
    names = next((each.value for each in plan.assumptions if (each.name, each.origin) == ("gpus", "default")), "")
    where = f" of {names} (others on --gpus)" if names else ""
    counted = f"{plan.searched} configurations{where}: {plan.simulated} simulated, {pruned} ruled out before"
    reasons = "; ".join(f"{count} {reason}" for reason, count in plan.pruned.items())
    rows.append(("Searched", counted + (f" ({reasons})" if reasons else "")))
    return rows


def render_capacity(plan: Capacity, console: Console, *, verbose: bool = False) -> None:
    """One screen: the options on the Pareto front, the answer, the hours."""
    trace = plan.trace
    size = f"{trace.workload.text} · peak hour {trace.peak_hour} at {rate(trace.peak_req_s)} req/s"
    line(console, plain(plan.model, 60), plain(size, 160), style="bold")
    line(console, "SLO", f"{plan.slo} in every hour · {plan.engine}")
    console.print()
    shown = [option for option in plan.options if option.pareto][:_SHOWN_OPTIONS]
    if shown:
        table = grid(len(OPTION_HEADS), left=(0, 7))
        table.add_row(*(Text(head, "dim") for head in OPTION_HEADS))
        for option in shown:
            table.add_row(*(Text(cell, "bold" if option == plan.best else "") for cell in option_row(option)))
        put(console, table)
        others = sum(not option.pareto for option in plan.options)
        if others:
            console.print(
                Text(f"{others} more hold the SLO, but another is no dearer, no slower and no fuller: --json", "dim")
            )
    else:
        console.print(Text("Nothing tried holds the SLO.", "red"))
    console.print()
    for name, text in capacity_facts(plan):
        line(console, name, text)
    if len(plan.hours) > 1:
        _hours(plan, console)
    tail(console, plan.warnings, plan.assumptions, verbose)
    legend = _legend(plan.best) + " ~ is a range of prices and rates, no confidence interval."
    console.print(Text(legend, "dim"), soft_wrap=True)


def capacity_markdown(plan: Capacity) -> str:
    """The same with every option and every hour."""
    heads = (
        "Fleet | Precision | GPUs: | USD/month: | Interval | TTFT p95: | TPOT p95: | E2E p95: | Headroom: | Busy: | "
    )
    rows = [[*option_row(option), "yes" if option.pareto else ""] for option in plan.options]
    facts = [("Load", plan.trace.workload.text), ("SLO", plan.slo), ("Engine", plan.engine), *capacity_facts(plan)]
    blocks = ["# costplan capacity", f"Model: {markdown_text(plan.model)}", bullets(facts)]
    blocks += [md_table(heads, rows)] if rows else []
    if plan.hours:
        blocks.append(md_table("Hour | Requests: | Req/s: | Replicas: | Used: | TTFT p95: | E2E p95: | SLO | Checked", [
            [h.start, numbers.count(h.requests), rate(h.req_s), str(h.replicas), numbers.percent(h.utilisation),
             seconds(h.ttft_p95_s), seconds(h.e2e_p95_s), "met" if h.met else "missed", h.checked]
            for h in plan.hours
        ]))  # fmt: skip
    return "\n\n".join([*blocks, *markdown_tail(plan.warnings, plan.assumptions), _legend(plan.best)]) + "\n"


def _hours(plan: Capacity, console: Console) -> None:
    mean = sum(hour.utilisation for hour in plan.hours) / len(plan.hours)
    peak = max(plan.hours, key=lambda hour: hour.utilisation)
    met = sum(hour.met for hour in plan.hours)
    text = f"{met} of {len(plan.hours)} hours hold the SLO · {numbers.percent(mean)} used on average, "
    text += f"{numbers.percent(peak.utilisation)} in {peak.start}"
    line(console, "Hours", text, colour="" if met == len(plan.hours) else "red")
