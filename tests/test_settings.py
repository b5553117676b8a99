"""Where a setting comes from (flag > environment > ./costplan.yaml > user configuration > default), what it may be."""

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from costplan import settings
from costplan.errors import UsageError
from costplan.settings import AnalyzeSettings, resolve

SPELLINGS: dict[str, tuple[str, Any]] = {
    "format": ("litellm", "litellm"),
    "map": ("tok_in=input_tokens,tok_out=output_tokens", ("tok_in=input_tokens", "tok_out=output_tokens")),
    "head": ("5k", 5000),
    "strict": ("yes", True),
    "sample_rate": ("0.1", 0.1),
    "prices": ("prices.yaml", Path("prices.yaml")),
    "price_date": ("2026-11-01", date(2026, 11, 1)),
    "assume_model": ("gpt-4o", "gpt-4o"),
    "month_requests": ("5M", 5_000_000),
    "revenue_per_user": ("9.99", 9.99),
    "ttl": ("15m", 900.0),
    "ttl_policy": ("sliding", "sliding"),
    "scope": ("user", "user"),
    "semantic": ("off", "off"),
    "invoice": ("bill.csv", Path("bill.csv")),
    "ptu": ("yes", True),
    "scale_to_invoice": ("yes", True),
    "capacity": ("100_000", 100_000),
    "max_temperature": ("0.7", 0.7),
    "batchable": ("nightly, report", ("nightly", "report")),
    "quality": ("scores.csv", Path("scores.csv")),
    "max_loss": ("3", 3.0),
    "penalty": ("0.5", 0.5),
    "judging": ("0.002", 0.002),
    "output_ratio": ("0.5:0.8:1.1", (0.5, 0.8, 1.1)),
    "workers": ("2", 2),
    "day_rate": ("950", 950.0),
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    """An empty folder, an empty user configuration, no variable of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in SPELLINGS:
        monkeypatch.delenv(f"COSTPLAN_{name.upper()}", raising=False)


def user_config(text: str) -> None:
    path = Path("config") / "costplan" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def mistake(flags: dict[str, Any] | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(AnalyzeSettings, flags or {})
    assert caught.value.exit_code == 2 and "\n" not in caught.value.message + caught.value.hint
    return caught.value


def test_every_setting_can_be_spelled() -> None:
    assert {field.name for field in fields(AnalyzeSettings)} == set(SPELLINGS)
    kinds = [kind for name, kind in vars(settings).items() if name.endswith("Settings") and isinstance(kind, type)]
    names = {field.name for kind in kinds for field in fields(kind)}
    assert names == set(settings._PARSERS)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_variable_and_a_flag_spell_a_setting_the_same_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = SPELLINGS[name]
    by_flag, origins = resolve(AnalyzeSettings, {name: text})
    assert (getattr(by_flag, name), origins[name]) == (value, "flag")
    monkeypatch.setenv(f"COSTPLAN_{name.upper()}", text)
    by_variable, origins = resolve(AnalyzeSettings, {})
    assert (getattr(by_variable, name), origins[name]) == (value, "environment")


def test_a_flag_goes_before_the_environment_the_folder_the_user_and_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def now(flags: dict[str, Any]) -> tuple[int, str]:
        found, origins = resolve(AnalyzeSettings, flags)
        return found.workers, origins["workers"]

    assert now({}) == (0, "default")
    user_config("workers: 1\n")
    assert now({}) == (1, "user configuration")
    Path("costplan.yaml").write_text("workers: 2\n")
    assert now({}) == (2, "costplan.yaml")
    monkeypatch.setenv("COSTPLAN_WORKERS", "3")
    assert now({}) == (3, "environment")
    assert now({"workers": 4}) == (4, "flag")


def test_an_empty_variable_and_an_empty_key_count_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTPLAN_TTL", "")
    Path("costplan.yaml").write_text("ttl:\ncapacity: null\n")
    found, origins = resolve(AnalyzeSettings, {"ttl": None, "batchable": ()})
    assert (found.ttl, found.capacity, origins["ttl"]) == (3600.0, None, "default")


def test_a_file_may_write_dashes_numbers_lists_dates_and_mappings() -> None:
    Path("costplan.yaml").write_text(
        "ttl-policy: sliding\nttl: 900\nstrict: false\nprice_date: 2026-11-01\nmonth-requests: 5_000_000\n"
        "batchable: [nightly, report]\nmap: {tok_in: input_tokens}\n"
    )
    found, _ = resolve(AnalyzeSettings, {})
    assert (found.ttl_policy, found.ttl, found.strict) == ("sliding", 900.0, False)
    assert (found.price_date, found.month_requests) == (date(2026, 11, 1), 5_000_000)
    assert (found.batchable, found.map) == (("nightly", "report"), ("tok_in=input_tokens",))


def test_a_path_in_the_user_configuration_starts_where_that_file_lies() -> None:
    user_config("prices: prices.yaml\n")
    found, _ = resolve(AnalyzeSettings, {})
    assert found.prices is not None and found.prices.parts[-3:] == ("config", "costplan", "prices.yaml")
    Path("costplan.yaml").write_text("prices: mine.yaml\n")
    assert resolve(AnalyzeSettings, {})[0].prices == Path("mine.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workers", "two"),
        ("workers", "-1"),
        ("ttl", "soon"),
        ("ttl", "0"),
        ("head", "0"),
        ("capacity", "1.5x"),
        ("month_requests", "0"),
        ("sample_rate", "2"),
        ("sample_rate", "nan"),
        ("max_temperature", "inf"),
        ("price_date", "01.11.2026"),
        ("scope", "planet"),
        ("ttl_policy", "never"),
        ("strict", "maybe"),
        ("day_rate", "cheap"),
    ],
)
def test_a_bad_value_names_its_variable_and_shows_a_good_one(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"COSTPLAN_{name.upper()}", text)
    error = mistake()
    assert error.message.startswith(f"COSTPLAN_{name.upper()}: '{text}' does not fit")
    assert error.hint.startswith("write for example ")


def test_a_bad_flag_is_named_as_it_is_typed() -> None:
    error = mistake({"ttl_policy": "never"})
    assert error.message == "--ttl-policy: 'never' does not fit: must be store or sliding"


def test_a_bad_value_in_a_file_is_shown_with_its_line() -> None:
    Path("costplan.yaml").write_text("ttl: 1h\nsample-rate: 7\n")
    assert mistake().message.startswith("costplan.yaml:2, sample-rate: 7 does not fit")


def test_an_unknown_setting_in_a_file_suggests_the_nearest() -> None:
    Path("costplan.yaml").write_text("ttl: 1h\nmonth-request: 5M\n")
    error = mistake()
    assert error.message == "costplan.yaml:2: unknown setting 'month-request'"
    assert error.hint == "did you mean 'month_requests'?"
