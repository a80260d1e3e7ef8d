"""Finds divergence: a loss that leaves its best level for good and does not learn its way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event, Floats, confidence, event
from runwised.analysis.kink import kink
from runwised.analysis.rolling import SIGMA, Blocks, blocks, noise_of, smooth

_LEAST_POINTS = 8
_NOISE = 8.0
"""A rise counts from so many standard deviations of the block levels on,"""
_EARLIER = 3.0
"""from so many times the largest rise that the curve came back from,"""
_RISING = 0.1
"""and from this share of what it had gained, when it still rises;"""
_STUCK = 0.5
"""or from this, when it stays where it is."""
_LEAST_RISE = 0.02
"""Share of the best level."""
_SHORTEST = 256
"""Points of the shortest end of a curve that is looked at by itself."""


def divergence(key: str, views: Sequence[Curve]) -> list[Event]:
    """Of the finite views of a curve, the whole of it first, then ever finer ones of its end: at most one event.

    Each is looked at in 256 blocks, then its last quarter, the last quarter of that and so on: a loss that explodes
    within its last fifty rows of a million is seen as well as one that creeps up for half of the run.
    """
    if len(views[0].values) < _LEAST_POINTS:
        return []
    levels = smooth(blocks(views[0]).levels, 3)
    gain = float(np.median(levels[:3]) - levels.min())
    # Where the finest view holds a standstill alone, nothing is left of it.
    last = next(view.values for view in reversed(views) if len(view.values))
    for view in views:
        for start, tail in _ends(view):
            at = _first_departure(blocks(tail), gain) if len(tail.values) >= _LEAST_POINTS else None
            if at is not None:
                end = float(np.median(last[-_ending(len(tail.values)) :]))
                sure = confidence(at.rise, at.least)
                return [event("divergence", key, view, start + _onset(tail.values, at), None, end, at.normal, sure)]
    return []


def _ends(curve: Curve) -> Iterator[tuple[int, Curve]]:
    """The whole curve, its last quarter …, each with the index of its first point."""
    start, length = 0, len(curve.values)
    while True:
        yield start, curve.part(start)
        if length <= _SHORTEST:
            return
        length = max(_SHORTEST, length // 4)
        start = len(curve.values) - length


def _ending(count: int) -> int:
    return max(3, min(count // 32, 8))


class _Departure(NamedTuple):
    start: int
    """Index of the first point of the first block that is off,"""
    size: int
    """and how many points make a block."""
    is_step: bool
    """Whether that block is where the rise is all but done."""
    normal: float
    rise: float
    least: float


def _first_departure(cut: Blocks, gain: float) -> _Departure | None:
    """Where the levels leave for good, when they do; of several rises, each far above the last one, the first."""
    found = None
    while (at := _departure(cut, gain)) is not None:
        found = at
        before = cut.starts < at.start
        cut = Blocks(cut.steps[before], cut.levels[before], cut.starts[before], cut.noise)
    return found


def _onset(values: Floats, at: _Departure) -> int:
    """The first point of a departure: a step up is where the points past half of it best part from those before, and
    any other rise begins with its block's first point out of the noise, if there is one.
    """
    first = max(0, at.start - at.size)
    if at.size == 1:
        return at.start
    if not at.is_step:
        noise = SIGMA * float(np.median(np.abs(values[first : at.start] - at.normal))) if first < at.start else 0.0
        return at.start + int(np.argmax(values[at.start : at.start + at.size] > at.normal + 3 * noise))
    part = (values[first : at.start + 2 * at.size] > at.normal + at.rise / 2).astype(np.float64)
    sums, count = np.cumsum(part)[:-1], np.arange(1, len(part))
    apart = (sums / count - part.mean()) ** 2 * count / (len(part) - count)
    return first + 1 + int(np.argmax(apart))


def _departure(cut: Blocks, gain: float) -> _Departure | None:
    """Where the levels leave for good, when they do. `gain`: how far the whole curve had come down."""
    levels = cut.levels
    if len(levels) < _LEAST_POINTS:
        return None
    even = smooth(levels, 3)
    end = float(np.median(levels[-_ending(len(levels)) :]))
    lowest = float(even.min())
    rise = end - lowest
    low = np.flatnonzero(even <= lowest + max(3 * cut.noise, 0.25 * rise))
    last = int(low[-1])
    # What rises bends: only what was before tells the noise.
    noise = noise_of(levels[: last + 1]) or cut.noise
    first = max(0, last - max(8, len(even) // 4))
    normal = float(even[first : last + 1].min())
    is_step = last + 1 < len(even) and bool(even[last + 1] >= normal + 0.7 * rise)
    if not is_step:
        # It is no step up from one block to the next: the rise began before a quarter of it was done.
        last = first + int(np.flatnonzero(even[first : last + 1] <= normal + 2 * noise + 0.002 * rise)[-1])
        last = _begin(cut, even, last, normal + 0.3 * rise)
    after = levels[last + 1 :]
    if len(after) < 3:
        return None
    earlier = _largest_rise(levels[: last + 1])
    least = max(_NOISE * noise, _EARLIER * earlier, _LEAST_RISE * abs(lowest))
    if gain > 0:
        least = max(least, (_RISING if _is_rising(after, noise) else _STUCK) * gain)
    elif not _is_rising(after, noise):
        return None
    if rise <= least or _is_recovering(after, noise, rise):
        return None
    size = int(cut.starts[1] - cut.starts[0])
    return _Departure(int(cut.starts[last + 1]), size, is_step, normal, rise, least)


def _begin(cut: Blocks, even: Floats, last: int, high: float) -> int:
    """The last block before a gradual rise: where lines along its foot meet, which is before it leaves the noise."""
    width = max(5, len(even) // 12)
    part = slice(max(0, last - 2 * width), last + width + 1)
    if float(even[last + 1 : last + 4].max(initial=-np.inf)) > high:
        return last
    bend = kink(cut.steps[part], cut.levels[part])
    if bend is None or bend.after <= max(0.0, bend.before):
        return last
    return min(last, max(0, int(np.searchsorted(cut.steps, bend.step)) - 1))


def _largest_rise(levels: Floats) -> float:
    """Above the lowest level until then, single blocks left out."""
    even = smooth(levels, 5)
    return float(np.max(even - np.minimum.accumulate(even))) if len(even) else 0.0


def _is_rising(after: Floats, noise: float) -> bool:
    third = max(1, len(after) // 3)
    first, last = float(np.median(after[:third])), float(np.median(after[-third:]))
    top = float(np.max(smooth(after, 3)))
    return last > first + noise and last - first >= 0.5 * (top - first)


def _is_recovering(after: Floats, noise: float, rise: float) -> bool:
    """Whether the levels fall again, by a good part of the rise, and still do."""
    if len(after) < 4:
        return False
    quarter = max(1, len(after) // 4)
    parts = [float(np.median(after[-quarter * (k + 1) : len(after) - quarter * k])) for k in range(3)]
    falling = parts[1] - parts[0] > max(2 * noise, 0.03 * rise)
    return falling and float(np.max(smooth(after, 3))) - parts[0] > 0.25 * rise
