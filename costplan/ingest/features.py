"""From trace rows to numeric columns: keys, prefix blocks and flags stand in for the text, which is then forgotten.

Everything later (prices, caches, sessions) works on these columns. Hashes are 64-bit BLAKE2b, the same in every process.
Which lengths pile up, which ids repeat and what a row costs is not known here: that takes all splits.
"""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.engine import Ragged
from costplan.tokens import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY, counter, encoding_of
from costplan.trace import (
    NO_TIME,
    UNKNOWN,
    Cacheable,
    Call,
    Flag,
    Message,
    NotACall,
    Part,
    TextState,
    UsageSource,
)

CHUNK_CHARS = 512
"""Prefix blocks are cut inside a message every 512 characters, about the 128-token step of provider prompt caches."""
EXACT_FROM_TOKENS = 1024
"""Below the smallest provider minimum, block positions follow characters; from there on, real token counts."""
_MASK64 = (1 << 64) - 1
_MEMO_CHARS = 24_000_000
_MEMO_KEYS = 100_000


# Export masks of gateways, Presidio and Langfuse, and the marks that shortened exports leave behind.
_MASKED = re.compile(
    r"\[(?:REDACTED|MASKED|FILTERED|REMOVED)[^\]]{0,40}\]|<(?:REDACTED|MASKED|PERSON|EMAIL_ADDRESS|PHONE_NUMBER)>|\*{6,}",
    re.I,
)
_CUT_MARK = re.compile(
    r"(?:…|\[?\.{3}\s?\(?(?:truncated|cut|\+?\d+ more)[^\n]{0,40}|\[truncated[^\]]{0,40}\]|<truncated[^>]{0,40}>)\s*$",
    re.I,
)
_TIME_WORDS = re.compile(
    r"\b(?:today|tonight|now|currently|latest|yesterday|tomorrow|this (?:week|month|year|morning)|right now|current(?:ly)? time)\b",
    re.I,
)
_VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{12,}\b|\d+(?:[-:./T]\d+)*", re.I
)
_TRAILING = " \t\r\n.!?…。！？,;:"
_MASK, _CUT, _TIME, _MEDIA = 1, 2, 4, 8


def digest(data: bytes) -> int:
    """64-bit BLAKE2b of bytes, as an unsigned integer."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def text_key(text: str) -> int:
    """64-bit key of a text; lone surrogates are allowed."""
    return digest(text.encode("utf-8", "surrogatepass"))


def mix(state: int, value: int) -> int:
    """Order-dependent combination of two 64-bit keys (multiply and fold, constant from splitmix64)."""
    state = ((state ^ value) * 0xBF58476D1CE4E5B9) & _MASK64
    return state ^ (state >> 29)


def normalised(text: str) -> str:
    """NFKC, case folded, whitespace collapsed, trailing punctuation dropped: the "same question typed differently"."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).casefold()
    else:
        text = text.lower()
    return " ".join(text.split()).rstrip(_TRAILING)


def flat_text(message: Message) -> tuple[str, bool]:
    """(text of a message, whether it holds media). Parts are joined; what is not text stays in, as its JSON."""
    content = message.content
    media = False
    if isinstance(content, str):
        text = content
    elif content is None:
        text = ""
    elif isinstance(content, list):
        pieces: list[str] = []
        for part in content:
            piece = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
            if not isinstance(piece, str):
                piece = part.get("content") if isinstance(part, dict) else None
            if not isinstance(piece, str):
                media = True
                piece = _json_text(part)
            pieces.append(piece)
        text = "\n".join(pieces)
    else:
        text = _json_text(content)
    if message.tool_calls:
        text += "\x1e" + _json_text(message.tool_calls)
    return text, media


def _json_text(value: Any) -> str:
    try:
        return msgspec.json.encode(value, order="deterministic").decode()
    except (TypeError, ValueError, UnicodeError, RecursionError):
        return repr(value)


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What of the analysis settings decides the columns."""

    batchable: frozenset[str] = frozenset({"batch", "batchable"})
    """Tags, features or environments whose requests tolerate a day's latency."""
    max_temperature: float = 1.0
    sample_rate: float = 1.0


class _Text:
    """What is remembered of one distinct text."""

    __slots__ = ("_chunk_tokens", "_tokens", "chars", "chunks", "flags", "key", "norm", "text")

    def __init__(self, text: str, media: bool, for_user: bool) -> None:
        self.text = text
        self.key = text_key(text)
        self.norm = text_key(normalised(text)) if for_user else self.key
        self.chars = len(text)
        self.flags = (
            (_MEDIA if media else 0)
            | (_MASK if _MASKED.search(text) else 0)
            | (_CUT if _CUT_MARK.search(text, max(0, len(text) - 120)) else 0)
        )
        if for_user and _TIME_WORDS.search(text):
            self.flags |= _TIME
        # (key, weight) of every full chunk; the rest is the message's end, keyed by the whole text
        self.chunks = [
            (text_key(text[start : start + CHUNK_CHARS]), CHUNK_CHARS)
            for start in range(0, len(text) - CHUNK_CHARS, CHUNK_CHARS)
        ]
        self._tokens: dict[str, int] = {}
        self._chunk_tokens: dict[str, tuple[list[tuple[int, int]], int]] = {}

    def count(self, vocabulary: str) -> int:
        """Tokens of the whole text."""
        tokens = self._tokens.get(vocabulary)
        if tokens is None:
            tokens = self._tokens[vocabulary] = counter(vocabulary)(self.text)
        return tokens

    def chunks_in(self, vocabulary: str) -> tuple[list[tuple[int, int]], int]:
        """(the chunks with their weight in tokens, weight of the whole): counted piece by piece, so that a text is
        tokenised once; cutting inside a word adds less than one token per chunk."""
        known = self._chunk_tokens.get(vocabulary)
        if known is None:
            count, size = counter(vocabulary), CHUNK_CHARS
            chunks = [(key, count(self.text[i * size : (i + 1) * size])) for i, (key, _) in enumerate(self.chunks)]
            whole = sum(weight for _, weight in chunks) + count(self.text[len(chunks) * size :])
            known = self._chunk_tokens[vocabulary] = (chunks, whole)
        return known


@dataclass(slots=True)
class Features:
    """Columns of one split and the small tables their ids point into."""

    columns: dict[str, Any]
    kinds: list[tuple[str, str, str, str, str, str]]
    """(provider, request model, response model, service tier, operation, outcome) by `kind`."""
    sites: list[tuple[int, str, int]]
    """(site key, the log's own name or "", line where first seen)."""
    tagsets: list[tuple[str, ...]]
    lengths: dict[str, dict[int, int]]
    """Distinct texts per length, by role group: a pile-up at one length gives a shortened export away."""
    links: list[tuple[int, int]]
    """(span, parent span) of spans that are no calls."""


INT_COLUMNS = (
    "line", "time_us", "kind", "tagset", "flags", "usage_source", "text_state", "cacheable",
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
    "duration_us", "ttft_us", "total_weight", "system_chars", "tools_chars", "history_chars", "tool_result_chars",
    "user_chars", "longest_user", "longest_system",
)  # fmt: skip
KEY_COLUMNS = ("user", "session", "id_key", "dedupe_key", "exact_key", "norm_key", "root_key", "site")
SPARSE_COLUMNS = ("span_key", "parent_key", "join_key", "cost_reported", "weight", "block_size")


class FeatureBuilder:
    """Collects rows of one split; `features()` gives the columns and starts afresh. One per worker and split."""

    def __init__(self, settings: FeatureSettings) -> None:
        self._settings = settings
        self._memo: dict[tuple[str, bool], _Text] = {}
        self._memo_chars = 0
        self._counted: set[int] = set()
        self._keys: dict[str, int] = {}
        self._start()

    def _start(self) -> None:
        self._rows = 0
        self._ints: dict[str, array[int]] = {name: array("q") for name in INT_COLUMNS}
        self._u64: dict[str, array[int]] = {name: array("Q") for name in KEY_COLUMNS}
        self._add_ints = [column.append for column in self._ints.values()]
        self._add_keys = [column.append for column in self._u64.values()]
        self._sparse: dict[str, dict[int, Any]] = {name: {} for name in SPARSE_COLUMNS}
        self._other: dict[str, dict[int, float]] = {}
        self._block_offsets = array("i", [0])
        self._block_keys, self._block_weights, self._block_ends = array("Q"), array("q"), array("b")
        self._kind_ids: dict[tuple[str, str, str, str, str, str], int] = {}
        self._site_ids: dict[tuple[str, int, int], int] = {}
        self._sites: list[tuple[int, str, int]] = []
        self._tag_ids: dict[tuple[str, ...], int] = {}
        self._lengths: dict[str, Counter[int]] = {"user": Counter(), "system": Counter()}
        self._links: list[tuple[int, int]] = []
        self._last_time = NO_TIME

    def link(self, span: NotACall) -> None:
        """Remember which span stands above which, so that a parent call is found through spans that are no calls."""
        if span.span_id and span.parent_id:
            self._links.append((self._span(span.trace_id, span.span_id), self._span(span.trace_id, span.parent_id)))

    def add(self, call: Call, line: int) -> None:
        """Append one row."""
        settings = self._settings
        kind = self._kind(call)
        tags = tuple(call.tags)
        tagset = (
            self._tag_ids.setdefault(tags, len(self._tag_ids))
            if tags
            else self._tag_ids.setdefault((), len(self._tag_ids))
        )
        text = self._text_columns(call)
        usage_source, tokens_in, tokens_out = self._usage(call, text)
        flags = Flag.OK.value if call.ok else 0
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
        if (tags or call.feature) and not settings.batchable.isdisjoint((*tags, call.feature, call.environment)):
            flags |= 64
        time_us = call.time_us
        if time_us is None:
            time_us = NO_TIME
        else:
            if time_us < self._last_time:
                flags |= 128
            self._last_time = time_us
        if call.part is not Part.WHOLE:
            flags |= 256 if call.part is Part.REQUEST else 512
        request_id = call.request_id
        id_key = dedupe_key = 0
        if request_id:
            id_key = text_key(request_id)
            usage = ((tokens_in or 0) << 40) ^ ((tokens_out or 0) << 16) ^ call.cache_read_tokens ^ (call.part << 62)
            dedupe_key = mix(
                mix(mix(id_key, text.full_key), usage & _MASK64), self._key(call.response_model or call.request_model)
            )
        site = self._site(call, text, line)
        ints = (
            line, time_us, kind, tagset, flags, usage_source, text.state, text.cacheable,
            UNKNOWN if tokens_in is None else tokens_in, call.cache_read_tokens, call.cache_write_tokens,
            call.cache_write_1h_tokens, UNKNOWN if tokens_out is None else tokens_out, call.reasoning_tokens,
            UNKNOWN if call.duration_s is None else int(call.duration_s * 1e6),
            UNKNOWN if call.ttft_s is None else int(call.ttft_s * 1e6),
            text.total_weight, text.system_chars, text.tools_chars, text.history_chars, text.tool_result_chars,
            text.user_chars, text.longest_user, text.longest_system,
        )  # fmt: skip
        for append, value in zip(self._add_ints, ints, strict=True):
            append(value)
        keys = (
            self._key(call.user) if call.user else 0,
            self._key(call.session_id) if call.session_id else 0,
            id_key, dedupe_key, text.exact_key, text.norm_key, text.root_key, site,
        )  # fmt: skip
        for append, value in zip(self._add_keys, keys, strict=True):
            append(value)
        self._block_offsets.append(len(self._block_keys))
        self._rare(call)
        self._rows += 1

    def _rare(self, call: Call) -> None:
        row, sparse = self._rows, self._sparse
        if call.span_id and call.trace_id:  # chains of chat turns have ids too, but no trace: they are no call tree
            sparse["span_key"][row] = self._span(call.trace_id, call.span_id)
            if call.parent_id:
                sparse["parent_key"][row] = self._span(call.trace_id, call.parent_id)
        if call.join_id:
            sparse["join_key"][row] = text_key(call.join_id)
        if call.cost_usd_reported is not None:
            sparse["cost_reported"][row] = call.cost_usd_reported
        weight = call.sample_weight / self._settings.sample_rate
        if weight != 1.0:
            sparse["weight"][row] = weight
        if call.block_size:
            sparse["block_size"][row] = call.block_size
        for unit, amount in call.other_units.items():
            self._other.setdefault(unit, {})[row] = amount

    def _usage(self, call: Call, text: "_Prompt") -> tuple[int, int | None, int | None]:
        tokens_in, tokens_out = call.input_tokens, call.output_tokens
        if tokens_in is not None and tokens_out is not None:
            return UsageSource.REPORTED.value, tokens_in, tokens_out
        if tokens_in is not None and call.operation in ("embeddings", "rerank", "moderation"):
            return UsageSource.REPORTED.value, tokens_in, 0
        if not call.ok or call.part is Part.REQUEST or not call.messages or text.media:
            return UsageSource.MISSING.value, tokens_in, tokens_out
        vocabulary, exact = encoding_of(call.response_model or call.request_model)
        count = counter(vocabulary)
        if tokens_in is None:
            tokens_in = text.count(vocabulary) + TOKENS_PER_REPLY
        if tokens_out is None and call.operation in ("embeddings", "rerank", "moderation"):
            tokens_out = 0
        if tokens_out is None and (call.output_text or call.output_tool_calls):
            tokens_out = count(call.output_text or "") + (
                count(_json_text(call.output_tool_calls)) if call.output_tool_calls else 0
            )
        if tokens_out is None:
            return UsageSource.MISSING.value, tokens_in, None
        return (UsageSource.TOKENIZER if exact else UsageSource.ESTIMATED).value, tokens_in, tokens_out

    def _kind(self, call: Call) -> int:
        outcome = "" if call.ok else (f"http_{call.http_status}" if call.http_status else call.error_type or "error")
        kind = (call.provider, call.request_model, call.response_model, call.service_tier, call.operation, outcome)
        return self._kind_ids.setdefault(kind, len(self._kind_ids))

    def _site(self, call: Call, text: "_Prompt", line: int) -> int:
        feature = call.feature or ""
        name = (feature, 0, 0) if feature else ("", text.static_key, text.tools_key)
        site = self._site_ids.get(name)
        if site is None:
            key = text_key("feature:" + feature) if feature else text.site_key()
            site = self._site_ids[name] = key
            self._sites.append((key, feature, line))
        return site

    def _key(self, name: str) -> int:
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= _MEMO_KEYS:
                self._keys.clear()
            key = self._keys[name] = text_key(name)
        return key

    def _span(self, trace_id: str | None, span_id: str) -> int:
        return text_key(f"{trace_id or ''}/{span_id}")

    def remember(self, text: str, media: bool, for_user: bool) -> _Text:
        """What is known of a text, computed once per distinct text (bounded memory)."""
        known = self._memo.get((text, for_user))
        if known is None:
            self._memo_chars += len(text)
            if self._memo_chars > _MEMO_CHARS:
                self._memo.clear()
                self._memo_chars = len(text)
            known = self._memo[text, for_user] = _Text(text, media, for_user)
            if known.key not in self._counted:
                self._counted.add(known.key)
                self._lengths["user" if for_user else "system"][len(text)] += 1
        return known

    def _text_columns(self, call: Call) -> "_Prompt":
        prompt = _Prompt(self, call, self._block_keys, self._block_weights, self._block_ends)
        if call.block_ids:
            prompt.from_hashes(call)
        elif call.messages:
            prompt.from_messages(call, self._settings.max_temperature)
        return prompt

    def features(self) -> Features:
        """The columns so far; the builder is empty afterwards (its memo of texts stays)."""
        columns: dict[str, Any] = {name: _array(values, np.int64) for name, values in self._ints.items()}
        columns |= {name: _array(values, np.uint64) for name, values in self._u64.items()}
        for name, sparse in self._sparse.items():
            dtype = (
                np.uint64 if name.endswith("_key") else np.float64 if name in ("cost_reported", "weight") else np.int64
            )
            default = 1.0 if name == "weight" else np.nan if name == "cost_reported" else 0
            columns[name] = _filled(sparse, self._rows, default, dtype)
        for unit in sorted(self._other):
            columns["unit:" + unit] = _filled(self._other[unit], self._rows, 0.0, np.float64)
        offsets = _array(self._block_offsets, np.int32)
        columns["block_key"] = Ragged(offsets, _array(self._block_keys, np.uint64))
        columns["block_weight"] = Ragged(offsets, _array(self._block_weights, np.int64))
        columns["block_end"] = Ragged(offsets, _array(self._block_ends, np.int8))
        lengths = {group: dict(counts) for group, counts in self._lengths.items()}
        features = Features(columns, list(self._kind_ids), self._sites, list(self._tag_ids), lengths, self._links)
        self._start()
        return features


class _Prompt:
    """The text-derived columns of one row while it is being built."""

    __slots__ = (
        "builder", "cacheable", "ends", "exact_key", "full_key", "history_chars", "keys", "longest_system", "longest_user",
        "media", "norm_key", "root_key", "state", "static_key", "static_text", "system_chars", "texts", "tool_result_chars",
        "tools_chars", "tools_key", "tools_names", "total_weight", "user_chars", "weights",
    )  # fmt: skip

    def __init__(
        self, builder: FeatureBuilder, call: Call, keys: "array[int]", weights: "array[int]", ends: "array[int]"
    ) -> None:
        self.builder, self.keys, self.weights, self.ends = builder, keys, weights, ends
        self.texts: list[_Text] = []
        self.state = TextState.ABSENT.value
        self.cacheable = Cacheable.NO_TEXT.value
        self.exact_key = self.norm_key = self.root_key = self.full_key = self.static_key = self.tools_key = 0
        self.total_weight = self.system_chars = self.tools_chars = self.history_chars = 0
        self.tool_result_chars = self.user_chars = self.longest_user = self.longest_system = 0
        self.media = False
        self.static_text = self.tools_names = ""

    def from_hashes(self, call: Call) -> None:
        """Blocks of a hash trace: ids already stand for whole prefixes."""
        total, size = call.input_tokens or 0, call.block_size
        for index, block in enumerate(call.block_ids):
            self.keys.append(block & _MASK64)
            self.weights.append(min(size * (index + 1), total) if total else size * (index + 1))
            self.ends.append(0)
        self.total_weight = total
        self.root_key = call.block_ids[0] & _MASK64

    def from_messages(self, call: Call, max_temperature: float) -> None:
        """Keys, prefix blocks and flags of a chat prompt, in the order providers hash it: tools, system, messages."""
        remember = self.builder.remember
        chain = self.builder._key(call.response_model or call.request_model)
        start = len(self.keys)
        seen_flags = 0
        parts: list[tuple[_Text, int]] = []
        if call.tools:
            tools = remember(call.tools if isinstance(call.tools, str) else _json_text(call.tools), False, False)
            self.tools_key, self.tools_chars = tools.key, tools.chars
            self.tools_names = _tool_names(call.tools)
            parts.append((tools, 1))
        messages = call.messages
        last = len(messages) - 1
        static = True
        last_user: _Text | None = None
        for index, message in enumerate(messages):
            role, content = message.role, message.content
            for_user = role == "user"
            if type(content) is str and not message.tool_calls:
                text = remember(content, False, for_user)
            else:
                flat, media = flat_text(message)
                text = remember(flat, media, for_user)
            seen_flags |= text.flags
            if static and role != "system" and role != "developer":
                static = False
                if parts:
                    parts[-1] = (parts[-1][0], 3)
            chars = text.chars
            if static:
                self.system_chars += chars
                self.static_key = mix(self.static_key, text.key)
                self.static_text = self.static_text or (content if type(content) is str else "")
                if chars > self.longest_system:
                    self.longest_system = chars
            elif index == last and for_user:
                self.user_chars = chars
                last_user = text
            elif role == "tool" or role == "function":
                self.tool_result_chars += chars
            else:
                self.history_chars += chars
            if for_user and chars > self.longest_user:
                self.longest_user = chars
            parts.append((text, 1))
        if static and parts:
            parts[-1] = (parts[-1][0], 3)
        self.texts = [text for text, _ in parts]
        self.media = bool(seen_flags & _MEDIA)
        context = self._blocks(chain, parts, call)
        self.root_key = self.keys[start] if len(self.keys) > start else chain
        params = self.builder._key(call.params) if call.params else 0
        tail = last_user if last_user is not None else parts[-1][0]
        base = mix(context, params)
        self.exact_key, self.norm_key = mix(base, tail.key), mix(mix(base, tail.norm), 1)
        self.full_key = self.exact_key
        self._judge(call, seen_flags, last_user, max_temperature)

    def _blocks(self, chain: int, parts: list[tuple[_Text, int]], call: Call) -> int:
        """Append the prefix blocks; returns the chain key before the last part (the cache key's context)."""
        tokens_in = call.input_tokens
        exact = (tokens_in if tokens_in is not None else sum(t.chars for t in self.texts) // 4) >= EXACT_FROM_TOKENS
        vocabulary = encoding_of(call.response_model or call.request_model)[0] if exact else ""
        overhead = TOKENS_PER_MESSAGE if exact else 4 * TOKENS_PER_MESSAGE
        keys, weights, ends = self.keys, self.weights, self.ends
        position = 0
        context = chain
        for text, end in parts:
            context = chain
            pieces, size = text.chunks_in(vocabulary) if exact else (text.chunks, text.chars)
            inside = position
            for key, weight in pieces:
                inside += weight
                chain = mix(chain, key)
                keys.append(chain)
                weights.append(inside)
                ends.append(0)
            position += size + overhead
            chain = mix(context, text.key)
            keys.append(chain)
            weights.append(position)
            ends.append(end)
        self.total_weight = position
        return context

    def count(self, vocabulary: str) -> int:
        """Prompt tokens with the chat framing of each message."""
        return sum(text.count(vocabulary) + TOKENS_PER_MESSAGE for text in self.texts)

    def _judge(self, call: Call, seen_flags: int, last_user: _Text | None, max_temperature: float) -> None:
        if seen_flags & _MASK:
            self.state = TextState.REDACTED.value
        elif call.text_cut or seen_flags & _CUT or self._shorter_than_billed(call):
            self.state = TextState.TRUNCATED.value
        else:
            self.state = TextState.FULL.value
        reasons = 0
        if (
            last_user is None
            or self.media
            or call.output_tool_calls
            or call.finish_reason in ("tool_calls", "tool_use")
        ):
            reasons |= 2
        if seen_flags & _TIME:
            reasons |= 4
        if call.temperature is not None and call.temperature > max_temperature:
            reasons |= 8
        if call.operation != "chat" and call.operation != "text_completion":
            reasons |= 16
        if not call.ok:
            reasons |= 32
        self.cacheable = reasons

    def _shorter_than_billed(self, call: Call) -> bool:
        """Far fewer tokens in the text than the provider counted: the export was cut (or parts were never logged).

        English and code hold 3.5 to 5 characters per token; only texts below 3.2 are worth counting exactly.
        Another vendor's tokenizer differs by up to a third, tool definitions are framed differently: more slack there.
        """
        billed = call.input_tokens
        chars = sum(text.chars for text in self.texts)
        if not billed or self.media or chars >= 3.2 * billed:
            return False
        vocabulary, exact = encoding_of(call.response_model or call.request_model)
        slack = 0.85 if exact and not call.tools else 0.55
        return self.count(vocabulary) < slack * billed - 20

    def site_key(self) -> int:
        """Call site without a name in the log: tool names and the masked beginning of the system prompt."""
        masked = _VARIABLE.sub("#", self.static_text[:512])[:256]
        return text_key(f"{self.tools_names}\x1f{masked}")


def _tool_names(tools: Any) -> str:
    names: list[str] = []
    for tool in tools if isinstance(tools, list) else ():
        inner = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = inner.get("name") if isinstance(inner, dict) else None
        names.append(name if isinstance(name, str) else "?")
    return ",".join(sorted(names))


def _array(values: "array[int]", dtype: Any) -> NDArray[Any]:
    return np.frombuffer(values, dtype=dtype) if len(values) else np.zeros(0, dtype=dtype)


def _filled(sparse: dict[int, Any], rows: int, default: float, dtype: Any) -> NDArray[Any]:
    column = np.full(rows, default, dtype=dtype)
    if sparse:
        column[np.fromiter(sparse, dtype=np.int64, count=len(sparse))] = np.array(list(sparse.values()), dtype=dtype)
    return column
