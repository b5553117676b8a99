"""`costplan capacity`: the cheapest fleet that holds an SLO in every hour of a trace; people and power are not counted.

Every GPU type x precision x tensor-parallel size is either ruled out by a bound, with its reason counted, or sized by
simulating the busiest hour on its own arrivals. The winner is then simulated hour by hour.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from costplan.capacity.fleet import fleet_cost, fleet_option, marked, preference, price_of, usd_per_mtok
from costplan.capacity.hours import Hours, check_hours, hours_of
from costplan.capacity.layout import Layout, Tuning, error_bands, layout_of
from costplan.capacity.measured import check_covered, search_profile, told
from costplan.capacity.naive import naive_fleet
from costplan.capacity.single import routing_of, trace_facts, trace_warnings
from costplan.capacity.sizing import Sized, SizeJob, save, size
from costplan.capacity.steady import Shape, alone, highest_rate
from costplan.capacity.sustained import shape_of
from costplan.capacity.trace import Progress, Trace, busiest, read_trace
from costplan.engine import executor, usable_cores
from costplan.errors import CostplanError, UsageError
from costplan.profiles.engines import Engine, find_engine
from costplan.profiles.gpus import Gpu, find_gpu, parse_gpus
from costplan.profiles.models import Model, find_model
from costplan.results import Assumption, Estimate
from costplan.results.serving import Capacity, FleetHour, FleetOption, TraceFacts
from costplan.serving.arrivals import pick
from costplan.serving.precision import find_precision, kv_value_bytes
from costplan.serving.shapes import check_tp
from costplan.serving.slo import Slo, parse_slo
from costplan.settings import AnalyzeSettings, CapacitySettings

TP_SIZES = (1, 2, 4, 8)
DATA_CENTRE = ("A100", "A100-40GB", "H100", "H100-PCIe", "H200", "B200", "L40S", "L4", "A10G")
"""Searched unless --gpus names others: data-centre GPUs that several clouds rent, at prices with a source."""
TOO_DEAR = 2.0
"""A fleet whose lower bound costs so many times the cheapest found is not simulated."""
FIRST_ROUND = 4
SCREEN_REQUESTS = 3_000
"""Configurations are compared on the busiest stretch of so many requests; the best ones then get the whole hour."""
FINALISTS = 8
SLACK = 0.9
"""Bounds by hand are taken this much looser, since step times vary within a run."""
NO_SPLIT, NO_ROOM, TOO_LONG = "the heads do not divide", "the weights leave no room", "the longest request has no room"
TOO_SLOW, TOO_MANY = "one request alone misses the SLO", "more GPUs than allowed"
UNFITTED = "The engine profile states no fitted error: ±25 % assumed for what a replica holds."
NO_PRICE, DEAR = "no price", f"at least {TOO_DEAR:g} times the cheapest"


@dataclass(slots=True)
class _Pruned:
    """Configurations ruled out, by reason."""

    counts: Counter[str] = field(default_factory=Counter[str])
    examples: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        self.examples.setdefault(reason, name)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    layout: Layout
    least: int
    """Replicas by the bound."""
    most: int
    usd_hour: float
    """Lower bound."""


def plan_capacity(
    paths: list[str], settings: CapacitySettings, origins: dict[str, str], report: Progress | None = None
) -> Capacity:
    """Raises CostplanError for unknown names and for a trace without a request that can be served."""
    settings, profile, sizes = search_profile(settings, origins)
    slo, model, engine = parse_slo(settings.slo), find_model(settings.model), find_engine(settings.engine)
    gpus = _gpus(settings)
    precisions = _precisions(settings, model, gpus)
    kv_value_bytes(settings.kv_dtype)  # an unknown name is an error here, not a reason to rule out
    if profile is not None and settings.profile is not None:
        asked = [gpu for gpu, _ in gpus]
        check_covered(profile, settings.profile, model, asked, sizes, tuple(precisions), settings.kv_dtype)
        engine = replace(engine, block_size=profile.block_size)
    trace = _served(read_trace(paths, AnalyzeSettings(workers=settings.workers), engine.block_size, report), model)
    hours = hours_of(trace)
    pruned = _Pruned()
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        save(busiest(hours.peak, SCREEN_REQUESTS), Path(folder))
        tuning = Tuning(kv_dtype=settings.kv_dtype, measured=profile)
        candidates = _candidates(
            settings, slo, model, engine, gpus, precisions, hours, pruned, tuning, sizes or TP_SIZES
        )  # fmt: skip
        sized = _size_all(settings, slo, candidates, Path(folder), pruned, report)
        if hours.peak.requests > SCREEN_REQUESTS:
            sized = _whole_hour(settings, slo, sized, hours, Path(folder), report)
    held = [(candidate.layout, found) for candidate, found in sized if found.replicas]
    warnings = trace_warnings(trace)
    found = _checked(settings, slo, held, trace, hours, warnings, report)
    options, held, rows = found.options, found.held, found.rows
    options = marked(options)
    best = options[0] if options else None
    simulated = len(sized)
    warnings += _guessed([gpu for gpu, _ in gpus])
    if profile is not None:
        warnings += told(profile, options, held[0][1].figures if held else None, int(hours.peak.input_tokens.max()))
    return Capacity(
        inputs=trace.inputs, trace=_facts(trace, hours), model=model.id, engine=engine.label, slo=str(slo),
        options=options, best=best, usd_per_mtok=usd_per_mtok(best, trace.workload, hours),
        autoscaled_usd_month=_autoscaled(settings, held[0], rows) if best and len(rows) > 1 else None, hours=rows,
        naive=naive_fleet(settings, held[0][0], hours.peak) if best else None,
        searched=simulated + sum(pruned.counts.values()), simulated=simulated,
        pruned=dict(sorted(pruned.counts.items())), pruned_examples=dict(sorted(pruned.examples.items())),
        error_source=engine.speed.source, assumptions=_assumptions(settings, origins, engine),
        warnings=warnings + ([] if error_bands(engine) else [UNFITTED]),
    )  # fmt: skip


def way_out(plan: Capacity) -> str:
    """What to change where nothing holds, by the commonest reason."""
    reason = max(plan.pruned, key=lambda each: plan.pruned[each], default="")
    if reason == TOO_SLOW:
        return "one request alone takes longer: raise that limit of --slo, or name faster --gpus or a smaller --model"
    if reason in (NO_ROOM, TOO_LONG):
        return "name --gpus with more memory, a smaller --precision, or --kv-dtype fp8"
    if reason.startswith(NO_PRICE):
        return "--price on-demand"
    return "raise --max-gpus or a limit of --slo, or name other --gpus"


def _gpus(settings: CapacitySettings) -> list[tuple[Gpu, int]]:
    """(type, most GPUs of it): a number before a name is a limit of its own."""
    if settings.gpus is None:
        return [(find_gpu(name), settings.max_gpus) for name in DATA_CENTRE]
    found = [parse_gpus(name) for name in settings.gpus.split(",") if name.strip()]
    if not found:
        raise UsageError("--gpus names no GPU", hint="--gpus A100,H100")
    return [(gpu, min(count if count > 1 else settings.max_gpus, settings.max_gpus)) for count, gpu in found]


def _guessed(gpus: list[Gpu]) -> list[str]:
    """A warning for every price that no seller stands behind."""
    prices = [(gpu.name, gpu.on_demand.source) for gpu in gpus]
    return [f"The price of {name} has no seller behind it: {why}." for name, why in prices if why.startswith("assumed")]


def _precisions(settings: CapacitySettings, model: Model, gpus: list[tuple[Gpu, int]]) -> list[str]:
    if settings.precision is None:
        return list(dict.fromkeys((model.native_precision, "fp8", "awq")))
    names = [name.strip() for name in settings.precision.split(",") if name.strip()]
    for name in names:
        find_precision(name, gpus[0][0])  # an unknown name is an error here, not a reason to rule out
    return names


def _served(trace: Trace, model: Model) -> Trace:
    """The trace without requests longer than the model's context."""
    workload = trace.workload
    fits = workload.input_tokens.astype(np.int64) + workload.output_tokens <= model.max_context
    if not fits.any():
        raise CostplanError(
            f"every request is longer than the {model.max_context:,} tokens of {model.id}",
            hint="name a --model with a longer context",
        )
    if fits.all():
        return trace
    reason = f"longer than the {model.max_context:,} tokens of the model"
    left_out = trace.left_out | {reason: int((~fits).sum())}
    return replace(trace, workload=pick(workload, fits), left_out=left_out)


def _candidates(
    settings: CapacitySettings, slo: Slo, model: Model, engine: Engine, gpus: list[tuple[Gpu, int]],
    precisions: list[str], hours: Hours, pruned: _Pruned, tuning: Tuning, sizes: tuple[int, ...],
) -> list[_Candidate]:  # fmt: skip
    """What no bound rules out, cheapest bound first."""
    peak = hours.peak
    longest = int((peak.input_tokens.astype(np.int64) + peak.output_tokens).max())
    typical = int(peak.input_tokens.mean() + peak.output_tokens.mean())
    tuning = replace(tuning, tokens=typical)
    shape = shape_of(peak, engine.prefix_caching)
    found: list[_Candidate] = []
    for gpu, most in gpus:
        for precision in precisions:
            for tp in sizes:
                name = f"TP{tp} {gpu.name} {precision}"
                reason, layout = _laid_out(model, gpu, engine, tp, precision, tuning, longest)
                if layout is None:
                    pruned.add(reason, name)
                    continue
                candidate, reason = _bounded(settings, slo, layout, shape, hours, most // tp - settings.spare)
                if candidate is None:
                    pruned.add(reason, name)
                else:
                    found.append(candidate)
    return sorted(found, key=lambda each: (each.usd_hour, each.layout.name))


def _laid_out(
    model: Model, gpu: Gpu, engine: Engine, tp: int, precision: str, tuning: Tuning, longest: int
) -> tuple[str, Layout | None]:
    try:
        check_tp(model, tp)
    except CostplanError:
        return NO_SPLIT, None
    try:
        layout = layout_of(model, gpu, engine, tp=tp, precision=precision, tuning=tuning)
    except CostplanError:
        return NO_ROOM, None
    room = (layout.config.blocks - layout.config.watermark_blocks) * layout.config.block_size
    return (TOO_LONG, None) if longest > room else ("", layout)


def _bounded(
    settings: CapacitySettings, slo: Slo, layout: Layout, shape: Shape, hours: Hours, most: int
) -> tuple[_Candidate | None, str]:
    """The candidate with its least number of replicas, or why none can hold."""
    price = price_of(settings, layout.gpu)
    if price is None:
        return None, f"{NO_PRICE} ({settings.price})"
    limit = slo.limits_s()
    ttft_s, tpot_s = alone(layout, shape)
    e2e_s = ttft_s + tpot_s * max(shape.output - 1, 0)
    for metric, value in (("ttft", ttft_s), ("tpot", tpot_s), ("e2e", e2e_s)):
        if metric in limit and SLACK * value > limit[metric]:
            return None, TOO_SLOW
    rate = highest_rate(layout, shape, limit.get("tpot", float("inf")) / SLACK)
    least = max(1, int(np.ceil(SLACK * hours.peak_req_s / rate))) if rate > 0 else most + 1
    if least > most:
        return None, TOO_MANY
    usd_hour = price.usd * (least + settings.spare) * layout.gpus_per_replica
    return _Candidate(layout, least, most, usd_hour), ""


def _size_all(
    settings: CapacitySettings, slo: Slo, candidates: list[_Candidate], folder: Path, pruned: _Pruned,
    report: Progress | None,
) -> list[tuple[_Candidate, Sized]]:  # fmt: skip
    """The cheapest bounds first, in this process; then the others, on all workers, unless they are far too dear."""

    def job(each: _Candidate) -> SizeJob:
        return _size_job(settings, slo, folder, each, each.least)

    done: list[tuple[_Candidate, Sized]] = []
    waiting = list(candidates)
    cheapest = float("inf")
    while waiting and (len(done) < FIRST_ROUND or cheapest == float("inf")):
        each = waiting.pop(0)
        found = size(job(each))
        done.append((each, found))
        if found.replicas:
            cost = each.usd_hour / (each.least + settings.spare) * (found.replicas + settings.spare)
            cheapest = min(cheapest, cost)
        if report:
            report("simulating", len(done), len(candidates))
    for each in [each for each in waiting if each.usd_hour > TOO_DEAR * cheapest]:
        pruned.add(DEAR, each.layout.name)
        waiting.remove(each)
    counted = len(done)

    def on_done(_: object) -> None:
        nonlocal counted
        counted += 1
        if report:
            report("simulating", counted, len(candidates))

    with executor(settings.workers or usable_cores()) as pool:
        return done + list(zip(waiting, pool.map(size, [job(each) for each in waiting], on_done), strict=True))


def _size_job(settings: CapacitySettings, slo: Slo, folder: Path, candidate: _Candidate, least: int) -> SizeJob:
    return SizeJob(
        layout=candidate.layout, folder=folder, slo=slo, routing=routing_of(settings.routing), least=least,
        most=candidate.most,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    options: list[FleetOption]
    held: list[tuple[Layout, Sized]]
    """What each option was made from."""
    rows: list[FleetHour]
    """The hours of the first option."""


def _checked(
    settings: CapacitySettings, slo: Slo, held: list[tuple[Layout, Sized]], trace: Trace, hours: Hours,
    warnings: list[str], report: Progress | None,
) -> _Ranking:  # fmt: skip
    """Simulate the cheapest in every hour; where an hour needs more replicas, it is sized for that and ranked again."""
    resized: list[str] = []
    while True:
        options, held = _ranked(settings, held, hours)
        if not options:
            return _Ranking([], [], [])
        layout, sized = held[0]
        checked = check_hours(
            slo, layout, sized, routing_of(settings.routing), trace, hours, settings.autoscale, report
        )
        if checked.replicas == sized.replicas or layout.name in resized:
            if resized:
                names = ", ".join(resized)
                warnings.append(f"Another hour than the busiest one is the hardest: sized for it were {names}.")
            return _Ranking(options, held, checked.rows)
        resized.append(layout.name)
        held[0] = layout, replace(sized, replicas=checked.replicas)


def _ranked(
    settings: CapacitySettings, held: list[tuple[Layout, Sized]], hours: Hours
) -> tuple[list[FleetOption], list[tuple[Layout, Sized]]]:
    """Options with their prices, and what they were made from, in the order of preference."""
    options = [fleet_option(settings, layout, found, hours) for layout, found in held]
    order = sorted(range(len(options)), key=lambda i: preference(options[i]))
    return [options[i] for i in order], [held[i] for i in order]


def _whole_hour(
    settings: CapacitySettings, slo: Slo, sized: list[tuple[_Candidate, Sized]], hours: Hours, folder: Path,
    report: Progress | None,
) -> list[tuple[_Candidate, Sized]]:  # fmt: skip
    """Size the cheapest of the best trade-offs again on every request of the busiest hour."""
    held = [(candidate.layout, found) for candidate, found in sized if found.replicas]
    options, held = _ranked(settings, held, hours)
    finalists = [layout for (layout, _), mark in zip(held, marked(options), strict=True) if mark.pareto][:FINALISTS]
    finalists += [layout for layout, _ in held[:2] if layout not in finalists]
    folder = folder / "hour"
    folder.mkdir()
    save(hours.peak, folder)
    again = [number for number, (candidate, _) in enumerate(sized) if candidate.layout in finalists]
    jobs = [_size_job(settings, slo, folder, sized[n][0], sized[n][1].replicas) for n in again]
    done = 0

    def on_done(_: object) -> None:
        nonlocal done
        done += 1
        if report:
            report("whole hour", done, len(jobs))

    with executor(settings.workers or usable_cores()) as pool:
        found = dict(zip(again, pool.map(size, jobs, on_done), strict=True))
    # where only the stretch was simulated, the hour may be easier, never is it harder: it holds the stretch
    return [(candidate, found.get(n, result)) for n, (candidate, result) in enumerate(sized)]


def _facts(trace: Trace, hours: Hours) -> TraceFacts:
    return TraceFacts(
        workload=trace_facts(trace.workload, trace.inputs[0].path), hours=len(hours.rows), span_s=trace.span_s,
        peak_hour=trace.hour_name(hours.peak_index), peak_req_s=hours.peak_req_s, left_out=trace.left_out,
        out_of_order=trace.out_of_order,
    )  # fmt: skip


def _autoscaled(settings: CapacitySettings, best: tuple[Layout, Sized], rows: list[FleetHour]) -> Estimate:
    counts = [row.replicas for row in rows]
    return fleet_cost(settings, best[0], counts, f"{min(counts)} to {max(counts)} replicas by the hour")


def _assumptions(settings: CapacitySettings, origins: dict[str, str], engine: Engine) -> list[Assumption]:
    names = ("model", "slo", "engine", "price", "spare", "max_gpus", "routing", "kv_dtype")
    found = [Assumption(name=name, value=str(getattr(settings, name)), origin=origins[name]) for name in names]
    names = ", ".join(DATA_CENTRE) if settings.gpus is None else settings.gpus
    found.append(Assumption(name="gpus", value=names, origin=origins["gpus"]))
    found.append(
        Assumption(name="costs", value="GPU hours; people, network and storage are in breakeven", origin="scope")
    )
    found.append(Assumption(name="step times", value=engine.label, origin=engine.speed.source))
    found.append(
        Assumption(name="token counts", value="as logged; other tokenizers differ by some 10 %", origin="assumed")
    )
    return found
