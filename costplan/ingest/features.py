"""From trace rows to numeric columns: keys, prefix blocks and flags stand in for the text, which is then forgotten.

Everything later (prices, caches, sessions) works on these columns. Which lengths pile up, which ids repeat and what a
row costs is not known here: that takes all splits.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Ragged
from costplan.ingest.prompt import Blocks, Prompt, Texts, json_text, read_hashes, read_messages, text_key
from costplan.tokens import TOKENS_PER_REPLY, counter, encoding_of
from costplan.trace import NO_TIME, UNKNOWN, Call, NotACall, Part, UsageSource

_MEMO_KEYS = 100_000
_MASK64 = (1 << 64) - 1
_REPORTED, _TOKENIZER, _ESTIMATED, _MISSING = (int(source) for source in UsageSource)
_INPUT_ONLY = ("embeddings", "rerank", "moderation")

INT_COLUMNS = (
    "line", "time_us", "kind", "tagset", "flags", "usage_source", "input_tokens", "cache_read_tokens",
    "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "duration_us", "ttft_us",
    "text_state", "cacheable", "total_weight", "system_chars", "tools_chars", "history_chars", "tool_result_chars",
    "user_chars", "longest_user", "longest_system",
)  # fmt: skip
KEY_COLUMNS = ("user", "session", "id_key", "dedupe_key", "exact_key", "norm_key", "root_key", "site")
SPARSE_COLUMNS = {
    "span_key": (np.uint64, 0), "parent_key": (np.uint64, 0), "join_key": (np.uint64, 0), "block_size": (np.int64, 0),
    "cost_reported": (np.float64, np.nan), "weight": (np.float64, 1.0),
}  # fmt: skip

Kind = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What of the analysis settings decides the columns."""

    batchable: frozenset[str] = frozenset({"batch", "batchable"})
    """Tags, features or environments whose requests tolerate a day's latency."""
    max_temperature: float = 1.0
    sample_rate: float = 1.0


@dataclass(slots=True)
class Features:
    """Columns of some rows and the small tables their ids point into."""

    columns: dict[str, Any]
    kinds: list[Kind]
    """(provider, request model, response model, service tier, operation, outcome) by `kind`."""
    sites: list[tuple[int, str, int]]
    """(site key, the log's own name or "", line where first seen)."""
    tagsets: list[tuple[str, ...]]


class FeatureBuilder:
    """Collects rows of one split; `features()` gives the columns and starts afresh, remembering the texts."""

    def __init__(self, settings: FeatureSettings) -> None:
        self._settings = settings
        self.texts = Texts()
        self.links: list[tuple[int, int]] = []
        """(span, parent span) of spans that are no calls."""
        self._keys: dict[str, int] = {}
        self._last_time = NO_TIME
        self._start()

    def _start(self) -> None:
        self._rows = 0
        self._ints, self._u64 = array("q"), array("Q")
        self._sparse: dict[str, dict[int, Any]] = {name: {} for name in SPARSE_COLUMNS}
        self._units: dict[str, dict[int, float]] = {}
        self._blocks = Blocks()
        self._kinds: dict[Kind, int] = {}
        self._site_keys: dict[tuple[str, int, int], int] = {}
        self._sites: list[tuple[int, str, int]] = []
        self._tagsets: dict[tuple[str, ...], int] = {}

    def link(self, span: NotACall) -> None:
        """Remember which span stands above which, so that a parent call is found through spans that are no calls."""
        if span.span_id and span.parent_id:
            self.links.append((_span_key(span.trace_id, span.span_id), _span_key(span.trace_id, span.parent_id)))

    def add(self, call: Call, line: int) -> None:
        """Append one row."""
        model = self._key(call.response_model or call.request_model)
        if call.messages:
            params = self._key(call.params) if call.params else 0
            prompt = read_messages(call, self.texts, self._blocks, model, params, self._settings.max_temperature)
        else:
            prompt = read_hashes(call, self._blocks) if call.block_ids else Prompt()
        tokens_in, tokens_out, usage_source = call.input_tokens, call.output_tokens, _REPORTED
        if tokens_in is None or tokens_out is None:
            usage_source, tokens_in, tokens_out = _count(call, prompt)
        id_key = dedupe_key = 0
        if call.request_id:
            id_key = text_key(call.request_id)
            usage = ((tokens_in or 0) << 40) ^ ((tokens_out or 0) << 16) ^ call.cache_read_tokens ^ (call.part << 62)
            dedupe_key = ((id_key ^ prompt.exact_key ^ model) * 0xBF58476D1CE4E5B9 + usage) & _MASK64 | 1
        tags = tuple(call.tags) if call.tags else ()
        duration, ttft = call.duration_s, call.ttft_s
        self._ints.extend((
            line, NO_TIME if call.time_us is None else call.time_us, self._kind(call),
            self._tagsets.setdefault(tags, len(self._tagsets)), self._flags(call, tags), usage_source,
            UNKNOWN if tokens_in is None else tokens_in, call.cache_read_tokens, call.cache_write_tokens,
            call.cache_write_1h_tokens, UNKNOWN if tokens_out is None else tokens_out, call.reasoning_tokens,
            UNKNOWN if duration is None else int(duration * 1e6), UNKNOWN if ttft is None else int(ttft * 1e6),
            *prompt.columns,
        ))  # fmt: skip
        self._u64.extend((
            self._key(call.user) if call.user else 0, self._key(call.session_id) if call.session_id else 0,
            id_key, dedupe_key, prompt.exact_key, prompt.norm_key, prompt.root_key, self._site(call, prompt, line),
        ))  # fmt: skip
        self._blocks.offsets.append(len(self._blocks.keys))
        if call.span_id or call.join_id or call.block_size or call.other_units:
            self._rare(call)
        if call.cost_usd_reported is not None:
            self._sparse["cost_reported"][self._rows] = call.cost_usd_reported
        weight = call.sample_weight / self._settings.sample_rate
        if weight != 1.0:
            self._sparse["weight"][self._rows] = weight
        self._rows += 1

    def _flags(self, call: Call, tags: tuple[str, ...]) -> int:
        """Bits of trace.Flag."""
        flags = 1 if call.ok else 0
        if call.stream:
            flags |= 2
        if call.gateway_cache_hit:
            flags |= 4
        if call.possibly_billed:
            flags |= 8
        if call.cache_reported:
            flags |= 16
        if call.time_is_relative:
            flags |= 32
        if (tags or call.feature) and not self._settings.batchable.isdisjoint((*tags, call.feature, call.environment)):
            flags |= 64
        if call.time_us is not None:
            if call.time_us < self._last_time:
                flags |= 128
            self._last_time = call.time_us
        if call.part is not Part.WHOLE:
            flags |= 256 if call.part is Part.REQUEST else 512
        return flags

    def _rare(self, call: Call) -> None:
        row, sparse = self._rows, self._sparse
        if call.span_id and call.trace_id:  # chains of chat turns have ids too, but no trace: they are no call tree
            sparse["span_key"][row] = _span_key(call.trace_id, call.span_id)
            if call.parent_id:
                sparse["parent_key"][row] = _span_key(call.trace_id, call.parent_id)
        if call.join_id:
            sparse["join_key"][row] = text_key(call.join_id)
        if call.block_size:
            sparse["block_size"][row] = call.block_size
        for unit, amount in call.other_units.items():
            self._units.setdefault(unit, {})[row] = amount

    def _kind(self, call: Call) -> int:
        outcome = "" if call.ok else (f"http_{call.http_status}" if call.http_status else call.error_type or "error")
        kind = (call.provider, call.request_model, call.response_model, call.service_tier, call.operation, outcome)
        return self._kinds.setdefault(kind, len(self._kinds))

    def _site(self, call: Call, prompt: Prompt, line: int) -> int:
        feature = call.feature or ""
        name = (feature, 0, 0) if feature else ("", prompt.static_key, prompt.tools_key)
        key = self._site_keys.get(name)
        if key is None:
            key = self._site_keys[name] = text_key("feature:" + feature) if feature else prompt.site_key()
            self._sites.append((key, feature, line))
        return key

    def _key(self, name: str) -> int:
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= _MEMO_KEYS:
                self._keys.clear()
            key = self._keys[name] = text_key(name)
        return key

    def features(self) -> Features:
        """The columns so far; the builder is empty afterwards."""
        columns: dict[str, Any] = _table(self._ints, INT_COLUMNS, np.int64) | _table(self._u64, KEY_COLUMNS, np.uint64)
        for name, (dtype, default) in SPARSE_COLUMNS.items():
            columns[name] = _filled(self._sparse[name], self._rows, default, dtype)
        for unit in sorted(self._units):
            columns["unit:" + unit] = _filled(self._units[unit], self._rows, 0.0, np.float64)
        blocks = self._blocks
        offsets = np.array(blocks.offsets, np.int32)
        columns["block_key"] = Ragged(offsets, np.array(blocks.keys, np.uint64))
        columns["block_weight"] = Ragged(offsets, np.array(blocks.weights, np.int64))
        columns["block_end"] = Ragged(offsets, np.array(blocks.ends, np.int8))
        features = Features(columns, list(self._kinds), list(dict.fromkeys(self._sites)), list(self._tagsets))
        self._start()
        return features


def _count(call: Call, prompt: Prompt) -> tuple[int, int | None, int | None]:
    """(usage source, input tokens, output tokens) of a call whose source does not report them all."""
    tokens_in, tokens_out = call.input_tokens, call.output_tokens
    input_only = call.operation in _INPUT_ONLY
    if tokens_in is not None and input_only:
        return _REPORTED, tokens_in, 0
    if not call.ok or call.part is Part.REQUEST or not call.messages or prompt.has_media:
        return _MISSING, tokens_in, tokens_out
    vocabulary, exact = encoding_of(call.response_model or call.request_model)
    count = counter(vocabulary)
    if tokens_in is None:
        tokens_in = prompt.count(vocabulary) + TOKENS_PER_REPLY
    if tokens_out is None and input_only:
        tokens_out = 0
    elif tokens_out is None and (call.output_text or call.output_tool_calls):
        tools = count(json_text(call.output_tool_calls)) if call.output_tool_calls else 0
        tokens_out = count(call.output_text or "") + tools
    if tokens_out is None:
        return _MISSING, tokens_in, None
    return _TOKENIZER if exact else _ESTIMATED, tokens_in, tokens_out


def _span_key(trace_id: str | None, span_id: str) -> int:
    return text_key(f"{trace_id or ''}/{span_id}")


def _table(values: "array[int]", names: tuple[str, ...], dtype: Any) -> dict[str, NDArray[Any]]:
    table = np.array(values, dtype=dtype).reshape(-1, len(names))
    return {name: np.ascontiguousarray(table[:, index]) for index, name in enumerate(names)}


def _filled(sparse: dict[int, Any], rows: int, default: float, dtype: Any) -> NDArray[Any]:
    column = np.full(rows, default, dtype=dtype)
    if sparse:
        column[np.fromiter(sparse, dtype=np.int64, count=len(sparse))] = np.array(list(sparse.values()), dtype=dtype)
    return column
