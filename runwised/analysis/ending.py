"""Finds a loss that ends far off: too late, or on too few points, for what needs a curve on both sides."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, event

_FEW = 12
"""Points below which a curve's course cannot be judged otherwise."""
_BEFORE = 50
"""Points that tell how far neighbours usually are apart."""
_APART = 4.0
"""Of the largest such distance: how far the last points must be above,"""
_LEAST_RISE = 0.25
"""and of the level before them."""
_LOST = 0.5
"""Share of what few points had gained that the last one must have lost again."""
_LAST = 3
"""Points of the end that may be off together."""


def ends_high(key: str, curve: Curve) -> list[Event]:
    """Of a finite curve: at most one event, a divergence of little confidence.

    Either the last one to three points lie above all before by four times the largest distance between neighbours
    there; or, of fewer than twelve points, the last has lost half of what the curve had gained, and a quarter of its
    best value.
    """
    values = curve.values
    n = len(values)
    for count in range(1, min(_LAST, n - 3) + 1):
        before = values[max(0, n - count - _BEFORE) : n - count]
        level = float(np.median(before[-10:]))
        rise = float(values[n - count :].min()) - float(before.max())
        apart = float(np.abs(np.diff(before)).max())
        if rise > max(_APART * apart, _LEAST_RISE * abs(level)):
            return [event("divergence", key, curve, n - count, None, values[-1], level, 0.5)]
    if 2 <= n < _FEW:
        best = int(np.argmin(values))
        lost, gained = float(values[-1] - values[best]), float(values[0] - values[best])
        if lost > max(_LOST * gained, _LEAST_RISE * abs(float(values[best]))):
            far = values[best:] > values[best] + lost / 2
            start = best + int(np.argmax(far))
            return [event("divergence", key, curve, start, None, values[-1], float(values[best]), 0.4)]
    return []
