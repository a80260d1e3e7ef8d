"""What a metric was when a run stood at a step: its last value by then, or the best so far.

Most of it the header tells. What it does not costs one short read of the column: runs are many.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from runwised.formats.record import Floats, Ints
from runwised.index.view import RunView, Stats
from runwised.queries.glance import Moment, best
from runwised.queries.keysel import Direction

_SHORT = 1024
"""A column of so many points is one piece of the index: reading all of it costs as much as reading one point."""
_LOOKBACK = 64
"""Rows that are looked at first for the last point before a step; a metric may be logged more seldom."""
_GROUPS = 64
"""Groups of points among which the one with the best value is looked for, and within it again."""
_LATE = 1.5
"""A metric's last point may lie behind by so many times its usual distance between two points."""

_KEY = "short"
"""Where the short column that was read last is kept with a run, with the statistics it goes with: the next question is
about the same metric at another step."""


class _Short(NamedTuple):
    key: str
    found: Stats
    steps: Ints
    values: Floats


def stands(found: Stats, step: int) -> bool:
    """Whether a metric has a value that holds at a step.

    It does where points lie at or before the step, and others at or behind it, or where the last one is no further
    from it than the metric's own pace allows.
    """
    if not found.first_step <= step:
        return False
    usual = (found.last_step - found.first_step) / max(1, found.count - 1)
    return step - found.last_step <= _LATE * usual


def last_at(run: RunView, key: str, found: Stats, step: int) -> Moment:
    """The last value at or before a step at which, or before which, there is one; `found` are the statistics."""
    if found.last_step <= step:
        return Moment(found.last, found.last_step)
    if found.count <= _SHORT:
        steps, values = _whole(run, key, found)
        at = bisect_right(steps, step) - 1
        return Moment(values.item(at), steps.item(at))
    table = run.history
    stop = table.position(step + 1)
    points = table.series(key, max(0, stop - _LOOKBACK), stop)
    if len(points.values):
        return Moment(points.values.item(-1), points.steps.item(-1))
    whole = table.sample(key, 1, 0, stop)
    return Moment(whole.last.item(-1), whole.step_to.item(-1))


def best_at(run: RunView, key: str, found: Stats, step: int, side: Direction) -> Moment | None:
    """The least or greatest finite value up to a step; None where there is none."""
    whole = best(found, side)
    if whole is None or whole.step is None or whole.step <= step:
        return whole
    if found.count <= _SHORT:
        steps, values = _whole(run, key, found)
        at = _first_best(values[: bisect_right(steps, step)], side)
        return None if at is None else Moment(values.item(at), steps.item(at))
    table = run.history
    start, stop, points = 0, table.position(step + 1), found.count
    while points > _SHORT:
        groups = table.sample(key, _GROUPS, start, stop)
        at = _first_best(groups.min if side == "min" else groups.max, side)
        if at is None:
            return None
        points = int(groups.n[at])
        start, stop = table.position(int(groups.step_from[at])), table.position(int(groups.step_to[at]) + 1)
    series = table.series(key, start, stop)
    at = _first_best(series.values, side)
    return None if at is None else Moment(series.values.item(at), series.steps.item(at))


def _whole(run: RunView, key: str, found: Stats) -> tuple[Ints, Floats]:
    """Steps and values of a short column."""
    known: _Short | None = run.memory.folds.get(_KEY)
    if known is None or (known.key, known.found) != (key, found):
        series = run.history.series(key)
        known = run.memory.folds[_KEY] = _Short(key, found, series.steps, series.values)
    return known.steps, known.values


def _first_best(values: Floats, side: Direction) -> int | None:
    """Where the first of the least or greatest finite values stands; None where there is none."""
    ranked = np.where(np.isfinite(values), values if side == "min" else -values, np.inf)
    at = int(ranked.argmin()) if len(ranked) else 0
    return at if len(ranked) and ranked[at] < np.inf else None
