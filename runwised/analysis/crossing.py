"""Finds where a metric first passes a bound, and the row at a time, reading little of a long column."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from runwised.analysis.curve import Flags, Floats
from runwised.index.view import Series, Table

Relation: TypeAlias = Literal["<", "<=", ">", ">="]

_FAN = 64
"""Groups a range is looked at by."""
_READ = 512
"""Points that are read rather than grouped any further."""
_BACK = 256
"""Rows looked back over where a row does not say its time."""


class Point(NamedTuple):
    """One point of a metric; `time` in epoch seconds, NaN when not known."""

    step: int
    time: float
    value: float


def first_crossing(table: Table, key: str, relation: Relation, bound: float, stop: int | None = None) -> Point | None:
    """The first finite value at positions [0, stop) that is `relation` to the bound; None when there is none.

    Exact. A curve may go back and forth: the groups' extremes say where to look, so that of a million points two
    samples and a few hundred points are read. Raises KeyError when there is no such metric.
    """
    start, end = 0, table.row_count if stop is None else stop
    while True:
        groups = table.sample(key, _FAN, start, end)
        if int(groups.n.sum()) <= _READ:
            return _first(table.series(key, start, end), relation, bound)
        extremes = groups.min if relation in ("<", "<=") else groups.max
        hits = np.flatnonzero(_passes(extremes, relation, bound))
        if not len(hits):
            return None
        start = table.position(int(groups.step_from[hits[0]]))
        end = table.position(int(groups.step_to[hits[0]]) + 1)


def _first(points: Series, relation: Relation, bound: float) -> Point | None:
    hits = np.flatnonzero(_passes(points.values, relation, bound) & np.isfinite(points.values))
    if not len(hits):
        return None
    at = int(hits[0])
    return Point(int(points.steps[at]), float(points.times[at]), float(points.values[at]))


def _passes(values: Floats, relation: Relation, bound: float) -> Flags:
    if relation in ("<", "<="):
        return values < bound if relation == "<" else values <= bound
    return values > bound if relation == ">" else values >= bound


def rows_until(table: Table, time: float) -> int | None:
    """How many rows were logged up to a time (epoch seconds), by halving; None where rows do not say when they were.

    Where clocks went back there are several such places: one of them.
    """

    def known(position: int) -> float:
        times = table.times(max(0, position - _BACK), position + 1)
        finite = np.flatnonzero(np.isfinite(times))
        if not len(finite):
            raise _NoTimeError
        return float(times[finite[-1]])

    try:
        return bisect_right(range(table.row_count), time, key=known)
    except _NoTimeError:
        return None


class _NoTimeError(Exception):
    """None of the rows looked at says its time."""
