"""Framing of logs made of lines for readers that take many lines at once: stretches of whole lines."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from runwised.formats.linelog import LONGEST_LINE
from runwised.formats.record import Damage, Ints

BLOCK_BYTES = 1 << 20


class LineBlock(NamedTuple):
    """Whole lines, one after the other."""

    offset: int
    """Where `data` begins in the source."""
    data: memoryview
    starts: Ints
    """Where each line starts in `data`; shape (lines,)."""
    ends: Ints
    """Where the ``\\n`` of each line stands in `data`; shape (lines,)."""

    @classmethod
    def of(cls, offset: int, data: memoryview) -> LineBlock:
        """The lines of `data`, which begins with one and ends with an end."""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
        starts = np.empty_like(ends)
        starts[0] = 0
        starts[1:] = ends[:-1] + 1
        return cls(offset, data, starts, ends)

    def line(self, number: int) -> bytes:
        """A line without its end."""
        return bytes(self.data[self.starts[number] : self.ends[number]])

    def behind(self, count: int) -> LineBlock:
        """All lines but the first `count`."""
        return self._replace(starts=self.starts[count:], ends=self.ends[count:])


Stretch: TypeAlias = LineBlock | Damage


class LineBlocks:
    """Bytes in, from `offset` on, where a line begins; blocks of lines out.

    A block has about `BLOCK_BYTES`, more when its only line is longer. Of a line that has no end yet at most
    `LONGEST_LINE` bytes are kept; a longer one is damage, as in `runwised.formats.linelog`.
    """

    def __init__(self, offset: int = 0) -> None:
        self._held = bytearray()
        self._mark = offset
        self._dropped = 0

    @property
    def offset(self) -> int:
        """Start of the first line that has not been delivered."""
        return self._mark

    def feed(self, data: bytes | bytearray | memoryview) -> list[Stretch]:
        """Take the next bytes; give the lines they complete."""
        piece = bytes(data)
        end = piece.rfind(b"\n") + 1
        found: list[Stretch] = []
        if end:
            begin = self._end_held(piece, found) if self._held or self._dropped else 0
            self._cut(piece, begin, end, found)
        self._held += memoryview(piece)[end:]
        if len(self._held) > LONGEST_LINE:
            self._dropped += len(self._held)
            self._held.clear()
        return found

    def _end_held(self, piece: bytes, found: list[Stretch]) -> int:
        """Give the line that began earlier, as a block of its own: the piece need not be copied then.

        The answer is where the next line begins in the piece.
        """
        begin = piece.index(b"\n") + 1
        line = bytes(self._held) + piece[:begin]
        if self._dropped:
            self._pass_over(self._dropped + len(line), found)
        else:
            self._cut(line, 0, len(line), found)
        self._held.clear()
        self._dropped = 0
        return begin

    def _cut(self, lines: bytes, start: int, stop: int, found: list[Stretch]) -> None:
        view = memoryview(lines)
        while start < stop:
            end = lines.rfind(b"\n", start, min(start + BLOCK_BYTES, stop)) + 1
            if not end:
                end = lines.index(b"\n", start) + 1
            if end - start > LONGEST_LINE:
                self._pass_over(end - start, found)
            else:
                found.append(LineBlock.of(self._mark, view[start:end]))
                self._mark += end - start
            start = end

    def _pass_over(self, size: int, found: list[Stretch]) -> None:
        found.append(Damage(self._mark, size, "line longer than 4 MiB"))
        self._mark += size
