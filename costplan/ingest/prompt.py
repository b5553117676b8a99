"""A prompt's text -> keys, prefix blocks and flags; the text itself is forgotten. Works on one request at a time.

Hashes are 64-bit BLAKE2b, the same in every process. Each distinct text is looked at once per split (bounded memory).
"""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from typing import Any

import msgspec

from costplan.tokens import TOKENS_PER_MESSAGE, counter, encoding_of
from costplan.trace import Call, Message, TextState

CHUNK_CHARS = 512
"""Prefix blocks are cut inside a message every 512 characters, about the 128-token step of provider prompt caches."""
EXACT_FROM_TOKENS = 1024
"""Below the smallest provider minimum, block positions follow characters; from there on, real token counts."""
_MASK64 = (1 << 64) - 1
_MEMO_CHARS = 24_000_000
_COUNTED_TEXTS = 200_000

# Export masks of gateways, Presidio and Langfuse, and the marks that shortened exports leave behind.
_MASKED = re.compile(
    r"\[(?:REDACTED|MASKED|FILTERED|REMOVED)[^\]]{0,40}\]"
    r"|<(?:REDACTED|MASKED|PERSON|EMAIL_ADDRESS|PHONE_NUMBER)>|\*{6,}",
    re.I,
)
_CUT_MARK = re.compile(
    r"(?:…|\[?\.{3}\s?\(?(?:truncated|cut|\+?\d+ more)[^\n]{0,40}|[\[<(]truncated[^\n]{0,40})\s*$", re.I
)
_NOW = ("today", "tonight", "now", "currently", "latest", "yesterday", "tomorrow")
_TIME_WORDS = frozenset(word + mark for word in _NOW for mark in ("", "?", ".", ",", "!", ":", ";", "'s"))
_TIME_PHRASES = ("this week", "this month", "this year", "this morning", "current time", "current date")
_VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{12,}\b|\d+(?:[-:./T]\d+)*", re.I
)
_TRAILING = " \t\r\n.!?…。！？,;:"
_IS_MASKED, _IS_CUT, _HAS_TIME, _HAS_MEDIA = 1, 2, 4, 8
_NOT_TEXT, _ACTION, _TIME, _HOT, _OPERATION, _FAILED = 1, 2, 4, 8, 16, 32  # trace.Cacheable, as plain integers
_FULL, _TRUNCATED, _REDACTED, _ABSENT = (int(state) for state in TextState)
_CHUNK, _MESSAGE, _STATIC_END = 0, 1, 3  # trace.BlockEnd


def text_key(text: str) -> int:
    """64-bit key of a text; lone surrogates are allowed."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def mix(state: int, value: int) -> int:
    """Order-dependent combination of two 64-bit keys (multiply and fold, constant from splitmix64)."""
    state = ((state ^ value) * 0xBF58476D1CE4E5B9) & _MASK64
    return state ^ (state >> 29)


def normalised(text: str) -> str:
    """NFKC, case folded, whitespace collapsed, trailing punctuation dropped: the "same question typed differently"."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip(_TRAILING)


def asks_about_now(normal: str) -> bool:
    """Whether a normalised text holds a word that ties its answer to the moment."""
    if not _TIME_WORDS.isdisjoint(normal.split()):
        return True
    return ("this " in normal or "current " in normal) and any(phrase in normal for phrase in _TIME_PHRASES)


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
            piece = part if isinstance(part, str) else None
            if isinstance(part, dict):
                piece = next((v for k in ("text", "content") if isinstance(v := part.get(k), str)), None)
            media = media or piece is None
            pieces.append(json_text(part) if piece is None else piece)
        text = "\n".join(pieces)
    else:
        text = json_text(content)
    return (text + "\x1e" + json_text(message.tool_calls) if message.tool_calls else text), media


def json_text(value: Any) -> str:
    """Deterministic JSON of a value, or its repr where JSON has no word for it."""
    try:
        return msgspec.json.encode(value, order="deterministic").decode()
    except (TypeError, ValueError, UnicodeError, RecursionError):
        return repr(value)


class Text:
    """What is remembered of one distinct text."""

    __slots__ = ("_chunk_tokens", "_tokens", "chars", "chunks", "flags", "key", "norm", "text")

    def __init__(self, text: str, media: bool, for_user: bool) -> None:
        self.text = text
        self.key = text_key(text)
        self.chars = chars = len(text)
        flags = _HAS_MEDIA if media else 0
        if ("[" in text or "<" in text or "******" in text) and _MASKED.search(text):
            flags |= _IS_MASKED
        tail = text[-120:]
        if ("…" in tail or "..." in tail or "runcated" in tail) and _CUT_MARK.search(tail):
            flags |= _IS_CUT
        self.norm = self.key
        if for_user:
            normal = normalised(text)
            self.norm = text_key(normal)
            if asks_about_now(normal):
                flags |= _HAS_TIME
        self.flags = flags
        # (key, weight) of every full chunk; the rest is the message's end, keyed by the whole text
        self.chunks = [
            (text_key(text[start : start + CHUNK_CHARS]), CHUNK_CHARS)
            for start in range(0, chars - CHUNK_CHARS, CHUNK_CHARS)
        ]
        self._tokens: dict[str, int] | None = None
        self._chunk_tokens: dict[str, tuple[list[tuple[int, int]], int]] | None = None

    def count(self, vocabulary: str) -> int:
        """Tokens of the whole text."""
        known = self._tokens = self._tokens or {}
        if vocabulary not in known:
            known[vocabulary] = counter(vocabulary)(self.text)
        return known[vocabulary]

    def chunks_in(self, vocabulary: str) -> tuple[list[tuple[int, int]], int]:
        """(the chunks with their weight in tokens, weight of the whole): counted piece by piece, so that a text is
        tokenised once; cutting inside a word adds less than one token per chunk."""
        known = self._chunk_tokens = self._chunk_tokens or {}
        if vocabulary not in known:
            count, size = counter(vocabulary), CHUNK_CHARS
            chunks = [(key, count(self.text[i * size : (i + 1) * size])) for i, (key, _) in enumerate(self.chunks)]
            whole = sum(weight for _, weight in chunks) + count(self.text[len(chunks) * size :])
            known[vocabulary] = (chunks, whole)
        return known[vocabulary]


class Texts:
    """The distinct texts of a split and how many there are of each length."""

    def __init__(self) -> None:
        self._user: dict[str, Text] = {}
        self._other: dict[str, Text] = {}
        self._held_chars = 0
        self._counted: set[int] = set()
        self.lengths: dict[str, Counter[int]] = {"user": Counter(), "system": Counter()}

    def remember(self, text: str, media: bool, for_user: bool) -> Text:
        """What is known of a text, found out once per distinct text."""
        memo = self._user if for_user else self._other
        known = memo.get(text)
        if known is None:
            self._held_chars += len(text)
            if self._held_chars > _MEMO_CHARS:
                self._user.clear()
                self._other.clear()
                self._held_chars = len(text)
            known = memo[text] = Text(text, media, for_user)
            if known.key not in self._counted and len(self._counted) < _COUNTED_TEXTS:
                self._counted.add(known.key)
                self.lengths["user" if for_user else "system"][len(text)] += 1
        return known


class Prompt:
    """The text-derived columns of one row."""

    __slots__ = ("columns", "exact_key", "has_media", "norm_key", "root_key", "static_key", "static_text", "texts",
                 "tools_key", "tools_names")  # fmt: skip

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.has_media = False
        self.exact_key = self.norm_key = self.root_key = self.static_key = self.tools_key = 0
        self.static_text = self.tools_names = ""
        self.columns: tuple[int, ...] = (_ABSENT, _NOT_TEXT, 0, 0, 0, 0, 0, 0, 0, 0)
        """text_state, cacheable, total_weight, chars of system, tools, history, tool results, last user turn,
        longest user and longest system message."""

    def count(self, vocabulary: str) -> int:
        """Prompt tokens with the chat framing of each message."""
        return sum(text.count(vocabulary) + TOKENS_PER_MESSAGE for text in self.texts)

    def site_key(self) -> int:
        """Call site without a name in the log: tool names and the masked beginning of the system prompt."""
        masked = _VARIABLE.sub("#", self.static_text[:512])[:256]
        return text_key(f"{self.tools_names}\x1f{masked}")


class Blocks:
    """Prefix blocks of all rows of a chunk, flat: keys, cumulative weights and where each ends."""

    def __init__(self) -> None:
        self.offsets = array("i", [0])
        self.keys, self.weights, self.ends = array("Q"), array("q"), array("b")


def read_hashes(call: Call, blocks: Blocks) -> Prompt:
    """Blocks of a hash trace: ids already stand for whole prefixes."""
    prompt = Prompt()
    total, size = call.input_tokens or 0, call.block_size
    for index, block in enumerate(call.block_ids):
        blocks.keys.append(block & _MASK64)
        blocks.weights.append(min(size * (index + 1), total) if total else size * (index + 1))
        blocks.ends.append(_CHUNK)
    prompt.root_key = call.block_ids[0] & _MASK64
    prompt.columns = (_ABSENT, _NOT_TEXT, total or size * len(call.block_ids), 0, 0, 0, 0, 0, 0, 0)
    return prompt


def read_messages(call: Call, texts: Texts, blocks: Blocks, seed: int, params: int, max_temperature: float) -> Prompt:
    """Keys, prefix blocks and flags of a chat prompt, in the order providers hash it: tools, system, messages.

    `seed` is the key of the model, `params` that of the sampling parameters.
    """
    prompt = Prompt()
    parts = prompt.texts
    static_end = -1
    tools_chars = system_chars = history_chars = tool_chars = user_chars = longest_user = longest_system = 0
    remember = texts.remember
    if call.tools:
        tools = remember(call.tools if isinstance(call.tools, str) else json_text(call.tools), False, False)
        prompt.tools_key, tools_chars = tools.key, tools.chars
        prompt.tools_names = _tool_names(call.tools)
        parts.append(tools)
        static_end = 0
    messages = call.messages
    last = len(messages) - 1
    static, seen, static_key = True, 0, 0
    last_user: Text | None = None
    for index, message in enumerate(messages):
        role, content = message.role, message.content
        for_user = role == "user"
        if type(content) is str and not message.tool_calls:
            text = remember(content, False, for_user)
        else:
            text = remember(*flat_text(message), for_user)
        parts.append(text)
        chars = text.chars
        seen |= text.flags
        if static and (role == "system" or role == "developer"):
            system_chars += chars
            static_key = mix(static_key, text.key)
            prompt.static_text = prompt.static_text or text.text
            longest_system = max(longest_system, chars)
            static_end = len(parts) - 1
            continue
        static = False
        if for_user:
            longest_user = max(longest_user, chars)
        if index == last and for_user:
            user_chars, last_user = chars, text
        elif role == "tool" or role == "function":
            tool_chars += chars
        else:
            history_chars += chars
    prompt.static_key = static_key
    prompt.has_media = bool(seen & _HAS_MEDIA)
    start = len(blocks.keys)
    chars = tools_chars + system_chars + history_chars + tool_chars + user_chars
    context, weight = _append_blocks(call, parts, static_end, blocks, seed, chars)
    prompt.root_key = blocks.keys[start]
    tail = last_user or parts[-1]
    base = mix(context, params)
    prompt.exact_key, prompt.norm_key = mix(base, tail.key), mix(base ^ 1, tail.norm)
    state, cacheable = _judge(call, prompt, seen, chars, last_user, max_temperature)
    prompt.columns = (
        state, cacheable, weight, system_chars, tools_chars, history_chars, tool_chars, user_chars, longest_user, longest_system,
    )  # fmt: skip
    return prompt


def _append_blocks(
    call: Call, parts: list[Text], static_end: int, blocks: Blocks, chain: int, chars: int
) -> tuple[int, int]:
    """(chain key before the last part, weight of the whole prompt); blocks are appended."""
    tokens_in = call.input_tokens
    exact = (tokens_in if tokens_in is not None else chars // 4) >= EXACT_FROM_TOKENS
    vocabulary = encoding_of(call.response_model or call.request_model)[0] if exact else ""
    overhead = TOKENS_PER_MESSAGE if exact else 4 * TOKENS_PER_MESSAGE
    keys, weights, ends = blocks.keys.append, blocks.weights.append, blocks.ends.append
    position, context = 0, chain
    for number, text in enumerate(parts):
        context = chain
        pieces, size = text.chunks_in(vocabulary) if exact else (text.chunks, text.chars)
        inside = position
        for key, weight in pieces:
            inside += weight
            chain = mix(chain, key)
            keys(chain)
            weights(inside)
            ends(_CHUNK)
        position += size + overhead
        chain = ((context ^ text.key) * 0xBF58476D1CE4E5B9) & _MASK64  # mix(), inlined: once per message of the log
        chain ^= chain >> 29
        keys(chain)
        weights(position)
        ends(_STATIC_END if number == static_end else _MESSAGE)
    return context, position


def _judge(
    call: Call, prompt: Prompt, seen: int, chars: int, last_user: Text | None, max_temperature: float
) -> tuple[int, int]:
    """(text state, reasons why a response cache must not serve it)."""
    if seen & _IS_MASKED:
        state = _REDACTED
    elif call.text_cut or seen & _IS_CUT or _shorter_than_billed(call, prompt, chars):
        state = _TRUNCATED
    else:
        state = _FULL
    reasons = 0
    if (
        last_user is None
        or prompt.has_media
        or call.output_tool_calls
        or call.finish_reason in ("tool_calls", "tool_use")
    ):
        reasons |= _ACTION
    if seen & _HAS_TIME and (last_user is None or last_user.flags & _HAS_TIME):
        reasons |= _TIME
    if call.temperature is not None and call.temperature > max_temperature:
        reasons |= _HOT
    if call.operation != "chat" and call.operation != "text_completion":
        reasons |= _OPERATION
    if not call.ok:
        reasons |= _FAILED
    return state, reasons


def _shorter_than_billed(call: Call, prompt: Prompt, chars: int) -> bool:
    """Far fewer tokens in the text than the provider counted: the export was cut (or parts were never logged).

    English and code hold 3.5 to 5 characters per token; only texts below 3.2 are worth counting exactly.
    Another vendor's tokenizer differs by up to a third, tool definitions are framed differently: more slack there.
    """
    billed = call.input_tokens
    if not billed or chars >= 3.2 * billed or prompt.has_media:
        return False
    vocabulary, exact = encoding_of(call.response_model or call.request_model)
    slack = 0.85 if exact and not call.tools else 0.55
    return prompt.count(vocabulary) < slack * billed - 20


def _tool_names(tools: Any) -> str:
    names: list[str] = []
    for tool in tools if isinstance(tools, list) else ():
        inner = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = inner.get("name") if isinstance(inner, dict) else None
        names.append(name if isinstance(name, str) else "?")
    return ",".join(sorted(names))
