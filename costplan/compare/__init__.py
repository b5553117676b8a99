"""Two plans, or two runs of a server, side by side: what changed, why, and whether a limit is broken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from costplan.compare.decompose import Rates, Use, causes_of
from costplan.compare.figures import plan_figures, run_figures, side_by_side
from costplan.compare.limits import limits_of
from costplan.errors import CostplanError
from costplan.results import GroupRow, Plan, plan_from_json
from costplan.results.compare import Compared, Comparison, SiteChange
from costplan.results.measurement import Measurement
from costplan.results.serving import ServingRun, Simulation

__all__ = ["compare"]
_PLAN = "costplan/plan/"
_RUNS: dict[str, type[ServingRun]] = {"costplan/simulation/": Simulation, "costplan/measurement/": Measurement}
_HINT = "compare two plans (analyze --json), or two simulations or measurements (simulate or replay --json)"
_SAME = 5e-4
"""A change below this share of both costs is none."""


def compare(a: str, b: str, limits: Sequence[str] = ()) -> Comparison:
    """Raises CostplanError for files that cannot be compared, UsageError for limits on what is not there."""
    old, new = _read(a), _read(b)
    if isinstance(old, Plan) and isinstance(new, Plan):
        found = _plans(a, b, old, new)
    elif isinstance(old, Plan) or isinstance(new, Plan):
        raise CostplanError(f"{a} and {b}: a plan and a run have no figure in common", hint=_HINT)
    else:
        figures = side_by_side(run_figures(old), run_figures(new))
        warnings = [
            f"{path}: not valid, the client was the limit" for path, run in ((a, old), (b, new)) if _invalid(run)
        ]
        found = Comparison(a=_told(a, old), b=_told(b, new), over="", figures=figures, warnings=warnings)
    return msgspec.structs.replace(found, limits=limits_of(limits, found.figures)) if limits else found


def _read(path: str) -> Plan | ServingRun:
    try:
        data = Path(path).read_bytes()
        schema = str(msgspec.json.decode(data, type=dict[str, Any]).get("schema"))
        if schema.startswith(_PLAN):
            return plan_from_json(data)
        kind = next((kind for start, kind in _RUNS.items() if schema.startswith(start)), None)
        if kind is not None:
            return msgspec.json.decode(data, type=kind)
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror}", hint=_HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError) as error:
        raise CostplanError(f"{path}: not a document that costplan wrote: {error}", hint=_HINT) from None
    raise CostplanError(f"{path}: a document of {schema[:40]!r} cannot be compared", hint=_HINT)


def _invalid(run: ServingRun) -> bool:
    return isinstance(run, Measurement) and not run.client.valid


def _told(path: str, document: Plan | ServingRun) -> Compared:
    if isinstance(document, Plan):
        span, count = document.ingest.span, document.baseline.requests
        requests = "requests not counted" if count is None else f"{count:,} requests"
        days = f", {str(span.start)[:10]} to {str(span.end)[:10]}" if span.start and span.end else ""
        return Compared(path=path, schema=document.schema, title=f"{requests}{days}")
    return Compared(path=path, schema=_schema(document), title=_run_title(document))


def _schema(run: ServingRun) -> str:
    return run.schema if isinstance(run, Simulation | Measurement) else ""


def _run_title(run: ServingRun) -> str:
    model = "" if run.config is None else f"{run.config.model}, "
    return f"{model}{run.workload.text}"


# --- plans ---


@dataclass(frozen=True, slots=True)
class _Scale:
    """From the log to the time that is compared."""

    usd: float
    requests: float


def _plans(a: str, b: str, old: Plan, new: Plan) -> Comparison:
    over = "month" if all(plan.baseline.cost_usd_month.value is not None for plan in (old, new)) else "log"
    scales = [_scale(plan, over) for plan in (old, new)]
    before, after = (_uses(plan, scale) for plan, scale in zip((old, new), scales, strict=True))
    causes, models = causes_of(before, after, _rates(old), _rates(new))
    return Comparison(
        a=_told(a, old), b=_told(b, new), over=over,
        figures=side_by_side(plan_figures(old), plan_figures(new)), causes=causes, models=models,
        call_sites=_sites(old, new, *scales), warnings=_warnings(a, b, old, new, over),
    )  # fmt: skip


def _scale(plan: Plan, over: str) -> _Scale:
    """Monthly figures stand at the prices of the price date: what they add to those of the calls counts as usage."""
    base = plan.baseline
    cost, month, at_date = base.cost_usd.value, base.cost_usd_month.value, base.cost_usd_price_date.value
    if over == "log" or not cost or not at_date or month is None:
        return _Scale(1.0, 1.0)
    return _Scale(month / cost, month / at_date)


def _uses(plan: Plan, scale: _Scale) -> dict[str, Use]:
    """By model, of the requests with a price."""
    return {
        row.key: Use(
            requests=_priced(row) * scale.requests, usd=row.cost_usd * scale.usd,
            fresh=row.input_tokens - row.cache_read_tokens, read=row.cache_read_tokens, output=row.output_tokens,
        )
        for row in plan.unit_economics.by_model
        if row.cost_usd
    }  # fmt: skip


def _rates(plan: Plan) -> dict[str, Rates]:
    """Of each model the rates under which most of its requests were priced."""
    found: dict[str, tuple[int, Mapping[str, float]]] = {}
    for used in plan.prices:
        if {"input", "cache_read", "output"} <= used.rates.keys() and used.requests > found.get(used.model, (0, {}))[0]:
            found[used.model] = used.requests, used.rates
    return {model: rates for model, (_, rates) in found.items()}


def _sites(old: Plan, new: Plan, a: _Scale, b: _Scale) -> list[SiteChange]:
    """Call sites by their own name, else by what their prompts begin with."""
    before, after = (_by_identity(plan.unit_economics.by_call_site) for plan in (old, new))
    found: list[SiteChange] = []
    for key in sorted(before.keys() | after.keys()):
        x, y = before.get(key), after.get(key)
        a_usd, b_usd = _usd(x, a), _usd(y, b)
        change = (b_usd or 0.0) - (a_usd or 0.0)
        same = abs(change) <= _SAME * max(abs(a_usd or 0.0), abs(b_usd or 0.0))
        row = y or x
        assert row is not None
        status = "new" if x is None else "gone" if y is None else "same" if same else "changed"
        found.append(
            SiteChange(
                call_site=row.key, status=status,
                a_usd=a_usd, b_usd=b_usd, change_usd=change, a_usd_per_request=_each(x), b_usd_per_request=_each(y),
            )
        )  # fmt: skip
    return sorted(found, key=lambda site: (-abs(site.change_usd), site.call_site))


def _by_identity(rows: Sequence[GroupRow]) -> dict[str, GroupRow]:
    return {row.id or row.key: row for row in rows}


def _usd(row: GroupRow | None, scale: _Scale) -> float | None:
    return None if row is None or row.cost_usd is None else row.cost_usd * scale.usd


def _each(row: GroupRow | None) -> float | None:
    if row is None or row.cost_usd is None:
        return None
    return None if row.requests is None else row.cost_usd / _priced(row)


def _priced(row: GroupRow) -> int:
    """Requests with a price; 1 where an export does not count them, so that all of a change is usage."""
    return 1 if row.requests is None else max(1, row.requests - row.unpriced - row.failed)


def _warnings(a: str, b: str, old: Plan, new: Plan, over: str) -> list[str]:
    found: list[str] = []
    if over == "log":
        days = [plan.ingest.span.days for plan in (old, new)]
        told = " and ".join("unknown time" if each is None else f"{each:.2g} days" for each in days)
        found.append(f"one of the plans has no monthly figure: costs are those of the logs, over {told}")
    for path, plan in ((a, old), (b, new)):
        if plan.ingest.partial:
            found.append(f"{path}: a first look at part of a log (--head)")
        if plan.baseline.requests is None:
            found.append(f"{path}: requests are not counted, so more of them and longer ones are not told apart")
        if plan.ingest.unpriced.requests:
            found.append(f"{path}: {plan.ingest.unpriced.requests:,} requests without a price are in no amount")
    return found
