"""Distinct texts of a split: their keys, lengths, prefix pieces and flags; knows neither rows nor roles.

Keys are 64-bit xxh3, the same in every process. Each distinct text is looked at once (bounded memory); its string is
kept only as long as the memo holds it.
"""

import re
import unicodedata
from array import array
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

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
_CUT_ENDS = ("…", "]", ")", ">", "runcated", "cut", "more", " ", "\n")
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
    if "this " in normal and (
        "this week" in normal or "this month" in normal or "this year" in normal or "this morning" in normal
    ):
        return True
    if "curren" in normal and ("currently" in normal or "current time" in normal or "current date" in normal):
        return True
    if " now" in normal and (" now " in normal or " now," in normal or normal.endswith(" now")):
        return True
    return (
        "today" in normal or "latest" in normal or "tomorrow" in normal or "yesterday" in normal
        or "tonight" in normal or normal.startswith("now ")
    )  # fmt: skip


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
    for tool in tools if isinstance(tools, list) else ():
        inner = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = inner.get("name") if isinstance(inner, dict) else None
        names.append(name if isinstance(name, str) else "?")
    return ",".join(sorted(names))


class Texts:
    """The table of distinct texts. A text is its number until `recycle` empties the table."""

    def __init__(self) -> None:
        self._lengths: dict[str, Counter[int]] = {"user": Counter(), "system": Counter()}
        self._counted: set[int] = set()
        self._empty()

    def _empty(self) -> None:
        self.user: dict[str, int] = {}
        """Texts of user turns (they are normalised as well); `other` holds every other text."""
        self.other: dict[str, int] = {}
        self.strings: list[str] = []
        self._held_chars = self._measured = 0
        self._keys, self._norms = array("Q"), array("Q")
        self._chars, self._flags = array("q"), array("b")
        self._piece_ends, self._piece_keys = array("q"), array("Q")
        self._piece_tokens = [np.zeros(0, np.int64) for _ in VOCABULARIES]
        self._tokens: dict[tuple[int, str], int] = {}

    def number(self, text: str, for_user: bool, media: bool = False) -> int:
        """The text's number; a new one is taken in."""
        memo = self.user if for_user else self.other
        known = memo.get(text)
        return self.take_in(text, for_user, media) if known is None else known

    def take_in(self, text: str, for_user: bool, media: bool = False) -> int:
        """A text that is not in the table yet."""
        chars = len(text)
        key = norm = _xxh3(text.encode("utf-8", "surrogatepass"))
        folded = _folded(text)
        flags = HAS_MEDIA if media else 0
        if ("[" in text or "<" in text or "******" in text) and _is_masked(folded):
            flags |= IS_MASKED
        if text.endswith(_CUT_ENDS) and _CUT_MARK.search(text[-120:]):
            flags |= IS_CUT
        if for_user:
            normal = _collapsed(folded)
            norm = _xxh3(normal.encode("utf-8", "surrogatepass"))
            if asks_about_now(normal):
                flags |= HAS_TIME
        pieces = self._piece_keys
        for start in range(0, chars - CHUNK_CHARS, CHUNK_CHARS):
            pieces.append(_xxh3(text[start : start + CHUNK_CHARS].encode("utf-8", "surrogatepass")))
        pieces.append(key)
        self._piece_ends.append(len(pieces))
        self._keys.append(key)
        self._norms.append(norm)
        self._chars.append(chars)
        self._flags.append(flags)
        number = len(self.strings)
        self.strings.append(text)
        (self.user if for_user else self.other)[text] = number
        self._held_chars += chars
        return number

    def recycle(self) -> None:
        """Empty the table once it holds too much; numbers given out before are void."""
        if self._held_chars > _MEMO_CHARS:
            self.lengths()
            self._empty()

    def lengths(self) -> dict[str, dict[int, int]]:
        """Distinct texts per length, by role group: a pile-up at one length gives a shortened export away."""
        groups = {number: "user" for number in self.user.values()}
        for number in range(self._measured, len(self.strings)):
            key = self._keys[number]
            if key not in self._counted and len(self._counted) < _COUNTED_TEXTS:
                self._counted.add(key)
                self._lengths[groups.get(number, "system")][self._chars[number]] += 1
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
        ends = np.array(self._piece_ends, np.int64)
        return {
            "key": np.array(self._keys, np.uint64), "norm": np.array(self._norms, np.uint64),
            "chars": np.array(self._chars, np.int64), "flags": np.array(self._flags, np.int8),
            "piece_start": np.concatenate([[0], ends[:-1]]) if len(ends) else ends, "piece_end": ends,
            "piece_key": np.array(self._piece_keys, np.uint64),
        }  # fmt: skip

    def piece_tokens(self, vocabulary: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of every piece in the table; counted for the texts `numbers`, -1 where never asked for.

        Counted piece by piece, so that a text is tokenised once; cutting inside a word adds under one token per piece.
        """
        known = self._piece_tokens[vocabulary]
        if len(known) < len(self._piece_keys):
            known = np.concatenate([known, np.full(len(self._piece_keys) - len(known), -1, np.int64)])
            self._piece_tokens[vocabulary] = known
        count = counter(VOCABULARIES[vocabulary])
        for number in np.unique(numbers).tolist():
            first, end = self._piece_ends[number - 1] if number else 0, self._piece_ends[number]
            if known[first] < 0:
                text, last = self.strings[number], end - first - 1
                for piece in range(last + 1):
                    stop = (piece + 1) * CHUNK_CHARS if piece < last else None
                    known[first + piece] = count(text[piece * CHUNK_CHARS : stop])
        return known
