"""Which rows are served: stretches of row numbers, and the way between a row's number and its position."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from runwised.formats.record import Ints


class Served(Protocol):
    """The way between the number of a served row and its position, whatever decides which rows are served."""

    @property
    def served(self) -> int:
        """How many rows are served."""

    def number(self, position: int) -> int:
        """Number of the row at a position below `served`."""

    def numbers(self, start: int, stop: int) -> Ints:
        """Numbers of the rows at positions [start, stop)."""

    def numbers_at(self, positions: Ints) -> Ints:
        """Numbers of the rows at `positions`, which do not decrease."""

    def positions_of(self, numbers: Ints) -> Ints:
        """Positions of served rows, given in order."""


class Pieces:
    """The served rows as stretches of consecutive numbers, in order; positions count through all of them.

    ``starts[i]`` is the number of the first row of stretch i and ``positions[i]`` its position. Both increase. A new
    row is served whatever it voids, so the last stretch ends with the last row.
    """

    __slots__ = ("_table", "positions", "served", "starts")

    def __init__(self, starts: list[int], positions: list[int], served: int) -> None:
        self.starts = starts
        self.positions = positions
        self.served = served
        self._table: tuple[Ints, Ints] | None = None

    def extend(self, count: int) -> None:
        """`count` more rows are served, right behind the last one."""
        self.served += count

    def begin(self, number: int) -> None:
        """The next served row has this number."""
        self.starts.append(number)
        self.positions.append(self.served)
        self._table = None

    def cut(self, position: int) -> None:
        """Void all rows from `position` on."""
        keep = len(self.positions)
        while keep and self.positions[keep - 1] >= position:
            keep -= 1
        del self.starts[keep:], self.positions[keep:]
        self.served = position
        self._table = None

    def number(self, position: int) -> int:
        """Number of the row at a position below `served`."""
        piece = bisect_right(self.positions, position) - 1
        return self.starts[piece] + position - self.positions[piece]

    def stretches(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Row numbers [from, to) that together are the positions [start, stop)."""
        piece = bisect_right(self.positions, start) - 1
        while start < stop:
            last = piece + 1 == len(self.positions)
            end = stop if last else min(stop, self.positions[piece + 1])
            shift = self.starts[piece] - self.positions[piece]
            yield start + shift, end + shift
            start = end
            piece += 1

    def numbers(self, start: int, stop: int) -> Ints:
        """Numbers of the rows at positions [start, stop)."""
        parts = [np.arange(first, end, dtype=np.int64) for first, end in self.stretches(start, stop)]
        return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, np.int64)])

    def numbers_at(self, positions: Ints) -> Ints:
        """Numbers of the rows at `positions`."""
        if len(self.starts) <= 1:
            return positions + (self.starts[0] if self.starts else 0)
        starts, bases = self._arrays()
        piece = np.searchsorted(bases, positions, side="right") - 1
        return positions + (starts - bases)[piece]

    def positions_of(self, numbers: Ints) -> Ints:
        """Positions of served rows."""
        if len(self.starts) <= 1:
            return numbers - (self.starts[0] if self.starts else 0)
        starts, bases = self._arrays()
        piece = np.searchsorted(starts, numbers, side="right") - 1
        return numbers - (starts - bases)[piece]

    def _arrays(self) -> tuple[Ints, Ints]:
        if self._table is None:
            self._table = np.array(self.starts, np.int64), np.array(self.positions, np.int64)
        return self._table
