"""Owns the robust slope of a curve, and what is uncertain about it: the median of the slopes between its blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Floats
from runwised.analysis.rolling import blocks

_BLOCKS = 64
"""Of more points, the means of so many blocks are looked at (and what is left over): 2,080 pairs at most."""
_FEWEST = 8
"""Fewer points have no interval worth the name."""
_Z = 1.959964
"""95 % of a normal distribution lie so many standard deviations about its mean."""


class Line(NamedTuple):
    """A slope in units a step, and its 95 % interval."""

    slope: float
    low: float
    high: float


def slope(curve: Curve) -> Line | None:
    """Of a finite curve, None for fewer than eight points.

    The median of the slopes between all pairs of blocks (Theil, 1950), and an interval from their ranks (Sen, Estimates
    of the Regression Coefficient Based on Kendall's Tau, 1968). Kendall's variance is raised by (1 + r) / (1 - r), r
    being how far neighbouring residuals go together (Yue and Wang, 2004): blocks of slow noise are not independent.
    """
    cut = blocks(curve, _BLOCKS)
    count = len(cut.levels)
    if count < _FEWEST:
        return None
    before, after = np.triu_indices(count, 1)
    slopes = np.sort((cut.levels[after] - cut.levels[before]) / (cut.steps[after] - cut.steps[before]))
    middle = float(np.median(slopes))
    together = _together(cut.levels - middle * cut.steps)
    variance = count * (count - 1) * (2 * count + 5) / 18 * (1 + together) / (1 - together)
    pairs = len(slopes)
    off = int(np.ceil((pairs - _Z * np.sqrt(variance)) / 2)) - 1
    off = min(max(off, 0), (pairs - 1) // 2)
    return Line(middle, float(slopes[off]), float(slopes[pairs - 1 - off]))


def _together(residuals: Floats) -> float:
    """Correlation of neighbouring residuals, between 0 and .9."""
    rest = residuals - residuals.mean()
    squares = float(np.sum(rest * rest))
    return min(max(float(np.sum(rest[1:] * rest[:-1])) / squares, 0.0), 0.9) if squares > 0 else 0.0
