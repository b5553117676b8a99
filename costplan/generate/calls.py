"""One generated call and the conversation it belongs to: messages, exact token counts, identities of its prefixes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from costplan.generate.language import Meaning
from costplan.scenario.spec import CallSpec
from costplan.tokens import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY

Kind = Literal["fresh", "exact", "respelled", "paraphrase", "trap", "follow_up", "step"]
REPEATS: tuple[Kind, ...] = ("exact", "respelled", "paraphrase", "trap")


@dataclass(frozen=True, slots=True)
class End:
    """A prompt up to the end of one of its messages."""

    key: int
    """Identity of all text up to here, within one run."""
    tokens: int
    clean_tokens: int
    """The same without padding."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A call of the product with what is the same in all its prompts."""

    index: int
    spec: CallSpec
    system: str
    tools: list[dict[str, Any]]
    start: End
    """The end of system prompt and tools."""
    count: Callable[[str], int]
    """Tokens of a text."""


class Base(NamedTuple):
    """What a prompt repeats or imitates: the number of the request, its text and meaning."""

    number: int
    text: str
    meaning: Meaning


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a user (or a tool) says."""

    site: Site
    kind: Kind
    text: str
    clean: str
    """The text without padding."""
    spelling: str = ""
    """The text of which this one is another spelling; itself otherwise."""
    meaning: Meaning | None = None
    wording: int = 0
    base: Base | None = None
    about_now: bool = False
    number: int = -1
    """Of the request that asked it first."""
    tokens: int = field(init=False)
    clean_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.spelling = self.spelling or self.text
        self.tokens = self.site.count(self.text)
        self.clean_tokens = self.tokens if self.clean == self.text else self.site.count(self.clean)

    @property
    def level(self) -> int:
        """Complexity, 1 to 5."""
        return self.meaning.level if self.meaning else 1


@dataclass(slots=True, eq=False)
class Conversation:
    """Messages so far; every call sends all of them."""

    site: Site
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    ends: list[End] = field(default_factory=list[End])

    def __post_init__(self) -> None:
        if self.site.system:
            self.messages.append({"role": "system", "content": self.site.system})
        self.ends.append(self.site.start)

    def ask(self, turn: Turn, **message: Any) -> Turn:
        """Append what is asked."""
        self.say({**message, "content": turn.text}, turn.text, turn.tokens, turn.clean_tokens)
        return turn

    def say(self, message: dict[str, Any], text: str, tokens: int, clean_tokens: int) -> None:
        """Append a message whose text has so many tokens."""
        last = self.ends[-1]
        self.messages.append(message)
        framed, clean = tokens + TOKENS_PER_MESSAGE, clean_tokens + TOKENS_PER_MESSAGE
        self.ends.append(End(hash((last.key, text)), last.tokens + framed, last.clean_tokens + clean))


@dataclass(slots=True, kw_only=True)
class Call:
    """One request and what came of it."""

    time_ms: int
    """Since the first midnight."""
    session: int
    user: int
    turn: Turn
    messages: tuple[dict[str, Any], ...]
    ends: tuple[End, ...]
    """Of tools and system prompt, then of every message."""
    answer: dict[str, Any]
    """The message of the model; empty where the call failed."""
    output_tokens: int
    status: int
    latency_ms: int
    ttft_ms: int
    batch: bool
    good: bool
    """Whether the answer is good; likewise what the cheaper model would have given."""
    cheap_good: bool
    cached_tokens: int = 0
    """Of the prompt, read from the provider's cache according to the log."""
    number: int = -1
    """Of the line."""

    @property
    def site(self) -> Site:
        return self.turn.site

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def input_tokens(self) -> int:
        return self.ends[-1].tokens + TOKENS_PER_REPLY

    @property
    def clean_input_tokens(self) -> int:
        """Prompt tokens without padding."""
        return self.ends[-1].clean_tokens + TOKENS_PER_REPLY

    @property
    def is_step(self) -> bool:
        """The answer is a tool call, or the prompt ends with what a tool returned."""
        return self.turn.kind == "step" or "tool_calls" in self.answer
