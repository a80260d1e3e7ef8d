from __future__ import annotations

import numpy as np
import pytest

from runwised.analysis.curve import Curve
from runwised.analysis.kink import kink
from runwised.analysis.rolling import blocks, levels, levels_before, medians, mostly, noise_of, smooth, stretches


def test_a_point_is_in_neither_of_its_windows() -> None:
    values = np.zeros(400)
    values[200:] = 1.0
    near = levels(values, 20)
    assert near.before[200] == 0.0
    assert near.after[199] == 1.0
    for at in range(400):
        assert not at >= 25 or not np.isnan(near.before[at])
        assert not at < 375 or not np.isnan(near.after[at])


def test_there_is_no_window_before_the_first_points_nor_after_the_last() -> None:
    near = levels(np.arange(100.0), 20)
    assert np.isnan(near.before[:20]).all()
    assert np.isnan(near.after[-20:]).all()
    assert np.isnan(levels(np.arange(10.0), 20).before).all()


@pytest.mark.parametrize(("n", "window"), [(8192, 100), (330, 83), (330, 5), (12, 8), (7, 8)])
def test_levels_are_the_medians_of_their_windows(n: int, window: int) -> None:
    values = np.random.default_rng(n).standard_cauchy(n)
    near, stride = levels(values, window), max(1, window // 4)
    assert np.array_equal(levels_before(values, window), near.before, equal_nan=True)
    for at in range(window, n):
        start = (at - window) // stride * stride
        assert near.before[at] == np.median(values[start : start + window])


@pytest.mark.parametrize("count", [1, 2, 3, 24, 25])
def test_medians_are_those_of_numpy(count: int) -> None:
    rows = np.random.default_rng(count).standard_cauchy((50, count))
    assert np.array_equal(medians(rows), np.median(rows, axis=1))


@pytest.mark.parametrize("n", [1, 2, 5, 255, 256, 257, 1000, 65_537])
def test_blocks_are_few_in_order_and_hold_their_middle(n: int) -> None:
    cut = blocks(Curve.of(np.arange(n), np.arange(float(n))))
    assert 1 <= len(cut.levels) <= 257
    assert np.allclose(cut.levels, cut.steps)
    assert len(cut.starts) == len(cut.steps)
    assert (np.diff(cut.steps) > 0).all()


def test_a_block_is_deaf_to_a_spike() -> None:
    values = np.ones(2560)
    values[::10] = 1e9
    assert (blocks(Curve.of(np.arange(2560), values)).levels == 1.0).all()


def test_noise_is_that_about_a_smooth_curve() -> None:
    rng = np.random.default_rng(1)
    assert noise_of(np.linspace(0, 100, 200) ** 2) < 0.01 * 100**2
    assert 0.8 < noise_of(5 * np.linspace(0, 1, 5000) + rng.normal(size=5000)) < 1.2
    slow = np.convolve(rng.normal(size=5100), np.ones(8) / np.sqrt(8), "valid")
    assert noise_of(slow) > 0.5


def test_a_running_median_keeps_a_step_and_drops_a_spike() -> None:
    assert smooth(np.array([0.0, 0, 9, 0, 0, 1, 1, 1]), 3).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_stretches_and_what_mostly_lasts() -> None:
    flags = np.array([0, 1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    found = stretches(flags)
    assert list(zip(found.starts.tolist(), found.stops.tolist(), strict=True)) == [(1, 3), (4, 7), (9, 10)]
    assert np.flatnonzero(mostly(flags, 5)).tolist() == [1, 2, 9]


def test_two_lines_meet_where_they_do() -> None:
    steps = np.arange(100.0) * 10
    values = 5 - 0.01 * np.minimum(steps, 400) + 0.02 * np.maximum(0, steps - 400)
    found = kink(steps, values)
    assert found is not None
    assert found.step == pytest.approx(400, abs=10)
    assert found.before == pytest.approx(-0.01, rel=0.1)
    assert found.after == pytest.approx(0.02, rel=0.1)
    assert kink(steps[:5], values[:5]) is None
