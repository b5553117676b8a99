"""Distinct texts of a split: their keys, lengths, prefix pieces and flags; knows neither rows nor roles.

Keys are 64-bit xxh3, the same in every process. Each distinct text is looked at once (bounded memory); its string is
kept only as long as the memo holds it.
"""

import re
import unicodedata
from collections import Counter
from typing import Any, cast

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from costplan.ingest.fields import as_dict
from costplan.tokens import counter
from costplan.trace import Message

CHUNK_CHARS = 512
"""Prefix pieces are cut inside a message every 512 characters, about the 128-token step of provider prompt caches."""
VOCABULARIES = ("o200k_base", "cl100k_base")
IS_MASKED, IS_CUT, HAS_TIME, HAS_MEDIA = 1, 2, 4, 8
_MEMO_CHARS = 24_000_000
_COUNTED_TEXTS = 200_000

# Export masks of gateways, Presidio and Langfuse (on lower-cased text), and the marks that shortened exports leave.
_MASKED = re.compile(
    r"\[(?:redacted|masked|filtered|removed)[^\]]{0,40}\]|<(?:redacted|masked|person|email_address|phone_number)>|\*{6,}"
)
_CUT_MARK = re.compile(
    r"(?:…|\[?\.{3}\s?\(?(?:truncated|cut|\+?\d+ more)[^\n]{0,40}|[\[<(]truncated[^\n]{0,40})\s*$", re.I
)
_TIME_WORDS = re.compile(
    r"(?<![a-z0-9])(?:today|tonight|tomorrow|yesterday|latest|currently|current (?:time|date)"
    r"|this (?:week|month|year|morning)|now(?![a-z0-9]))"
)
_CUT_ENDS = ("…", "]", ")", ">", "runcated", "cut", "more", "RUNCATED", "CUT", "MORE", " ", "\n")
_VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{12,}\b|\d+(?:[-:./T]\d+)*", re.I
)
_TRAILING = " \t\r\n.!?…。！？,;:"

_xxh3 = xxhash.xxh3_64_intdigest


def text_key(text: str) -> int:
    """64-bit key of a text; lone surrogates are allowed."""
    return _xxh3(text.encode("utf-8", "surrogatepass"))


def normalised(text: str) -> str:
    """NFKC, case folded, whitespace collapsed, trailing punctuation dropped: the "same question typed differently"."""
    return _collapsed(_folded(text))


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _collapsed(folded: str) -> str:
    if "  " in folded or not folded.isprintable():  # one line with single blanks has nothing to collapse
        folded = " ".join(folded.split())
    return folded.strip().rstrip(_TRAILING)


def asks_about_now(normal: str) -> bool:
    """Whether a normalised text holds a word that ties its answer to the moment."""
    hinted = "today" in normal or "now" in normal or "curren" in normal or "latest" in normal or "this " in normal
    hinted = hinted or "tomorrow" in normal or "yesterday" in normal or "tonight" in normal
    return hinted and _TIME_WORDS.search(normal) is not None


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
        for part in cast(list[Any], content):
            piece = part if isinstance(part, str) else None
            if isinstance(part, dict):
                piece = next(
                    (v for k in ("text", "content") if isinstance(v := cast(dict[str, Any], part).get(k), str)), None
                )
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


def _marks(text: str, folded: str) -> int:
    """IS_MASKED and IS_CUT of a text."""
    flags = 0
    if ("[" in text or "<" in text or "******" in text) and _is_masked(folded):
        flags |= IS_MASKED
    if text.endswith(_CUT_ENDS):
        tail = text[-120:]
        hinted = "…" in tail or "..." in tail or "runcated" in tail or "RUNCATED" in tail
        if hinted and _CUT_MARK.search(tail):
            flags |= IS_CUT
    return flags


def _is_masked(folded: str) -> bool:
    hinted = "[redact" in folded or "[mask" in folded or "[filter" in folded or "[remov" in folded
    hinted = hinted or "<redact" in folded or "<mask" in folded or "<person" in folded or "******" in folded
    return (hinted or "<email_" in folded or "<phone_" in folded) and _MASKED.search(folded) is not None


def site_key(tools: Any, system: str) -> int:
    """Call site without a name in the log: tool names and the masked beginning of the system prompt."""
    masked = _VARIABLE.sub("#", system[:512])[:256]
    return text_key(f"{_tool_names(tools)}\x1f{masked}")


def _tool_names(tools: Any) -> str:
    names: list[str] = []
    for tool in cast(list[Any], tools) if isinstance(tools, list) else []:
        outer = as_dict(tool)
        name: Any = (as_dict(outer.get("function")) or outer).get("name")
        names.append(name if isinstance(name, str) else "?")
    return ",".join(sorted(names))


class Texts:
    """The table of distinct texts. A text is its number until `recycle` empties the table.

    A new text only gets its number; keys and flags of all new texts are found together, in `arrays`. `compiled` lets a
    compiled loop do that for plain ASCII (worth its start-up in large logs only); the result is the same.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self._compiled = compiled
        self._lengths: dict[str, Counter[int]] = {"user": Counter(), "system": Counter()}
        self._counted: set[int] = set()
        self._empty()

    def _empty(self) -> None:
        self.user: dict[str, int] = {}
        """Texts of user turns (they are normalised as well); `other` holds every other text."""
        self.other: dict[str, int] = {}
        self.strings: list[str] = []
        self._kinds = bytearray()
        self._held_chars = self._measured = 0
        self._table: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in _TABLE.items()}
        self._piece_key = np.zeros(0, np.uint64)
        self._piece_tokens = [np.zeros(0, np.int64) for _ in VOCABULARIES]
        self._tokens: dict[tuple[int, str], int] = {}

    def number(self, text: str, for_user: bool, media: bool = False) -> int:
        """The text's number; a new one is taken in."""
        memo = self.user if for_user else self.other
        known = memo.get(text)
        return self.take_in(text, for_user, media) if known is None else known

    def take_in(self, text: str, for_user: bool, media: bool = False) -> int:
        """A text that is not in the table yet."""
        number = len(self.strings)
        self.strings.append(text)
        self._kinds.append(for_user + 2 * media)
        (self.user if for_user else self.other)[text] = number
        self._held_chars += len(text)
        return number

    def recycle(self) -> None:
        """Empty the table once it holds too much; numbers given out before are void."""
        if self._held_chars > _MEMO_CHARS:
            self.lengths()
            self._empty()

    def lengths(self) -> dict[str, dict[int, int]]:
        """Distinct texts per length, by role group: a pile-up at one length gives a shortened export away."""
        table = self.arrays()
        keys, chars = table["key"][self._measured :].tolist(), table["chars"][self._measured :].tolist()
        for key, length, kind in zip(keys, chars, self._kinds[self._measured :], strict=True):
            if key not in self._counted and len(self._counted) < _COUNTED_TEXTS:
                self._counted.add(key)
                self._lengths["user" if kind & 1 else "system"][length] += 1
        self._measured = len(self.strings)
        return {group: dict(counts) for group, counts in self._lengths.items()}

    def tokens(self, number: int, vocabulary: str) -> int:
        """Tokens of a whole text."""
        known = self._tokens.get((number, vocabulary))
        if known is None:
            known = self._tokens[number, vocabulary] = counter(vocabulary)(self.strings[number])
        return known

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The table as columns: key, norm, chars, flags, and where each text's pieces lie in `piece_key`."""
        done = len(self._table["key"])
        if done < len(self.strings):
            strings, kinds = self.strings[done:], np.frombuffer(bytes(self._kinds[done:]), np.uint8)
            found, pieces = _describe(strings, kinds, compiled=self._compiled)
            found["piece_end"] = np.cumsum(found["piece_end"]) + len(self._piece_key)
            self._piece_key = np.concatenate([self._piece_key, pieces])
            self._table = {name: np.concatenate([old, found[name]]) for name, old in self._table.items()}
        ends = self._table["piece_end"]
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        return {**self._table, "piece_start": starts, "piece_key": self._piece_key}

    def piece_tokens(self, vocabulary: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of every piece in the table; counted for the texts `numbers`, -1 where never asked for.

        Counted piece by piece, so that a text is tokenised once; cutting inside a word adds under one token per piece.
        """
        known = self._piece_tokens[vocabulary]
        if len(known) < len(self._piece_key):
            known = np.concatenate([known, np.full(len(self._piece_key) - len(known), -1, np.int64)])
            self._piece_tokens[vocabulary] = known
        count = counter(VOCABULARIES[vocabulary])
        ends = self._table["piece_end"]
        wanted: list[int] = np.unique(numbers).tolist()
        for number in wanted:
            first, end = int(ends[number - 1]) if number else 0, int(ends[number])
            if known[first] < 0:
                text, last = self.strings[number], end - first - 1
                for piece in range(last + 1):
                    stop = (piece + 1) * CHUNK_CHARS if piece < last else None
                    known[first + piece] = count(text[piece * CHUNK_CHARS : stop])
        return known


_TABLE = {"key": np.uint64, "norm": np.uint64, "chars": np.int64, "flags": np.int8, "piece_end": np.int64}


def _describe(
    strings: list[str], kinds: NDArray[np.uint8], *, compiled: bool
) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint64]]:
    """(columns of new texts, their piece keys); `piece_end` holds the number of pieces of each."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in strings]
    chars = np.fromiter(map(len, strings), np.int64, len(strings))
    key = np.fromiter(map(_xxh3, encoded), np.uint64, len(strings))
    norm, flags = key.copy(), np.where(kinds & 2, HAS_MEDIA, 0).astype(np.int8)
    ascii_only = chars == np.fromiter(map(len, encoded), np.int64, len(strings))
    slow, doubtful = np.arange(len(strings)), np.zeros(0, np.int64)
    if compiled:
        fast, slow = np.flatnonzero(ascii_only), np.flatnonzero(~ascii_only)
        doubtful = _describe_ascii([encoded[i] for i in fast.tolist()], fast, kinds, norm, flags)
    for index in slow.tolist():
        folded = _folded(strings[index])
        flags[index] |= _marks(strings[index], folded)
        if kinds[index] & 1:
            normal = _collapsed(folded)
            norm[index] = _xxh3(normal.encode("utf-8", "surrogatepass"))
            if asks_about_now(normal):
                flags[index] |= HAS_TIME
    for index in doubtful.tolist():
        flags[index] |= _marks(strings[index], strings[index].lower())
    count = np.maximum(-(-chars // CHUNK_CHARS), 1)
    pieces = np.repeat(key, count)
    ends = np.cumsum(count)
    for index in np.flatnonzero(count > 1).tolist():
        first, text = int(ends[index] - count[index]), strings[index]
        for piece in range(int(count[index]) - 1):
            part = text[piece * CHUNK_CHARS : (piece + 1) * CHUNK_CHARS]
            pieces[first + piece] = _xxh3(part.encode("utf-8", "surrogatepass"))
    return {"key": key, "norm": norm, "chars": chars, "flags": flags, "piece_end": count}, pieces


def _describe_ascii(
    encoded: list[bytes],
    rows: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    norm: NDArray[np.uint64],
    flags: NDArray[np.int8],
) -> NDArray[np.int64]:
    """Fill `norm` and `flags` of ASCII texts; returns the rows that may carry a mask or a cut mark (look closer)."""
    from costplan.ingest.kernel import fold_texts

    if not encoded:
        return rows
    data = np.frombuffer(b"".join(encoded), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    out, out_ends, hints = fold_texts(data, ends)
    view = memoryview(cast(Any, out))
    starts = np.concatenate([[0], ends[:-1]])  # a folded text is never longer: it starts where its source starts
    user = np.flatnonzero(kinds[rows] & 1)
    spans = zip(starts[user].tolist(), out_ends[user].tolist(), strict=True)
    norm[rows[user]] = np.fromiter((_xxh3(view[a:b]) for a, b in spans), np.uint64, len(user))
    for index in user[(hints[user] & 1) != 0].tolist():
        if _TIME_WORDS.search(str(view[starts[index] : out_ends[index]], "ascii")):
            flags[rows[index]] |= HAS_TIME
    return rows[(hints & 2) != 0]
