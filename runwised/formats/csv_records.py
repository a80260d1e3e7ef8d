"""Framing of delimited tables: records with their offsets, one line each but for quoted cells that hold line ends.

A quote that is never closed must not take the rest of the table with it. While a record is open at the end of a line,
it is given up when the quote closes in the middle of a cell, when a line looks like the table's header or
`ROWS_AGAINST_A_QUOTE` lines look like its rows, or when the record grows beyond `LONGEST_RECORD` or `MOST_LINES`. Its
first line is then damage, and every other line it had taken a record of its own. All of this is decided line by line,
by the table's first header, so it does not depend on how the bytes arrived; no line is looked at more than twice.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

import numpy as np

from runwised.formats.csv_cells import is_number, is_number_or_missing
from runwised.formats.linelog import LONGEST_LINE
from runwised.formats.record import Damage, Ints

LONGEST_RECORD = 1 << 16
"""Bytes of a record of several lines."""

MOST_LINES = 256
"""Lines of one record."""

ROWS_AGAINST_A_QUOTE = 3

UNCLOSED = "quote is never closed"

_CLOSE = re.compile(rb'(?:[^"]++|"")*+"')
_OPEN = {mark: re.compile(rb'(?:^|%b)[ ]*+"' % mark) for mark in (b",", b";", b"\t")}
_WHOLE = {  # a line without a quote that is open at its end, or stands within a cell
    mark: re.compile(rb'(?s:(?:(?:[ ]*+"(?:[^"]++|"")*+"[^"%b]*+|[^"%b]*+)(?:%b|\Z))*+)' % (mark, mark, mark))
    for mark in (b",", b";", b"\t")
}
_CELL = {
    mark: re.compile(rb'(?s:[ ]*+"((?:[^"]++|"")*+)"([^%b]*+)|([^%b]*+))(%b|\Z)' % (mark, mark, mark))
    for mark in (b",", b";", b"\t")
}


class Shape(NamedTuple):
    """What a table's first header tells."""

    delimiter: bytes
    width: int
    """How many cells its rows have."""
    first: bytes
    """The first cell of its header."""


class Records(NamedTuple):
    """Whole records in file order, and what had to be passed over between them."""

    offsets: Ints
    texts: list[bytes]
    """Of shape (n,) like `offsets`; without the line feed that ends the record."""
    damage: list[Damage]


class RecordLog:
    """Bytes in, from `offset` on, where a record begins; records out. Keeps at most `LONGEST_LINE` bytes and a line's
    worth of what was pushed last.
    """

    def __init__(self, offset: int = 0) -> None:
        self._buffer = bytearray()
        self._mark = offset
        self._searched = 0
        self._dropped = 0
        self._open = False
        """Whether what is buffered begins with whole lines whose quote is not closed."""

    @property
    def offset(self) -> int:
        """Start of the first record that has not been taken."""
        return self._mark

    def push(self, data: bytes | bytearray | memoryview) -> None:
        """Append the next bytes."""
        self._buffer += data

    def take_line(self) -> tuple[int, bytes] | Damage | None:
        """The next line whatever its quotes, with its offset; None: more bytes are needed."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._wait()
            return None
        text = bytes(self._buffer[:end])
        offset, size = self._mark, self._dropped + end + 1
        self._forget(end + 1)
        return Damage(offset, size, "line longer than 4 MiB") if size > LONGEST_LINE else (offset, text)

    def take(self, shape: Shape) -> Records:
        """All records that are whole."""
        damage: list[Damage] = []
        if self._dropped and isinstance(lost := self.take_line(), Damage):
            damage.append(lost)
        again = self._open and len(self._buffer) > LONGEST_RECORD
        end = self._buffer.rfind(b"\n", 0 if again else self._searched) + 1
        if not end or self._dropped:
            self._wait()
            return Records(np.empty(0, np.int64), [], damage)
        block = bytes(self._buffer[:end])
        texts = block.split(b"\n")
        texts.pop()
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1, out=starts[1:])
        if b'"' in block or (end > LONGEST_LINE and np.diff(starts).max() > LONGEST_LINE):
            framing = _Framing(texts, starts.tolist(), shape)
            framing.run(len(self._buffer))
            texts, kept = framing.texts, np.array(framing.starts, np.int64)
            damage += [lost._replace(offset=lost.offset + self._mark) for lost in framing.damage]
            self._open, end = framing.taken < end, framing.taken
        else:
            kept = starts[:-1]
        records = Records(kept + self._mark, texts, damage)
        self._forget(end)
        self._wait()
        return records

    def _forget(self, size: int) -> None:
        self._mark += self._dropped + size
        self._dropped = self._searched = 0
        del self._buffer[:size]

    def _wait(self) -> None:
        """Nothing whole is left: what there is need not be searched again, and what is too long not be kept."""
        self._searched = len(self._buffer)
        if self._searched > LONGEST_LINE:
            self._dropped += self._searched
            self._searched = 0
            self._buffer.clear()


class _Framing:
    """Lines put together to records where quotes say so; `starts` are relative to the first line, `taken` the bytes
    of all records that are done.
    """

    def __init__(self, lines: list[bytes], starts: list[int], shape: Shape) -> None:
        self.texts: list[bytes] = []
        self.starts: list[int] = []
        self.damage: list[Damage] = []
        self.taken = 0
        self._lines = lines
        self._starts = starts
        self._delimiter = shape.delimiter
        self._shape = shape

    def run(self, buffered: int) -> None:
        """Take all lines; of the last record's, those it needs to be whole or given up. `buffered`: bytes there are."""
        first, rows, quoted = 0, 0, False
        whole = _WHOLE[self._delimiter].fullmatch
        for number, line in enumerate(self._lines):
            if quoted and self._too_much(first, number, self._starts[number + 1]):
                self._give_up(first, number)
                first, rows, quoted = number, 0, False
            if not quoted and (b'"' not in line or len(line) >= LONGEST_LINE or whole(line)):
                self._add(number, number)
                first = number + 1
                continue
            quoted, sound = _after(line, self._delimiter, quoted)
            rows = rows + self._likeness(line) if quoted and number > first else 0
            if number > first and (not sound or rows >= ROWS_AGAINST_A_QUOTE):
                self._give_up(first, number + 1)
                first, rows, quoted = number + 1, 0, False
            elif not quoted:
                self._add(first, number)
                first, rows = number + 1, 0
        if quoted and buffered - self._starts[first] > LONGEST_RECORD:
            self._give_up(first, len(self._lines))
            first = len(self._lines)
        self.taken = self._starts[first]

    def _too_much(self, first: int, number: int, end: int) -> bool:
        return end - self._starts[first] > LONGEST_RECORD or number - first >= MOST_LINES

    def _likeness(self, line: bytes) -> int:
        """How much a line within quotes speaks against them."""
        cells = line.split(self._delimiter)
        if b'"' in line or len(cells) < 2:
            return 0
        if cells[0].strip() == self._shape.first != b"":
            return ROWS_AGAINST_A_QUOTE
        if not any(map(is_number, cells)):
            return 0
        return 1 if len(cells) == self._shape.width or all(map(is_number_or_missing, cells)) else 0

    def _add(self, first: int, last: int) -> None:
        start, size = self._starts[first], self._starts[last + 1] - self._starts[first]
        if size > LONGEST_LINE:
            self.damage.append(Damage(start, size, "line longer than 4 MiB"))
            return
        self.starts.append(start)
        self.texts.append(self._lines[first] if first == last else b"\n".join(self._lines[first : last + 1]))

    def _give_up(self, first: int, end: int) -> None:
        """Lines from `first` to before `end` have one record each, if they have; the first has none."""
        for number in range(first, end):
            line = self._lines[number]
            if number == first or (b'"' in line and _after(line, self._delimiter, quoted=False)[0]):
                start, stop = self._starts[number : number + 2]
                self.damage.append(Damage(start, stop - start, UNCLOSED))
            else:
                self._add(number, number)


def _after(line: bytes, delimiter: bytes, quoted: bool) -> tuple[bool, bool]:
    """Whether a quote is open after a line, before which one was or was not; and whether the one that was is closed
    soundly: by a quote after which a cell ends.
    """
    sound, at = True, 0
    while True:
        if quoted:
            closed = _CLOSE.match(line, at)
            if closed is None:
                return True, sound
            if not at:
                sound = line[closed.end() : closed.end() + 1] in (b"", b"\r", b" ", delimiter)
            at = closed.end()
        opened = _OPEN[delimiter].search(line, at)
        if opened is None:
            return False, sound
        quoted, at = True, opened.end()


def split_cells(record: bytes, delimiter: bytes) -> list[bytes]:
    """A record's cells, quotes undone; what stands after a closing quote belongs to its cell."""
    if b'"' not in record:
        return record.split(delimiter)
    cells: list[bytes] = []
    for quoted, rest, plain, mark in _CELL[delimiter].findall(record):
        cells.append(quoted.replace(b'""', b'"') + rest if quoted or rest else plain)
        if not mark:
            break
    return cells


def surplus_start(record: bytes, delimiter: bytes, width: int) -> int:
    """Where the cell after the first `width` cells begins in a record that has more."""
    found = islice(_CELL[delimiter].finditer(record), width - 1, None)
    return next(found).end()
