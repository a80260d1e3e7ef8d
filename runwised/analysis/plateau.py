"""Finds plateaus: a loss that stopped falling, and the step where it did."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, Flags, confidence, event
from runwised.analysis.kink import kink
from runwised.analysis.rolling import Blocks, blocks, smooth
from runwised.settings import AnomalyDetection

_LEAST_POINTS = 50
_SHARE = 0.3
"""Of the run that must be flat: the last part of every schedule nearly is."""
_LOST = 8.0
"""What the pace before would have brought over the flat stretch: so many times what counts as an improvement,"""
_SLOWER = 5.0
"""so many times what it did bring,"""
_CLEAR = 25.0
"""and so many times what is uncertain about that."""
_LOCAL = 8
"""Blocks whose mean is set against that of all later ones."""


def plateau(key: str, curve: Curve, config: AnomalyDetection) -> list[Event]:
    """Of a finite curve: at most one event, for a plateau that lasts to its end.

    Flat is what a straight line through it falls by no more than `plateau_improvement_threshold` of its level, from its
    onset to the end, over at least `plateau_min_steps` steps and three tenths of the run, after a fall that would have
    brought several times more in that time. Where the noise would hide such a fall nothing is said.
    """
    if len(curve.values) < _LEAST_POINTS:
        return []
    cut = blocks(curve)
    onset = _onset(cut, config.plateau_improvement_threshold)
    if onset is None:
        return []
    if onset == 0:
        return _never_fell(key, curve, cut, config)
    first = max(0, onset - max(_LOCAL, (len(cut.levels) - onset) // 3))
    bend = kink(cut.steps[first:], cut.levels[first:], flat_after=True)
    if bend is None:
        return []
    span = float(curve.steps[-1] - bend.step)
    least = max(config.plateau_min_steps, _SHARE * float(curve.steps[-1] - curve.steps[0]))
    start = int(np.searchsorted(curve.steps, bend.step))
    level = float(np.median(curve.values[start:]))
    enough = config.plateau_improvement_threshold * abs(level)
    improved, error = _improvement(cut, cut.steps >= bend.step)
    if span < least or error > enough or abs(improved) > enough:
        return []
    if -bend.before * span < max(_LOST * enough, _SLOWER * improved, _CLEAR * error):
        return []
    return [event("plateau", key, curve, start, None, level, level, confidence(span, least))]


def _onset(cut: Blocks, threshold: float) -> int | None:
    """The first block from which on the levels around each lie no higher than all later ones; None when the run's
    end does not do that, or its noise hides whether it does.
    """
    levels = smooth(cut.levels, 3)
    n = len(levels)
    at = np.arange(max(1, int(n * (1 - _SHARE))))
    sums = np.concatenate(([0.0], np.cumsum(levels)))
    stops = np.minimum(at + _LOCAL, n)
    local = (sums[stops] - sums[at]) / (stops - at)
    later = (sums[n] - sums[at]) / (n - at)
    falls = local - later > threshold * np.abs(later) + 3 * cut.noise / np.sqrt(_LOCAL)
    if not len(at) or falls[-1]:
        return None
    return int(np.flatnonzero(falls)[-1]) + 1 if falls.any() else 0


def _improvement(cut: Blocks, part: Flags) -> tuple[float, float]:
    """By how much a straight line through these blocks falls, its standard error taken off; and that error.

    The error is infinite for too few blocks.
    """
    steps, levels = cut.steps[part], cut.levels[part]
    if len(steps) < _LOCAL or np.ptp(steps) == 0:
        return 0.0, np.inf
    x = (steps - steps.mean()) / np.ptp(steps)
    squares = float(np.sum(x * x))
    fall, error = -float(np.sum(x * levels)) / squares, float(cut.noise / np.sqrt(squares))
    return float(np.copysign(max(0.0, abs(fall) - error), fall)), error


def _never_fell(key: str, curve: Curve, cut: Blocks, config: AnomalyDetection) -> list[Event]:
    """A curve that is level from its first point on; one through zero is no loss that should have fallen."""
    span = float(curve.steps[-1] - curve.steps[0])
    level = float(np.median(curve.values))
    enough = config.plateau_improvement_threshold * level
    improved, error = _improvement(cut, np.ones(len(cut.levels), np.bool_))
    if error > enough or span < config.plateau_min_steps or np.min(curve.values) <= 0 or np.ptp(curve.values) == 0:
        return []
    if abs(improved) > enough:
        return []
    return [event("plateau", key, curve, 0, None, level, level, 0.5)]
