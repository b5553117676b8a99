"""One request -> the tokens that each rung would take out of its prompt, and where; it knows no prices.

Pure and deterministic: a text's edits depend on the text and on what stands before it in the request, never on what
follows, so a block that is sent again is edited alike and a cached prefix stays shared. Clearing old tool results is
the exception (`rewritten_from`). A text that no rung can shorten is not tokenised.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from costplan.compression.exact import exact as exactly
from costplan.compression.exact import long_blocks, without_repeats
from costplan.compression.lossy import compressible, question_of
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
_MEMO_CHARS = 16_000_000
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
    def lossy_tokens(self) -> int:
        return self.tokens("lossy")

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
    keep: float | None = None, thin: Callable[[str, str], str] | None = None,
    roles: frozenset[str] = DEFAULT_ROLES, rungs: Iterable[Rung] = RUNGS, clearing: Clearing | None = None,
    watch: Watch | None = None,
) -> Saved:  # fmt: skip
    """What would be taken out of a request.

    Args:
        messages: the prompt, in order.
        encoding: vocabulary that counts (`tokens.encoding_of`).
        exact: whether it is the model's own.
        tools: tool definitions; they stand before the messages and are never rewritten.
        input_tokens: as reported; decides whether old tool results are cleared (default: what is counted here).
        keep: target share of the tokens of long prose: `lossy_tokens` without looking for the words that go.
        thin: text and question -> shorter text: the rung is really tried. Default of both: it is left out.
        roles: whose texts are rewritten.
        rungs: which ones are climbed.
        clearing: when old tool results are cleared (default: as Anthropic's server does).
        watch: is told of every text that changes: rung, before, after, tokens saved.
    """
    clearing = clearing or Clearing()
    pieces = pieces_of(messages)
    texts = [piece.text for piece in pieces]
    editable = [not piece.fixed and piece.role in roles for piece in pieces]
    places = [place for place, may in enumerate(editable) if may]
    neat = list(texts)
    repeats, tables = False, False
    if "exact" in rungs:
        for place in places:
            neat[place] = _exact(texts[place], encoding)
        blocks = [_blocks(text, encoding) for text in neat]
        repeats = any(len(set(some)) < len(some) for some in blocks) or _meet(blocks)
    if "reformat" in rungs:
        tables = any("},{" in neat[place] for place in places)
    known = "repeats" in rungs and _meet(_units(text, encoding) for text in neat)
    size = sum(map(len, texts)) if input_tokens is None else input_tokens
    may_clear = "tool_results" in rungs and size > clearing.trigger_tokens and any(p.role == "tool" for p in pieces)
    lossy = "lossy" in rungs and (keep is not None or thin is not None)
    if not (repeats or tables or known or may_clear or lossy) and neat == texts:
        return Saved()
    count = counter(encoding)
    prompt = _Prompt(pieces, [count(text) for text in texts], count(_text(tools)) if tools else 0, count, watch)
    if input_tokens is not None:
        own = exact or any(piece.fixed and not piece.text for piece in pieces)
        prompt.total = max(prompt.total, input_tokens if own else int(input_tokens / MAX_SCALE))
    if repeats:
        neat = _shorter(neat, without_repeats(neat, editable), count)
    prompt.change("exact", neat)
    if tables:
        for place in places:
            neat[place] = _table(neat[place], encoding)
        prompt.change("reformat", neat)
    if known:
        prompt.change("repeats", _shorter(prompt.texts, without_known_units(prompt.texts, editable), count))
    rewritten = prompt.clear(clearing, input_tokens) if may_clear else None
    if thin is not None and lossy:
        prompt.change("lossy", _thinned(pieces, prompt.texts, editable, thin, count))
    elif keep is not None and lossy:
        prompt.thin(keep, editable)
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
        self.tokens = list(tokens)
        self.cuts: list[Cut] = []
        self._sent = list(tokens)
        self._starts: list[int] = []
        for each in tokens:
            self._starts.append(before)
            before += each
        self.total = before + TOKENS_PER_MESSAGE * (pieces[-1].message + 1 if pieces else 0) + TOKENS_PER_REPLY

    def change(self, rung: Rung, texts: list[str]) -> None:
        """Go on with other texts; each has been checked to be no longer in tokens than the one it stands for."""
        for number, (old, new) in enumerate(zip(self.texts, texts, strict=True)):
            if new != old:
                self._change(rung, number, new, _first_change(old, new) / max(1, len(old)))

    def _change(self, rung: Rung, number: int, new: str, share_before: float) -> None:
        tokens = self.tokens[number] - self.count(new)
        if tokens > 0:
            if self._watch:
                self._watch(rung, self.texts[number], new, tokens)
            self._cut(rung, number, tokens, share_before)
            self.texts[number], self.tokens[number] = new, self.tokens[number] - tokens

    def clear(self, clearing: Clearing, input_tokens: int | None) -> int | None:
        """Clear old tool results; the token where the prompt differs from what the request before sent."""
        scale = self.total / input_tokens if input_tokens else 1.0
        trigger = Clearing(int(clearing.trigger_tokens * scale) - (self.total - sum(self._sent)), clearing.keep_results)
        gone, first = cleared(self.pieces, self._sent, trigger)
        for number in gone:
            self._change("tool_results", number, PLACEHOLDER, 0.0)
        return None if first is None else self._starts[first]

    def thin(self, keep: float, editable: list[bool]) -> None:
        """Take long prose down to a share of its tokens, without saying which words."""
        for number, text in enumerate(self.texts):
            blocks = compressible(text) if editable[number] else []
            tokens = sum(self.count(text[start:end]) for start, end in blocks)
            if tokens > int(keep * tokens):
                self._cut("lossy", number, tokens - int(keep * tokens), blocks[0][0] / len(text))

    def _cut(self, rung: Rung, number: int, tokens: int, share_before: float) -> None:
        start, sent = self._starts[number], self._sent[number]
        self.cuts.append(Cut(rung, self.pieces[number].role, start + int(share_before * sent), start + sent, tokens))


def _thinned(
    pieces: list[Piece], texts: list[str], editable: list[bool], thin: Callable[[str, str], str],
    count: Callable[[str], int],
) -> list[str]:  # fmt: skip
    """The texts with less prose; the question to a text is its own, else that of the user's turn before."""
    found: list[str] = []
    question = ""
    for piece, text, may_change in zip(pieces, texts, editable, strict=True):
        question = (question_of(text) if piece.role == "user" else "") or question
        found.append(thin(text, question) if may_change else text)
    return _shorter(texts, found, count)


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
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _meet(hashes: Iterable[tuple[int, ...]]) -> bool:
    """Whether two texts share a hash."""
    seen: set[int] = set()
    for some in hashes:
        if not seen.isdisjoint(some):
            return True
        seen.update(some)
    return False


def _text(tools: Any) -> str:
    return tools if isinstance(tools, str) else pieces_of([Message("tools", None, tools)])[0].text


def _remembered(compute: Callable[[str, str], _Found]) -> Callable[[str, str], _Found]:
    """Remember what was found for a text in a vocabulary, up to a total length of texts."""
    memo: dict[tuple[str, str], _Found] = {}
    held = 0

    def remembered(text: str, encoding: str) -> _Found:
        nonlocal held
        found = memo.get((text, encoding))
        if found is None:
            held += len(text)
            if held > _MEMO_CHARS:
                memo.clear()
                held = len(text)
            found = memo[text, encoding] = compute(text, encoding)
        return found

    return remembered


@_remembered
def _exact(text: str, encoding: str) -> str:
    return _shorter([text], [exactly(text)], counter(encoding))[0]


@_remembered
def _table(text: str, encoding: str) -> str:
    count = counter(encoding)
    return _shorter([text], [reformatted(text, count)], count)[0]


@_remembered
def _blocks(text: str, encoding: str) -> tuple[int, ...]:
    return long_blocks(text)


@_remembered
def _units(text: str, encoding: str) -> tuple[int, ...]:
    return long_units(text)
