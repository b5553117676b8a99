"""Reads a user's price file, our YAML or a litellm model_prices JSON; knows no list price and fetches nothing.

Our YAML, prices in USD per million tokens:

    models:
      - model: acme-internal-7b      # as logged
        provider: ""                 # optional; then only this provider's rows
        input: 0.20
        output: 0.60
        cache_read: 0.02             # optional, like cache_write, cache_write_1h, reasoning; default: the input price
        batch: {input: 0.10, output: 0.30}   # optional, like flex, priority, fast; or batch_discount: 0.5
        effective: 2026-01-01        # optional; earlier rows keep the list price if there is one
        source: contract 2026        # optional
    aliases: {my-deployment: openai/gpt-4o}
    discounts: {openai: 0.12}        # share off list prices
    contract: {discount: 0.1}        # see contract.py

A file that ends in .json is taken as a litellm map; its prices carry no date and hold for every row.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

from costplan.errors import CostplanError
from costplan.prices.catalog import CONTEXTS, EPOCH, Offer, Prices, Quote, Steps, day_us
from costplan.prices.contract import Contract, Contracts, read_contract
from costplan.prices.names import provider_id
from costplan.profiles import Section, check_keys, number, read_yaml
from costplan.units import TOKENS_PER_MTOK

_UNITS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
}
_MODEL_KEYS = (*_UNITS, *CONTEXTS, "model", "provider", "batch_discount", "effective", "source")

_LITELLM_UNITS = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "output_cost_per_reasoning_token": "output_reasoning_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "input_cost_per_second": "audio_seconds",
    "input_cost_per_query": "rerank_searches",
}
_LITELLM_KEY = re.compile(
    rf"^({'|'.join(_LITELLM_UNITS)})(_above_1hr)?(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority|fast))?$"
)
_LITELLM_PREFIXES = {
    "google": ("gemini", "vertex_ai"),
    "aws": ("bedrock",),
    "together": ("together_ai",),
    "fireworks": ("fireworks_ai",),
    "x-ai": ("xai",),
    "azure": ("azure", "azure_ai"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One price of the user's, from `start_us` on (None: always)."""

    model: str
    provider: str
    standard: Prices
    tiers: Mapping[str, Prices]
    start_us: int | None
    source: str


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A user's prices; the empty one changes nothing."""

    name: str = ""
    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict[str, tuple[Entry, ...]])
    """By model name in lower case."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    discounts: Mapping[str, float] = field(default_factory=dict[str, float])
    contract: Contracts = field(default_factory=dict[str, Contract])

    def resolve(self, provider: str, model: str) -> tuple[str, str]:
        """The provider and model an alias stands for; a target with a prefix (`openai/gpt-4o`) names its provider."""
        target = self.aliases.get(model.strip().lower())
        if target is None:
            return provider, model
        return ("" if "/" in target else provider), target

    def offer(self, provider: str, model: str, tier: str, listed: Offer | None) -> Offer | None:
        """The user's prices for a model, with the list price before they begin; the list price where there are none."""
        mine = sorted(self._matching(provider, model.strip().lower()), key=lambda each: each.start_us or 0)
        if not mine:
            return listed

        def at(time_us: int) -> Quote:
            active = [each for each in mine if each.start_us is None or each.start_us <= time_us]
            if not active and listed is not None:
                return listed.at(time_us)
            return _quote((active or mine[:1])[-1], tier, early=not active)

        starts = {each.start_us for each in mine if each.start_us is not None}
        if listed is None:
            return Offer(tuple(sorted(starts)), (), at)
        return Offer(tuple(sorted(starts | set(listed.starts_us))), listed.times_us, at)

    def _matching(self, provider: str, model: str) -> list[Entry]:
        seller = provider_id(provider)
        prefixes = (provider.lower(), seller, *_LITELLM_PREFIXES.get(seller, ()))
        for name in (*(f"{prefix}/{model}" for prefix in prefixes if prefix), model):
            found = [e for e in self.entries.get(name, ()) if _same_seller(e.provider, provider) or name != model]
            if found:
                return [each for each in found if each.provider] or found
        return []


def read_price_file(path: Path) -> PriceFile:
    """Reads and checks the file; every mistake is an error with the line."""
    return _read_litellm(path) if path.suffix.lower() == ".json" else _read_ours(path)


def _quote(entry: Entry, tier: str, *, early: bool) -> Quote:
    start = None if entry.start_us is None else (EPOCH + timedelta(microseconds=entry.start_us)).date().isoformat()
    return Quote(
        standard=entry.standard,
        tier=dict(entry.standard) | dict(entry.tiers[tier]) if tier in entry.tiers else None,
        model=entry.model,
        provider=entry.provider,
        source=entry.source,
        effective=start or "",
        assumed=(f"price used before its first day {start}",) if early else (),
        is_list_price=False,
    )


def _same_seller(given: str, logged: str) -> bool:
    return not given or given.lower() == logged.strip().lower() or (provider_id(given) or None) == provider_id(logged)


def _read_ours(path: Path) -> PriceFile:
    top = read_yaml(path)
    check_keys(top, ("models", "aliases", "discounts", "contract"))
    entries: dict[str, tuple[Entry, ...]] = {}
    models: object = top.values.get("models", [])
    if not isinstance(models, list):
        raise CostplanError(f"{top.where('models')}: 'models' must be a list", hint="start each model with `- model:`")
    for item in cast(list[Any], models):
        if not isinstance(item, Section):
            raise CostplanError(f"{top.where('models')}: each model must be a mapping", hint="`- model: my-model`")
        entry = _entry(item, path)
        entries[entry.model.lower()] = (*entries.get(entry.model.lower(), ()), entry)
    aliases = _mapping(top, "aliases")
    discounts = _mapping(top, "discounts")
    for name, target in aliases.values.items():
        if not isinstance(target, str):
            raise CostplanError(f"{aliases.where(name)}: an alias must name a model", hint=f"{name}: openai/gpt-4o")
    shares = {provider_id(name) or name: number(discounts, name, high=1.0) for name in discounts.values}
    contract = read_contract(_mapping(top, "contract"))
    return PriceFile(path.name, entries, {k.lower(): v for k, v in aliases.values.items()}, shares, contract)


def _entry(item: Section, path: Path) -> Entry:
    check_keys(item, _MODEL_KEYS, required=("model", "input"))
    standard = _rates(item)
    tiers: dict[str, Prices] = {}
    for tier in CONTEXTS:
        section = item.values.get(tier)
        if isinstance(section, Section):
            check_keys(section, _UNITS)
            tiers[tier] = _rates(section)
        elif section is not None:
            raise CostplanError(f"{item.where(tier)}: '{tier}' must hold prices", hint=f"{tier}: {{input: 0.1}}")
    if "batch_discount" in item.values:
        share = 1.0 - number(item, "batch_discount", high=1.0)
        tiers["batch"] = {unit: tuple((at, usd * share) for at, usd in steps) for unit, steps in standard.items()}
    effective = item.values.get("effective")
    if effective is not None and not isinstance(effective, date):
        raise CostplanError(f"{item.where('effective')}: 'effective' must be a date", hint="effective: 2026-01-01")
    if item.values.get("output") is None:
        raise CostplanError(f"{item.where()}: 'output' is missing", hint="`output: 0.60`, or 0 where there is none")
    source = item.values.get("source")
    return Entry(
        model=str(item.values["model"]),
        provider=str(item.values.get("provider") or ""),
        standard=standard,
        tiers=tiers,
        start_us=None if effective is None else day_us(effective),
        source=f"user file {path.name}" + (f" ({source})" if source else ""),
    )


def _rates(section: Section) -> dict[str, Steps]:
    given = (key for key in _UNITS if section.values.get(key) is not None)
    return {_UNITS[key]: ((-1, number(section, key) / TOKENS_PER_MTOK),) for key in given}


def _mapping(top: Section, key: str) -> Section:
    value = top.values.get(key)
    if value is None:
        return Section(top.path, top.line, {}, {})
    if not isinstance(value, Section):
        raise CostplanError(f"{top.where(key)}: '{key}' must hold keys and values", hint=f"{key}: {{name: value}}")
    return value


def _read_litellm(path: Path) -> PriceFile:
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise CostplanError(f"{path}: cannot be read", hint="name a readable price file") from error
    except json.JSONDecodeError as error:
        raise CostplanError(f"{path}:{error.lineno}: not valid JSON, {error.msg}", hint="check that line") from error
    if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in cast(dict[str, Any], raw).values()):
        raise CostplanError(
            f"{path}:1: not a litellm price map", hint="our own price format is YAML: name it prices.yaml"
        )
    entries: dict[str, tuple[Entry, ...]] = {}
    for name, fields in cast(dict[str, dict[str, Any]], raw).items():
        steps: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for key, value in fields.items():
            match = _LITELLM_KEY.match(key)
            if match is None or isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                continue
            unit = "cache_write_1h_tokens" if match[2] else _LITELLM_UNITS[match[1]]
            above = int(match[3]) * 1000 if match[3] else -1
            tier = "batch" if match[4] == "batches" else match[4] or ""
            steps.setdefault(tier, {}).setdefault(unit, []).append((above, float(value)))
        tiers: dict[str, Prices] = {}
        for tier, units in steps.items():
            # A unit priced only above a bound has no base step; below the bound it belongs to the wider unit.
            tiers[tier] = {unit: tuple(sorted(found)) for unit, found in units.items() if min(found)[0] == -1}
        standard = tiers.pop("", {})
        if standard:
            seller = str(fields.get("litellm_provider") or "")
            source = f"litellm file {path.name}"
            entry = Entry(model=name, provider=seller, standard=standard, tiers=tiers, start_us=None, source=source)
            entries[name.lower()] = (entry,)
    return PriceFile(path.name, entries)
