"""A moment of a run: the rows around a step, and by their times the system samples and console lines around them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.raw import Raw

from runwised.formats.record import Ints
from runwised.index.view import Line, RunView, Table
from runwised.queries.rows import are_indexed, place

AROUND = 3
_LINES = 500
"""Console lines on either side of the moment that are handed on."""
_SAMPLES = 64
"""System records that are handed on, the nearest."""
_ONE_SAMPLE_SECONDS = 1.0
"""Older writers log one sample as several records, one soon after the other."""


class Span(NamedTuple):
    """Epoch seconds: of the row meant, the first and the last row; and of the rows before and after these, infinite
    where there is none."""

    moment: float
    first: float
    last: float
    before: float
    after: float


class Console(NamedTuple):
    """The lines of a moment that are handed on, and how many there are."""

    lines: list[Line]
    matched: int


def check(query: Raw) -> None:
    """Raises RunwiseError where the options do not fit together."""
    if query.at is None and query.around is not None:
        raise RunwiseError(Kind.USAGE, "--around goes with --at", "runwise raw --at 100 --around 3")
    if query.at is not None and (query.step, query.row, query.limit) != (None, None, None):
        raise RunwiseError(Kind.USAGE, "--at excludes --step, --row and -n", "runwise raw --at 100 --around 3")


def positions(table: Table, at: int, around: int, keys: Collection[str] | None) -> tuple[list[int], int]:
    """Positions of the row nearest to a step and of up to `around` rows on either side of it; and its place among them.

    With keys whose rows the index knows, only rows that hold one of them count.
    """
    if keys and are_indexed(table, keys):
        parts = [table.series(key).steps for key in keys if key in table.names]
        steps = np.unique(np.concatenate(parts))
        offset = 0
    else:
        near = place(table, at)
        offset = max(near - around - 1, 0)
        steps = table.steps(offset, min(near + around + 1, table.row_count))
    if not len(steps):
        return [], 0
    nearest = _nearest(steps, at)
    start = max(nearest - around, 0)
    chosen = steps[start : nearest + around + 1].tolist()
    return [table.position(step) for step in chosen], nearest - start


def _nearest(steps: Ints, at: int) -> int:
    """Place of the step nearest to `at`, the earlier of two."""
    right = int(np.searchsorted(steps, min(max(at, int(steps[0])), int(steps[-1]))))
    left = max(right - 1, 0)
    return left if abs(int(steps[left]) - at) <= abs(int(steps[right]) - at) else right


def span(table: Table, rows: list[int], nearest: int) -> Span | None:
    """When the rows at these positions were logged; None where that is not known."""
    first, last = rows[0], rows[-1]
    times = [float(table.times(at, at + 1)[0]) for at in rows]
    known = [time for time in times if math.isfinite(time)]
    if not known:
        return None
    low, high = min(known), max(known)
    moment = times[nearest] if math.isfinite(times[nearest]) else low
    before = float(table.times(first - 1, first)[0]) if first else -math.inf
    after = float(table.times(last + 1, last + 2)[0]) if last + 1 < table.row_count else math.inf
    return Span(moment, low, high, min(before, low), max(after, high))


def console(run: RunView, within: Span) -> Console:
    """Console lines between the row before the first and the row after the last, those nearest to the moment."""
    before: deque[Line] = deque(maxlen=_LINES)
    after: list[Line] = []
    matched = 0
    for line in run.console_between(within.before, within.after):
        matched += 1
        if line.time <= within.moment:
            before.append(line)
        elif len(after) < _LINES:
            after.append(line)
    return Console([*before, *after], matched)


def system(table: Table, within: Span) -> tuple[list[dict[str, Any]], int]:
    """System samples from the last before the first row to the first after the last, `_time` and metrics each.

    Also how many records these are of; only the nearest to the moment are handed on.
    """
    times = table.times(0, table.row_count)
    if not len(times):
        return [], 0
    start = _whole_sample(times, int(np.searchsorted(times, within.first)) - 1, -1)
    stop = _whole_sample(times, int(np.searchsorted(times, within.last, "right")), 1) + 1
    matched = stop - start
    if matched > _SAMPLES:
        middle = int(np.searchsorted(times, within.moment))
        start = min(max(middle - _SAMPLES // 2, start), stop - _SAMPLES)
        stop = start + _SAMPLES
    return _joined(_records(table, start, stop)), matched


def _whole_sample(times: np.ndarray[Any, np.dtype[np.float64]], at: int, way: int) -> int:
    """The farthest record of the sample at a place, forwards or back; the place is within the records."""
    at = min(max(at, 0), len(times) - 1)
    first = at
    while 0 <= at + way < len(times) and abs(times[at + way] - times[first]) < _ONE_SAMPLE_SECONDS:
        at += way
    return at


def _records(table: Table, start: int, stop: int) -> list[dict[str, Any]]:
    records = [{"_time": time} for time in table.times(start, stop).tolist()]
    at = {number: place for place, number in enumerate(table.numbers(start, stop).tolist())}
    for name in table.names:
        found = table.series(name, start, stop)
        for number, value in zip(found.rows.tolist(), found.values.tolist(), strict=True):
            records[at[number]][name] = value
    return records


def _joined(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples: records that follow closely and hold other metrics are one."""
    samples: list[dict[str, Any]] = []
    for record in records:
        last = samples[-1] if samples else None
        if (
            last is not None
            and record["_time"] - last["_time"] < _ONE_SAMPLE_SECONDS
            and (record.keys() & last.keys()) == {"_time"}
        ):
            last.update({**record, "_time": last["_time"]})
        else:
            samples.append(record)
    return samples
