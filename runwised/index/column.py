"""One metric: its values, where they stand, and what is kept about them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from runwised.formats.record import Floats, Ints
from runwised.index.arrays import Array, Vector
from runwised.index.buckets import Buckets, GrowingBuckets, width
from runwised.index.presence import GrowingPresence, Placed, Presence
from runwised.index.rolling import Rolling, Tally
from runwised.index.rows import Landing, RowTable
from runwised.index.view import Series, Stats

_ALTERATIONS = itertools.count(1)
COLUMN_BYTES = 1024
"""What a growing column takes in memory beside its elements, about: of one that was hardly begun that is nearly all."""
LAG = 32_768
"""Points a growing column may run ahead of its buckets and tallies before they are brought up."""


class Column:
    """A metric's points, wherever they are kept."""

    __slots__ = ("_buckets", "presence", "table", "values")

    def __init__(self, table: RowTable, presence: Presence, values: Array[np.float64], buckets: Buckets) -> None:
        self.table = table
        self.presence = presence
        self.values = values
        self._buckets = buckets

    @property
    def count(self) -> int:
        """Served points."""
        return self.presence.count

    @property
    def altered(self) -> int:
        """See `view.Table.altered`."""
        return 0

    @property
    def buckets(self) -> Buckets:
        """The levels, up to the last point."""
        return self._buckets

    def series(self, start: int, stop: int) -> Series:
        """The points [start, stop)."""
        table, presence = self.table, self.presence
        rows = presence.numbers(start, stop)
        values = self.values.slice(start, stop)
        if presence.rows is not None:
            return Series(rows, table.steps.take(rows), table.times.take(rows), values)
        span = presence.start + start, presence.start + stop
        return Series(rows, table.served_steps(*span), table.served_times(*span), values)

    def points(self, indices: Ints) -> Series:
        """The points at `indices`."""
        rows = self.presence.numbers_at(indices)
        return Series(rows, self.table.steps.take(rows), self.table.times.take(rows), self.values.take(indices))

    def opening(self, points: Ints, level: int | None) -> Series:  # noqa: ARG002
        """The points at `points`, most of which are the first of a bucket of `level` (None: no matter)."""
        return self.points(points)

    def closing(self, points: Ints, level: int | None) -> Series:  # noqa: ARG002
        """The points right before `points`, most of which are the last of a bucket of `level` (None: no matter)."""
        return self.points(points - 1)

    def first_rows(self, level: int, indices: Ints) -> Ints:
        """Row number of the first point of each of the buckets of a level at `indices`."""
        return self.presence.numbers_at(indices * width(level))

    def last_rows(self, level: int, indices: Ints) -> Ints:
        """Row number of the last point of each of the buckets of a level at `indices`."""
        return self.presence.numbers_at(np.minimum((indices + 1) * width(level), self.count) - 1)


class GrowingColumn(Column):
    """A metric of an index in memory."""

    __slots__ = ("_altered", "_kept", "_stats", "_tallies", "rank")

    presence: GrowingPresence
    values: Vector[np.float64]
    _buckets: GrowingBuckets

    def __init__(self, table: RowTable, presence: GrowingPresence, values: Vector[np.float64]) -> None:
        super().__init__(table, presence, values, GrowingBuckets())
        self._tallies = Rolling()
        self._stats: Stats | None = None
        self._kept = 0
        self._altered = 0
        self.rank = 0
        """Of the sources that hold the metric, the one it is taken from; see `RunIndex.start_source`."""

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return COLUMN_BYTES + self.values.nbytes + self.presence.nbytes + self._buckets.nbytes

    @property
    def buckets(self) -> GrowingBuckets:
        """The levels, up to the last point."""
        self._buckets.cover(self.values.live)
        return self._buckets

    def buckets_apart(self) -> GrowingBuckets:
        """The levels, for another thread than the one that asks `buckets`: what both see is not changed."""
        if self._buckets.reaches(self.count):
            return self._buckets
        apart = GrowingBuckets()
        apart.cover(self.values.live)
        return apart

    def append(self, landing: Landing, rows: Ints | None, values: Floats) -> None:
        """Take in the batch's values: at `rows` of it, or (None) at all of its rows."""
        self.values.append(values[self.presence.append(landing, rows, len(values))])
        self._grown()

    def _grown(self) -> None:
        self._stats = None
        if self.count - self._kept >= LAG:
            self._kept = self.count
            self._buckets.cover(self.values.live)
            self._tallies.cover(self.values.live)

    def put(self, steps: Ints, values: Floats, source: int, peers: Sequence[int]) -> Placed:
        """Take in points of a table whose rows are known by their steps; see `GrowingPresence.put`."""
        return self._place_values(self.presence.put(steps, source, peers), values)

    def cut(self, step: int, source: int, peers: Sequence[int] = ()) -> Placed:
        """Drop points of such a table; see `GrowingPresence.cut`."""
        return self._place_values(self.presence.cut(step, source, peers), np.empty(0))

    def _place_values(self, placed: Placed, values: Floats) -> Placed:
        if placed.standing is not None:
            values = values[placed.standing]
        if placed.order is not None:
            values = np.concatenate([self.values.live[placed.at :], values])[placed.order]
        if placed.at < len(self.values):
            self._truncate(placed.at)
        self.values.append(values)
        self._grown()
        return placed

    def know_by_step(self, table: RowTable) -> None:
        """Rows are known by their steps from now on: those that statistics name too."""
        self.table = table
        self._stats = None

    def truncate(self, position: int, number: int) -> None:
        """Drop the points at `position` and behind, where row `number` stands."""
        self._truncate(self.presence.truncate(position, number))

    @property
    def altered(self) -> int:
        """As `Column`. No number is given twice: one from before the column was saved is never met again."""
        return self._altered

    def _truncate(self, count: int) -> None:
        if count < len(self.values):
            self._altered = next(_ALTERATIONS)
        self.values.truncate(count)
        self._buckets.truncate(count)
        self._tallies.truncate(count)
        self._kept = min(self._kept, count)
        self._stats = None

    def stats(self) -> Stats:
        """Exact statistics of at least one point."""
        if self._stats is None:
            self._stats = self._summed_up(self._tallies.total(self.values.live))
        return self._stats

    def _summed_up(self, tally: Tally) -> Stats:
        last = self.presence.number(self.count - 1)
        finite, mean, m2, scale = tally.moments
        stats = Stats(
            count=self.count,
            nonfinite=self.count - finite,
            first=self.values.item(0),
            last=self.values.item(self.count - 1),
            first_step=self._step(0),
            last_step=self.table.steps.item(last),
            last_row=last,
            first_nonfinite_step=None if tally.nonfinite_at < 0 else self._step(tally.nonfinite_at),
        )
        if finite:
            stats.last_finite = tally.last_finite
            stats.min, stats.min_step, stats.min_row = tally.low, *self._place(tally.low_at)
            stats.max, stats.max_step, stats.max_row = tally.high, *self._place(tally.high_at)
            stats.mean = min(max(mean, tally.low), tally.high)
            stats.m2, stats.m2_scale = _plain(m2, scale)
        return stats

    def _step(self, point: int) -> int:
        return self._place(point)[0]

    def _place(self, point: int) -> tuple[int, int]:
        row = self.presence.number(point)
        return int(self.table.steps.item(row)), row


def _plain(m2: float, scale: int) -> tuple[float, int]:
    """`m2` in units of 1 where a float64 holds it so, else as it is."""
    if not m2 or abs(2 * scale + math.frexp(m2)[1]) < 900:
        return math.ldexp(m2, 2 * scale) if m2 else 0.0, 0
    return m2, scale
