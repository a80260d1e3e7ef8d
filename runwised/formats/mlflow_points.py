"""MLflow's metric points: lines of ``metrics/KEY`` files and rows of the table ``metrics``, as columns.

A line is ``TIMESTAMP VALUE STEP``, in old files without the step, in new ones maybe with the name and the digest of a
data set behind it; the timestamp counts milliseconds. A row of the table has NaN as value 0 with ``is_nan`` 1, and an
infinity as the largest float64 of its sign (MLflow, ``store/tracking/dbmodels/models.py``, ``SqlMetric``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import NO_STEP, Column, Damage, Floats, Ints, Rows, escape
from runwised.formats.wall_time import epoch_seconds, epoch_seconds_each

LARGEST = 1.7976931348623157e308
_GLUED_STEP = 10**12
"""A step above this that stands before a number is a line that was cut and the next one glued to it."""

SqlPoint = tuple[int, str, Any, Any, Any, Any]
"""rowid, key, value, timestamp, step, is_nan."""


class Points(NamedTuple):
    """Points in the order they were logged; arrays have shape (n,)."""

    offsets: Ints
    keys: NDArray[np.int64]
    """Number of each point's key in a list the caller keeps."""
    steps: Ints
    """As logged; 0 where there was none."""
    times: Floats
    """Epoch seconds; NaN where there is no time."""
    values: Floats


class Lines(NamedTuple):
    """What a stretch of whole lines of one metric file holds. Offsets count from its first byte."""

    offsets: Ints
    steps: Ints
    times: Floats
    values: Floats
    damage: list[Damage]


class StepNumbers:
    """Steps of keys that are logged without one: MLflow then writes 0 each time, and each point would replace the last.

    So where the second point of a key repeats the step of its first, the key's points are numbered first + 1,
    first + 2 … as long as the step stays that. `state` holds what must be remembered, by key: the first step, and how
    many points had it (-1: another step has come since).
    """

    def __init__(self, state: dict[str, tuple[int, int]] | None = None) -> None:
        self.state: dict[str, tuple[int, int]] = {} if state is None else state

    def number(self, key: str, steps: Ints) -> Ints:
        """The steps to serve for a key's next points; shape (n,) to shape (n,)."""
        if not len(steps):
            return steps
        first, count = self.state.get(key, (steps.item(0), 0))
        if count < 0:
            return steps
        other = np.flatnonzero(steps != first)
        stays = other.item(0) if len(other) else len(steps)
        self.state[key] = (first, -1 if len(other) else count + stays)
        if count + stays <= 1:
            return steps
        return np.concatenate((first + count + np.arange(stays, dtype=np.int64), steps[stays:]))


def build_rows(points: Points, names: Sequence[str], steps: StepNumbers) -> Rows:
    """Points as rows, one each; `names` are the keys' own names, which are escaped here."""
    served = points.steps.copy()
    order = np.argsort(points.keys, kind="stable")
    held, starts = np.unique(points.keys[order], return_index=True)
    columns = []
    for number, rows in zip(held.tolist(), np.split(order, starts[1:]), strict=True):
        served[rows] = steps.number(names[number], points.steps[rows])
        every = len(rows) == len(order)
        columns.append((rows.item(0), Column(escape((names[number],)), None if every else rows, points.values[rows])))
    columns.sort(key=lambda found: found[0])
    in_order = tuple(column for _, column in columns)
    return Rows("history", points.offsets, served, points.times, in_order, by_key=True)


def decode_lines(data: bytes) -> Lines:
    """The points in whole lines of a metric file (`data` ends with a line's end, or is empty)."""
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    starts = np.concatenate((np.zeros(1, np.int64), ends + 1))[:-1]
    fields = data.split()
    if len(fields) == 3 * len(ends) and _has_two(np.flatnonzero(characters == ord(" ")), starts, ends):
        try:
            times = np.array(list(map(float, fields[::3])))
            values = np.array(list(map(float, fields[1::3])))
            steps = np.array(list(map(int, fields[2::3])), np.int64)
            return Lines(starts, steps, epoch_seconds_each(times), values, [])
        except (ValueError, OverflowError):
            pass  # one line or more is none: they are told apart below
    return _decode_each(data.split(b"\n")[:-1], starts)


def _has_two(blanks: Ints, starts: Ints, ends: Ints) -> bool:
    """Whether two blanks stand in each line."""
    if len(blanks) != 2 * len(ends):
        return False
    return bool(np.all(blanks[::2] >= starts) and np.all(blanks[1::2] < ends))


def _decode_each(lines: Sequence[bytes], starts: Ints) -> Lines:
    found: list[tuple[int, int, float, float]] = []
    damage: list[Damage] = []
    for start, line in zip(starts.tolist(), lines, strict=True):
        if not line.strip():
            continue
        try:
            found.append((start, *decode_line(line)))
        except ValueError as error:
            damage.append(Damage(start, len(line) + 1, str(error)))
    offsets, steps, times, values = zip(*found, strict=True) if found else ((), (), (), ())
    return Lines(np.array(offsets, np.int64), np.array(steps, np.int64), np.array(times), np.array(values), damage)


def decode_line(line: bytes) -> tuple[int, float, float]:
    """Step (0 where there is none), time and value of one metric line. Raises ValueError when it is none."""
    fields = line.split()
    try:
        if len(fields) not in (2, 3, 5):
            raise ValueError
        step = int(fields[2]) if len(fields) > 2 else 0
        if not NO_STEP < step < 2**63 or (len(fields) == 5 and step > _GLUED_STEP):
            raise ValueError
        return step, epoch_seconds(float(fields[0])), float(fields[1])
    except ValueError:
        raise ValueError("a line is no metric point") from None


class SqlDecoder:
    """Rows of the table ``metrics`` as points; numbers keys in the order they come, from 0."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def decode(self, rows: Sequence[SqlPoint]) -> tuple[Points, list[Damage]]:
        """The points, and damage for what has no numbers where numbers must be."""
        try:
            return self._points(rows), []
        except (ValueError, TypeError, OverflowError):
            return self._decode_each(rows)

    def _decode_each(self, rows: Iterable[SqlPoint]) -> tuple[Points, list[Damage]]:
        whole: list[SqlPoint] = []
        damage: list[Damage] = []
        for row in rows:
            try:
                self._points([row])
            except (ValueError, TypeError, OverflowError):
                damage.append(Damage(row[0], 1, "a row is no metric point"))
            else:
                whole.append(row)
        return self._points(whole), damage

    def _points(self, rows: Sequence[SqlPoint]) -> Points:
        ids, keys, values, times, steps, are_nan = zip(*rows, strict=True) if rows else ((),) * 6
        numbers = np.array(values, np.float64)
        numbers[np.array(are_nan, np.float64) == 1] = np.nan
        numbers[numbers == LARGEST] = np.inf
        numbers[numbers == -LARGEST] = -np.inf
        return Points(
            np.array(ids, np.int64),
            self._number(keys),
            np.array(steps, np.int64),
            epoch_seconds_each(np.array(times, np.float64)),
            numbers,
        )

    def _number(self, keys: Sequence[str]) -> Ints:
        for key in dict.fromkeys(keys):
            if key not in self._numbers:
                self._numbers[key] = len(self.names)
                self.names.append(str(key))
        return np.array(list(map(self._numbers.__getitem__, keys)), np.int64)


def decode_sql_value(value: Any, is_nan: Any) -> float:
    """One value of the table ``metrics``, as `SqlDecoder` gives it. Raises ValueError when it is no number."""
    points, damage = SqlDecoder().decode([(0, "", value, 0, 0, is_nan)])
    if damage:
        raise ValueError("a row is no metric point")
    return points.values.item(0)
