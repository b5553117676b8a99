"""The file of a measured profile: what was written is read back, and what is wrong is named with its line."""

from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles.measured import load_profile, write_profile
from tests.calibrate.made_up import profile


def test_what_was_written_is_read_back(tmp_path: Path):
    path = tmp_path / "measured.yaml"
    for each in (profile(), profile(kv_blocks=None, notes=(), noise={}, environment={"cpu": "a: b, {c}"})):
        write_profile(each, path)
        assert load_profile(path) == each
    assert [each.name for each in tmp_path.iterdir()] == ["measured.yaml"]


def test_people_find_unit_and_range_beside_each_value(tmp_path: Path):
    path = tmp_path / "measured.yaml"
    write_profile(profile(), path)
    line = next(line for line in path.read_text().splitlines() if "request_s:" in line)
    assert all(part in line for part in ("value: 0.01", "low: 0.005", "high: 0.02", "s per request in the step"))


def test_a_value_is_written_with_five_digits(tmp_path: Path):
    path = tmp_path / "measured.yaml"
    write_profile(profile(error=dict.fromkeys(("ttft", "tpot", "e2e", "throughput"), 1 / 3)), path)
    assert load_profile(path).error["tpot"] == 0.333


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(CostplanError, match="No such file"):
        write_profile(profile(), tmp_path / "nowhere" / "measured.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gpu: CPU", "gpus: CPU", r"yaml:\d+: unknown key 'gpus'"),
        ("tp: 1", "tp: 1.5", r"yaml:6: 'tp' must be a whole number"),
        ("tp: 1", "tp: 0", r"yaml:6: 'tp' must be a number from 1"),
        ("engine: vllm@0.32.0", "engine: vllm", r"yaml:9: 'vllm' has no version"),
        ("prefix_caching: true", "prefix_caching: 1", r"yaml:\d+: 'prefix_caching' must be true or false"),
        ("tokens: 101", "tokens: 1", r"yaml:\d+: tokens must rise"),
        ("value: 0.25", "value: 0.01", r"yaml:\d+: low <= value <= high"),
        ("value: 0.25, low: 0.125", "value: 0.04, low: 0.02", r"yaml:\d+: tokens must rise .* not fall"),
        ("value: 0.01", "value: -0.01", r"yaml:\d+: 'value' must be a number from 0"),
        ("pair_s:", "pairs:", r"yaml:\d+: unknown key 'pairs'"),
        ("tpot: 0.02", "tpott: 0.02", r"yaml:\d+: unknown key 'tpott'"),
        ("runs: 2, ", "", r"yaml:\d+: 'runs' is missing"),
        ("notes: [one]", "notes: one", r"yaml:\d+: 'notes' must be a list"),
        ("checked: 2026-11-23", "checked: soon", r"yaml:\d+: 'checked' must be a date"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "measured.yaml"
    write_profile(profile(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CostplanError, match=message):
        load_profile(path)


def test_points_of_base_are_needed(tmp_path: Path):
    path = tmp_path / "measured.yaml"
    write_profile(profile(base_s=()), path)
    with pytest.raises(CostplanError, match="'base_s' must be a list of points"):
        load_profile(path)
