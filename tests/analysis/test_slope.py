from __future__ import annotations

import numpy as np
import pytest

from runwised.analysis.curve import Curve, Floats
from runwised.analysis.slope import Line, slope


def line(values: Floats, apart: int = 10) -> Line:
    found = slope(Curve.of(np.arange(len(values)) * apart, values))
    assert found is not None
    return found


@pytest.mark.parametrize("n", [8, 40, 64, 65, 1000, 30_011])
def test_a_straight_line_is_its_own_slope(n: int) -> None:
    found = line(7 - 0.25 * np.arange(n) * 10)
    assert found == pytest.approx((-0.25, -0.25, -0.25))


def test_outliers_turn_nothing() -> None:
    values = 5 + 0.01 * np.arange(400)
    values[::9] = 1e6
    assert line(values).slope == pytest.approx(0.001, rel=0.02)


def test_a_constant_is_flat() -> None:
    assert line(np.full(100, 3.5)) == (0.0, 0.0, 0.0)


def test_fewer_than_eight_points_say_nothing() -> None:
    assert slope(Curve.of(np.arange(7), np.arange(7.0))) is None


def slow(rng: np.random.Generator, count: int) -> Floats:
    """Noise that goes with its neighbours over hundreds of points."""
    found: Floats = np.convolve(rng.normal(size=count + 299), np.ones(300) / np.sqrt(300), "valid")
    return found


@pytest.mark.parametrize("points", [12, 50, 2000])
def test_the_interval_holds_the_true_slope_as_often_as_it_says(points: int) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = line(0.002 * np.arange(points) + rng.normal(size=points), apart=1)
        held += found.low <= 0.002 <= found.high
    assert held >= 184


def test_the_interval_is_wider_where_noise_is_slow() -> None:
    rng = np.random.default_rng(3)
    held = [one.low <= 0 <= one.high for one in (line(slow(rng, 6000)) for _ in range(100))]
    assert sum(held) >= 85
