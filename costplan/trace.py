"""The trace: one row per attempted model call, its columns, units and invariants; knows no dialect and no price.

Two rules decide the money and hold for every row after ingest:
`input_tokens` is inclusive of cache reads and writes; `output_tokens` is inclusive of reasoning.
Names follow OpenTelemetry GenAI where it has one.
"""

from enum import IntEnum, IntFlag
from typing import Any

import msgspec

MAX_TOKENS = 100_000_000
"""More tokens than this in one call is a broken counter, not a request; the row is rejected."""
MAX_SECONDS = 1e9
"""A duration beyond this is no duration (30 years); the row stays without it."""
MAX_WEIGHT = 1e6
MAX_UNITS = 1e9


NO_TIME = -(2**63)
"""`time_us` of a row without a time, in the numeric columns."""
UNKNOWN = -1
"""A token count or duration that is not known, in the numeric columns."""


class UsageSource(IntEnum):
    """Where a row's token counts come from."""

    REPORTED = 0
    TOKENIZER = 1
    ESTIMATED = 2
    MISSING = 3


class TextState(IntEnum):
    """Whether a row's text can be trusted to be the whole prompt; only FULL rows feed text levers."""

    FULL = 0
    TRUNCATED = 1
    REDACTED = 2
    ABSENT = 3


class Part(IntEnum):
    """Batch files keep request and response apart; the halves are joined on `join_id`."""

    WHOLE = 0
    REQUEST = 1
    RESPONSE = 2
    SNAPSHOT = 3
    """One of several records of a call: of those with one `request_id` the one with the most output stays."""


class Flag(IntFlag):
    """Bits of the `flags` column."""

    OK = 1
    STREAM = 2
    GATEWAY_HIT = 4
    POSSIBLY_BILLED = 8
    CACHE_REPORTED = 16
    RELATIVE_TIME = 32
    BATCHABLE = 64
    BACKWARDS = 128
    REQUEST_PART = 256
    RESPONSE_PART = 512
    SNAPSHOT = 1024


class Cacheable(IntFlag):
    """Why a request may not be answered from a response cache (column `cacheable`); 0 = it may."""

    NO_TEXT = 1
    ACTION = 2
    """Tool calls, tool results or media: the answer is an action, not a text to repeat."""
    TIME_WORDS = 4
    HOT = 8
    """Temperature above the limit: variety is wanted."""
    OTHER_OPERATION = 16
    FAILED = 32


class BlockEnd(IntFlag):
    """Where a prefix block ends (column `block_end`)."""

    CHUNK = 0
    MESSAGE = 1
    STATIC = 2
    """End of tools and system prompt."""


class BadRecord(Exception):
    """A record that cannot become a row; `reason` is a short snake_case name counted in the books."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Message(msgspec.Struct, gc=False):
    """One chat message. `content` is a string or the provider's list of parts, untouched."""

    role: str
    content: Any = None
    tool_calls: Any = None


class NotACall(msgspec.Struct, gc=False):
    """A record that is no model call (an HTTP span, an assistants thread, a trace header): counted, not priced."""

    reason: str
    span_id: str | None = None
    parent_id: str | None = None
    trace_id: str | None = None


class Call(msgspec.Struct, gc=False, kw_only=True):
    """One attempted model call as a dialect reads it. Tokens are integers, times are microseconds or seconds."""

    # identity
    request_id: str | None = None
    """The provider's message id (`chatcmpl-…`, `msg_…`); None when the source has none."""
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    session_id: str | None = None
    user: str | None = None
    tags: list[str] = []
    feature: str | None = None
    """Prompt name, route or app name given by the log itself; it names the call site."""
    environment: str | None = None
    join_id: str | None = None
    part: Part = Part.WHOLE
    # time
    time_us: int | None = None
    """Start of the call, microseconds since the epoch (UTC), or since the trace's start when `time_is_relative`."""
    time_is_relative: bool = False
    duration_s: float | None = None
    ttft_s: float | None = None
    # what was called
    operation: str = "chat"
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    service_tier: str = ""
    """"" = standard, else `batch`, `priority`, `flex`, `fast` as the source says."""
    stream: bool = False
    # text (None or empty: the log holds none)
    messages: list[Message] = []
    """In order, system prompt first with role `system`; list-valued prompts become one user message each."""
    tools: Any = None
    """Tool definitions as the source holds them (list of objects, or a JSON string)."""
    output_text: str | None = None
    output_tool_calls: Any = None
    temperature: float | None = None
    params: str = ""
    """Canonical text of the sampling parameters that change an answer (part of the cache key)."""
    text_cut: bool = False
    """The dialect itself knows that the text is shortened (a marker field, JSON that stops in the middle)."""
    # usage, inclusive rule
    input_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """All cache writes, the 1-hour ones included."""
    cache_write_1h_tokens: int = 0
    output_tokens: int | None = None
    reasoning_tokens: int = 0
    other_units: dict[str, float] = {}
    """Billable units other than tokens, by genai-prices unit key, e.g. {"web_searches": 2}."""
    cache_reported: bool = False
    """The source has a field for cached tokens on this row, even if it is 0."""
    # outcome
    ok: bool = True
    http_status: int | None = None
    error_type: str | None = None
    finish_reason: str | None = None
    possibly_billed: bool = False
    """Aborted or failed after tokens may have been produced."""
    gateway_cache_hit: bool = False
    cost_usd_reported: float | None = None
    sample_weight: float = 1.0
    # hash traces
    block_ids: list[int] = []
    block_size: int = 0


def check(call: Call) -> None:
    """Enforce the two token rules and sane bounds; raises BadRecord with the reason that goes into the books."""
    if call.duration_s is not None and not 0 <= call.duration_s <= MAX_SECONDS:
        call.duration_s = None
    if call.ttft_s is not None and not 0 <= call.ttft_s <= MAX_SECONDS:
        call.ttft_s = None
    if not 0 < call.sample_weight <= MAX_WEIGHT:
        raise BadRecord("bad_sample_weight")
    if call.other_units and not all(0 <= amount <= MAX_UNITS for amount in call.other_units.values()):
        raise BadRecord("absurd_units")
    tokens_in, tokens_out = call.input_tokens, call.output_tokens
    if (tokens_in or 0) < 0 or (tokens_out or 0) < 0 or call.cache_read_tokens < 0 or call.cache_write_tokens < 0:
        raise BadRecord("negative_tokens")
    if call.reasoning_tokens < 0 or call.cache_write_1h_tokens < 0:
        raise BadRecord("negative_tokens")
    if (tokens_in or 0) > MAX_TOKENS or (tokens_out or 0) > MAX_TOKENS:
        raise BadRecord("absurd_tokens")
    if call.cache_read_tokens + call.cache_write_tokens + call.reasoning_tokens > 2 * MAX_TOKENS:
        raise BadRecord("absurd_tokens")
    if tokens_in is not None and call.cache_read_tokens + call.cache_write_tokens > tokens_in:
        raise BadRecord("cached_tokens_exceed_input")
    if call.cache_write_1h_tokens > call.cache_write_tokens:
        raise BadRecord("cached_tokens_exceed_input")
    if tokens_out is not None and call.reasoning_tokens > tokens_out:
        raise BadRecord("reasoning_exceeds_output")
