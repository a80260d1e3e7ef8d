"""A run as it is now against what it was at a moment: which of its points, lines and findings are new."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from runwise_protocol.queries.since import NewBest

from runwised.index.kept import Mark
from runwised.index.view import Line, RunView, Series, Stats, Table
from runwised.queries.glance import best, stats_of
from runwised.queries.keysel import direction, main_metrics
from runwised.queries.liveness import lives
from runwised.queries.tracebacks import speaks_of_error
from runwised.settings import RunwiseConfig

MAIN = 4


def served_before(table: Table, mark: Mark) -> int:
    """How many of the served rows were there at a moment. Where rows are known by their steps: those up to its step."""
    if mark.records <= 0:
        return 0
    if table.by_step:
        return table.row_count if mark.step is None else table.position(mark.step + 1)
    low, high = 0, table.row_count
    while low < high:
        middle = (low + high) // 2
        if int(table.numbers(middle, middle + 1)[0]) < mark.records:
            low = middle + 1
        else:
            high = middle
    return low


def began_anew(run: RunView, mark: Mark) -> bool:
    """Whether its log is not the one that a moment's positions are of, or was cut: they mean nothing in it."""
    now = run.mark
    another = bool(now.beginning and mark.beginning and now.beginning != mark.beginning)
    return now.records >= 0 and mark.records >= 0 and (now.records < mark.records or another)


def comparable(run: RunView, mark: Mark) -> Mark:
    """The mark to compare a run with: where its log was begun anew, that of one that had logged and printed nothing."""
    if not began_anew(run, mark):
        return mark
    return replace(mark, records=0, step=None, console=0 if run.console_end >= 0 else -1)


def new_points(run: RunView, key: str, mark: Mark) -> Series | None:
    """The points of a metric since a moment; None where it has none at all."""
    table, mark = run.history, comparable(run, mark)
    try:
        return table.series(key, served_before(table, mark))
    except KeyError:
        return None


def new_bests(run: RunView, config: RunwiseConfig, mark: Mark) -> Iterator[NewBest]:
    """The main metrics whose best value came after a moment at which they had one."""
    for key in main_metrics(run, config, MAIN):
        found, side = stats_of(run, key), direction(key, run, config)[0]
        top = best(found, side)
        if found is None or top is None or side is None or top.step is None:
            continue
        if _record(run.history, found, side) < mark.records:
            continue
        before = _best_before(run.history, key, side, mark)
        if before is not None:
            yield NewBest(key=key, value=top.value, step=top.step, before=before)


def _record(table: Table, found: Stats, side: str) -> int:
    row = found.min_row if side == "min" else found.max_row
    return -1 if row is None else int(table.records(np.array([row], np.int64))[0])


def _best_before(table: Table, key: str, side: str, mark: Mark) -> float | None:
    groups = table.sample(key, 1, 0, served_before(table, mark))
    values = groups.min if side == "min" else groups.max
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return float(values.min() if side == "min" else values.max())


def new_errors(run: RunView, mark: Mark) -> Iterator[Line]:
    """The lines of the newest segment's console that speak of an error and were not whole at a moment. Raises
    Unreadable.

    The last line of a run that goes on is told when it has its end: then it is told whole, and once.
    """
    now, goes_on = run.mark, lives(run)
    if (now.console, now.segments) == (mark.console, mark.segments) and (goes_on or mark.state != "running"):
        return iter(())
    end = mark.console if run.segments == mark.segments else (0 if now.console >= 0 else -1)
    return (line for line in run.console_from(end, ended=goes_on) if speaks_of_error(line))
