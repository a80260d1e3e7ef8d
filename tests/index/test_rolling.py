"""Rolling statistics stand up to numpy and exact arithmetic over the whole column."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from runwised.formats.record import Column, Floats, Rows
from runwised.index.run_index import RunIndex
from runwised.index.view import Stats


def stats_of(values: Floats, size: int = 7000) -> Stats:
    index = RunIndex()
    index.start_source("a")
    for at in range(0, len(values), size):
        part = values[at : at + size]
        steps = np.arange(at, at + len(part))
        index.fold(Rows("history", steps, steps, np.zeros(len(part)), (Column("k", None, part),)))
    return index.history.stats("k")


def exact(values: Floats) -> tuple[float, float]:
    """Mean and population standard deviation without any rounding on the way."""
    numbers = [Fraction(value) for value in values.tolist()]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    spread = sum(((number - mean) ** 2 for number in numbers), Fraction(0)) / len(numbers)
    exponent = (spread.numerator.bit_length() - spread.denominator.bit_length()) // 2
    return float(mean), math.ldexp(math.sqrt(spread / Fraction(4) ** exponent), exponent)


def column(kind: str, count: int) -> Floats:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=count)
    return {
        "ordinary": noise,
        "far from zero": 1e9 + 1e-3 * noise,
        "huge": 1e300 * noise,
        "largest": np.where(noise > 0, 1.0, -1.0) * np.finfo(np.float64).max,
        "tiny": 1e-300 * noise,
        "tiny behind zeros": np.concatenate([np.zeros(5000), 1e-200 * noise[5000:]]),
        "one huge": np.concatenate([noise[:-1], [1e250]]),
        "growing": np.exp(np.linspace(0, 700, count)) * noise,
        "constant": np.full(count, 0.1),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "ordinary",
        "far from zero",
        "huge",
        "largest",
        "tiny",
        "tiny behind zeros",
        "one huge",
        "growing",
        "constant",
    ],
)
@pytest.mark.parametrize("count", [6000, 13_000])
def test_mean_and_spread_are_those_of_exact_arithmetic(kind: str, count: int) -> None:
    values = column(kind, count)
    stats = stats_of(values)
    mean, std = exact(values)
    size = float(np.abs(values).max())
    assert stats.mean == pytest.approx(mean, rel=1e-13, abs=2e-16 * size)
    assert stats.std == pytest.approx(std, rel=1e-11, abs=1e-17 * size)
    assert stats.min == values.min()
    assert stats.max == values.max()
    assert stats.min_row == values.argmin()
    assert stats.max_row == values.argmax()


def test_a_long_column_agrees_with_numpy() -> None:
    values = np.random.default_rng(1).normal(3, 2, 1_000_000)
    stats = stats_of(values, 100_003)
    assert stats.mean == pytest.approx(values.mean(), rel=1e-14)
    assert stats.std == pytest.approx(values.std(), rel=1e-13)


def test_a_mean_never_leaves_the_range_of_the_values() -> None:
    for count in (3, 10, 4096, 5000):
        stats = stats_of(np.full(count, 0.1))
        assert stats.mean == 0.1
        assert stats.std == 0.0


def test_non_finite_values_are_counted_and_passed_over() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    values[[3, 5000, 19_999]] = math.nan, math.inf, -math.inf
    values[8192:12_288] = math.nan
    stats = stats_of(values)
    finite = values[np.isfinite(values)]
    assert stats.nonfinite == 4099
    assert stats.first_nonfinite_step == 3
    assert stats.mean == pytest.approx(finite.mean(), rel=1e-13)
    assert stats.std == pytest.approx(finite.std(), rel=1e-13)
    assert stats.last_finite == finite[-1]
    assert stats.last == -math.inf


def test_a_column_without_finite_values_has_no_extremes() -> None:
    stats = stats_of(np.full(9000, math.nan))
    assert (stats.count, stats.nonfinite, stats.first_nonfinite_step) == (9000, 9000, 0)
    assert (stats.min, stats.max, stats.mean, stats.std, stats.last_finite) == (None,) * 5


def test_statistics_after_points_were_taken_back_are_those_of_the_rest() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=30_000)
    index = RunIndex()
    index.start_source("a")
    rows = np.arange(30_000)
    index.fold(Rows("history", rows, rows, rows * 1.0, (Column("k", None, values),)))
    index.history.stats("k")
    again = rng.normal(size=3000)
    index.fold(Rows("history", rows[:3000], rows[:3000] + 9000, rows[:3000] * 1.0, (Column("k", None, again),)))
    fresh = stats_of(np.concatenate([values[:9000], again]))
    stats = index.history.stats("k")
    assert (stats.mean, stats.m2, stats.min, stats.max) == (fresh.mean, fresh.m2, fresh.min, fresh.max)
    assert stats.count == 12_000
