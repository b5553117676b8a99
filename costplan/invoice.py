"""The provider's bill beside the log, and what may explain the difference; the log's figures are never scaled to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import msgspec

from costplan.errors import CostplanError, UsageError
from costplan.ingest.aggregated import COSTS, Period, export_of, periods_of
from costplan.results import Baseline, Books, GroupRow, Reconcile, ReconcileModel, UnitEconomics
from costplan.rowfile import read_rows
from costplan.trace import BadRecord
from costplan.units import NANOS_PER_USD, plural

_AMOUNTS = (
    "amount",
    "amount_usd",
    "usd",
    "cost",
    "cost_usd",
    "billed_cost",
    "billedcost",
    "total",
    "total_usd",
    "spend",
)
_NAMES = ("model", "model_name", "line_item", "item", "description", "sku", "product", "name")
_FOCUS_NAMES = ("skumeter", "chargedescription", "servicename")
_HINT = (
    "a file with one amount in USD, lines as .csv or .jsonl with the columns model and amount, or a provider's cost "
    "report (.json)"
)
_AMOUNT = re.compile(r"(?:USD|US\$|\$)?\s*(-?[\d.,\s']+?)\s*(?:USD|US\$|\$)?", re.I)
_WORD = re.compile(r"[a-z0-9]+")
_SIZES = frozenset(("mini", "nano", "micro", "small", "medium", "large", "xl", "pro", "lite", "flash", "audio"))
OTHERS = "other lines"
_MOST_CAUSES = 3
_CHAT = ("", "chat", "completion", "completions", "text_completion", "responses", "messages")
_WORTH = 0.01
"""Share of the invoice below which a cause is not worth a word."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """USD, in all and by what the lines are called; lines without a name count in the total only."""

    total: float
    lines: dict[str, float] = field(default_factory=dict[str, float])


def read_invoice(path: Path) -> Invoice:
    """Raises CostplanError with the place of what is no amount in USD."""
    if path.name.lower().endswith(".json"):
        return _report(path)
    if not path.name.lower().removesuffix(".gz").endswith((".csv", ".jsonl", ".ndjson")):
        return Invoice(_single(path))
    lines: dict[str, float] = {}
    total, rows = 0.0, 0
    for place, raw in read_rows(path, _HINT):
        row = {str(name).strip().lower().replace(" ", "_"): value for name, value in raw.items()}
        amount = next((row[name] for name in _AMOUNTS if row.get(name) not in (None, "")), None)
        if amount is None:
            if any(value not in (None, "") for value in row.values()):
                raise CostplanError(f"{place}: no amount", hint=_HINT)
            continue
        currency = str(row.get("currency") or row.get("billingcurrency") or "USD").strip().upper()
        if currency != "USD":
            raise CostplanError(f"{place}: an amount in {currency[:10]}", hint="convert it to USD first")
        usd = amount_of(amount, place)
        name = next(
            (str(row[name]).strip() for name in (*_NAMES, *_FOCUS_NAMES) if row.get(name) not in (None, "")), ""
        )
        if name.lower() in ("total", "sum", "grand total", "subtotal"):
            continue  # a line of sums would count everything twice
        total, rows = total + usd, rows + 1
        if name:
            lines[name] = lines.get(name, 0.0) + usd
    if not rows:
        raise CostplanError(f"{path}: no line with an amount", hint=_HINT)
    return _positive(path, Invoice(total, lines))


def _report(path: Path) -> Invoice:
    """OpenAI's costs or Anthropic's cost report: pages of buckets, one document or a list of them."""
    try:
        document = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror or error}", hint=_HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CostplanError(f"{path}: not JSON", hint=_HINT) from None
    if isinstance(document, int | float):
        return Invoice(_single(path))
    pages = cast(list[Any], document) if isinstance(document, list) else [document]
    records = [cast(dict[str, Any], page) for page in pages if isinstance(page, dict)]
    export = export_of(records)
    if export not in COSTS:
        tokens = f" ({export}: tokens, no amounts)" if export else ""
        raise CostplanError(f"{path}: no cost report{tokens}", hint=_HINT)
    lines: dict[str, float] = {}
    total = 0.0
    for found in (found for record in records for found in periods_of(export, record)):
        if isinstance(found, BadRecord):
            raise CostplanError(f"{path}: {found.reason.replace('_', ' ')}", hint=_HINT)
        if isinstance(found, Period) and not found.empty and found.usd is not None:
            total += found.usd
            if found.model:
                lines[found.model] = lines.get(found.model, 0.0) + found.usd
    return _positive(path, Invoice(total, lines))


def _positive(path: Path, invoice: Invoice) -> Invoice:
    if invoice.total <= 0:
        hint = "give what was billed for the log's time"
        raise CostplanError(f"{path}: the lines add up to ${invoice.total:,.2f}", hint=hint)
    return invoice


def _single(path: Path) -> float:
    try:
        text = path.read_text("utf-8-sig").strip()
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror or error}", hint=_HINT) from None
    except UnicodeDecodeError:
        raise CostplanError(f"{path}: not a text", hint=_HINT) from None
    usd = amount_of(text, str(path))
    if usd <= 0:
        raise CostplanError(f"{path}: nothing was billed", hint=_HINT)
    return usd


def amount_of(value: object, place: str) -> float:
    """USD from 1234.5, "$1,234.50", "1.234,50", "1 234.50 USD"; a comma before three digits parts thousands."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _AMOUNT.fullmatch(str(value).strip())
    if found is None:
        raise CostplanError(f"{place}: {str(value)[:40]!r} is no amount in USD", hint=_HINT)
    digits = re.sub(r"[\s']", "", found[1])
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        decimal = max(comma, point)
    elif comma >= 0:
        decimal = comma if digits.count(",") == 1 and len(digits) - comma != 4 else len(digits)
    else:
        decimal = point if digits.count(".") == 1 else len(digits)
    whole, rest = re.split("[.,]", digits[:decimal]), digits[decimal + 1 :]
    try:
        if any(len(group) != 3 for group in whole[1:]):
            raise ValueError(digits)
        return float(f"{''.join(whole)}.{rest}")
    except ValueError:
        raise CostplanError(f"{place}: {str(value)[:40]!r} is no amount in USD", hint=_HINT) from None


def reconcile(invoice: Invoice, books: Books, baseline: Baseline, units: UnitEconomics) -> Reconcile | None:
    """The bill beside what the log's calls cost on their days; None where nothing of the log has a price."""
    log_usd = baseline.cost_usd.value
    if log_usd is None:
        return None
    known = {row.key: row.cost_usd for row in units.by_model if row.cost_usd}
    billed, unknown = _matched(invoice.lines, list(known))
    models = [
        ReconcileModel(model=model, invoice_usd=billed.get(model, 0.0 if invoice.lines else None), log_usd=usd)
        for model, usd in known.items()
    ]
    models += [ReconcileModel(model=name, invoice_usd=usd, log_usd=0.0) for name, usd in unknown.items()]
    rest = invoice.total - sum(invoice.lines.values())
    if invoice.lines and rest:
        models.append(ReconcileModel(model=OTHERS, invoice_usd=rest, log_usd=0.0))
    gap = invoice.total - log_usd
    causes = _missing(invoice, unknown, books, baseline, log_usd, units) if gap > 0 else _too_much(books, baseline)
    return Reconcile(
        invoice_usd=invoice.total, log_usd=log_usd, coverage_share=log_usd / invoice.total, by_model=models,
        note=f"Likely: {'; '.join(causes)}." if causes else "",
    )  # fmt: skip


def scale_of(invoice: Invoice | None, log_nanos: int) -> float:
    """What was billed over what the log's calls cost: one factor for all models, whatever lines the bill has.

    A line of a bill does not say which calls the log lacks, so no model's share is touched. 1 where nothing is priced.
    """
    if invoice is None:
        raise UsageError("--scale-to-invoice: there is no invoice", hint="add --invoice bill.csv")
    return invoice.total * NANOS_PER_USD / log_nanos if log_nanos else 1.0


def _matched(lines: dict[str, float], models: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """(USD by model of the log, by line that names none): the longest model whose words stand in the line in a row.

    A line may go on with a date or with what is billed, but `gpt-4o-mini` is no `gpt-4o`.
    """
    spelled = {model: tuple(_WORD.findall(model.lower())) for model in models}
    billed: dict[str, float] = {}
    unknown: dict[str, float] = {}
    for name, usd in lines.items():
        words = tuple(_WORD.findall(name.lower()))
        inside = [
            model for model, own in spelled.items()
            if own and any(words[at : at + len(own)] == own for at in range(len(words)))
        ]  # fmt: skip
        best = max(inside, key=lambda model: len(spelled[model]), default=None)
        if best is None or _goes_on(words, spelled[best]):
            unknown[name] = unknown.get(name, 0.0) + usd
        else:
            billed[best] = billed.get(best, 0.0) + usd
    return billed, unknown


def _goes_on(words: tuple[str, ...], own: tuple[str, ...]) -> bool:
    at = next(at for at in range(len(words)) if words[at : at + len(own)] == own) + len(own)
    return at < len(words) and words[at] in _SIZES


def _missing(
    invoice: Invoice, unknown: dict[str, float], books: Books, baseline: Baseline, log_usd: float, units: UnitEconomics
) -> list[str]:
    """Why a log may hold less than was billed, the one whose worth is nearest to the gap first."""
    each = log_usd / max(1, books.priced)
    gone, days = _days_without(units.by_day)
    known, absent = _matched(unknown, [model.model for model in books.unpriced.models if model.model])
    found = [(usd, f"{name!r} is billed (${usd:,.2f}) and not in the log") for name, usd in absent.items()]
    found += [(usd, f"{name!r} is billed (${usd:,.2f}) and has no price here") for name, usd in known.items()]
    found.append((gone * log_usd / max(1, days - gone), f"{plural(gone, 'day')} of {days} without any request"))
    skipped, gap = books.skipped.total, invoice.total - log_usd
    rest = [model for model in books.unpriced.models if model.model not in known]
    for chat in (True, False):
        mine = [model for model in rest if (model.operation in _CHAT) is chat]
        n, names = sum(model.requests for model in mine), ", ".join(repr(model.model) for model in mine[:2])
        what = "request" if chat else f"call of another operation, {', '.join(sorted({m.operation for m in mine}))},"
        found.append((n * each, f"{plural(n, what) if chat else f'{n} x {what}'} without a price ({names})"))
    found.append((_discount_of(baseline), "cached tokens may be billed like others"))
    found.append((skipped * each, f"{plural(skipped, 'record')} could not be read"))
    found.append((books.failed * each, f"{plural(books.failed, 'failed call')} may have been billed"))
    worth = [each for each in found if each[0] >= _WORTH * invoice.total]
    worth.sort(key=lambda each: (abs(each[0] - gap), each[1]))
    told = [f"{text} (about ${usd:,.2f})" if "$" not in text else text for usd, text in worth[:_MOST_CAUSES]]
    if not told:
        told.append("calls that are not in this log, other operations (embeddings, images, audio), or taxes")
    return told


def _discount_of(baseline: Baseline) -> float:
    """What the cached tokens of the log would cost more as plain input, at its average input price."""
    parts, plain = baseline.cost_by, baseline.input_tokens - baseline.cache_read_tokens - baseline.cache_write_tokens
    if not parts.input or parts.cache_read is None or plain <= 0:
        return 0.0
    return parts.input / plain * baseline.cache_read_tokens - parts.cache_read


def _days_without(by_day: Sequence[GroupRow]) -> tuple[int, int]:
    """(days without a call, days) from the first to the last day with one."""
    days = [date.fromisoformat(row.key) for row in by_day if row.requests]
    if not days:
        return 0, 0
    whole = (max(days) - min(days)).days + 1
    return whole - len(set(days)), whole


def _too_much(books: Books, baseline: Baseline) -> list[str]:
    """Why a log may hold more than was billed."""
    found: list[str] = []
    if not baseline.cost_by.cache_read and books.cache_reported_share < 1:
        found.append("cached tokens that the log does not report are billed at a discount")
    if books.gateway_hits == 0 and books.retries:
        found.append(f"{plural(books.retries, 'repeated call')} that the provider may not have billed")
    found.append("a discount or credits that --prices does not name, or a log that reaches beyond the bill's time")
    return found
