"""What the answers of a run cost, from its token counts and a price with a source; without either it is unknown."""

from collections.abc import Sequence
from dataclasses import dataclass

from costplan.errors import UsageError
from costplan.gate.read import Answer, Run
from costplan.prices import PriceKey, compile_rates
from costplan.results import Basis, Estimate, exact, unknown
from costplan.results.gate import GateSide
from costplan.settings import GateSettings
from costplan.units import TOKENS_PER_MTOK

_HINT = "0.15/0.60, USD per million input and output tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD per million tokens; None is not known."""

    input: float | None = None
    output: float | None = None
    basis: Basis = "priced"
    source: str = "no price: --base-usd-per-mtok and --candidate-usd-per-mtok, or --prices"


def price_of(run: Run, given: str | None, settings: GateSettings) -> Price:
    """The flag, else the price the run measured, else (with --prices) that of the model's name."""
    if given is not None:
        ends = given.split("/")
        try:
            numbers = [float(end) for end in ends]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or not all(0 <= each < float("inf") for each in numbers):
            raise UsageError(f"{given}: not a price", hint=_HINT)
        return Price(input=numbers[0], output=numbers[-1], source="flag or settings")
    if run.usd_per_mtok is not None:
        return Price(input=run.usd_per_mtok[0], output=run.usd_per_mtok[1], basis="measured", source="measurement.json")
    if settings.prices is None or run.model is None:
        return Price()
    note = compile_rates([PriceKey("", run.model)], price_file=settings.prices).describe(0)
    if note.unpriced:
        return Price(source=note.unpriced)
    return Price(input=note.rates["input"], output=note.rates["output"], source=note.source)


def item_usd(answer: Answer, price: Price) -> float | None:
    """What the line says itself, else tokens at the price."""
    if answer.usd is not None:
        return answer.usd
    if price.input is None or price.output is None or answer.input_tokens is None or answer.output_tokens is None:
        return None
    return (answer.input_tokens * price.input + answer.output_tokens * price.output) / TOKENS_PER_MTOK


def side_facts(run: Run, price: Price, scored: Sequence[Answer]) -> GateSide:
    """Of the answers with a score."""
    counted = [each for each in scored if each.input_tokens is not None and each.output_tokens is not None]
    tokens = None
    if counted:
        sums = sum(each.input_tokens or 0 for each in counted), sum(each.output_tokens or 0 for each in counted)
        tokens = sums[0] / len(counted), sums[1] / len(counted)
    per_task, per_right = _usd(price, scored)
    shown = "" if price.input is None else f"{price.input:g}/{price.output:g}, "
    return GateSide(
        path=run.path, model=run.model, answers=len(scored), cut_short=sum(each.cut_short for each in scored),
        tokens_per_task=tokens, usd_per_1k_tasks=per_task, usd_per_1k_right=per_right, prices=shown + price.source,
    )  # fmt: skip


def _usd(price: Price, scored: Sequence[Answer]) -> tuple[Estimate, Estimate]:
    """(per 1,000 tasks, per 1,000 points of score), over the answers whose cost is known."""
    costs = [(usd, each.score or 0.0) for each in scored if (usd := item_usd(each, price)) is not None]
    if not costs:
        why = price.source if price.input is None else "the server reported no token counts"
        return unknown("USD", why), unknown("USD", why)
    usd, right = sum(cost for cost, _ in costs), sum(score for _, score in costs)
    note = "" if len(costs) == len(scored) else f"of the {len(costs):,} of {len(scored):,} answers whose cost is known"
    basis: Basis = "reported" if price.input is None else price.basis
    per_right = exact(1000 * usd / right, "USD", basis, note) if right else unknown("USD", "no answer is right")
    return exact(1000 * usd / len(costs), "USD", basis, note), per_right
