"""Where a key's points stand: at consecutive served rows, or at rows listed by number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.formats.record import Ints
from runwised.index.arrays import Array, Vector
from runwised.index.pieces import Served
from runwised.index.rows import Landing


class Placed(NamedTuple):
    """What became of points that were put down by their steps."""

    standing: Ints | None
    """Which points of the batch were not taken back within it; None: all."""
    at: int
    """The first point that is not what it was."""
    order: Ints | None
    """How the points from there on are made of the old ones behind it and the standing new ones; None: these alone."""
    steps: Ints
    """Steps of the points from `at` on."""
    removed: Ints
    """Steps of the points that stood there before."""


def _standing(steps: Ints) -> Ints | None:
    """The points that no later one takes back: those whose step is below all that follow."""
    if (steps[1:] > steps[:-1]).all():
        return None
    below = np.ones(len(steps), np.bool_)
    below[:-1] = steps[:-1] < np.minimum.accumulate(steps[::-1])[-2::-1]
    return np.flatnonzero(below)


class Presence:
    """The served rows that hold a key; points are counted from 0 in the order of their rows.

    While the points stand at consecutive positions no row numbers are kept (`rows` is None): point i is at position
    ``start + i``. A key that is in every row costs nothing here, and neither does one that was dropped or came late.
    """

    __slots__ = ("count", "pieces", "rows", "start")

    def __init__(self, pieces: Served, start: int, count: int, rows: Array[np.int64] | None) -> None:
        self.pieces = pieces
        self.start = start
        self.count = count
        self.rows = rows

    def number(self, point: int) -> int:
        """Row number of one point."""
        if self.rows is None:
            return self.pieces.number(self.start + point)
        return int(self.rows.item(point))

    def numbers(self, start: int, stop: int) -> Ints:
        """Row numbers of the points [start, stop)."""
        if self.rows is None:
            return self.pieces.numbers(self.start + start, self.start + stop)
        return self.rows.slice(start, stop)

    def numbers_at(self, points: Ints) -> Ints:
        """Row numbers of `points`."""
        if self.rows is None:
            return self.pieces.numbers_at(points + self.start)
        return self.rows.take(points)

    def stands_at(self, number: int) -> bool:
        """Whether there is a point in the row of this number; only where row numbers are kept."""
        at = self.rows.find(number, 0, self.count) if self.rows is not None else self.count
        return self.rows is not None and at < self.count and bool(self.rows.item(at) == number)

    def point(self, position: int) -> int:
        """The first point at or after a position (which may be the count of served rows)."""
        if self.rows is None:
            return min(max(position - self.start, 0), self.count)
        if position <= 0:
            return 0
        if position >= self.pieces.served:
            return self.count
        return self.rows.find(self.pieces.number(position), 0, self.count)


class GrowingPresence(Presence):
    """Where the points of a key stand, in an index in memory."""

    __slots__ = ()

    rows: Vector[np.int64] | None

    @property
    def nbytes(self) -> int:
        """Memory held by the row numbers."""
        return 0 if self.rows is None else self.rows.nbytes

    def append(self, landing: Landing, rows: Ints | None, count: int) -> Ints | slice:
        """The key is in `rows` of the batch (None: all of its `count` rows); gives which of these points are served."""
        if landing.served is not None and landing.positions is not None:
            within = np.arange(count) if rows is None else rows
            kept = np.flatnonzero(landing.served[within])
            within = within[kept]
            self._extend(landing.positions[within], within + landing.first)
            return kept
        if rows is None and self.rows is None and (not self.count or self.start + self.count == landing.position):
            if not self.count:
                self.start = landing.position
            self.count += count
        else:
            within = np.arange(count) if rows is None else rows
            self._extend(within + landing.position, within + landing.first)
        return slice(None)

    def truncate(self, position: int, number: int) -> int:
        """Drop the points at `position` and behind, where row `number` stands; gives how many are left."""
        if self.rows is None:
            self.count = max(0, min(self.count, position - self.start))
        else:
            self.count = self.rows.find(number, 0, self.count)
            self.rows.truncate(self.count)
        return self.count

    def put(self, steps: Ints, *, beside: bool) -> Placed:
        """Points at these steps, in file order, of a table whose rows are known by their steps.

        Each takes back those at and after its step, also within the batch; with `beside`, those that were there before
        stay and the new ones are put among them, in place of any at the very same step.
        """
        rows, count = self.rows, self.count
        assert rows is not None
        standing = _standing(steps)
        if standing is not None:
            steps = steps[standing]
        goes_on = not count or steps[0] > rows.item(count - 1)
        at = count if goes_on else rows.find(int(steps[0]), 0, count)
        removed = rows.live[at:].copy()
        order = None
        if beside and len(removed):
            both = np.concatenate([removed, steps])
            order = np.argsort(both, kind="stable")
            order = order[np.append(both[order[1:]] != both[order[:-1]], True)]
            steps = both[order]
        rows.truncate(at)
        rows.append(steps)
        self.count = at + len(steps)
        return Placed(standing, at, order, steps, removed)

    def cut(self, step: int) -> Ints:
        """Drop the points at and after a step, of such a table; gives the steps of those."""
        rows = self.rows
        assert rows is not None
        at = rows.find(step, 0, self.count)
        removed = rows.live[at:].copy()
        rows.truncate(at)
        self.count = at
        return removed

    def _extend(self, positions: Ints, numbers: Ints) -> None:
        if not len(positions):
            return
        if not self.count:
            self.rows = None
            self.start = int(positions[0])
        if self.rows is None:
            at = self.start + self.count
            if positions[0] == at and positions[-1] == at + len(positions) - 1:
                self.count += len(positions)
                return
            self.rows = Vector(self.pieces.numbers(self.start, at))
        self.rows.append(numbers)
        self.count += len(positions)
