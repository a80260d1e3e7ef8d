"""Owns levels and noise along a curve, robust and in linear time: medians of windows, of blocks, and stretches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from runwised.analysis.curve import Curve, Flags, Floats, Ints

SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_FEW = 6.0
"""A deviation taken from few points often lies far below the true one: it is raised by this share over the points."""
_LAGS = (2, 4, 8, 16)
_LAG_LENGTH = 12
"""Values a curve must have for each one that lies between those compared: in a short one its own bend would count."""
_BLOCKS = 256
"""Most blocks a curve is cut into."""


class Levels(NamedTuple):
    """Per point, shape (n,): median and robust standard deviation of the window before it and of the one after it.

    NaN where no such window is: before, at the curve's begin; after, at its end.
    """

    before: Floats
    noise_before: Floats
    after: Floats
    noise_after: Floats


def levels(values: Floats, window: int) -> Levels:
    """Of finite values; windows hold `window` points and lie at multiples of a quarter of it.

    So a point's windows are off by less than a quarter, and all medians together cost as much as four passes.
    """
    n = len(values)
    if n < window:
        nothing = np.full(n, np.nan)
        return Levels(nothing, nothing, nothing, nothing)
    windows, before, after = _windows(values, window)
    middles = medians(windows)
    noise = SIGMA * (1 + _FEW / window) * medians(np.abs(windows - middles[:, None]))
    return Levels(*(_taken(each, at) for at in (before, after) for each in (middles, noise)))


def levels_before(values: Floats, window: int) -> Floats:
    """`levels(values, window).before`, for half of the cost."""
    if len(values) < window:
        return np.full(len(values), np.nan)
    windows, before, _ = _windows(values, window)
    return _taken(medians(windows), before)


def _windows(values: Floats, window: int) -> tuple[Floats, Ints, Ints]:
    """The windows, shape (w, window); of each point which of them is before it, and which after it: its own value is
    in neither.
    """
    stride = max(1, window // 4)
    at = np.arange(len(values))
    return sliding_window_view(values, window)[::stride], (at - window) // stride, at // stride + 1


def _taken(each: Floats, at: Ints) -> Floats:
    """Of each point what was found of its window; NaN where there is none."""
    taken: Floats = np.where((at >= 0) & (at < len(each)), each.take(at, mode="clip"), np.nan)
    return taken


def medians(rows: Floats) -> Floats:
    """Of each row, shape (n, k), without NaN. To sort short rows takes a tenth of what `np.median` takes."""
    count = rows.shape[1]
    ordered = np.sort(rows, axis=1)
    middle: Floats = ordered[:, (count - 1) // 2 : count // 2 + 1].mean(axis=1)
    return middle


class Blocks(NamedTuple):
    """A curve as at most 256 blocks of as many points each; shape (b,)."""

    steps: Floats
    """Mean step of each block."""
    levels: Floats
    """Mean of the middle half of each block."""
    starts: Ints
    """Index of the first point of each block."""
    noise: float
    """Robust standard deviation of the levels about a smooth curve."""


def blocks(curve: Curve, most: int = _BLOCKS) -> Blocks:
    """Of a finite curve. The points left over after the last whole block make a block of their own."""
    n = len(curve.steps)
    size = max(1, -(-n // most))
    whole = n // size * size
    middles = _midmeans(curve.values[:whole].reshape(-1, size))
    steps = curve.steps[:whole].reshape(-1, size).mean(axis=1)
    if whole < n and n - whole >= size / 2:
        middles = np.append(middles, _midmeans(curve.values[None, whole:]))
        steps = np.append(steps, curve.steps[whole:].mean())
    return Blocks(steps, middles, np.arange(len(middles)) * size, noise_of(middles))


def _midmeans(rows: Floats) -> Floats:
    """Of each row the mean of its middle half: as deaf to outliers as needed, and finer than the digits logged."""
    size = rows.shape[1]
    out = size // 4 if size > 3 else (size - 1) // 2
    if out:
        rows = np.sort(rows, axis=1)[:, out : size - out]
    middle: Floats = rows.mean(axis=1)
    return middle


def noise_of(values: Floats) -> float:
    """Robust standard deviation about a smooth curve, from second differences; 0 for fewer than five values.

    Noise that lasts over several values shows in differences of more distant ones: the largest of them counts.
    """
    n = len(values)
    apart = [1] + [lag for lag in _LAGS if n >= _LAG_LENGTH * lag]
    return max((_bending(values, lag) for lag in apart), default=0.0) if n >= 5 else 0.0


def _bending(values: Floats, lag: int) -> float:
    bends = values[2 * lag :] - 2 * values[lag:-lag] + values[: -2 * lag]
    return float(SIGMA * np.median(np.abs(bends)) / np.sqrt(6))


def smooth(values: Floats, width: int) -> Floats:
    """Running median of `width` (odd) values, its ends repeated."""
    if len(values) < width:
        return values
    padded = np.pad(values, width // 2, mode="edge")
    return medians(sliding_window_view(padded, width))


class Stretches(NamedTuple):
    """Where flags are set without a gap: [start, stop) of each, shape (k,)."""

    starts: Ints
    stops: Ints


def stretches(flags: Flags) -> Stretches:
    """Of flags of shape (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).view(np.int8)))
    return Stretches(edges[::2], edges[1::2])


def mostly(flags: Flags, count: int) -> Flags:
    """Where a flag is set, and at least four in five of the `count` from there on, or of all that are left."""
    n = len(flags)
    total = np.concatenate(([0], np.cumsum(flags)))
    stop = np.minimum(np.arange(n) + count, n)
    return flags & ((total[stop] - total[:-1]) >= 0.8 * (stop - np.arange(n)))
