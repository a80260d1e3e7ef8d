import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.render.numbers import age, column, duration, exact, formatted, number, plural, size


@pytest.mark.parametrize(
    ("value", "agent", "human"),
    [
        (None, "-", "-"),
        (0, "0", "0"),
        (-0.0, "0", "0"),
        (41234, "41234", "41234"),
        (12345678901234567890, "12345678901234567890", "12345678901234567890"),
        (101.0, "101", "101"),
        (2.114, "2.114", "2.114"),
        (10.8234, "10.82", "10.82"),
        (0.0447123, ".04471", "0.04471"),
        (-0.5, "-.5", "-0.5"),
        (0.000294, ".000294", "0.000294"),
        (0.0000294, ".0000294", "2.94e-5"),
        (2.94e-7, "2.94e-7", "2.94e-7"),
        (41234.56, "41235", "41235"),
        (1.23456e12, "1234560000000", "1234560000000"),
        (1.23456e18, "1.235e18", "1.235e18"),
        (0.99996, "1.0000", "1.0000"),
        (2.00001, "2.000", "2.000"),
        (math.nan, "nan", "nan"),
        (math.inf, "inf", "inf"),
        (-math.inf, "-inf", "-inf"),
        (5e-324, "4.941e-324", "4.941e-324"),
        (1.7976931348623157e308, "1.798e308", "1.798e308"),
    ],
)
def test_a_number_is_short_and_true(value: float | None, agent: str, human: str) -> None:
    assert number(value) == agent
    assert number(value, dress="human") == human


def test_more_digits_are_shown_when_asked_for() -> None:
    assert number(2.30171234, digits=7) == "2.301712"


@given(st.floats())
def test_a_shown_number_is_within_its_last_digit(value: float) -> None:
    shown = float(number(value, digits=6))
    assert math.isnan(shown) if math.isnan(value) else math.isclose(shown, value, rel_tol=1e-5)


def test_a_flat_tail_stays_distinguishable() -> None:
    assert column([2.30171, 2.30174, 2.30169]) == ("", ["2.30171", "2.30174", "2.30169"])


def test_a_flat_tail_of_a_long_column_stays_distinguishable() -> None:
    values = [10 / (at + 1) for at in range(40)] + [2.3017 - at * 1e-5 for at in range(60)]
    cells = column(values)[1]
    assert len(set(cells[40:])) == 60


def test_values_that_differ_by_noise_only_do_not_lengthen_a_long_column() -> None:
    values = [2 + (at * 7919 % 1000) / 1000 + 1e-9 * at for at in range(300)]
    assert max(map(len, column(values)[1])) == 5


def test_whole_numbers_in_a_column_are_plain() -> None:
    assert column([12000, 4.0, None]) == ("", ["12000", "4", "-"])


def test_a_column_all_tiny_is_scaled_in_its_head_for_an_agent() -> None:
    assert column([2.94e-4, 6e-5, 0.0]) == ("_e-6", ["294", "60", "0"])
    assert column([2.94e-4, 6e-5], scale=False) == ("", [".000294", ".00006"])
    assert column([2.94e-4, 6e-5], dress="human") == ("", ["0.000294", "6e-5"])


def test_a_column_all_huge_is_scaled_in_its_head_for_an_agent() -> None:
    assert column([1.5e9 + 0.5, 2.25e9]) == ("_e9", ["1.5", "2.25"])


def test_values_not_finite_stand_in_a_column_as_they_are() -> None:
    assert column([0.5, math.nan, -math.inf]) == ("", [".5", "nan", "-inf"])
    assert column([math.nan]) == ("", ["nan"])
    assert column([]) == ("", [])


@given(st.lists(st.floats(-100, 100).map(lambda value: round(value, 6)), max_size=20))
def test_different_values_of_a_short_column_look_different(values: list[float]) -> None:
    assert len(set(column(values)[1])) == len(set(values))


def test_percent_is_shown_only_where_a_schema_says_so() -> None:
    assert formatted(0.2122, ".1%") == "21.2%"
    assert formatted(0.2122, None) == ".2122"
    assert formatted(math.nan, ".1%") == "nan"
    assert formatted(0.2122, "no such format") == ".2122"
    assert formatted(None, ".1%") == "-"


@pytest.mark.parametrize(
    ("value", "agent"), [(6e-4, ".0006"), (1e-05, "1e-5"), (0.1 + 0.2, ".30000000000000004"), (3.0, "3"), (480, "480")]
)
def test_a_setting_is_shown_in_all_its_digits(value: float, agent: str) -> None:
    assert exact(value) == agent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0.4, "0s"),
        (41, "41s"),
        (300, "5m"),
        (7800, "2h10"),
        (7200, "2h"),
        (273600, "3d4h"),
        (45 * 86400 + 3600, "45d"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_an_age_says_ago_and_a_moment_ahead_of_the_clock_is_now() -> None:
    assert [age(300), age(0.2), age(-3), age(None)] == ["5m ago", "now", "now", "-"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (512, "512 B"), (1200, "1.2 kB"), (98_000_000, "98 MB"), (9_960_000, "10 MB"), (10**13, "10 TB")],
)
def test_sizes_are_in_decimal_units(count: int, text: str) -> None:
    assert size(count) == text


def test_one_is_not_a_plural() -> None:
    assert [plural(0, "run"), plural(1, "run"), plural(2, "run")] == ["0 runs", "1 run", "2 runs"]
