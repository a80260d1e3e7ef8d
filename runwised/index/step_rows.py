"""The row table of a log in which each key takes back its own points: rows are known by their steps.

What was logged stands in file order, record by record. A row is a step at which at least one key has a point that was
not taken back, whichever records the points came with; its number is the step itself, so that a step that turns up late
(another writer, a file read after another) moves nothing that columns refer to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Floats, Ints
from runwised.index.arrays import Array, Vector
from runwised.index.rows import LAST_STEP, GrowingRows, RowTable, Stretches, resolve
from runwised.index.view import Rewind

NO_STEPS = np.empty(0, np.int64)


class Itself:
    """The steps of rows whose numbers are their steps; see `Array`."""

    def __init__(self, rows: Array[np.int64]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, index: int) -> Any:
        """As `Array.item`."""
        return index

    def slice(self, start: int, stop: int) -> Ints:
        """As `Array.slice`."""
        return np.arange(start, stop)

    def take(self, indices: Ints) -> Ints:
        """As `Array.take`."""
        return indices

    def find(self, value: int, start: int, stop: int) -> int:
        """As `Array.find`."""
        return min(max(value, start), stop)


class ByStep:
    """One thing known of each row, found by the row's step; see `Array`."""

    def __init__(self, rows: Array[np.int64], values: Array[np.float64]) -> None:
        self._rows = rows
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def item(self, index: int) -> Any:
        """As `Array.item`."""
        return self._values.item(self._rows.find(index, 0, len(self._rows)))

    def slice(self, start: int, stop: int) -> Floats:
        """As `Array.slice`."""
        return self.take(np.arange(start, stop))

    def take(self, indices: Ints) -> Floats:
        """As `Array.take`."""
        return self._values.take(places(self._rows, indices))

    def find(self, value: int, start: int, stop: int) -> int:
        """Times do not increase with steps: not to be asked."""
        raise NotImplementedError


class StepOrder:
    """The rows in the order of their steps; takes the place of `Pieces`."""

    def __init__(self, rows: Array[np.int64]) -> None:
        self.rows = rows

    @property
    def served(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def number(self, position: int) -> int:
        """Step of the row at a position."""
        return int(self.rows.item(position))

    def numbers(self, start: int, stop: int) -> Ints:
        """Steps of the rows at positions [start, stop)."""
        return self.rows.slice(start, stop)

    def numbers_at(self, positions: Ints) -> Ints:
        """Steps of the rows at `positions`; behind the last row no step is large enough."""
        steps = np.full(len(positions), LAST_STEP)
        inside = int(np.searchsorted(positions, self.served))
        steps[:inside] = self.rows.take(positions[:inside])
        return steps

    def positions_of(self, numbers: Ints) -> Ints:
        """Positions of rows, by their steps."""
        return places(self.rows, numbers)


def places(rows: Array[np.int64], steps: Ints) -> Ints:
    """Where each of `steps`, which do not decrease, stands among increasing `rows`, or would."""
    if not len(steps):
        return NO_STEPS
    start = rows.find(int(steps[0]), 0, len(rows))
    stop = rows.find(int(steps[-1]), start, len(rows))
    if len(steps) * 64 < stop - start:
        return np.array([rows.find(step, start, stop) for step in steps.tolist()], np.int64)
    return start + np.searchsorted(rows.slice(start, stop), steps)


class Order(NamedTuple):
    """The rows, by position; arrays of one length."""

    rows: Array[np.int64]
    """Their steps, increasing."""
    times: Array[np.float64]
    """Epoch seconds of the newest record of each that has a time."""
    records: Array[np.int64]
    """Number of the newest record of each."""


class StepRows(RowTable):
    """All records in file order, and the rows."""

    pieces: StepOrder

    def __init__(
        self,
        offsets: Array[np.int64],
        steps: Array[np.int64],
        times: Array[np.float64],
        stretches: Stretches,
        order: Order,
    ) -> None:
        by_step = Itself(order.rows), ByStep(order.rows, order.times)
        super().__init__(offsets, *by_step, StepOrder(order.rows), stretches)
        self.log_steps = steps
        self.log_times = times
        self.order = order

    def position(self, step: int) -> int:
        """As `RowTable`."""
        rows = self.order.rows
        return rows.find(step, 0, len(rows))

    def served_steps(self, start: int, stop: int) -> Ints:
        """As `RowTable`."""
        return self.order.rows.slice(start, stop)

    def served_times(self, start: int, stop: int) -> Floats:
        """As `RowTable`."""
        return self.order.times.slice(start, stop)

    def records(self, numbers: Ints) -> Ints:
        """As `RowTable`."""
        return self.order.records.take(places(self.order.rows, numbers))

    def records_of(self, start: int, stop: int) -> Ints:
        """As `RowTable`: all whose step lies in [start, stop)."""
        steps = self.log_steps.slice(0, len(self.log_steps))
        return np.flatnonzero((steps >= start) & (steps < stop))

    def record_step(self, record: int) -> int:
        """As `RowTable`."""
        return int(self.log_steps.item(record))


class GrowingStepRows(StepRows):
    """The same in memory."""

    offsets: Vector[np.int64]
    log_steps: Vector[np.int64]
    log_times: Vector[np.float64]

    def __init__(
        self,
        offsets: Vector[np.int64],
        steps: Vector[np.int64],
        times: Vector[np.float64],
        stretches: Stretches,
        rewinds: list[Rewind],
    ) -> None:
        self._rows = Vector.empty(np.int64)
        self._times = Vector.empty(np.float64)
        self._records = Vector.empty(np.int64)
        self._held = Vector.empty(np.int64)
        super().__init__(offsets, steps, times, stretches, Order(self._rows, self._times, self._records))
        self.rewinds = rewinds

    @classmethod
    def of(cls, rows: GrowingRows) -> GrowingStepRows:
        """The records of a table that was kept by row; which rows there are is told with `settle`."""
        return cls(rows.offsets, rows.steps, rows.times, rows.stretches, rows.rewinds)

    def steps_from(self, record: int) -> Ints:
        """As `GrowingRows`."""
        return self.log_steps.live[record:]

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        log = self.offsets.nbytes + self.log_steps.nbytes + self.log_times.nbytes
        return log + self._rows.nbytes + self._times.nbytes + self._records.nbytes + self._held.nbytes

    def append(self, offsets: Ints, steps: Ints, times: Floats) -> Ints:
        """Put records behind the last; gives their steps, those of records without one filled in."""
        count = len(self.log_steps)
        steps = resolve(steps, self.log_steps.item(count - 1) if count else None)
        self.offsets.append(offsets)
        self.log_steps.append(steps)
        self.log_times.append(times)
        return steps

    def settle(self, first: int, gained: list[Ints], lost: list[Ints]) -> None:
        """Bring the rows up to the records from `first` on: at these steps points were put down, and taken back.

        Each array's steps increase.
        """
        each, last = _distinct(self.log_steps.live[first:])
        counts, rest = _counted(each, gained)
        self._hold(each[counts > 0], counts[counts > 0])
        if rest:
            self._hold(*np.unique(np.concatenate(rest), return_counts=True))
        self._describe(each, last, first)
        if lost:
            self._let_go(*np.unique(np.concatenate(lost), return_counts=True))

    def note(self, rewind: Rewind) -> None:
        """A key went back. Keys that do so one after the other after one restart are told as one."""
        last = self.rewinds[-1] if self.rewinds else None
        if last is not None and last.to_step <= rewind.to_step and rewind.from_step <= last.from_step:
            self.rewinds[-1] = last._replace(voided=max(last.voided, rewind.voided))
        else:
            self.rewinds.append(rewind)

    def _hold(self, steps: Ints, counts: Ints) -> None:
        """There are so many more points at these increasing steps; make the rows that are missing."""
        rows = self._rows.live
        known = int(np.searchsorted(steps, rows[-1], side="right")) if len(rows) else 0
        if known:
            self._hold_among(steps[:known], counts[:known])
        self._rows.append(steps[known:])
        self._held.append(counts[known:])
        self._times.append(np.full(len(steps) - known, np.nan))
        self._records.append(np.full(len(steps) - known, -1))

    def _hold_among(self, steps: Ints, counts: Ints) -> None:
        rows = self._rows.live
        at = np.searchsorted(rows, steps)
        new = rows[at] != steps
        if new.any():
            missing, where = steps[new], at[new]
            self._rows.insert(where, missing)
            self._times.insert(where, np.full(len(missing), np.nan))
            self._records.insert(where, np.full(len(missing), -1))
            self._held.insert(where, np.zeros(len(missing), np.int64))
            at = np.searchsorted(self._rows.live, steps)
        self._held.put(at, self._held.live[at] + counts)

    def _describe(self, each: Ints, last: Ints, first: int) -> None:
        """Give the rows at these steps the newest of their times, and of their records, which `last` tells."""
        at, held = self._places(each)
        self._records.put(at, first + last[held])
        newest = _newest(self.log_steps.live[first:], self.log_times.live[first:])
        self._times.put(at, np.fmax(self._times.live[at], newest[held]))

    def _places(self, each: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Positions of those of these increasing steps that are rows, and which these are."""
        rows = self._rows.live
        at = np.searchsorted(rows, each)
        held = at < len(rows)
        held[held] = rows[at[held]] == each[held]
        return at[held], held

    def _let_go(self, steps: Ints, counts: Ints) -> None:
        """There are so many fewer points at these steps; rows that have none left are no more."""
        at = np.searchsorted(self._rows.live, steps)
        left = self._held.live[at] - counts
        self._held.put(at, left)
        if not left.all():
            gone = at[left == 0]
            for vector in (self._rows, self._times, self._records, self._held):
                vector.remove(gone)


def _distinct(steps: Ints) -> tuple[Ints, Ints]:
    """The different steps, increasing, and where each stands for the last time."""
    if (steps[1:] >= steps[:-1]).all():
        last = np.flatnonzero(np.append(steps[1:] > steps[:-1], np.ones(min(len(steps), 1), np.bool_)))
        return steps[last], last
    each, first = np.unique(steps[::-1], return_index=True)
    return each, len(steps) - 1 - first


def _newest(steps: Ints, times: Floats) -> Floats:
    """The greatest time at each different step, in the order of the steps; NaN where there is none."""
    if not len(steps):
        return np.empty(0)
    if (steps[1:] < steps[:-1]).any():
        order = np.argsort(steps, kind="stable")
        steps, times = steps[order], times[order]
    starts = np.flatnonzero(np.append(True, steps[1:] > steps[:-1]))
    return np.fmax.reduceat(times, starts)


def _counted(each: Ints, gained: list[Ints]) -> tuple[Ints, list[Ints]]:
    """How many of the arrays hold each of these steps; and the arrays that hold others too."""
    counts = np.zeros(len(each), np.int64)
    rest: list[Ints] = []
    for steps in gained:
        at = np.searchsorted(each, steps)
        if len(steps) and (at[-1] == len(each) or (each[at] != steps).any()):
            rest.append(steps)
        else:
            counts[at] += 1
    return counts, rest
