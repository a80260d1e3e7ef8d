"""Where a key's points stand: at consecutive served rows, or at rows listed by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    taken: Ints
    """Those of them that were taken back; the others gave way to a point of the same step at most."""
    is_own: bool
    """Whether points of the source itself are among those."""


def _standing(steps: Ints) -> Ints | None:
    """The points that no later one takes back: those whose step is below all that follow."""
    if (steps[1:] > steps[:-1]).all():
        return None
    below = np.ones(len(steps), np.bool_)
    below[:-1] = steps[:-1] < np.minimum.accumulate(steps[::-1])[-2::-1]
    return np.flatnonzero(below)


def _merged(removed: Ints, before: Ints, stays: NDArray[np.bool_], steps: Ints, whose: Ints) -> tuple[Ints, Ints, Ints]:
    """Old points that stay and new ones in one order (see `Placed.order`), with their steps and sources."""
    both, sources = np.concatenate([removed, steps]), np.concatenate([before, whose])
    order = np.flatnonzero(np.concatenate([stays, np.ones(len(steps), np.bool_)]))
    order = order[np.lexsort((sources[order], both[order]))]
    order = order[np.append(True, both[order[1:]] != both[order[:-1]])]
    return order, both[order], sources[order]


class Presence:
    """The served rows that hold a key; points are counted from 0 in the order of their rows.

    While the points stand at consecutive positions no row numbers are kept (`rows` is None): point i is at position
    ``start + i``. A key that is in every row costs nothing here, and neither does one that was dropped or came late.
    """

    __slots__ = ("count", "owner", "owners", "pieces", "rows", "start")

    def __init__(
        self,
        pieces: Served,
        start: int,
        count: int,
        rows: Array[np.int64] | None,
        owner: int = 0,
        owners: Array[np.int64] | None = None,
    ) -> None:
        self.pieces = pieces
        self.start = start
        self.count = count
        self.rows = rows
        self.owner = owner
        """The source of all points, of a table whose rows are known by their steps, while `owners` is None."""
        self.owners = owners
        """The source of each point, once there are several."""

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

    def stands_at(self, number: int, source: int) -> bool:
        """Whether there is a point of a source in the row of this number; only where row numbers are kept."""
        at = self.rows.find(number, 0, self.count) if self.rows is not None else self.count
        is_there = self.rows is not None and at < self.count and bool(self.rows.item(at) == number)
        return is_there and self.owner_of(at) == source

    def owner_of(self, point: int) -> int:
        """The source of a point, of a table whose rows are known by their steps."""
        return self.owner if self.owners is None else int(self.owners.item(point))

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
    owners: Vector[np.int64] | None

    def __init__(
        self,
        pieces: Served,
        start: int,
        count: int,
        rows: Vector[np.int64] | None,
        owner: int = 0,
        owners: Vector[np.int64] | None = None,
    ) -> None:
        super().__init__(pieces, start, count, rows, owner, owners)

    @property
    def nbytes(self) -> int:
        """Memory held by the row numbers."""
        return sum(vector.nbytes for vector in (self.rows, self.owners) if vector is not None)

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

    def put(self, steps: Ints, source: int, peers: Sequence[int]) -> Placed:
        """Points of a source at these steps, in file order, of a table whose rows are known by their steps.

        Each takes back those at and after its step, also within the batch, but for those of `peers`, which are written
        at the same time: of two points of one step the one of the source that comes first stands.
        """
        rows, count = self.rows, self.count
        assert rows is not None
        standing = _standing(steps)
        if standing is not None:
            steps = steps[standing]
        goes_on = not count or steps[0] > rows.item(count - 1)
        at = count if goes_on else rows.find(int(steps[0]), 0, count)
        return self._replace(at, steps, source, peers)._replace(standing=standing)

    def cut(self, step: int, source: int, peers: Sequence[int]) -> Placed:
        """Drop the points at and after a step, of such a table, but for those of `peers`."""
        assert self.rows is not None
        return self._replace(self.rows.find(step, 0, self.count), np.empty(0, np.int64), source, peers)

    def _replace(self, at: int, steps: Ints, source: int, peers: Sequence[int]) -> Placed:
        """Have these points of a source behind `at`, and what is there of its peers."""
        rows = self.rows
        assert rows is not None
        removed = taken = rows.live[at:].copy()
        whose = np.full(len(steps), source, np.int64)
        order, is_own = None, False
        if len(removed) and peers:
            before = np.full(len(removed), self.owner) if self.owners is None else self.owners.live[at:].copy()
            stays = np.isin(before, peers)
            taken, is_own = removed[~stays], bool((before == source).any())
            if stays.any():
                order, steps, whose = _merged(removed, before, stays, steps, whose)
        self._own(at, whose)
        rows.truncate(at)
        rows.append(steps)
        self.count = at + len(steps)
        return Placed(None, at, order, steps, removed, taken, is_own)

    def _own(self, at: int, whose: Ints) -> None:
        """The points behind `at` are from these sources."""
        if not len(whose):
            if self.owners is not None:
                self.owners.truncate(at)
            return
        one = int(whose[0])
        if self.owners is None and (not at or one == self.owner) and (whose == one).all():
            self.owner = one
            return
        if self.owners is None:
            self.owners = Vector(np.full(at, self.owner))
        self.owners.truncate(at)
        self.owners.append(whose)

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
