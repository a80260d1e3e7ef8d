import numpy as np
import pytest

from runwised.analysis.curve import Curve
from runwised.analysis.ending import ends_high


def at_end(values):
    return ends_high("loss", Curve.of(np.arange(len(values)), values))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_last_points_far_above_all_before_are_found(falling, count):
    values = falling(5000)
    values[-count:] = 13.5
    (event,) = at_end(values)
    assert (event.kind, event.step, event.end_step, event.value) == ("divergence", 5000 - count, None, 13.5)
    assert event.normal == pytest.approx(2.3, abs=0.1)


def test_few_points_that_end_far_above_their_best_are_found():
    (event,) = at_end([3.3, 2.8, 6.0, 2.3, 9.0, 13.5])
    assert (event.step, event.value, event.normal) == (4, 13.5, 2.3)
    assert event.confidence <= 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 11, 12, 50, 5000])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
def test_an_ordinary_end_is_none(falling, n, noise):
    for seed in range(20):
        assert at_end(falling(n, noise, seed)) == []


def test_a_curve_whose_noise_is_as_large_is_none():
    values = np.random.default_rng(3).exponential(size=400)
    values[-1] = values[:-1].max() * 1.2
    assert at_end(values) == []


def test_no_points_are_none():
    assert at_end([]) == []
