"""An answer and its task -> a score from 0 to 1; answers are hostile, so every grader is bounded in time and size.

It knows neither models nor statistics. A grader that could not do its work raises Ungraded: that is no score.
"""

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any, cast

import msgspec

from costplan.errors import CostplanError
from costplan.tasks.task import Command, Constraints, Exact, JsonSchema, Numeric, Regex, Similarity, Task

REGEX_TIMEOUT_S = 0.25
COMMAND_TIMEOUT_S = 30.0
MOST_CHARACTERS = 100_000
"""Of an answer that are looked at; a loop of a hundred thousand characters does not get better after that."""
_ENDS = " \t\n\r.\"'`*()[]“”‘’"
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\d+(?:\.\d+)?")
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)


class Ungraded(Exception):
    """Why there is no score, in a few words."""


def grade(task: Task, answer: str, command: Sequence[str] = ()) -> float:
    """Right or wrong is 1 or 0. `command` is what `grader: command` runs. Raises Ungraded."""
    answer = answer[:MOST_CHARACTERS]
    match task.grader:
        case Exact() as how:
            return float(any(_normal(answer, how) == _normal(each, how) for each in task.expected))
        case Numeric(tolerance=tolerance):
            found = last_number(answer)
            return float(found is not None and any(abs(found - float(each)) <= tolerance for each in task.expected))
        case Regex() as how:
            return float(_matches(how, answer))
        case JsonSchema(schema=schema):
            return float(_fits(schema, answer))
        case Similarity() as how:
            alike = token_f1 if how.metric == "f1" else cosine
            best = max(alike(answer, each) for each in task.expected)
            return best if how.threshold is None else float(best >= how.threshold)
        case Constraints() as how:
            return float(_holds(how, answer))
        case Command():
            return _asked(command, task, answer)


def _normal(text: str, how: Exact) -> str:
    text = " ".join(text.split())
    text = text.strip(_ENDS) if how.ignore_ends else text
    return text.casefold() if how.ignore_case else text


def last_number(text: str) -> float | None:
    """1234.5 in `... so it is $1,234.50.`; a minus counts where no word or number stands before it."""
    found = _NUMBER.findall(text[-4000:])
    return float(found[-1].replace(",", "").replace("−", "-")) if found else None


def _matches(how: Regex, answer: str) -> bool:
    import regex

    pattern = regex.compile(how.pattern, regex.IGNORECASE if how.ignore_case else 0)
    try:
        return bool((pattern.fullmatch if how.whole else pattern.search)(answer, timeout=REGEX_TIMEOUT_S))
    except TimeoutError:
        raise Ungraded("regex timeout") from None


def _fits(schema: dict[str, Any], answer: str) -> bool:
    fenced = _FENCE.search(answer)
    try:
        value = msgspec.json.decode(fenced[1] if fenced else answer.strip())
        return _validator(msgspec.json.encode(schema)).is_valid(value)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    except RecursionError:
        raise Ungraded("JSON too deep") from None
    except TimeoutError:
        raise Ungraded("regex timeout") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("jsonschema", "referencing"):
            raise
        raise CostplanError("a JSON schema among the tasks cannot be used", hint="check `schema:` and $ref") from None


@cache
def _validator(schema: bytes) -> Any:
    """jsonschema without a network (`$ref` elsewhere fails) and with patterns that can be stopped."""
    import jsonschema
    import referencing
    import regex
    from jsonschema import validators

    def pattern(_validator: Any, wanted: str, instance: Any, _schema: Any) -> Any:
        if isinstance(instance, str) and not regex.search(wanted, instance, timeout=REGEX_TIMEOUT_S):
            yield jsonschema.ValidationError("pattern")

    kind = cast(Any, validators).extend(jsonschema.Draft202012Validator, {"pattern": pattern})
    return kind(msgspec.json.decode(schema), registry=cast(Any, referencing).Registry())


def words(text: str) -> list[str]:
    """Lower-case words and numbers."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold())


def token_f1(answer: str, expected: str) -> float:
    """F1 of the words in common, counted as often as they occur (Rajpurkar et al. 2016, SQuAD)."""
    given, wanted = Counter(words(answer)), Counter(words(expected))
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def cosine(answer: str, expected: str) -> float:
    """Of static word embeddings, negative ones as 0; empty texts are like nothing."""
    import numpy as np

    from costplan.gate.embed import embed

    a, b = embed(answer), embed(expected)
    return float(np.clip(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12), 0.0, 1.0))


def _holds(how: Constraints, answer: str) -> bool:
    said = words(answer)
    text = " " + " ".join(said)

    def mentions(phrase: str) -> bool:
        return f" {' '.join(words(phrase))}" in text  # also `keys` for `key`

    enough = how.min_words <= len(said) and (how.max_words is None or len(said) <= how.max_words)
    named = all(map(mentions, how.mention)) and not any(map(mentions, how.avoid))
    return enough and named and (how.repetition or not goes_in_circles(said))


def goes_in_circles(said: list[str]) -> bool:
    """Fewer than half of the sequences of three words are new; short answers may repeat themselves."""
    triples = list(zip(said, said[1:], said[2:], strict=False))
    return len(triples) >= 12 and len(set(triples)) < len(triples) / 2


def _asked(command: Sequence[str], task: Task, answer: str) -> float:
    """The user's own program: JSON on stdin, a number from 0 to 1 on stdout; no shell, and a time limit."""
    if not command:
        hint = '--grader-command "python grade.py"'
        raise CostplanError("a task has `grader: command`, and no command is given", hint=hint)
    given = msgspec.json.encode({"task": task, "answer": answer})
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise CostplanError(f"--grader-command: {error.strerror}", hint="name a program that can be run") from None
    try:
        said, _ = process.communicate(given, timeout=COMMAND_TIMEOUT_S)
        score = float(said[:100])
    except subprocess.TimeoutExpired:
        raise Ungraded("grader timeout") from None
    except ValueError:
        raise Ungraded("grader gave no number") from None
    finally:
        _end(process)
    if process.returncode or not 0 <= score <= 1:
        raise Ungraded("grader failed" if process.returncode else "grader's score is not from 0 to 1")
    return score


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and whatever it started: a child that holds the pipes would keep us waiting."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
