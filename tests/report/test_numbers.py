"""Rounding and the taming of log text; the expected strings are written by hand."""

import pytest
from costplan.report import numbers
from costplan.results import Estimate, exact, unknown
from tests.report.example_plan import HOSTILE


def _estimate(value: float, low: float, high: float, level: float | None = 0.95) -> Estimate:
    return Estimate(value=value, low=low, high=high, level=level, unit="USD/month", basis="simulated")


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (18_420.4, "$18,420"),
        (1_000, "$1,000"),
        (999.996, "$1,000"),
        (999.99, "$999.99"),
        (940, "$940.00"),
        (4.78, "$4.78"),
        (0.9999, "$1.00"),
        (0.478, "$0.478"),
        (0.00478, "$0.00478"),
        (0.0099996, "$0.0100"),
        (0.000000125, "$0.000000125"),
        (1e-12, "<$0.000000001"),
        (0, "$0"),
        (-12, "-$12.00"),
        (9_999_999_999, "$9,999,999,999"),
        (1.842e12, "$1,842B"),
        (None, "unknown"),
        (float("nan"), "unknown"),
        (float("inf"), "unknown"),
    ],
)
def test_money_has_three_digits_at_least_and_never_an_exponent(usd: float | None, shown: str) -> None:
    assert numbers.money(usd) == shown
    assert "e" not in shown.replace("unknown", "")


def test_a_column_shares_its_decimals_but_never_turns_a_cost_into_nothing() -> None:
    assert [numbers.money(usd, 0) for usd in (3_020, 410.4, 0.43)] == ["$3,020", "$410", "$0.430"]


def test_a_saving_lowers_the_bill_and_a_negative_one_raises_it() -> None:
    assert [numbers.saving(usd, 0) for usd in (940, -120, 0, None)] == ["-$940", "+$120", "$0", "unknown"]


def test_the_ends_of_a_saving_are_signed_as_the_saving_is() -> None:
    assert (numbers.saving(940), numbers.interval(_estimate(940, 880, 1_010), 0, saved=True)) == (
        "-$940.00",
        "[-1,010 … -880]",
    )
    assert numbers.interval(_estimate(-120, -300, 40), 0, saved=True) == "[-40 … 300]"


def test_an_interval_without_a_level_is_called_a_range() -> None:
    assert numbers.interval(_estimate(940, 880, 1_010), 0) == "[880 … 1,010]"
    assert numbers.interval(_estimate(940, 880, 1_010, None), 0) == "[880 … 1,010] range"
    assert numbers.interval(_estimate(940, 880, 1_010, 0.8), 0) == "[880 … 1,010] 80.0%"
    assert numbers.interval(_estimate(0.5, 0.25, 0.75)) == "[0.250 … 0.750]"


def test_an_exact_or_unknown_number_has_no_interval() -> None:
    assert numbers.interval(exact(5, "USD", "priced")) == ""
    assert numbers.interval(unknown("USD", "needs text")) == ""
    assert numbers.interval(_estimate(5_000, 5_000.1, 5_000.2)) == ""


def test_marks_tell_counted_from_modelled_from_assumed() -> None:
    bases = ("reported", "priced", "measured", "simulated", "estimated", "assumed")
    assert "".join(numbers.mark(exact(1, "USD", basis)) for basis in bases) == "===≈≈?"
    assert numbers.mark(unknown("USD", "needs text")) == ""


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    shares = (0, 0.0001, 0.051, 0.9999, 1, 1.2, -0.02, None)
    assert [numbers.percent(share) for share in shares] == (
        ["0%", "<0.1%", "5.1%", ">99.9%", "100%", "120.0%", "-2.0%", "unknown"]
    )


def test_token_counts_keep_three_digits() -> None:
    assert [numbers.compact(n) for n in (0, 812, 999.6, 1_250_000, 84_400_000, 3.4e9, 999_600)] == (
        ["0", "812", "1.00k", "1.25M", "84.4M", "3.40B", "1.00M"]
    )


def test_spans_choose_their_unit() -> None:
    days = (30.0, 6.2 / 24, 12 / 1440, 1 / 86_400, 0.0, None)
    assert [numbers.span(d) for d in days] == ["30 d", "6.2 h", "12 min", "1 s", "0 s", "no times"]
    assert numbers.day("2026-11-19T23:59:58Z") == "2026-11-19"
    assert numbers.day("\x1b[31m") == numbers.day(None) == ""


def test_plain_shows_what_it_defuses() -> None:
    assert numbers.plain("a\nb\t\x1b[31m\x00\u202e\u2028\ud800é你", 80) == r"a\nb\t\x1b[31m\x00\u202e\u2028\ud800é你"


def test_plain_fits_its_width_in_cells_whatever_comes() -> None:
    for text in ("w" * 10_000, "你" * 50, "e" + "\u0301" * 100_000, HOSTILE, "\x1b" * 50, "👩‍👩‍👧" * 40):
        shown = numbers.plain(text, 20)
        assert numbers.cell_len(shown) <= 20
        assert len(shown) <= 81
        assert shown.endswith("…")


def test_markdown_text_escapes_whatever_a_viewer_would_act_on() -> None:
    assert numbers.markdown_text("a|b `c` <b>&amp; [l](http://x) www.x.y *e* _e_ snake_case") == (
        r"a\|b \`c\` &lt;b&gt;&amp;amp; \[l\](http:&#47;&#47;x) www&#46;x.y \*e\* \_e\_ snake_case"
    )
    assert "\n" not in numbers.markdown_text("# one\n# two")
