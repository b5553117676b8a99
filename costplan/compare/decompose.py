"""Why the cost changed: volume, mix of models, usage per request, prices. The four add up to the change.

With n requests of model m at a cost of c each, N in all and shares s = n / N (price-volume-mix analysis; each step is
valued at what the steps before it left, so nothing is counted twice and no rest remains):

    volume  (N_b - N_a) sum s_a c_a
    mix     N_b sum (s_b - s_a) c_a
    usage   sum n_b (c_b / p - c_a)
    price   sum n_b (c_b - c_b / p)

p is the index of a model's list prices, weighted by the tokens of b (Paasche). A model of b alone has the c of b before
and after: it is all mix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from costplan.results.compare import Cause, ModelChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A model in one plan, over the time that is compared."""

    requests: float
    usd: float
    fresh: float
    """Input tokens that are not read from a cache."""
    read: float
    output: float


Rates = Mapping[str, float]
"""USD per million tokens: input, cache_read, output."""


def causes_of(
    a: Mapping[str, Use], b: Mapping[str, Use], a_rates: Mapping[str, Rates], b_rates: Mapping[str, Rates]
) -> tuple[list[Cause], list[ModelChange]]:
    """The parts of the change and the same by model, the largest changes first."""
    before, after = (sum(use.requests for use in side.values()) for side in (a, b))
    models: list[ModelChange] = []
    for model in sorted(a.keys() | b.keys()):
        old, new = a.get(model), b.get(model)
        n_a, n_b = (0.0 if use is None else use.requests for use in (old, new))
        usd_a, usd_b = (0.0 if use is None else use.usd for use in (old, new))
        each_b = usd_b / n_b if n_b else 0.0
        each_a = usd_a / n_a if n_a else each_b
        index = 1.0 if new is None or old is None else _index(new, a_rates.get(model), b_rates.get(model))
        share_a, share_b = (n / total if total else 0.0 for n, total in ((n_a, before), (n_b, after)))
        models.append(
            ModelChange(
                model=model, status="new" if not n_a else "gone" if not n_b else "both", a_usd=usd_a, b_usd=usd_b,
                volume_usd=(after - before) * share_a * each_a, mix_usd=after * (share_b - share_a) * each_a,
                usage_usd=n_b * (each_b / index - each_a), price_usd=n_b * (each_b - each_b / index),
            )
        )  # fmt: skip
    causes = [
        Cause(cause="volume", usd=sum(m.volume_usd for m in models), note=_volume(before, after)),
        Cause(cause="mix", usd=sum(m.mix_usd for m in models), note=_mix(models)),
        Cause(cause="usage", usd=sum(m.usage_usd for m in models), note="tokens and cache reads of a request"),
        Cause(cause="price", usd=sum(m.price_usd for m in models), note=_priced(models, b, a_rates, b_rates)),
    ]
    return causes, sorted(models, key=lambda m: (-abs(m.b_usd - m.a_usd), m.model))


def _index(use: Use, old: Rates | None, new: Rates | None) -> float:
    """What today's tokens cost at the new list prices, over what they cost at the old ones."""
    if old is None or new is None:
        return 1.0

    def at(rates: Rates) -> float:
        return use.fresh * rates["input"] + use.read * rates["cache_read"] + use.output * rates["output"]

    return at(new) / at(old) if at(old) and at(new) else 1.0


def _volume(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%} requests" if before else "no request before"


def _mix(models: Sequence[ModelChange]) -> str:
    names = [f"{model.model} is {model.status}" for model in models if model.status != "both"]
    return ", ".join(names[:3]) if names else "which model answers"


def _priced(
    models: Sequence[ModelChange], b: Mapping[str, Use], a_rates: Mapping[str, Rates], b_rates: Mapping[str, Rates]
) -> str:
    both = [model.model for model in models if model.status == "both"]
    moved = [
        f"{name} {index - 1:+.1%}"
        for name in both
        if abs((index := _index(b[name], a_rates.get(name), b_rates.get(name))) - 1) > 5e-4
    ]
    dark = [name for name in both if name not in a_rates or name not in b_rates]
    told = ", ".join(moved[:3]) if moved else "list prices are the same"
    return f"{told}; list price of {', '.join(dark[:3])} not in both plans" if dark else told
