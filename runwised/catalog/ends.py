"""What an index says of the whole of a run: its tables, its first and last row, how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runwised.formats.record import Exit
from runwised.index.run_index import IndexedRun
from runwised.index.view import Table


def history_of(index: IndexedRun) -> Table:
    """What was logged."""
    return index.history


def system_of(index: IndexedRun) -> Table:
    """What was measured of the machine."""
    return index.system


def end_of(index: IndexedRun) -> tuple[int | None, float | None]:
    """Step of the last served row, and the newest time."""
    rows, samples, logged = index.history.row_count, index.system.row_count, index.last_step
    step = int(index.history.steps(rows - 1, rows)[0]) if rows else None
    times = [last_time_of(index)] if rows and logged is None else []
    times += [source.last_time for source in index.sources if source.last_time is not None]
    times += [float(index.system.times(samples - 1, samples)[0])] if samples else []
    return step if logged is None else logged, max((time for time in times if math.isfinite(time)), default=None)


def first_time_of(index: IndexedRun) -> float:
    """Of the first served row; NaN where there is none."""
    return float(index.history.times(0, 1)[0]) if index.history.row_count else math.nan


def last_time_of(index: IndexedRun) -> float:
    """Of the last served row; 0 where there is none."""
    rows = index.history.row_count
    return float(index.history.times(rows - 1, rows)[0]) if rows else 0.0


def final_exit(exits: Sequence[Exit]) -> Exit | None:
    """The exit that ended the run; one that only ended a writer where there is no other."""
    return next((found for found in reversed(exits) if not found.not_complete), exits[-1] if exits else None)
