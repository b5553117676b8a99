"""Scenario files are read strictly: every mistake names its file and line, and what to write instead."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles import profile_path
from costplan.scenario import Range, Scenario, find_scenario, is_scenario, read_scenario

SHIPPED = sorted(path.stem for path in profile_path("scenarios").glob("*.yaml"))
SMALL = """scenario: small
traffic: {users: {value: 100, low: 50, high: 200}}
calls:
  - name: ask
    model: gpt-4.1
    input_tokens: 300
    output_tokens: 100
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def test_a_small_scenario_takes_defaults_for_the_rest(tmp_path: Path) -> None:
    found = read_scenario(written(tmp_path, SMALL))
    assert found.traffic.users == Range(100, 50, 200)
    assert found.calls[0].input_tokens == Range(300, 300, 300)
    assert (found.calls[0].per_session, found.log.days) == (Range(1, 1, 1), 14)


@pytest.mark.parametrize(
    ("old", "new", "line", "error", "hint"),
    [
        ("model: gpt", "modle: gpt", 5, "unknown key 'modle'", "did you mean 'model'?"),
        ("input_tokens: 300", "input_tokens: many", 6, "'input_tokens' must be a number from 1", "input_tokens: 1"),
        ("input_tokens: 300", "prefix_tokens: 1", 4, "'input_tokens' is missing", "add a line"),
        ("output_tokens: 100", "output_tokens: {value: 5, low: 6, high: 7}", 7, "low <= value <= high", "low: 4"),
        ("output_tokens: 100", "output_tokens: {value: 5}", 7, "'low' is missing", "add a line"),
        ("output_tokens: 100", "output_tokens: 100\n    prefix_tokens: 300", 8, "not less than input_tokens", "counts"),
        ("output_tokens: 100", "output_tokens: 100\n    prefix_tokens: 1.5", 8, "must be a whole number", "2"),
        ("output_tokens: 100", "output_tokens: 100\n    levels: [1, 0]", 8, "a list of 5 numbers", "[...]"),
        ("output_tokens: 100", "output_tokens: 100\n    levels: [1, 1, 0, 0, 0]", 8, "must add up to 1", "0.4"),
        ("output_tokens: 100", "output_tokens: 100\n    repeats: {exact: 0.6, trap: 0.6}", 8, "more than 1", "new"),
        ("output_tokens: 100", "output_tokens: 100\n    repeats: {exat: 0.6}", 8, "unknown key 'exat'", "'exact'"),
        ("output_tokens: 100", "output_tokens: 100\n    repeats: 0.6", 8, "must hold keys and values", "{...}"),
        ("output_tokens: 100", "output_tokens: 100\n    batch_share: 1.2", 8, "from 0 to 1", "batch_share"),
        ("output_tokens: 100", "output_tokens: 100\n    stream: 1", 8, "true or false", "stream: true"),
        ("output_tokens: 100", "output_tokens: 100\n    quality: [1, 1, 1, 1, 1]\n    cheaper: {model: b}", 8,
         "one model only", "under `cheaper`"),
        ("users:", "sessions_per_day: 5, users:", 2, "either users or sessions_per_day", "users: 1000"),
        ("traffic:", "log: {start: soon}\ntraffic:", 2, "'start' must be a date", "2026-10-05"),
        ("traffic:", "log: {hours: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}\ntraffic:",
         2, "no hour has traffic", "24 numbers"),
        ("scenario: small", "scenario: ''", 1, "'scenario' must be text", "scenario"),
        ("calls:\n", "calls:\n  - {name: ask, model: b, input_tokens: 1, output_tokens: 1}\n",
         5, "two calls are named alike", "apart"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line_and_what_to_write(
    tmp_path: Path, old: str, new: str, line: int, error: str, hint: str
) -> None:
    path = written(tmp_path, SMALL.replace(old, new, 1))
    with pytest.raises(CostplanError) as mistake:
        read_scenario(path)
    assert mistake.value.message.startswith(f"{path}:{line}: ") and error in mistake.value.message
    assert hint in mistake.value.hint


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_are_read_and_say_where_they_come_from(name: str) -> None:
    found = read_scenario(find_scenario(name))
    assert (found.scenario, is_scenario(name)) == (name, True)
    assert found.about and found.source and found.asks
    assert ("section 12" in found.source) == bool(found.claim)
    assert all(command.startswith("costplan ") for command in found.asks)


def test_a_name_that_is_neither_file_nor_scenario_is_told_the_nearest() -> None:
    with pytest.raises(CostplanError) as mistake:
        find_scenario("chat-ap")
    assert mistake.value.hint == "did you mean chat-app?"


def test_only_yaml_with_the_key_is_a_scenario(tmp_path: Path) -> None:
    assert is_scenario(str(written(tmp_path, SMALL)))
    assert not is_scenario(str(written(tmp_path, "models: []\n")))
    log = tmp_path / "log.jsonl"
    log.write_text("scenario: no\n")
    assert not is_scenario(str(log)) and not is_scenario(str(tmp_path / "none.yaml"))


def test_every_key_says_what_it_means() -> None:
    pending, seen = [Scenario], []
    while pending:
        kind = pending.pop()
        seen.append(kind.__name__)
        for each in fields(kind):
            assert each.metadata["says"], each.name
            kinds = [kind for kind in getattr(each.type, "__args__", (each.type,)) if is_dataclass(kind)]
            pending += [kind for kind in kinds if kind is not Range]
    assert {"Scenario", "CallSpec", "LogSpec", "Cheaper", "FlatPrice", "Traffic", "Padding", "Repeats"} == set(seen)
