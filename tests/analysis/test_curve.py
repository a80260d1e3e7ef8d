from __future__ import annotations

import math

import numpy as np
import pytest

from runwised.analysis.curve import Curve, confidence, event
from runwised.index.view import Series


def test_a_curve_keeps_what_is_not_finite_and_its_finite_part_does_not() -> None:
    curve = Curve.of([1, 2, 5], [3.0, math.nan, math.inf])
    assert np.isnan(curve.values[1])
    assert curve.finite().steps.tolist() == [1.0]


@pytest.mark.parametrize(
    ("steps", "values"), [([1, 2], [1.0]), ([[1]], [[1.0]]), ([2, 1], [0.0, 0.0]), ([1, 1], [0.0, 0.0])]
)
def test_steps_that_do_not_increase_or_do_not_fit_the_values_are_refused(steps: list[int], values: list[float]) -> None:
    with pytest.raises(ValueError, match="a curve needs"):
        Curve.of(steps, values)


def test_a_series_of_the_index_is_a_curve() -> None:
    served = Series(np.array([0, 1]), np.array([10, 20]), np.array([0.0, 0.1]), np.array([1.5, math.nan]))
    curve = Curve.of_series(served)
    assert curve.steps.tolist() == [10.0, 20.0]
    assert curve.values[0] == 1.5


def test_an_event_that_reaches_the_last_point_has_no_end() -> None:
    curve = Curve.of([10, 20, 30], [1.0, 2.0, 3.0])
    assert event("spike", "loss", curve, 1, 2, 2, 1, 0.7).end_step == 30
    assert event("spike", "loss", curve, 1, 3, 2, 1, 0.7).end_step is None


def test_confidence_is_a_half_at_the_threshold_and_grows_towards_one() -> None:
    assert confidence(4, 4) == 0.5
    assert 0.5 < confidence(5, 4) < confidence(50, 4) < 1
