"""Kinds of call in a log, and the price key of each; what a call of a kind costs is not known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.prices import PriceKey, RateTable, compile_rates
from costplan.profiles import provider_policy

Kind = tuple[str, str, str, str, str, str]
"""(provider, model asked for, model that answered, service tier, operation, outcome)"""


@dataclass(frozen=True, slots=True, eq=False)
class PricedKinds:
    """Prices of all kinds of call; by kind: the price key, and that at batch prices (-1: there are none)."""

    rates: RateTable
    kind_key: NDArray[np.int32]
    kind_batch_key: NDArray[np.int32]


def model_of(kind: Kind) -> str:
    """The model that answered, else the one asked for."""
    return kind[2] or kind[1] or "(no model)"


def with_model(kind: Kind, assumed: str | None) -> Kind:
    """--assume-model stands in where the log names no model."""
    provider, asked, answered, tier, operation, outcome = kind
    return kind if asked or answered or not assumed else (provider, assumed, "", tier, operation, outcome)


def price_kinds(kinds: list[Kind], price_file: Path | None, more: Sequence[PriceKey] = ()) -> PricedKinds:
    """A kind is priced by the model that answered; where that name is unknown, by the name that was asked for.

    `more`: keys that the table must hold as well, with those at batch prices.
    """
    wanted = [*(key for kind in kinds for key in _keys_of(kind)), *more]
    twins = [PriceKey(key.provider, key.model, "batch", key.operation) for key in wanted if key.tier == ""]
    table = compile_rates(list(dict.fromkeys([*wanted, *twins])), price_file=price_file)
    number = {key: index for index, key in enumerate(table.keys)}
    kind_key = np.zeros(len(kinds), dtype=np.int32)
    batch_key = np.full(len(kinds), -1, dtype=np.int32)
    for index, kind in enumerate(kinds):
        options = _keys_of(kind)
        best = next((key for key in options if number[key] not in table.unpriced), options[0])
        kind_key[index] = number[best]
        batch_key[index] = batch_key_of(table, best)
    return PricedKinds(table, kind_key, batch_key)


def batch_key_of(table: RateTable, key: PriceKey) -> int:
    """Number of a key's twin at batch prices; -1 where there are none."""
    number = table.keys.index(key)
    if key.tier or number in table.unpriced or provider_policy(table.describe(number).provider).batch is None:
        return -1
    return table.keys.index(PriceKey(key.provider, key.model, "batch", key.operation))


def _keys_of(kind: Kind) -> list[PriceKey]:
    provider, asked, answered, tier, operation, _ = kind
    return [PriceKey(provider, model, tier, operation) for model in dict.fromkeys((answered or asked, asked))]
