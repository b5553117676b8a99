"""What the requests of a log would cost with each candidate: prices and capabilities; it knows no quality.

A candidate reads the same tokens, cached ones at its own rates, and writes the output ratio times as many. Requests
that it cannot take stay with today's model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.prices import PriceKey, RateTable, compile_rates, nearest
from costplan.profiles.capabilities import capabilities
from costplan.route.read import Traffic
from costplan.routing.candidates import Candidate, Needs, cheaper_for, unfit
from costplan.routing.decide import Offer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHECK_TOKENS = 5
"""Output of a check that reads a prompt and its answer and says whether it will do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """One candidate for the m requests of one (call site, model)."""

    candidate: Candidate
    fits: NDArray[np.bool_]
    """(m,) it can take the request."""
    usd: Floats
    """(m, 3) with the low, the expected and the high output ratio."""
    uncached: Floats
    """(m,) expected ratio, nothing read from a cache: what a request costs when its neighbours stay elsewhere."""
    check: Floats
    """(m,) the candidate reads prompt and answer once more and judges them."""
    cannot: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The requests that one model answers at one call site, and what else could answer them."""

    number: int
    rows: NDArray[np.int64]
    """(m,) numbers among the routable requests."""
    now: Floats
    """(m,) USD at the prices of the log's last day."""
    priced: list[Priced]

    def offers(self) -> list[Offer]:
        """As `routing.decide` takes them."""
        found: list[Offer] = []
        for each in self.priced:
            usd = each.usd[each.fits].sum(axis=0)
            found.append(Offer(
                candidate=each.candidate, share=float(each.fits.mean()), now_usd=float(self.now[each.fits].sum()),
                usd=float(usd[1]), usd_low=float(usd[0]), usd_high=float(usd[2]),
            ))  # fmt: skip
        return found


def price_groups(
    traffic: Traffic, named: Sequence[str], ratio: tuple[float, float, float], price_file: Path | None
) -> list[Group]:
    """One per (call site, model). Raises UsageError for a named model without a price."""
    time_us = traffic.ledger.price_date_us
    at = 2**53 if time_us is None else time_us  # without dates: the newest price
    _check_names(named, at, price_file)
    found: list[Group] = []
    options: dict[tuple[str, str], list[Candidate]] = {}
    tables: dict[PriceKey, RateTable] = {}
    for number in range(len(traffic.groups)):
        logged = traffic.ledger.priced.rates.keys[traffic.groups[number][1]]
        model = traffic.model(number)
        if model not in options:
            options[model] = cheaper_for(
                logged.provider, logged.model, time_us=at, named=named, price_file=price_file
            )  # fmt: skip
        rows = np.flatnonzero(traffic.group == number)
        priced: list[Priced] = []
        for each in options[model]:
            key = PriceKey(each.provider, each.model, logged.tier)
            if key not in tables:
                tables[key] = compile_rates([key], price_file=price_file)
            priced.append(_priced(traffic, rows, each, tables[key], at, ratio))
        found.append(Group(number=number, rows=rows, now=traffic.columns["usd"][rows], priced=priced))
    return found


def _check_names(named: Sequence[str], time_us: int, price_file: Path | None) -> None:
    keys = [PriceKey("", name) for name in named]
    table = compile_rates(keys, price_file=price_file)
    for index in range(len(keys)):
        if index in table.unpriced:
            close = nearest(named[index])
            hint = f"did you mean {' or '.join(close)}?" if close else "write provider/model, or give a price: --prices"
            raise UsageError(f"--cheap {named[index]}: {table.unpriced[index].unpriced}", hint=hint)


def resolver(price_file: Path | None) -> dict[str, str]:
    """A dictionary that maps a model as people write it to the name that prices know, looking each one up once."""
    return _Names(price_file)


class _Names(dict[str, str]):
    def __init__(self, price_file: Path | None) -> None:
        super().__init__()
        self._price_file = price_file

    def __missing__(self, name: str) -> str:
        note = compile_rates([PriceKey("", name)], price_file=self._price_file).describe(0)
        self[name] = name.strip().lower() if note.unpriced else note.model
        return self[name]


def _priced(
    traffic: Traffic, rows: NDArray[np.int64], candidate: Candidate, table: RateTable, time_us: int,
    ratio: tuple[float, float, float],
) -> Priced:  # fmt: skip
    columns = {name: traffic.columns[name][rows] for name in _TOKENS}
    needs = Needs(
        tokens=columns["input_tokens"], tools=traffic.tools[rows], json=traffic.json[rows], vision=traffic.vision[rows]
    )
    reasons = unfit(candidate, needs)
    fits = ~np.logical_or.reduce([np.zeros(len(rows), np.bool_), *reasons.values()])
    prompt, weight = columns["input_tokens"], traffic.columns["weight"][rows]
    none = np.zeros(len(rows), np.int64)
    cached = (columns["cache_read_tokens"], columns["cache_write_tokens"], columns["cache_write_1h_tokens"])

    def cost(read: Ints, answer: Ints, cached: tuple[Ints, Ints, Ints] = (none, none, none)) -> Floats:
        row = table.lookup(np.zeros(len(rows), np.int32), np.full(len(rows), time_us, np.int64), read)
        return table.cost_usd(row, read, *cached, answer, none).total * weight

    answers = [np.rint(columns["output_tokens"] * each).astype(np.int64) for each in ratio]
    return Priced(
        candidate=candidate, fits=fits, usd=np.stack([cost(prompt, each, cached) for each in answers], axis=1),
        uncached=cost(prompt, answers[1]), check=cost(prompt + answers[1], none + CHECK_TOKENS),
        cannot={name: int(where.sum()) for name, where in reasons.items()},
    )  # fmt: skip


_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")


def capability_source() -> str:
    """Where the context windows and abilities come from."""
    known = capabilities()
    return f"{known.source}, {known.checked}"
