"""compress.json: what each rung of prompt compression takes out of a log's prompts, and what that is worth; no way to
a number is known here.

Rungs stand on top of each other, in the order of the list. Tokens are input tokens as reported (counted ones are scaled
to them); shares are from 0 to 1.
"""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Basis, Estimate, Input

COMPRESS_SCHEMA = "costplan/compress/1"
RungName = Literal["exact", "reformat", "repeats", "tool_results", "lossy"]


class RungRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rung, on top of those before it."""

    rung: RungName
    what: str
    risk: Literal["none", "low", "medium", "high"]
    headline: bool
    """It counts without a test; the others need one ("A/B")."""
    basis: Basis
    touched_share: float
    """Of the requests looked at: those that lose tokens."""
    saved_tokens: Estimate
    saved_share: Estimate
    """Of the input tokens of the requests looked at; exact for this log, or with the interval of the sample."""
    kept_share: float
    """Of the input tokens, after this rung and those before it."""
    saved_usd: Estimate
    """Over the log, at what was paid for the tokens (fresh input, cache reads, cache writes), less `lost_cache_usd`."""
    lost_cache_usd: float
    """What cached reads cost more because the prefix changes, or falls under the provider's minimum."""
    cumulative_usd: float
    """Saved by this rung and those before it; a rung that costs more than it saves is left out."""
    saved_usd_month: Estimate
    numbers_kept: Estimate | None = None
    """Of the different numbers in the texts that the lossy rung shortens; likewise names."""
    names_kept: Estimate | None = None
    note: str = ""


class SiteRow(msgspec.Struct, frozen=True, kw_only=True):
    call_site: str
    requests: int
    input_tokens: int
    input_usd: float
    touched_share: float
    """By rungs of the headline."""
    headline_usd: float
    saved_usd: dict[str, float]
    """By rung that is measured on every request."""


class RoleRow(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    rewritten: bool
    text_share: float
    """Of all characters of the prompts."""
    saved_tokens: dict[str, int]
    """By rung that is measured on every request."""


class UnusedContext(msgspec.Struct, frozen=True, kw_only=True):
    """Of the requests sampled: paragraphs of context that share no three words in a row with the logged answer."""

    requests: int
    """With three paragraphs of context or more, and an answer."""
    paragraphs: int
    unused: int
    unused_token_share: Estimate
    note: str


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """The text that a rung shortens most."""

    rung: RungName
    request: str
    """`file:line`"""
    tokens: int
    before: str | None = None
    """Only with --show-text; likewise `after`."""
    after: str | None = None


class Compress(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan compress --json`."""

    schema: Literal["costplan/compress/1"] = COMPRESS_SCHEMA
    inputs: list[Input]
    requests: int
    looked_at: int
    """With whole prompts; the others by reason in `left_out`."""
    left_out: dict[str, int]
    unpriced: int
    """Of those looked at."""
    cost_usd: float
    """Of all requests of the log."""
    input_usd: float
    """Input side of those looked at; likewise `input_tokens`, `cache_read_tokens`."""
    input_tokens: int
    cache_read_tokens: int
    estimated_token_share: float
    """Of the input tokens: of models whose tokenizer is not known here."""
    span_days: float | None
    keep: float
    """Share of the tokens of long prose that the lossy rung keeps."""
    roles: list[str]
    """Whose texts are rewritten."""
    sampled: int
    """Requests that the lossy rung was tried on."""
    headline_usd: float
    """Saved over the log by the rungs of the headline."""
    headline_share: float
    """Of `cost_usd`."""
    headline_usd_month: Estimate
    rungs: list[RungRow]
    by_call_site: list[SiteRow]
    by_role: list[RoleRow]
    unused_context: UnusedContext | None
    examples: list[Example]
    next_step: str
    assumptions: list[Assumption]
    warnings: list[str] = []


class CompressorRow(msgspec.Struct, frozen=True, kw_only=True):
    compressor: str
    kept_token_share: float
    answer_survival: float
    """Share of the rows in whose compressed context one of the answers still stands."""
    low: float
    """95 % interval (Wilson); likewise `high`."""
    high: float
    n: int


class CompressPairs(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan compress --pairs --json`: compressors on contexts whose answers are known."""

    schema: Literal["costplan/compress-pairs/1"] = "costplan/compress-pairs/1"
    keep: float
    tokenizer: str
    by: list[CompressorRow]
    other_answers: list[CompressorRow]
    """The same over the rows none of whose answers holds a digit or a capital."""
    without_answer: int
    """Rows left out: no answer stands in their context."""


def compress_json(document: Compress | CompressPairs) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def compress_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Compress)}
