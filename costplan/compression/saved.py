"""One request -> the tokens that each rung would take out of its prompt, and where; it knows no prices.

Pure and deterministic: a text's edits depend on the text and on what stands before it in the request, never on what
follows, so a block that is sent again is edited alike and a cached prefix stays shared. Clearing old tool results is
the exception (`rewritten_from`). A text that no rung can shorten is not tokenised.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, TypeVar

from costplan.compression.exact import exact as exactly
from costplan.compression.exact import long_blocks, without_repeats
from costplan.compression.lossy import question_of
from costplan.compression.pieces import DEFAULT_ROLES, Piece, pieces_of
from costplan.compression.structural import PLACEHOLDER, Clearing, cleared, long_units, without_known_units
from costplan.compression.table import reformatted
from costplan.tokens import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY, counter
from costplan.trace import Message

Rung = Literal["exact", "reformat", "repeats", "tool_results", "lossy"]
LOSSLESS: tuple[Rung, ...] = ("exact", "reformat")
STRUCTURAL: tuple[Rung, ...] = ("repeats", "tool_results")
RUNGS: tuple[Rung, ...] = (*LOSSLESS, *STRUCTURAL, "lossy")
Watch = Callable[[Rung, str, str, int], None]
MAX_SCALE = 1.6
"""Most tokens of another vendor's vocabulary per token counted here; what is reported beyond is not text."""
_REMEMBERED_CHARS = 131_072
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Cut:
    """Tokens that a rung takes out of the prompt's tokens `start` to `end`, counted in the prompt as it was sent."""

    rung: Rung
    role: str
    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What the rungs take out of one prompt, each on top of those before it. All tokens in the given vocabulary."""

    prompt_tokens: int = 0
    """Of texts, tools and chat framing, and what else the reported tokens hold where the vocabulary is the model's own
    (pictures, hidden instructions); 0 where no rung changes anything: nobody counted."""
    cuts: tuple[Cut, ...] = ()
    rewritten_from: int | None = None
    """From this token on the prompt differs from the one a cache would hold: a tool result was cleared there that the
    request before still held."""

    def tokens(self, *rungs: Rung) -> int:
        """Tokens that these rungs take out."""
        return sum(cut.tokens for cut in self.cuts if cut.rung in rungs)

    @property
    def lossless_tokens(self) -> int:
        return self.tokens(*LOSSLESS)

    @property
    def structural_tokens(self) -> int:
        return self.tokens(*STRUCTURAL)

    @property
    def first_changed_token(self) -> int | None:
        return min((cut.start for cut in self.cuts), default=None)


@dataclass(frozen=True, slots=True)
class Priced:
    """Tokens by what was paid for them: fresh input, cache reads, cache writes. Fractions: they are scaled."""

    fresh: float = 0.0
    read: float = 0.0
    write: float = 0.0


def saved(
    messages: list[Message], encoding: str, *, exact: bool = False, tools: Any = None, input_tokens: int | None = None,
    thin: Callable[[str, str], str] | None = None, roles: frozenset[str] = DEFAULT_ROLES,
    rungs: Iterable[Rung] = RUNGS, clearing: Clearing | None = None, watch: Watch | None = None,
) -> Saved:  # fmt: skip
    """What would be taken out of a request.

    Args:
        messages: the prompt, in order.
        encoding: vocabulary that counts (`tokens.encoding_of`).
        exact: whether it is the model's own.
        tools: tool definitions; they stand before the messages and are never rewritten.
        input_tokens: as reported; decides whether old tool results are cleared (default: what is counted here).
        thin: text and question -> shorter text, the lossy rung (default: it is left out).
        roles: whose texts are rewritten.
        rungs: which ones are climbed.
        clearing: when old tool results are cleared (default: as Anthropic's server does).
        watch: is told of every text that changes: rung, before, after, tokens saved.
    """
    clearing = clearing or Clearing()
    pieces = pieces_of(messages)
    texts = [piece.text for piece in pieces]
    editable = [not piece.fixed and piece.role in roles for piece in pieces]
    vocabularies = [encoding if may and "exact" in rungs else "" for may in editable]
    facts = list(map(_facts, texts, vocabularies))
    neat = [text for text, _, _ in facts]
    repeats = "exact" in rungs and _come_again([blocks for _, blocks, _ in facts])
    known = "repeats" in rungs and _come_again([units for _, _, units in facts])
    tables = "reformat" in rungs and any("},{" in text for text, may in zip(neat, editable, strict=True) if may)
    size = sum(map(len, texts)) if input_tokens is None else input_tokens
    may_clear = "tool_results" in rungs and size > clearing.trigger_tokens and any(p.role == "tool" for p in pieces)
    if not (repeats or tables or known or may_clear or thin) and neat == texts:
        return Saved()
    count = counter(encoding)
    prompt = _Prompt(pieces, [count(text) for text in texts], count(_text(tools)) if tools else 0, count, watch)
    if input_tokens is not None:
        own = exact or any(piece.fixed and not piece.text for piece in pieces)
        prompt.total = max(prompt.total, input_tokens if own else int(input_tokens / MAX_SCALE))
    gone, rewritten = prompt.cleared(clearing, input_tokens) if may_clear else (set[int](), None)
    prompt.change("exact", _shorter(neat, without_repeats(neat, editable, gone), count) if repeats else neat)
    if tables:
        pairs = zip(prompt.texts, editable, strict=True)
        prompt.change("reformat", [_tabled(text, encoding) if may else text for text, may in pairs])
    if known:
        prompt.change("repeats", without_known_units(prompt.texts, editable, gone))
    prompt.change("tool_results", [PLACEHOLDER if n in gone else text for n, text in enumerate(prompt.texts)])
    if thin is not None and "lossy" in rungs:
        prompt.change("lossy", _thinned(prompt.texts, pieces, editable, thin))
    return Saved(prompt.total, tuple(prompt.cuts), rewritten)


def by_price(found: Saved, rungs: Iterable[Rung], input_tokens: int, cache_read: int, cache_write: int) -> Priced:
    """What was paid for the tokens that some rungs take out; all tokens as reported, the input inclusive of the cache.

    The cached prefix comes first, then what was written to the cache, then fresh input; a cut's tokens are taken to be
    spread evenly over the place it comes from, and counted tokens are scaled to those reported.
    """
    scale = input_tokens / found.prompt_tokens if found.prompt_tokens else 0.0
    ends = (0.0, float(cache_read), float(cache_read + cache_write), float(input_tokens))
    sums = [0.0, 0.0, 0.0]
    for cut in found.cuts:
        if cut.rung in rungs:
            start, end = cut.start * scale, max(cut.end * scale, cut.start * scale + 1e-9)
            for part in range(3):
                shared = min(end, ends[part + 1]) - max(start, ends[part])
                sums[part] += cut.tokens * scale * max(0.0, shared) / (end - start)
    return Priced(fresh=sums[2], read=sums[0], write=sums[1])


def lost_reads(found: Saved, input_tokens: int, cache_read: int) -> float:
    """Reported cache reads that stay in the prompt but are no longer shared with the request before: they are paid
    for as new input, once."""
    if found.rewritten_from is None or not found.prompt_tokens:
        return 0.0
    scale = input_tokens / found.prompt_tokens
    start = found.rewritten_from * scale
    tail = Saved(found.prompt_tokens, tuple(cut for cut in found.cuts if cut.start >= found.rewritten_from))
    gone = by_price(tail, (*LOSSLESS, *STRUCTURAL), input_tokens, cache_read, 0).read
    return max(0.0, cache_read - start - gone)


class _Prompt:
    """A prompt on its way through the rungs."""

    def __init__(
        self, pieces: list[Piece], tokens: list[int], before: int, count: Callable[[str], int], watch: Watch | None
    ) -> None:
        self.pieces, self.count, self._watch = pieces, count, watch
        self.texts = [piece.text for piece in pieces]
        self.tokens, self._sent = list(tokens), tokens
        self.cuts: list[Cut] = []
        self._starts = list(accumulate(tokens, initial=before))
        framing = TOKENS_PER_MESSAGE * (pieces[-1].message + 1 if pieces else 0) + TOKENS_PER_REPLY
        self.total = before + sum(tokens) + framing

    def change(self, rung: Rung, texts: list[str]) -> None:
        """Go on with other texts, as far as they have fewer tokens than those they stand for."""
        for number, (old, new) in enumerate(zip(self.texts, texts, strict=True)):
            tokens = self.tokens[number] - self.count(new) if new != old else 0
            if tokens > 0:
                start, sent = self._starts[number], self._sent[number]
                first = start + sent * _first_change(old, new) // max(1, len(old))
                self.cuts.append(Cut(rung, self.pieces[number].role, first, start + sent, tokens))
                self.texts[number], self.tokens[number] = new, self.tokens[number] - tokens
                if self._watch:
                    self._watch(rung, old, new, tokens)

    def cleared(self, clearing: Clearing, input_tokens: int | None) -> tuple[set[int], int | None]:
        """(texts that are cleared as old tool results, token where that breaks what the request before sent)."""
        scale = self.total / input_tokens if input_tokens else 1.0
        trigger = Clearing(int(clearing.trigger_tokens * scale) - self.total + sum(self._sent), clearing.keep_results)
        gone, first = cleared(self.pieces, self._sent, trigger)
        return set(gone), None if first is None else self._starts[first]


def _thinned(texts: list[str], pieces: list[Piece], editable: list[bool], thin: Callable[[str, str], str]) -> list[str]:
    """The texts with less prose; the question to a text is its own, else that of the user's turn before."""
    question = ""
    found: list[str] = []
    for text, piece, may_change in zip(texts, pieces, editable, strict=True):
        question = (question_of(text) if piece.role == "user" else "") or question
        found.append(thin(text, question) if may_change else text)
    return found


def _shorter(before: list[str], after: list[str], count: Callable[[str], int]) -> list[str]:
    """Per text the one with fewer tokens."""
    return [
        new if new == old or count(new) < count(old) else old for old, new in zip(before, after, strict=True)
    ]  # fmt: skip


def _first_change(before: str, after: str) -> int:
    """Length of the common beginning, by bisection."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        same = before[low:middle] == after[low:middle]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _come_again(hashes: list[tuple[int, ...]]) -> bool:
    """Whether some hash comes twice."""
    seen: set[int] = set()
    for some in hashes:
        before = len(seen)
        seen.update(some)
        if len(seen) < before + len(some):
            return True
    return False


def _text(tools: Any) -> str:
    return tools if isinstance(tools, str) else pieces_of([Message("tools", None, tools)])[0].text


def _by_text(find: Callable[[str, str], _Found]) -> Callable[[str, str], _Found]:
    """Remembers what was found for the last texts, very long ones excepted."""
    remembered = lru_cache(maxsize=2048)(find)
    return lambda text, encoding: (remembered if len(text) <= _REMEMBERED_CHARS else find)(text, encoding)


@_by_text
def _facts(text: str, encoding: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """(text after rung 1, its long blocks, its long units); without a vocabulary the text may not change."""
    neat = _shorter([text], [exactly(text)], counter(encoding))[0] if encoding else text
    return neat, long_blocks(neat), long_units(neat)


@_by_text
def _tabled(text: str, encoding: str) -> str:
    return reformatted(text, counter(encoding))
