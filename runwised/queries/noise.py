"""How far a run's curve swings by itself: what two runs differ by less than that says nothing."""

from __future__ import annotations

import math
from statistics import median

from runwised.index.view import RunView

_GROUPS = 16
_FEWEST = 4
"""Swings below which nothing is said."""


def swing(run: RunView, key: str) -> float | None:
    """Half of the median swing of a metric over the last quarter of a run's rows; None where there are too few points.

    The quarter is taken in at most 16 groups of rows. A group's swing is the distance from its least to its greatest
    finite value, the last one of the group before it among them, so that groups of one point count as well.
    """
    rows = run.history.row_count
    groups = run.history.sample(key, _GROUPS, rows - rows // 4, rows)
    swings: list[float] = []
    before = math.nan
    for low, high, last in zip(groups.min.tolist(), groups.max.tolist(), groups.last.tolist(), strict=True):
        if math.isfinite(low) and math.isfinite(before):
            swings.append(max(high, before) - min(low, before))
        before = last
    return median(swings) / 2 if len(swings) >= _FEWEST else None
