"""A run with no more rows than it had at some moment: for findings that depend on the rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from runwised.index.kept import Mark
from runwised.index.view import RunView, Series, Stats, Table
from runwised.queries.moments import served_before


class AsItWas:
    """A `RunView` whose history ends at a moment, without what was taken back since; all else is as it is now."""

    def __init__(self, run: RunView, mark: Mark) -> None:
        self._run = run
        self.segments = mark.segments
        self.history = _Shortened(run.history, served_before(run.history, mark))
        self.system = _Shortened(run.system, _sampled_until(run.system, _last_time(self.history)))
        self.memory = _Forgetful()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


class _Forgetful:
    """A `Memory` of its own: what is known of the whole run is no good here."""

    def __init__(self) -> None:
        self.folds: dict[str, Any] = {}
        self.note = b""


def _last_time(table: Table) -> float:
    times = table.times(max(0, table.row_count - 1), table.row_count)
    return float(times[0]) if len(times) else np.nan


def _sampled_until(system: Table, time: float) -> int:
    """How many of the samples were there by then; all, where that is not known."""
    times = system.times(0, system.row_count)
    return int(np.searchsorted(times, time, "right")) if np.isfinite(time) else system.row_count


class _Shortened:
    """The first `stop` served rows of a table."""

    def __init__(self, table: Table, stop: int) -> None:
        self._table = table
        self.row_count = self.total_rows = stop
        self._limit = int(table.steps(stop, stop + 1)[0]) if stop < table.row_count else None
        """The first step that is left out."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    @property
    def names(self) -> list[str]:
        limit = self._limit
        return [name for name in self._table.names if limit is None or self._table.stats(name).first_step < limit]

    def stats(self, name: str) -> Stats:
        """Without extremes and means, where points are left out."""
        whole = self._table.stats(name)
        if self._limit is None or whole.last_step < self._limit:
            return whole
        points = self.series(name)
        values = points.values
        if not len(values):
            raise KeyError(name)
        bad = np.flatnonzero(~np.isfinite(values))
        return Stats(
            count=len(values),
            nonfinite=len(bad),
            first=float(values[0]),
            last=float(values[-1]),
            first_step=int(points.steps[0]),
            last_step=int(points.steps[-1]),
            last_row=int(points.rows[-1]),
            first_nonfinite_step=int(points.steps[bad[0]]) if len(bad) else None,
        )

    def position(self, step: int) -> int:
        return min(self._table.position(step), self.row_count)

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        end = self.row_count if stop is None else min(stop, self.row_count)
        return self._table.series(name, min(start, end), end)
