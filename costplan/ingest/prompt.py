"""Distinct texts of a split: their keys, lengths, prefix pieces and flags; knows neither rows nor roles.

Keys are 64-bit xxh3, the same in every process. Each distinct text is looked at once (bounded memory); its string is
kept only as long as the memo holds it.
"""

import re
import unicodedata
from array import array
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
_MEMO_BYTES = 24_000_000
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
_USER, _ESCAPED = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # set the keys of user turns and of undecoded texts apart


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

    A new text only gets its number; keys and flags of all new texts are found together, in `arrays`. `compiled` lets
    compiled loops do that for plain ASCII (worth their start-up in large logs only); the result is the same.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self._compiled = compiled
        self._lengths: dict[str, Counter[int]] = {"user": Counter(), "system": Counter()}
        self._counted = np.zeros(0, np.uint64)
        self._empty()

    def _empty(self) -> None:
        self._numbers: dict[int, int] = {}
        """By key; texts of user turns (they are normalised as well) have a key and a number of their own."""
        self._written: Any = None
        """A KeyTable of texts as they are written in JSON, and their numbers."""
        self._written_numbers = array("q")
        self._held, self._ends = bytearray(), array("q")
        self._kinds = bytearray()
        self._measured = 0
        self._table: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in _TABLE.items()}
        self._piece_key = np.zeros(0, np.uint64)
        self._piece_tokens = [np.zeros(0, np.int64) for _ in VOCABULARIES]
        self._tokens: dict[tuple[int, str], int] = {}

    def number(self, text: str, for_user: bool, media: bool = False) -> int:
        """The text's number; a new one is taken in."""
        raw = text.encode("utf-8", "surrogatepass")
        key = _xxh3(raw) ^ (_USER if for_user else 0)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._ends)
            self._held += raw
            self._ends.append(len(self._held))
            self._kinds.append(for_user + 2 * media)
        return number

    def take_in(
        self, data: Any, starts: NDArray[np.int64], ends: NDArray[np.int64], escaped: NDArray[np.bool_],
        for_user: NDArray[np.bool_],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Numbers of texts that stand in a JSON document; `escaped` are those that hold escapes.

        A text that is written in two ways or came through `number` as well has several numbers, and one key.
        """
        from costplan.ingest.hashing import KeyTable, keys_of
        from costplan.ingest.kernel import unescape

        starts, ends = np.ascontiguousarray(starts), np.ascontiguousarray(ends)
        keys = keys_of(data, starts, ends)
        keys ^= np.where(for_user, np.uint64(_USER), np.uint64(0)) ^ np.where(
            escaped, np.uint64(_ESCAPED), np.uint64(0)
        )
        self._written = self._written or KeyTable()
        found, new = self._written.numbers(keys)
        if len(new):
            raw, raw_ends = unescape(data, starts[new], ends[new], escaped[new])
            self._written_numbers.extend(range(len(self._ends), len(self._ends) + len(new)))
            self._ends.frombytes((raw_ends + len(self._held)).tobytes())
            self._held += raw.data
            self._kinds += for_user[new].astype(np.uint8).tobytes()
        return np.frombuffer(self._written_numbers, np.int64)[found]

    def text(self, number: int) -> str:
        """A text that the table holds."""
        start = self._ends[number - 1] if number else 0
        return self._held[start : self._ends[number]].decode("utf-8", "surrogatepass")

    def recycle(self) -> None:
        """Empty the table once it holds too much; numbers given out before are void."""
        if len(self._held) > _MEMO_BYTES:
            self.lengths()
            self._empty()

    def lengths(self) -> dict[str, dict[int, int]]:
        """Distinct texts per length, by role group: a pile-up at one length gives a shortened export away."""
        table = self.arrays()
        keys, first = np.unique(table["key"][self._measured :], return_index=True)
        first = np.sort(first[~np.isin(keys, self._counted, assume_unique=True)])[: _COUNTED_TEXTS - len(self._counted)]
        first += self._measured
        self._counted = np.concatenate([self._counted, table["key"][first]])
        kinds = np.frombuffer(bytes(self._kinds), np.uint8)[first]
        for group, mine in (("user", kinds & 1 == 1), ("system", kinds & 1 == 0)):
            lengths, counts = np.unique(table["chars"][first][mine], return_counts=True)
            self._lengths[group].update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
        self._measured = len(self._ends)
        return {group: dict(counts) for group, counts in self._lengths.items()}

    def tokens(self, number: int, vocabulary: str) -> int:
        """Tokens of a whole text."""
        known = self._tokens.get((number, vocabulary))
        if known is None:
            known = self._tokens[number, vocabulary] = counter(vocabulary)(self.text(number))
        return known

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The table as columns: key, norm, chars, flags, and where each text's pieces lie in `piece_key`."""
        done = len(self._table["key"])
        if done < len(self._ends):
            found, pieces = self._described(done)
            found["piece_end"] = np.cumsum(found["piece_end"]) + len(self._piece_key)
            self._piece_key = np.concatenate([self._piece_key, pieces])
            self._table = {name: np.concatenate([old, found[name]]) for name, old in self._table.items()}
        ends = self._table["piece_end"]
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        return {**self._table, "piece_start": starts, "piece_key": self._piece_key}

    def _described(self, first: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint64]]:
        """(columns of the texts from a number on, their piece keys); `piece_end` holds each one's number of pieces."""
        ends = np.array(self._ends[first:], np.int64)
        starts = np.concatenate([[self._ends[first - 1] if first else 0], ends[:-1]])
        kinds = np.frombuffer(bytes(self._kinds[first:]), np.uint8)
        flags = np.where(kinds & 2, HAS_MEDIA, 0).astype(np.int8)
        slow = np.arange(len(ends))
        if self._compiled:
            data = np.frombuffer(self._held, np.uint8)
            found, pieces, slow = _described_fast(data, starts, ends, kinds, flags)
        else:
            found, pieces = _keys(self._held, starts.tolist(), ends.tolist())
        for index in slow.tolist():
            text = self.text(first + index)
            folded = _folded(text)
            flags[index] |= _marks(text, folded)
            if kinds[index] & 1:
                normal = _collapsed(folded)
                found["norm"][index] = text_key(normal)
                if asks_about_now(normal):
                    flags[index] |= HAS_TIME
        return found | {"flags": flags}, pieces

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
                text, last = self.text(number), end - first - 1
                for piece in range(last + 1):
                    stop = (piece + 1) * CHUNK_CHARS if piece < last else None
                    known[first + piece] = count(text[piece * CHUNK_CHARS : stop])
        return known


_TABLE = {"key": np.uint64, "norm": np.uint64, "chars": np.int64, "flags": np.int8, "piece_end": np.int64}


def _keys(held: bytearray, starts: list[int], ends: list[int]) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint64]]:
    """Keys and lengths of texts and the keys of their pieces; the norm is the key until it is found."""
    keys, chars, counts, pieces = list[int](), list[int](), list[int](), list[int]()
    for start, end in zip(starts, ends, strict=True):
        text = held[start:end].decode("utf-8", "surrogatepass")
        before = len(pieces)
        for begin in range(0, len(text) - CHUNK_CHARS, CHUNK_CHARS):
            pieces.append(text_key(text[begin : begin + CHUNK_CHARS]))
        keys.append(_xxh3(held[start:end]))
        pieces.append(keys[-1])
        chars.append(len(text))
        counts.append(len(pieces) - before)
    key = np.array(keys, np.uint64)
    return {
        "key": key, "norm": key.copy(), "chars": np.array(chars, np.int64), "piece_end": np.array(counts, np.int64)
    }, np.array(pieces, np.uint64)  # fmt: skip


def _described_fast(
    data: Any, starts: NDArray[np.int64], ends: NDArray[np.int64], kinds: NDArray[np.uint8], flags: NDArray[np.int8]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint64], NDArray[np.int64]]:
    """The same by compiled loops, with the norm and flags of plain ASCII; last, the texts that need a closer look."""
    from costplan.ingest.hashing import keys_of
    from costplan.ingest.kernel import cut_pieces, fold_texts

    chars, counts, piece_starts, piece_ends = cut_pieces(data, starts, ends, CHUNK_CHARS)
    key = keys_of(data, starts, ends)
    pieces = keys_of(data, piece_starts, piece_ends)
    pieces[np.cumsum(counts) - 1] = key
    ascii_only = chars == ends - starts
    folded, folded_ends, hints = fold_texts(data, starts, ends, ascii_only)
    first = starts - starts[0]  # a folded text is never longer: it starts where its source starts
    is_user = kinds & 1 == 1
    folded_keys: NDArray[np.uint64] = keys_of(folded, first, folded_ends)
    norm = np.where(is_user, folded_keys, key)
    flags[is_user & (hints & 1 != 0)] |= HAS_TIME
    for index in np.flatnonzero(ascii_only & (hints & 2 != 0)).tolist():
        text = data[starts[index] : ends[index]].tobytes().decode("ascii")
        flags[index] |= _marks(text, text.lower())
    found: dict[str, NDArray[Any]] = {"key": key, "norm": norm, "chars": chars, "piece_end": counts}
    return found, pieces, np.flatnonzero(~ascii_only)
