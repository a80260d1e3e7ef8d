"""Finds gradient norms that explode or vanish."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, confidence, event
from runwised.analysis.rolling import mostly
from runwised.analysis.sustained import begun, changes, usual
from runwised.settings import AnomalyDetection

_LEAST_POINTS = 16
_ABOVE_ALL = 2.0
"""Factor that large norms must be above the median of all before them."""
_LEAST_LARGE = 3
"""Large points that do where the curve ends, or stops being finite, before there can be more."""


def explosion(key: str, curve: Curve, config: AnomalyDetection) -> list[Event]:
    """Of a finite curve: norms above `gradient_explode_multiplier` times their usual level, for at least
    `gradient_sustained_steps` points or to the end, and above what was so far, for norms that are back from a dip have
    not exploded. The onset is where that rise began.
    """
    n = len(curve.values)
    if n < _LEAST_POINTS:
        return []
    near = usual(curve, config.spike_window)
    factor = config.gradient_explode_multiplier
    off = (curve.values > factor * near.low) & (near.low > 0) & (curve.values > _ABOVE_ALL * near.so_far)
    events = []
    for found in changes(curve.values, near.low, off, factor / 2, config.gradient_sustained_steps):
        if found.stop - found.start < _LEAST_LARGE:
            continue
        start = begun(curve.values, found.start, config.spike_window)
        level = float(np.median(curve.values[max(0, start - 10) : start])) if start else found.normal
        top = float(np.max(curve.values[found.start : found.stop]))
        sure = confidence(top, factor * found.normal)
        events.append(event("gradient_explosion", key, curve, start, found.stop, top, min(level, found.normal), sure))
    return events


def vanishing(key: str, curve: Curve, config: AnomalyDetection) -> list[Event]:
    """Of a finite curve: norms below `gradient_vanish_threshold` for at least `gradient_sustained_steps` points."""
    small = np.abs(curve.values) < config.gradient_vanish_threshold
    count = config.gradient_sustained_steps
    starts = np.flatnonzero(mostly(small, count))
    if not len(starts) or len(curve.values) - starts[0] < count:
        return []
    start = int(starts[0])
    back = np.flatnonzero(mostly(~small[start:], count))
    end = start + int(back[0]) if len(back) else len(small)
    lowest = float(np.median(curve.values[start:end]))
    before = float(np.median(curve.values[max(0, start - 100) : start])) if start else np.nan
    sure = confidence(config.gradient_vanish_threshold, max(lowest, 0.0)) if lowest > 0 else 1.0
    return [event("gradient_vanishing", key, curve, start, end, lowest, before, sure)]
