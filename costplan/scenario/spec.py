"""What a scenario file may say, with its limits and defaults; neither how it is read nor what follows from it.

`says` is the text of the key in docs/scenarios.md. A Range is written `5` or `{value: 5, low: 4, high: 8}`.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

LEVELS = 5
MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """A number and the plausible range around it."""

    value: float
    low: float
    high: float


ZERO, ONE = Range(0.0, 0.0, 0.0), Range(1.0, 1.0, 1.0)
_TURN = Range(20.0, 20.0, 20.0)
_NEEDED = object()


def _key(says: str, default: Any = _NEEDED, **limits: float) -> Any:
    """A field with its meaning and `low`, `high` (both allowed) or `size`."""
    metadata = {"says": says, **limits}
    return field(metadata=metadata) if default is _NEEDED else field(default=default, metadata=metadata)


def _share(says: str, default: Any = ZERO) -> Any:
    return _key(says, default, low=0, high=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatPrice:
    """A stated price instead of the list price, USD per million tokens."""

    input: float = _key("prompt tokens", low=0)
    output: float = _key("answer tokens", low=0)
    cache_read: float | None = _key("prompt tokens read from the provider's cache (default: as input)", None, low=0)
    cache_write: float | None = _key("prompt tokens written to it (default: as input)", None, low=0)
    batch_discount: float = _share("share off in the batch tier", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How much of it there is."""

    users: Range | None = _key("active users", None, low=0)
    sessions_per_user_day: Range = _key("sessions of one user on one day", ONE, low=0)
    sessions_per_day: Range | None = _key("sessions on one day, instead of users", None, low=0)
    growth_per_month: Range = _key("growth from month to month, as a share", ZERO, low=-1, high=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How the first prompts of sessions at a call repeat; shares of them, the rest is new."""

    exact: Range = _share("share that asks word for word what was asked before")
    respelled: Range = _share("share that differs from an earlier prompt in case, blanks or final punctuation")
    paraphrase: Range = _share("share that asks in other words what was asked before")
    trap: Range = _share("share that looks like an earlier prompt and needs another answer")
    window: int = _key("of the last so many prompts, any may come again", 200, low=1, high=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """Tokens of the documents in the prompts that carry nothing; shares of the documents."""

    json: float = _share("share that are JSON, printed over many lines", 0.0)
    repeated: float = _share("share that hold a long paragraph twice", 0.0)
    blanks: float = _share("share that have blanks at the ends of lines", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheaper:
    """A cheaper model for some of a call's requests."""

    model: str = _key("its name")
    share: Range = _share("share of the requests that may go there; analyze only (a log has `levels`)", ONE)
    output_ratio: Range = _key("its answer's tokens over those of the dearer model", ONE, low=0.01, high=100)
    quality: tuple[float, ...] = _key(
        "probability of a good answer, for complexity 1 to 5", (), low=0, high=1, size=LEVELS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpec:
    """One call of the product."""

    name: str = _key("call site")
    model: str = _key("model")
    per_session: Range = _key("calls in a session; with `history`, its mean", ONE, low=0, high=1000)
    input_tokens: Range = _key("tokens of the first prompt, all in (mean)", low=1, high=MAX_TOKENS)
    output_tokens: Range = _key("tokens of the answer (mean)", low=1, high=MAX_TOKENS)
    prefix_tokens: int = _key("of the prompt, the same in every call: system prompt and tools", 0, low=0)
    repeats: Repeats = _key("how prompts repeat", Repeats())
    padding: Padding = _key("what in the prompts could be left out", Padding())
    batch_share: Range = _share("share of the calls that can wait a day; in a log they carry the tag `batch`")
    levels: tuple[float, ...] = _key(
        "shares of complexity 1 to 5", (1.0, 0.0, 0.0, 0.0, 0.0), low=0, high=1, size=LEVELS
    )
    quality: tuple[float, ...] = _key(
        "probability of a good answer, for complexity 1 to 5", (), low=0, high=1, size=LEVELS
    )
    cheaper: Cheaper | None = _key("a cheaper model", None)
    temperature: float = _key("sampling temperature", 0.0, low=0, high=2)
    stream: bool = _key("answers are streamed", False)
    history: bool = _key("the session's calls are one conversation, sent again every time", False)
    agent: bool = _key("a conversation of tool calls and their results", False)
    loops: float = _share("share of an agent's tool calls that repeat the one before", 0.0)
    tools: int = _key("tool definitions within prefix_tokens", 0, low=0, high=100)
    turn_tokens: Range = _key("tokens of each further question, or tool result, of a conversation (mean)", _TURN, low=1)
    think_s: float = _key("seconds between an answer and the next call (mean)", 60.0, low=0)
    input_cv: float = _key("spread of the prompt's own tokens: standard deviation over mean", 0.4, low=0, high=5)
    output_cv: float = _key("spread of the answer's tokens", 0.4, low=0, high=5)
    about_now: float = _share("share of the prompts that ask about now, so that no answer keeps", 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec:
    """The log that `costplan generate` writes."""

    start: date = _key("first day (UTC)", date(2026, 10, 5))
    days: int = _key("days", 14, low=1, high=3660)
    requests: int = _key("lines", 20_000, low=1)
    users: int = _key("users in it", 1000, low=1, high=100_000_000)
    user_zipf: float = _key("how unequal they are: exponent of Zipf's law", 0.9, low=0, high=3)
    hours: tuple[float, ...] = _key(
        "relative traffic of the 24 hours of a day (UTC)",
        (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 11, 12, 12, 11, 10, 8, 7, 6, 5, 4, 3), low=0, size=24,
    )  # fmt: skip
    weekend: float = _key("traffic of Saturdays and Sundays, that of other days being 1", 1.0, low=0, high=100)
    burst_cv: float = _key("spread of the gaps between sessions: 1 Poisson, above it bursts", 1.0, low=0.1, high=10)
    cached_share: float = _share("chance that a prefix the provider could have read was read, where it caches", 0.0)
    failure_share: float = _share("share of the calls that fail (429 or 500)", 0.0)
    retry_share: float = _share("share of the failed calls that are sent again", 0.7)
    ttft_ms: float = _key("until the first token (mean)", 400.0, low=0)
    ms_per_token: float = _key("for every further token", 12.0, low=0)
    cache_ttl_s: float = _key("life of a stored answer in the planted saving of a response cache", 3600.0, low=1)
    easy_level: int = _key(
        "complexity up to which calls go to the cheaper model in the planted saving", 2, low=0, high=5
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole file."""

    scenario: str = _key("name")
    about: str = _key("what the product does", "")
    source: str = _key("where the numbers come from", "")
    claim: str = _key("what is said of it", "")
    asks: tuple[str, ...] = _key("commands that answer it", ())
    price_date: date | None = _key("prices of this day (default: of the log's last day)", None)
    prices: dict[str, FlatPrice] = field(
        default_factory=dict[str, FlatPrice], metadata={"says": "prices by model, instead of list prices"}
    )
    traffic: Traffic = _key("how much of it there is", Traffic(sessions_per_day=ONE))
    calls: tuple[CallSpec, ...] = _key("the calls of a session, in order")
    log: LogSpec = _key("the log that generate writes", LogSpec())
