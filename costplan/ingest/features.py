"""From trace rows to numeric columns: keys, prefix blocks and flags stand in for the text, which is then forgotten.

Rows are collected as numbers (a text is its number in the table of distinct texts) and turned into columns block by
block. Which lengths pile up, which ids repeat and what a row costs is not known here: that takes all splits.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Ragged, concat
from costplan.ingest.actions import action_keys, tool_set_key
from costplan.ingest.columns import Block, columns_of
from costplan.ingest.prompt import VOCABULARIES, Texts, flat_text, json_text, site_key, text_key
from costplan.tokens import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY, counter, encoding_of
from costplan.trace import NO_TIME, UNKNOWN, Call, NotACall, Part, UsageSource

BLOCK_ROWS = 8_192
TOOLS, SYSTEM, USER, HISTORY, TOOL_RESULT = range(5)
ROLES = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "tool": TOOL_RESULT, "function": TOOL_RESULT}
_MEMO_KEYS = 100_000
_REPORTED, _TOKENIZER, _ESTIMATED, _MISSING = (int(source) for source in UsageSource)
_INPUT_ONLY = ("embeddings", "rerank", "moderation")
_ACTION, _HOT, _OPERATION, _FAILED, _CUT, _HAS_TOOLS, _INEXACT, _CL100K = 2, 8, 16, 32, 64, 128, 256, 512
# hints 2 to 32 are trace.Cacheable; above that: text known to be cut, tools present, and how the model counts tokens

ROW_INTS = (
    "line", "time_us", "kind", "tagset", "flags", "usage_source", "input_tokens", "cache_read_tokens",
    "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "duration_us", "ttft_us",
    "hints",
)  # fmt: skip
ROW_KEYS = ("user", "session", "id_key", "model_key", "params_key", "site")
SPARSE_COLUMNS = {
    "trace_key": (np.uint64, 0), "tools_key": (np.uint64, 0), "tool_set": (np.uint64, 0),
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

    def __init__(self, settings: FeatureSettings, *, compiled: bool = False) -> None:
        self.settings = settings
        self.texts = Texts(compiled=compiled)
        self.links: list[tuple[int, int]] = []
        """(span, parent span) of spans that are no calls."""
        self._keys: dict[str, int] = {}
        self._models: dict[str, int] = {}
        self.last_time = NO_TIME
        self.ints, self.u64 = array("q"), array("Q")
        self.text_numbers, self.roles, self.text_ends = array("q"), array("b"), array("q")
        self.lengths: dict[str, dict[int, int]] = {}
        self._start()

    def _start(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._sparse: dict[str, dict[int, Any]] = {name: {} for name in SPARSE_COLUMNS}
        self._units: dict[str, dict[int, float]] = {}
        self._actions: dict[int, list[int]] = {}
        self.kinds: dict[Kind, int] = {}
        self._site_keys: dict[int | str, int] = {}
        self._sites: list[tuple[int, str, int]] = []
        self.tagsets: dict[tuple[str, ...], int] = {}
        self._closed_rows = 0
        self._start_block()

    def _start_block(self) -> None:
        self.texts.recycle()
        for column in (self.ints, self.u64, self.text_numbers, self.roles, self.text_ends):
            del column[:]  # emptied in place: the plain way holds on to their methods
        self._tools: dict[int, Any] = {}
        self._hashes: dict[int, tuple[list[int], int]] = {}
        self._tool_keys: dict[int, tuple[int, int]] = {}

    @property
    def rows(self) -> int:
        """Rows since the columns were last taken."""
        return self._closed_rows + len(self.text_ends)

    def link(self, span: NotACall) -> None:
        """Remember which span stands above which, so that a parent call is found through spans that are no calls."""
        if span.span_id and span.parent_id:
            self.links.append((_span_key(span.trace_id, span.span_id), _span_key(span.trace_id, span.parent_id)))

    def add(self, call: Call, line: int) -> None:
        """Append one row."""
        model = call.response_model or call.request_model
        hints = self.model_hints(model)
        if not call.ok:
            hints |= _FAILED
        if call.operation != "chat" and call.operation != "text_completion":
            hints |= _OPERATION
        if call.temperature is not None and call.temperature > self.settings.max_temperature:
            hints |= _HOT
        if call.output_tool_calls or call.finish_reason in ("tool_calls", "tool_use"):
            hints |= _ACTION
        if call.output_tool_calls:
            self._actions[self.rows] = action_keys(call.output_tool_calls)
        if call.text_cut:
            hints |= _CUT
        first = len(self.text_numbers)
        media = self._add_texts(call)
        if call.tools:
            hints |= _HAS_TOOLS
        tokens_in, tokens_out, usage_source = call.input_tokens, call.output_tokens, _REPORTED
        if tokens_in is None or tokens_out is None:
            usage_source, tokens_in, tokens_out = self._count(call, self.text_numbers[first:], media)
        tags = tuple(call.tags) if call.tags else ()
        duration, ttft = call.duration_s, call.ttft_s
        self.ints.extend((
            line, NO_TIME if call.time_us is None else call.time_us, self._kind(call),
            self.tagsets.setdefault(tags, len(self.tagsets)), self._flags(call, tags), usage_source,
            UNKNOWN if tokens_in is None else tokens_in, call.cache_read_tokens, call.cache_write_tokens,
            call.cache_write_1h_tokens, UNKNOWN if tokens_out is None else tokens_out, call.reasoning_tokens,
            UNKNOWN if duration is None else int(duration * 1e6), UNKNOWN if ttft is None else int(ttft * 1e6), hints,
        ))  # fmt: skip
        self.u64.extend((
            self.key(call.user) if call.user else 0, self.key(call.session_id) if call.session_id else 0,
            text_key(call.request_id) if call.request_id else 0, self.key(model),
            self.key(call.params) if call.params else 0, self.feature_site(call.feature, line) if call.feature else 0,
        ))  # fmt: skip
        if call.span_id or call.join_id or call.block_size or call.other_units:
            self._rare(call)
        if call.cost_usd_reported is not None:
            self._sparse["cost_reported"][self.rows] = call.cost_usd_reported
        weight = call.sample_weight / self.settings.sample_rate
        if weight != 1.0:
            self._sparse["weight"][self.rows] = weight
        self.end_row()

    def end_row(self) -> None:
        """Close the row whose numbers and texts were appended."""
        self.text_ends.append(len(self.text_numbers))
        if len(self.text_ends) >= BLOCK_ROWS:
            self.close_block()

    def _add_texts(self, call: Call) -> bool:
        """Append the prompt's texts in the order providers hash them: tools, system, messages. True with media."""
        number, numbers, roles = self.texts.number, self.text_numbers.append, self.roles.append
        media = False
        if call.messages and call.tools:
            self._tools[len(self.text_ends)] = call.tools
            tools = number(call.tools if isinstance(call.tools, str) else json_text(call.tools), False)
            self._note_tools(tools, call.tools)
            numbers(tools)
            roles(TOOLS)
        for message in call.messages:
            role, content = message.role, message.content
            for_user = role == "user"
            if type(content) is str and not message.tool_calls:
                numbers(number(content, for_user))
            else:
                text, has_media = flat_text(message)
                media = media or has_media
                numbers(number(text, for_user, has_media))
            roles(ROLES.get(role, HISTORY))
        if call.block_ids and not call.messages:
            self._hashes[len(self.text_ends)] = (call.block_ids, call.block_size)
        return media

    def _note_tools(self, number: int, tools: Any) -> None:
        """Keys of the row's tool definitions as they stand, and in whatever order; a text is looked at once a block."""
        keys = self._tool_keys.get(number)
        if keys is None:
            keys = self._tool_keys[number] = (text_key(self.texts.text(number)), tool_set_key(tools))
        if keys[1]:
            self._sparse["tools_key"][self.rows], self._sparse["tool_set"][self.rows] = keys

    def _count(self, call: Call, numbers: "array[int]", media: bool) -> tuple[int, int | None, int | None]:
        """(usage source, input tokens, output tokens) of a call whose source does not report them all."""
        tokens_in, tokens_out = call.input_tokens, call.output_tokens
        input_only = call.operation in _INPUT_ONLY
        if tokens_in is not None and input_only:
            return _REPORTED, tokens_in, 0
        if not call.ok or call.part is Part.REQUEST or not call.messages or media:
            return _MISSING, tokens_in, tokens_out
        vocabulary, exact = encoding_of(call.response_model or call.request_model)
        count = counter(vocabulary)
        if tokens_in is None:
            tokens_in = sum(self.texts.tokens(number, vocabulary) + TOKENS_PER_MESSAGE for number in numbers)
            tokens_in += TOKENS_PER_REPLY
        if tokens_out is None and input_only:
            tokens_out = 0
        elif tokens_out is None and (call.output_text or call.output_tool_calls):
            tools = count(json_text(call.output_tool_calls)) if call.output_tool_calls else 0
            tokens_out = count(call.output_text or "") + tools
        if tokens_out is None:
            return _MISSING, tokens_in, None
        return _TOKENIZER if exact else _ESTIMATED, tokens_in, tokens_out

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
        if (tags or call.feature or call.environment) and not self.settings.batchable.isdisjoint(
            (*tags, call.feature, call.environment)
        ):
            flags |= 64
        if call.time_us is not None:
            if call.time_us < self.last_time:
                flags |= 128
            self.last_time = call.time_us
        if call.part is not Part.WHOLE:
            flags |= 128 << call.part  # REQUEST_PART, RESPONSE_PART, SNAPSHOT
        return flags

    def _rare(self, call: Call) -> None:
        row, sparse = self.rows, self._sparse
        if call.span_id and call.trace_id:  # chains of chat turns have ids too, but no trace: they are no call tree
            sparse["trace_key"][row] = self.key(call.trace_id)
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
        return self.kinds.setdefault(kind, len(self.kinds))

    def model_hints(self, model: str) -> int:
        """How the model's tokens are counted, as hint bits."""
        hints = self._models.get(model)
        if hints is None:
            vocabulary, exact = encoding_of(model)
            hints = (0 if exact else _INEXACT) | (0 if vocabulary == VOCABULARIES[0] else _CL100K)
            self._models[model] = hints
        return hints

    def feature_site(self, feature: str, line: int) -> int:
        """Key of a call site that the log names itself."""
        key = self._site_keys.get(feature)
        if key is None:
            key = self._site_keys[feature] = text_key("feature:" + feature)
            self._sites.append((key, feature, line))
        return key

    def key(self, name: str) -> int:
        """64-bit key of a name (user, session, model, parameters)."""
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= _MEMO_KEYS:
                self._keys.clear()
            key = self._keys[name] = text_key(name)
        return key

    def close_block(self) -> None:
        """Turn the rows collected so far into columns."""
        if not self.text_ends:
            return
        self._closed_rows += len(self.text_ends)
        rows = _table(self.ints, ROW_INTS, np.int64) | _table(self.u64, ROW_KEYS, np.uint64)
        block = Block(
            rows, np.array(self.text_numbers, np.int64), np.array(self.roles, np.int8),
            np.array(self.text_ends, np.int64), self._hashes,
        )  # fmt: skip
        columns, static = columns_of(block, self.texts)
        self._name_sites(columns, static, block)
        self._blocks.append(columns)
        self._start_block()

    def _name_sites(self, columns: dict[str, Any], static: NDArray[np.uint64], block: Block) -> None:
        """Give rows without a feature name the key of their tools and system prompt."""
        unnamed = np.flatnonzero(columns["site"] == 0)
        values, first, inverse = np.unique(static[unnamed], return_index=True, return_inverse=True)
        keys = np.zeros(len(values), np.uint64)
        for index in np.argsort(first, kind="stable").tolist():
            known = self._site_keys.get(int(values[index]))
            if known is None:
                row = int(unnamed[first[index]])
                start, end = int(block.text_ends[row - 1]) if row else 0, int(block.text_ends[row])
                systems = [n for n in range(start, end) if block.roles[n] == SYSTEM and values[index]]
                system = self.texts.text(int(block.text_numbers[systems[0]])) if systems else ""
                known = self._site_keys[int(values[index])] = site_key(self._tools.get(row), system)
                self._sites.append((known, "", int(columns["line"][row])))
            keys[index] = known
        columns["site"][unnamed] = keys[inverse]

    def features(self) -> Features:
        """The columns so far; the builder is empty afterwards."""
        self.close_block()
        self.lengths = self.texts.lengths()
        if not self._blocks:
            empty = Block(_table(array("q"), ROW_INTS, np.int64) | _table(array("Q"), ROW_KEYS, np.uint64))
            self._blocks.append(columns_of(empty, self.texts)[0])
        columns = concat(self._blocks)
        for name, (dtype, default) in SPARSE_COLUMNS.items():
            columns[name] = _filled(self._sparse[name], self._closed_rows, default, dtype)
        for unit in sorted(self._units):
            columns["unit:" + unit] = _filled(self._units[unit], self._closed_rows, 0.0, np.float64)
        columns["actions"] = _listed(self._actions, self._closed_rows)
        features = Features(columns, list(self.kinds), list(dict.fromkeys(self._sites)), list(self.tagsets))
        self._start()
        return features


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


def _listed(sparse: dict[int, list[int]], rows: int) -> Ragged:
    lengths = np.zeros(rows + 1, np.int32)
    for row, keys in sparse.items():
        lengths[row + 1] = len(keys)
    values = np.array([key for row in sorted(sparse) for key in sparse[row]], dtype=np.uint64)
    return Ragged(np.cumsum(lengths, dtype=np.int32), values)
