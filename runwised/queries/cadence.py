"""How often a run usually logs, and whether it has been silent for longer than that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.index.view import RunView

_ROWS = 200
_LEAST_ROWS = 6
_SILENT = 3.0
"""Silence of so many usual pauses is a stall: one missed turn, and one that is late, are none."""
_LEAST_SECONDS = 10.0
"""Writers keep rows back for some seconds."""


class Cadence(NamedTuple):
    """The pauses between a run's rows."""

    usual: float | None
    """Median of the last 200, seconds; None where there are too few, or the log does not tell times."""
    longest: float | None
    """The longest of them."""

    def stalled(self, silent: float | None) -> float | None:
        """How many usual pauses a silence is long; None where that is nothing unusual.

        A silence no longer than half as much again as a pause there was before is none either: validation and
        checkpoints take their time.
        """
        if silent is None or self.usual is None or self.longest is None or silent < _LEAST_SECONDS:
            return None
        limit = max(_SILENT * self.usual, 1.5 * self.longest)
        return silent / self.usual if self.usual > 0 and silent > limit else None


def cadence(run: RunView) -> Cadence:
    """The pauses between its last rows, by their own times."""
    table = run.history
    times = table.times(max(0, table.row_count - _ROWS), table.row_count)
    pauses = np.diff(times[np.isfinite(times)])
    if len(pauses) < _LEAST_ROWS - 1:
        return Cadence(None, None)
    return Cadence(float(np.median(pauses)), float(pauses.max()))
