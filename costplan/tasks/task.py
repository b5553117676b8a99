"""A task: messages, what the answer is held against and how; it grades nothing and knows no model."""

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant"]


class _Grader(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="kind"):
    """What graders have in common: a key that is not known is a mistake, and `kind` names the grader."""


class Exact(_Grader, frozen=True, kw_only=True, tag="exact"):
    """The answer is one of the expected texts, once white space is normalised."""

    ignore_case: bool = False
    ignore_ends: bool = False
    """Quotes, brackets and full stops around the answer do not count."""


class Numeric(_Grader, frozen=True, kw_only=True, tag="numeric"):
    """The last number in the answer is one of the expected ones."""

    tolerance: float = 0.0
    """Absolute."""


class Regex(_Grader, frozen=True, kw_only=True, tag="regex"):
    """The pattern is found in the answer."""

    pattern: str
    ignore_case: bool = False
    whole: bool = False
    """The whole answer has to match."""


class JsonSchema(_Grader, frozen=True, kw_only=True, tag="json_schema"):
    """The JSON in the answer (in a code fence, or all of it) fits the schema; `$ref` is not followed elsewhere."""

    schema: dict[str, Any]


class Similarity(_Grader, frozen=True, kw_only=True, tag="similarity"):
    """Likeness to the best of the expected texts: F1 of the words, or cosine of static embeddings."""

    metric: Literal["f1", "embedding"] = "f1"
    threshold: float | None = None
    """Right from here on; without it the likeness itself is the score."""


class Constraints(_Grader, frozen=True, kw_only=True, tag="constraints"):
    """Open writing: what can be checked without taste; right when all of it holds."""

    min_words: int = 1
    max_words: int | None = None
    mention: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    repetition: bool = False
    """True: an answer that goes round in circles is no fault."""


class Command(_Grader, frozen=True, kw_only=True, tag="command"):
    """The command line that the user gave with --grader-command says the score; a task file never names one."""


Grader = Exact | Numeric | Regex | JsonSchema | Similarity | Constraints | Command
NEEDS_EXPECTED = Exact | Numeric | Similarity


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Role
    content: str


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One sample of a stratum."""

    id: str
    stratum: str
    level: int = 1
    """Difficulty within the stratum, 1 = easiest."""
    messages: tuple[Message, ...]
    """As in an OpenAI chat request."""
    grader: Grader
    expected: tuple[str, ...] = ()
    """Any of these is right."""
    max_tokens: int = 256
    chance: float = 0.0
    """Score of guessing."""
    call_site: str | None = None


def task_line(task: Task) -> bytes:
    """One line of tasks.jsonl, which `load_tasks` reads again."""
    return msgspec.json.encode(task) + b"\n"
