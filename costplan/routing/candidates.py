"""Cheaper models that could take a model's requests: from list prices and known capabilities; knows no quality.

Proposed without being asked: what the same seller offers under the same name in another size (gpt-4o, gpt-4o-mini);
where nothing of that is cheaper, its small models of the same maker nearest below half the price. A candidate must not
have been withdrawn on the day of the prices.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.prices import PriceKey, compile_rates
from costplan.prices.catalog import EPOCH
from costplan.profiles.capabilities import Capability, capabilities

Mask = NDArray[np.bool_]

SMALL = frozenset({"nano", "mini", "small", "tiny", "micro", "lite", "flash", "haiku", "luna"})
SIZES = SMALL | {"sonnet", "opus", "medium", "large", "pro", "max", "premier", "terra", "sol", "astra"}
_NO_NAME = SIZES | {"latest", "preview", "exp", "beta", "instruct", "v", "global", "regional", "us", "eu", "standard"}
MOST = 3
_BLEND = (0.75, 0.25)
"""Input and output tokens of the price that models are compared by before the traffic is known: 3 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model of a seller, under the names that `costplan.prices` knows."""

    provider: str
    model: str
    usd_per_mtok: float
    """Three parts input, one part output."""
    capability: Capability

    @property
    def price_key(self) -> PriceKey:
        return PriceKey(self.provider, self.model)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Needs:
    """What each of n requests asks of a model; (n,) each."""

    tokens: NDArray[Any]
    """Input tokens."""
    tools: Mask
    json: Mask
    vision: Mask


def cheaper_for(
    provider: str, model: str, *, time_us: int, named: Sequence[str] = (), price_file: Path | None = None
) -> list[Candidate]:
    """Cheaper models for the requests of one, the dearest first; `named` ones instead of proposals, where given.

    Args:
        provider: as logged or as priced; likewise `model`.
        time_us: the day of the prices, microseconds since the epoch.
        named: models, or `provider/model`, that the user names. Those without a price are left out.
        price_file: the user's prices.
    """
    own = _priced([PriceKey(provider, model)], time_us, price_file)
    if not own:
        return []
    seller, name, price = own[0].provider, own[0].model, own[0].usd_per_mtok
    if named:
        keys = [PriceKey("", each) for each in named]
        return _cheaper([each for each in _priced(keys, time_us, price_file) if each.model != name], price)
    day = (EPOCH + timedelta(microseconds=time_us)).date()
    listed = [
        PriceKey(seller, other)
        for (sold_by, other), facts in sorted(capabilities().models.items())
        if sold_by == seller and other != name and not (facts.retires and facts.retires <= day)
    ]
    siblings = [key for key in listed if stem(key.model) == stem(name) and _size(key.model) != _size(name)]
    found = _cheaper(_priced(siblings, time_us, price_file), price)
    if not found:
        small = [key for key in listed if _words(key.model) & SMALL and stem(key.model)[:1] == stem(name)[:1]]
        small = [key for key in small if not _specials(key.model) - _specials(name)]
        found = [each for each in _cheaper(_priced(small, time_us, price_file), price) if each.usd_per_mtok < price / 2]
    return found[:MOST]


def unfit(candidate: Candidate, needs: Needs) -> dict[str, Mask]:
    """Which requests the candidate cannot take, by reason; a need of which nothing is known counts as not met."""
    has = candidate.capability
    found = {"longer than its context": needs.tokens > (has.context or np.inf)}
    if has.context is None:
        found["its context is not known"] = needs.tokens > 0
    for name, met, needed in (
        ("tools", has.tools, needs.tools), ("JSON", has.json, needs.json), ("images", has.vision, needs.vision),
    ):  # fmt: skip
        if not met:
            found[f"no {name}" if met is False else f"{name}: not known"] = needed
    return {name: where for name, where in found.items() if where.any()}


def stem(model: str) -> tuple[str, ...]:
    """A model's name without its size, release date, route and harmless words: equal for sizes of one generation."""
    name = re.sub(r"[-@]?(?:20\d{6}|20\d\d-\d\d-\d\d)", "", model.lower().rpartition("/")[2])
    words = re.findall(r"\d+(?:\.\d+)*[a-z]?(?![a-z])|[a-z]+", name)
    kept = [word for word in words if word not in _NO_NAME]
    return tuple(sorted(kept, key=lambda word: word[0].isdigit()))  # claude-3-5-haiku, claude-haiku-4-5


def _words(model: str) -> set[str]:
    return set(re.findall(r"[a-z]+", model.lower()))


def _size(model: str) -> set[str]:
    return _words(model) & SIZES


def _specials(model: str) -> set[str]:
    """Words that set a model apart (audio, search, codex, ...) from the plain ones of its maker."""
    return {word for word in stem(model)[1:] if not word[0].isdigit()}


def _priced(keys: list[PriceKey], time_us: int, price_file: Path | None) -> list[Candidate]:
    """Those with a token price on the day, once each."""
    table = compile_rates(keys, price_file=price_file)
    at = np.full(len(keys), time_us, np.int64)
    rows = table.lookup(np.arange(len(keys), dtype=np.int32), at, np.zeros(len(keys), np.int64))
    found: dict[tuple[str, str], Candidate] = {}
    for index, row in enumerate(rows.tolist()):
        if row < 0 or table.needs_units[row]:
            continue
        note, rates = table.describe(index, row), table.row(row)
        price = 1e6 * (_BLEND[0] * rates.input + _BLEND[1] * rates.output)
        facts = capabilities().models.get((note.provider, note.model), Capability())
        found.setdefault(
            (note.provider, note.model),
            Candidate(provider=note.provider, model=note.model, usd_per_mtok=price, capability=facts),
        )
    return list(found.values())


def _cheaper(candidates: list[Candidate], price: float) -> list[Candidate]:
    below = [each for each in candidates if each.usd_per_mtok < price]
    return sorted(below, key=lambda each: (-each.usd_per_mtok, each.model))
