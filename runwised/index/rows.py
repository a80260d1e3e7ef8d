"""The row table: where every logged row stands, which of them are served, and what a step that goes back voids."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import NO_STEP, Floats, Ints
from runwised.index.arrays import Array, Scalar, Vector
from runwised.index.pieces import Pieces, Served
from runwised.index.view import Rewind

LAST_STEP = 2**63 - 1


class Stretches:
    """Which source each record came from: stretches of records of one source each, in file order."""

    __slots__ = ("sources", "starts")

    def __init__(self, starts: list[int], sources: list[int]) -> None:
        self.starts = starts
        """Number of the first record of each stretch; a stretch may be empty."""
        self.sources = sources

    def begin(self, record: int, source: int) -> None:
        """The next record has this number and comes from this source."""
        if not self.sources or self.sources[-1] != source:
            self.starts.append(record)
            self.sources.append(source)

    def source(self, record: int) -> int:
        """The source a record came from."""
        return self.sources[bisect_right(self.starts, record) - 1]


class RowTable:
    """Offsets, steps and times of all rows, by number, and the served ones among them, by position.

    What was logged is numbered as *records*, in file order. Here a row's number is that of its record.
    """

    def __init__(
        self,
        offsets: Array[np.int64],
        steps: Array[np.int64],
        times: Array[np.float64],
        pieces: Served,
        stretches: Stretches,
    ) -> None:
        self.offsets = offsets
        """By record."""
        self.steps = steps
        self.times = times
        self.pieces = pieces
        self.stretches = stretches

    def locate(self, record: int) -> tuple[int, int]:
        """Source and byte offset of a record; IndexError when there is no such record."""
        if not 0 <= record < len(self.offsets):
            raise IndexError(f"no row {record}, there are {len(self.offsets)}")
        return self.stretches.source(record), self.offsets.item(record)

    def records(self, numbers: Ints) -> Ints:
        """The newest record of each of these rows."""
        return numbers

    def records_of(self, start: int, stop: int) -> Ints:
        """The records of the rows with numbers in [start, stop), in file order; taken back ones are among them."""
        return np.arange(max(start, 0), min(stop, len(self.offsets)))

    def record_step(self, record: int) -> int:
        """The step of a record, as it was logged or else filled in."""
        return int(self.steps.item(record))

    def position(self, step: int) -> int:
        """Position of the first served row at or after `step`, else their count."""
        pieces = self._pieces
        piece = bisect_right(pieces.starts, step - 1, key=self.steps.item) - 1
        if piece < 0:
            return 0
        base = pieces.positions[piece]
        last = piece + 1 == len(pieces.starts)
        length = (pieces.served if last else pieces.positions[piece + 1]) - base
        start = pieces.starts[piece]
        return base + self.steps.find(step, start, start + length) - start

    def served_steps(self, start: int, stop: int) -> Ints:
        """Steps of the rows at positions [start, stop)."""
        return _joined([self.steps.slice(*span) for span in self._pieces.stretches(start, stop)], np.int64)

    def served_times(self, start: int, stop: int) -> Floats:
        """Epoch seconds of the rows at positions [start, stop)."""
        return _joined([self.times.slice(*span) for span in self._pieces.stretches(start, stop)], np.float64)

    @property
    def _pieces(self) -> Pieces:
        assert isinstance(self.pieces, Pieces)
        return self.pieces


class Landing(NamedTuple):
    """What became of a batch of rows that was appended."""

    first: int
    """Number of its first row."""
    position: int
    """Position of its first served row."""
    served: NDArray[np.bool_] | None
    """Which of its rows are served, shape (n,); None: all."""
    positions: Ints | None
    """Position of each of its rows, where that is served; None: they follow one another from `position`."""
    voided: int | None
    """Number of the first row before it that it voided (all served rows from there on are); None when there is none."""


class GrowingRows(RowTable):
    """The row table of an index in memory."""

    offsets: Vector[np.int64]
    steps: Vector[np.int64]
    times: Vector[np.float64]
    pieces: Pieces

    def __init__(
        self,
        offsets: Vector[np.int64],
        steps: Vector[np.int64],
        times: Vector[np.float64],
        pieces: Pieces,
        stretches: Stretches,
        rewinds: list[Rewind],
    ) -> None:
        super().__init__(offsets, steps, times, pieces, stretches)
        self.rewinds = rewinds

    def steps_from(self, record: int) -> Ints:
        """Steps of the records from this one on, for use before the next change only."""
        return self.steps.live[record:]

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        return self.offsets.nbytes + self.steps.nbytes + self.times.nbytes

    def goes_on(self, steps: Ints) -> bool:
        """Whether rows with these steps would take nothing back, each going beyond the one before."""
        count = len(self.steps)
        before = self.steps.item(count - 1) if count else None
        steps = resolve(steps, before)
        return (before is None or bool(steps[0] > before)) and bool((steps[1:] > steps[:-1]).all())

    def append(self, offsets: Ints, steps: Ints, times: Floats) -> Landing:
        """Put a batch of at least one row behind the last, and void what its steps go back over."""
        first = len(self.steps)
        before = self.steps.item(first - 1) if first else None
        steps = resolve(steps, before)
        self.offsets.append(offsets)
        self.steps.append(steps)
        self.times.append(times)
        pieces = self.pieces
        if before is None:
            pieces.begin(0)
        back = np.flatnonzero(steps[1:] <= steps[:-1]) + 1
        if before is not None and steps[0] <= before:
            back = np.concatenate([np.zeros(1, np.int64), back])
        if not len(back):
            position = pieces.served
            pieces.extend(len(steps))
            return Landing(first, position, None, None, None)
        return self._rewind(first, steps, back)

    def _rewind(self, first: int, steps: Ints, back: Ints) -> Landing:
        """Serve the rows from `first` on, where those at `back` (within the batch) do not exceed the row before."""
        pieces = self.pieces
        before = low = pieces.served
        voided = None
        done = 0
        for row in back.tolist():
            pieces.extend(row - done)
            done = row
            to_step = int(steps[row])
            keep = self.position(to_step)
            self.rewinds.append(Rewind(first + row, self.steps.item(first + row - 1), to_step, pieces.served - keep))
            if keep < low:
                low, voided = keep, pieces.number(keep)
            pieces.cut(keep)
            pieces.begin(first + row)
        pieces.extend(len(steps) - done)
        served = np.ones(len(steps), np.bool_)
        served[:-1] = steps[:-1] < np.minimum.accumulate(steps[::-1])[-2::-1]
        positions = low + np.cumsum(served) - 1
        return Landing(first, low, served, positions, voided if low < before else None)


def resolve(steps: Ints, before: int | None) -> Ints:
    """Give each row without a step the one after the row before it; the first of all rows gets 0."""
    missing = steps == NO_STEP
    if not missing.any():
        return steps
    rows = np.arange(len(steps))
    known = np.maximum.accumulate(np.where(missing, -1, rows))
    base = np.where(known >= 0, steps[known], -1 if before is None else before)
    lead = rows - known
    return np.where(base > LAST_STEP - lead, LAST_STEP, base + lead)


def _joined(parts: list[NDArray[Scalar]], kind: type[Scalar]) -> NDArray[Scalar]:
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, kind)])
