"""A column's buckets: aggregates of 64, 256, 1024 … consecutive points, kept up with the column."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from runwised.formats.record import Floats, Ints
from runwised.index.aggregates import Aggregates, merge, of_points
from runwised.index.arrays import SLAB, Vector

BASE = 64
"""Points in a bucket of the finest level."""
FACTOR = 4
"""How many buckets make one of the next level."""


def width(level: int) -> int:
    """Points in a bucket of a level, counted from 0."""
    return int(BASE * FACTOR**level)


def level_count(points: int) -> int:
    """Levels a column of so many points has: each has at least `FACTOR` whole buckets."""
    level = 0
    while FACTOR * width(level) <= points:
        level += 1
    return level


def bucket_count(points: int, level: int) -> int:
    """Buckets at a level; the last may hold fewer points than the others."""
    return -(-points // width(level))


class Buckets(Protocol):
    """The levels of a column; every level covers all its points, the last bucket what is left."""

    def span(self, level: int, start: int, stop: int) -> Aggregates:
        """The buckets [start, stop) of a level, for use before the next change only."""

    def aggregates(self, level: int, indices: Ints) -> Aggregates:
        """The buckets of a level at `indices`, which must not decrease."""


class _Level:
    """One level's buckets, growing."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        floats = [Vector.empty(np.float64) for _ in range(3)]
        self._fields: tuple[Vector[Any], ...] = (*floats, Vector.empty(np.int64))

    def __len__(self) -> int:
        return len(self._fields[0])

    @property
    def nbytes(self) -> int:
        return sum(field.nbytes for field in self._fields)

    def truncate(self, length: int) -> None:
        for field in self._fields:
            field.truncate(length)

    def append(self, items: Aggregates) -> None:
        for field, part in zip(self._fields, items, strict=True):
            field.append(part)

    def span(self, start: int, stop: int) -> Aggregates:
        return Aggregates(*(field.live[start:stop] for field in self._fields))

    def take(self, indices: Ints) -> Aggregates:
        return Aggregates(*(field.take(indices) for field in self._fields))


class GrowingBuckets:
    """The levels of a column in memory.

    What a bucket says depends on the column's values alone, not on how they came in: whole buckets are aggregated
    from their points (level 0) or from four buckets, and so is the one at the end, whatever it has so far.
    """

    __slots__ = ("_covered", "_levels", "_whole")

    def __init__(self) -> None:
        self._levels: list[_Level] = []
        self._covered = 0
        self._whole = 0

    @property
    def nbytes(self) -> int:
        """Memory held by all levels."""
        return sum(level.nbytes for level in self._levels)

    def reaches(self, points: int) -> bool:
        """Whether the levels cover a column of so many points."""
        return self._covered == points

    def cover(self, values: Floats) -> None:
        """Bring all levels up to `values`, all points of the column."""
        points = len(values)
        if self.reaches(points):
            return
        for level in range(level_count(points)):
            if level == len(self._levels):
                self._levels.append(_Level())
            kept = self._levels[level]
            whole = min(self._whole // width(level), len(kept))
            kept.truncate(whole)
            if level == 0:
                for start in range(whole * BASE, points, SLAB):
                    tail = values[start : start + SLAB]
                    kept.append(of_points(tail, np.arange(0, len(tail), BASE)))
                    Vector.rooms.trim()
            else:
                children = self._levels[level - 1].span(whole * FACTOR, len(self._levels[level - 1]))
                kept.append(merge(children, np.arange(0, len(children.finite), FACTOR)))
        self._covered = self._whole = points

    def truncate(self, points: int) -> None:
        """The column has been cut back to so many points."""
        if points >= self._whole:
            return
        for level, kept in enumerate(self._levels):
            kept.truncate(points // width(level))
        self._whole = points
        self._covered = -1

    def span(self, level: int, start: int, stop: int) -> Aggregates:
        """As `Buckets.span`."""
        return self._levels[level].span(start, stop)

    def aggregates(self, level: int, indices: Ints) -> Aggregates:
        """As `Buckets.aggregates`."""
        return self._levels[level].take(indices)
