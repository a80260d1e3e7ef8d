"""Owns the search for changes that last: where a curve leaves its usual level by a factor, and where it is back."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Flags, Floats
from runwised.analysis.rolling import blocks, levels_before, mostly, smooth

_MOST = 20
_CHANCE = 0.01
_LONG = 500


class Change(NamedTuple):
    """Points [start, stop) of a curve are off its `normal` level; `stop` is its length where it does not come back."""

    start: int
    stop: int
    normal: float


class Usual(NamedTuple):
    """What a point is measured by, each of shape (n,), NaN where there is no window yet.

    `low` and `high` are the lower and the higher of two medians: of the window before the point, and of the quarter of
    the run before it. `so_far` is the median of all that was before it.
    """

    low: Floats
    high: Floats
    so_far: Floats


def usual(curve: Curve, window: int) -> Usual:
    """Of a finite curve with at least one point."""
    n = len(curve.values)
    window = max(5, min(window, n // 4))
    short = levels_before(curve.values, window)
    cut = blocks(curve)
    count = len(cut.levels)
    reach = max(4, count // 4)
    long, so_far = _medians_before(cut.levels, reach), _medians_before(cut.levels, count)
    size = int(cut.starts[1]) if count > 1 else n
    block = np.where(np.isnan(short), 0, np.minimum(np.arange(n) // size, count - 1))
    return Usual(np.fmin(short, long[block]), np.fmax(short, long[block]), so_far[block])


def _medians_before(levels: Floats, reach: int) -> Floats:
    """Before each level the median of up to so many others; NaN before the first."""
    held: list[float] = []
    medians = np.full(len(levels), np.nan)
    known = levels.tolist()
    for at, level in enumerate(known):
        if held:
            half = len(held) // 2
            medians[at] = held[half] if len(held) % 2 else (held[half - 1] + held[half]) / 2
        insort(held, level)
        if at >= reach:
            del held[bisect_left(held, known[at - reach])]
    return medians


def changes(values: Floats, normal: Floats, off: Flags, back: float, count: int) -> Iterator[Change]:
    """Where `off` holds for four in five of `count` points, until as many are within `back` times the normal level.

    `back` below 1: values fell off, and are back above it; above 1: they rose, and are back below. What a curve did so
    often before that chance brings it about is passed over.
    """
    n, at = len(values), 0
    starts = np.flatnonzero(mostly(off, count))
    before = np.concatenate(([0], np.cumsum(off)))
    for _ in range(_MOST):
        later = starts[np.searchsorted(starts, at) :]
        if not len(later):
            return
        start = int(later[0])
        level = float(normal[start])
        rest = values[start:]
        returned = np.flatnonzero(mostly(rest >= back * level if back < 1 else rest <= back * level, count))
        at = max(start + 1, start + int(returned[0])) if len(returned) else n
        if not _is_usual(int(before[start]), start, at - start, n):
            yield Change(start, at, level)
        if at >= n:
            return


def _is_usual(off: int, of: int, length: int, n: int) -> bool:
    """Whether chance makes a change of this length among n points, when `off` of those before it were off too."""
    # Twice the share, for there are many ways to be off four times in five.
    likely = min(1.0, 2 * (off + 1) / (of + 10))
    return bool(n * likely ** (0.8 * min(length, _LONG)) > _CHANCE)


def begun(values: Floats, start: int, window: int) -> int:
    """Where the rise that is large at `start` began: after the last point within the noise of the level before it."""
    first = max(0, start - max(12, min(window, len(values) // 6)))
    before = values[first : first + max(5, (start - first) // 2)]
    if start - first < 6:
        return start
    level = float(np.median(before))
    limit = level + 3 * 1.4826 * float(np.median(np.abs(before - level))) + 0.05 * abs(level)
    quiet = np.flatnonzero(smooth(values[first:start], 3) <= limit)
    return min(start, first + int(quiet[-1]) + 1) if len(quiet) else start
