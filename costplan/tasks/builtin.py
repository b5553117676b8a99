"""The built-in tasks: five strata of four levels, drawn from a fixed seed; it has not seen the answer of any model.

The lowest levels are meant for models of 100 million parameters, hence the examples in front of each question. They are
the same in every task of a level, so that a server reads them once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from costplan.errors import UsageError
from costplan.profiles import profile_path, read_yaml, words
from costplan.tasks.task import Constraints, Exact, Grader, JsonSchema, Message, Numeric, Task

MOST = 600
"""Samples of a stratum; all of them differ."""
_SEED = "costplan tasks 1"
"""Raise it when a task changes: runs of different tasks must not be compared."""
_EXAMPLES = 3
_NAME = Exact(ignore_case=True, ignore_ends=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    question: str
    answer: str
    """Right, as the examples show it; expected where the grader asks for that."""
    grader: Grader
    chance: float = 0.0
    max_tokens: int = 32


@cache
def _words(kind: str) -> tuple[str, ...]:
    return words(read_yaml(profile_path("tasks", "words.yaml")), kind)


def _number(question: str, answer: int) -> _Drawn:
    return _Drawn(question=question, answer=str(answer), grader=Numeric())


def _small_sum(rng: Random) -> _Drawn:
    a, b = rng.randint(1, 20), rng.randint(1, 9)
    return _number(f"{a} + {b} =", a + b)


def _sum(rng: Random) -> _Drawn:
    a, b = rng.randint(21, 99), rng.randint(2, 30)
    return _number(f"{a} + {b} =", a + b)


def _difference(rng: Random) -> _Drawn:
    a, b = rng.randint(20, 99), rng.randint(2, 19)
    return _number(f"{a} - {b} =", a - b)


def _product(rng: Random) -> _Drawn:
    a, b = rng.randint(2, 30), rng.randint(2, 9)
    return _number(f"{a} * {b} =", a * b)


def _repeat(rng: Random) -> _Drawn:
    said = " ".join(rng.sample(_words("things"), 2))
    return _Drawn(question=f"Repeat: {said}", answer=said, grader=Exact())


def _commas(rng: Random) -> _Drawn:
    said = rng.sample(_words("things"), 3)
    return _Drawn(question=f"Put commas between the words: {' '.join(said)}", answer=", ".join(said), grader=Exact())


def _capitals(rng: Random) -> _Drawn:
    said = " ".join(rng.sample(_words("things"), 2))
    return _Drawn(question=f"Write in capital letters: {said}", answer=said.upper(), grader=Exact())


def _json(rng: Random) -> _Drawn:
    name, age, city = rng.choice(_words("names")), rng.randint(18, 80), rng.choice(_words("cities"))
    values = {"name": name, "age": age, "city": city}
    schema = {
        "type": "object", "properties": {key: {"const": value} for key, value in values.items()},
        "required": list(values), "additionalProperties": False,
    }  # fmt: skip
    answer = f'{{"name": "{name}", "age": {age}, "city": "{city}"}}'
    question = f"Write as JSON: {name} is {age} years old and lives in {city}."
    return _Drawn(question=question, answer=answer, grader=JsonSchema(schema=schema), max_tokens=64)


def _one_step(rng: Random) -> _Drawn:
    name, what, a, b = (
        rng.choice(_words("names")),
        rng.choice(_words("countable")),
        rng.randint(2, 9),
        rng.randint(1, 5),
    )
    return _number(f"{name} has {a} {what} and buys {b} more. How many {what} does {name} have?", a + b)


def _two_steps(rng: Random) -> _Drawn:
    name, what = rng.choice(_words("names")), rng.choice(_words("countable"))
    a, b, c = rng.randint(5, 12), rng.randint(2, 6), rng.randint(1, 4)
    story = f"{name} has {a} {what}, buys {b} more and gives away {c}."
    return _number(f"{story} How many {what} does {name} have?", a + b - c)


def _order(rng: Random) -> _Drawn:
    first, second, third = rng.sample(_words("names"), 3)
    said = [f"{first} is taller than {second}.", f"{second} is taller than {third}."]
    rng.shuffle(said)
    question = f"{' '.join(said)} Who is the tallest?"
    return _Drawn(question=question, answer=first, grader=_NAME, chance=1 / 3)


def _three_steps(rng: Random) -> _Drawn:
    name, what = rng.choice(_words("names")), rng.choice(_words("countable"))
    boxes, each, lost, found = rng.randint(2, 6), rng.randint(3, 9), rng.randint(1, 4), rng.randint(2, 9)
    story = f"{name} has {boxes} bags of {each} {what}, loses {lost} of them and finds {found}."
    return _number(f"{story} How many {what} does {name} have?", boxes * each - lost + found)


def _one_value(rng: Random) -> _Drawn:
    thing, code = rng.choice(_words("things")), rng.randint(1000, 9999)
    return _number(f"The code of the {thing} is {code}. What is the code of the {thing}?", code)


def _one_of_three(rng: Random) -> _Drawn:
    things, prices = rng.sample(_words("things"), 3), rng.sample(range(11, 99), 3)
    told = " ".join(f"The {thing} costs {price} dollars." for thing, price in zip(things, prices, strict=True))
    wanted = rng.randrange(3)
    return _number(f"{told} How much is the {things[wanted]}?", prices[wanted])


def _city(rng: Random) -> _Drawn:
    name, thing, city = rng.choice(_words("names")), rng.choice(_words("things")), rng.choice(_words("cities"))
    question = f"{name} moved to {city} last year and bought a new {thing} there. Which city did {name} move to?"
    return _Drawn(question=question, answer=city, grader=_NAME)


def _order_number(rng: Random) -> _Drawn:
    name, city, thing = rng.choice(_words("names")), rng.choice(_words("cities")), rng.choice(_words("things"))
    order, day = f"{rng.choice('ABCDEFGH')}{rng.randint(100, 999)}-{rng.randint(10, 99)}", rng.randint(1, 28)
    mail = (
        f"Dear team, my name is {name} and I live in {city}. On May {day} I ordered a {thing}, order number {order}. "
        "It has not arrived yet. Please call me at 555-0142."
    )
    return _Drawn(question=f"{mail}\nWhat is the order number?", answer=order, grader=_NAME)


def _writing(question: str, answer: str, most: int, *mention: str, least: int = 4, tokens: int = 64) -> _Drawn:
    grader = Constraints(min_words=least, max_words=most, mention=mention)
    return _Drawn(question=question, answer=answer, grader=grader, max_tokens=tokens)


def _sentence(rng: Random) -> _Drawn:
    thing, name = rng.choice(_words("things")), rng.choice(_words("names"))
    return _writing(f"Write one sentence about {name} and a {thing}.", f"{name} saw a {thing} this morning.", 30, thing)


def _two_words(rng: Random) -> _Drawn:
    a, b = rng.sample(_words("things"), 2)
    answer = f"There is a {a} next to the {b}."
    return _writing(f"Write one sentence with the words {a} and {b}.", answer, 30, a, b)


def _three_words(rng: Random) -> _Drawn:
    a, b, c = rng.sample(_words("things"), 3)
    answer = f"The {a} was old, and so was the {b}. Nobody wanted the {c}."
    return _writing(f"Write two sentences with the words {a}, {b} and {c}.", answer, 50, a, b, c, least=8, tokens=96)


def _story(rng: Random) -> _Drawn:
    name, city, a, b = rng.choice(_words("names")), rng.choice(_words("cities")), *rng.sample(_words("things"), 2)
    question = f"Write a story of 30 to 80 words about {name} in {city}, with a {a} and a {b}."
    answer = (
        f"{name} came to {city} on a cold morning. In the street stood an old man with a {a}. He wanted to give it "
        f"away for a {b}. {name} laughed, found one at home, and both were happy for the rest of the day."
    )
    return _writing(question, answer, 100, name, city, a, b, least=20, tokens=192)


_STRATA: dict[str, tuple[Callable[[Random], _Drawn], ...]] = {
    "arithmetic": (_small_sum, _sum, _difference, _product),
    "format": (_repeat, _commas, _capitals, _json),
    "reasoning": (_one_step, _two_steps, _order, _three_steps),
    "extraction": (_one_value, _one_of_three, _city, _order_number),
    "writing": (_sentence, _two_words, _three_words, _story),
}


def builtin_tasks(samples: int) -> list[Task]:
    """So many of each stratum, levels in turn; the first tasks of a longer list are those of a shorter one."""
    if not 1 <= samples <= MOST:
        raise UsageError(f"{samples} samples: there are 1 to {MOST} of each stratum", hint=f"--samples {MOST}")
    rows: list[list[Task]] = []
    for stratum, levels in _STRATA.items():
        drawn = [_level(stratum, level, draw) for level, draw in enumerate(levels, 1)]
        rows.append([drawn[index % len(drawn)][index // len(drawn)] for index in range(samples)])
    return [task for tasks in zip(*rows, strict=True) for task in tasks]


@cache
def _level(stratum: str, level: int, draw: Callable[[Random], _Drawn]) -> tuple[Task, ...]:
    """All tasks of a level; its first draws are the examples."""
    rng, seen = Random(f"{_SEED} {stratum} {level}"), dict[str, _Drawn]()
    while len(seen) < MOST // 4 + _EXAMPLES:
        drawn = draw(rng)
        seen.setdefault(drawn.question, drawn)
    shown, asked = list(seen.values())[:_EXAMPLES], list(seen.values())[_EXAMPLES:]
    before = [
        message
        for each in shown
        for message in (Message(role="user", content=each.question), Message(role="assistant", content=each.answer))
    ]
    return tuple(
        Task(
            id=f"{stratum}-{level}-{index:03}", stratum=stratum, level=level, grader=each.grader, chance=each.chance,
            messages=(*before, Message(role="user", content=each.question)), max_tokens=each.max_tokens,
            expected=() if isinstance(each.grader, JsonSchema | Constraints) else (each.answer,),
        )
        for index, each in enumerate(asked)
    )  # fmt: skip
