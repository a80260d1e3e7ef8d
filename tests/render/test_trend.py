import math

from hypothesis import given
from hypothesis import strategies as st

from runwised.render.trend import trend


def test_an_agent_reads_digits_from_least_to_greatest() -> None:
    assert trend([10, 5, 2, 1, 0.5, 0, 9.9]) == "9521009"


def test_a_person_sees_a_sparkline() -> None:
    assert trend([10, 5, 2, 1, 0], dress="human") == "█▅▂▁▁"


def test_what_is_not_finite_is_marked() -> None:
    assert trend([3, 2, math.nan, math.inf]) == "90nn"
    assert trend([3, 2, 1], [0, 1, 0]) == "9n0"
    assert trend([math.nan] * 3, dress="human") == "×××"


def test_a_line_without_slope_is_flat() -> None:
    assert trend([2.5] * 15) == "flat"
    assert trend([2.5, 2.5, math.nan]) == "00n"


def test_fewer_than_three_points_are_no_trend() -> None:
    assert trend([1, 2]) == trend([]) == ""


@given(st.lists(st.floats(), min_size=3, max_size=20))
def test_any_values_give_one_mark_each(values: list[float]) -> None:
    assert len(trend(values)) == len(values) or trend(values) == "flat"
