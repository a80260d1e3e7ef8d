from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.analysis.windows import Windows, rolling


def expected(values: Any, width: int) -> Windows:
    """Window by window, in fractions: exact but for the last rounding."""
    found = []
    for start in range(len(values) - width + 1):
        part = [Fraction(float(value)) for value in values[start : start + width] if math.isfinite(value)]
        mean = sum(part) / len(part) if part else None
        square = None if mean is None or len(part) < 2 else sum((value - mean) ** 2 for value in part) / len(part)
        found.append(
            (len(part), math.nan if mean is None else float(mean), math.nan if square is None else math.sqrt(square))
        )
    return Windows(*(np.array(column) for column in zip(*found, strict=True)))


def check(values: Any, width: int, rel: float = 1e-12) -> None:
    found, truth = rolling(np.asarray(values, float), width), expected(values, width)
    assert (found.finite == truth.finite).all()
    assert found.mean == pytest.approx(truth.mean, rel=rel, nan_ok=True)
    assert found.std == pytest.approx(truth.std, rel=rel, abs=0, nan_ok=True)


@given(
    st.lists(
        st.one_of(st.integers(-1000, 1000).map(lambda n: n / 8), st.sampled_from([math.nan, math.inf, -math.inf])),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 60),
)
def test_windows_are_those_of_every_stretch_taken_by_itself(values: list[float], width: int) -> None:
    width = min(width, len(values))
    found, truth = rolling(np.array(values), width), expected(values, width)
    assert (found.finite == truth.finite).all()
    assert found.mean == pytest.approx(truth.mean, abs=1e-10, nan_ok=True)
    assert found.std == pytest.approx(truth.std, abs=1e-6, nan_ok=True)


def test_small_noise_on_a_large_offset_keeps_its_digits() -> None:
    noise = 1e-3 * np.random.default_rng(1).normal(size=400)
    check(1e9 + noise, 100, rel=1e-9)
    assert rolling(1e9 + noise, 100).std == pytest.approx(rolling(noise, 100).std, rel=1e-3)


def test_small_noise_behind_a_huge_jump_keeps_its_digits() -> None:
    values = 1e-3 * np.random.default_rng(1).normal(size=400)
    values[:150] += 1e9
    check(values, 30, rel=1e-9)


def test_values_whose_squares_leave_the_range_have_a_deviation_too() -> None:
    shape = np.random.default_rng(1).normal(size=60)
    for size in (1e300, 1e-300):
        assert rolling(size * shape, 7).std == pytest.approx(size * rolling(shape, 7).std, rel=1e-12, abs=0)


def test_equal_values_have_no_deviation_at_all() -> None:
    found = rolling(np.full(300, 0.1), 37)
    assert (found.mean == 0.1).all()
    assert (found.std == 0.0).all()


def test_a_wide_window_is_all_values_and_no_values_have_none() -> None:
    assert len(rolling(np.arange(5.0), 100).std) == 1
    assert rolling(np.arange(5.0), 100).mean.tolist() == [2.0]
    assert len(rolling(np.empty(0), 100).std) == 0


def test_windows_are_the_same_across_the_slabs_they_are_made_in() -> None:
    values = np.random.default_rng(1).normal(size=140_000)
    whole = rolling(values, 50)
    for at in (0, 65_500, 65_535, 65_536, 131_071, 131_072, 139_950):
        assert whole.std[at] == pytest.approx(values[at : at + 50].std(), rel=1e-12)


class Counted(np.ndarray[Any, np.dtype[Any]]):
    """An array that counts the numbers every operation on it gives."""

    work = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [value.view(np.ndarray) if isinstance(value, Counted) else value for value in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        Counted.work += np.size(result)
        if out is not None:
            out[0][...] = result
            return out[0]
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def work(points: int, width: int) -> int:
    Counted.work = 0
    rolling(np.zeros(points).view(Counted), width)
    return Counted.work


@pytest.mark.parametrize("width", [100, 127])
def test_work_grows_with_the_points_and_hardly_with_the_window(width: int) -> None:
    base = work(100_000, width)
    assert base > 100_000 * math.log2(width)
    assert work(400_000, width) < 4.1 * base
    assert work(100_000, 64 * width) < 3 * base


def test_memory_is_that_of_the_answer_and_of_a_few_copies_of_the_values() -> None:
    def peak(points: int) -> int:
        values = np.zeros(points)
        tracemalloc.start()
        try:
            rolling(values, 1000)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(200_000)
    assert peak(800_000) < 4.1 * few
    assert few < 12 * 8 * 200_000
