"""A block of a table's records made into columnar rows, headers amid them taken notice of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from runwised.formats.csv_cells import Cells, as_text, exact, parse_cells
from runwised.formats.csv_header import new_header
from runwised.formats.csv_layout import Layout, Memory
from runwised.formats.csv_records import Records, split_cells, surplus_start
from runwised.formats.record import NO_STEP, Batch, Column, Damage, Floats, Ints, Other, Rows
from runwised.formats.rows_builder import other_of
from runwised.formats.step_keys import STEP_KEYS, as_step
from runwised.formats.wall_time import epoch_seconds, epoch_seconds_each

_EXACT = 2.0**53
_MOST_CELLS = 1 << 20
_NONE = Cells(np.empty(0, np.int64), np.empty(0), {})


class Line(NamedTuple):
    """One record: where it stands, its bytes, its cells."""

    offset: int
    text: bytes
    cells: list[bytes]


Lines: TypeAlias = list[Line]


class Block:
    """Records to batches. `remembered` tells whether `memory`, which is changed on the way, has changed."""

    def __init__(self, records: Records, memory: Memory, hint: str) -> None:
        self.remembered = False
        self._memory = memory
        self._hint = hint
        self._texts: dict[int, list[int]] = {}
        delimiter = memory.shape.delimiter
        places = zip(records.offsets.tolist(), records.texts, strict=True)
        self._lines = [Line(offset, text, split_cells(text.rstrip(b"\r"), delimiter)) for offset, text in places]

    def batches(self) -> Iterator[Batch]:
        """Rows, and the damage among them."""
        begin = 0
        while begin < len(self._lines):
            number, names = self._next_header(begin)
            yield from self._segment(self._lines[begin:number])
            begin = number + 1
            if names and names != self._memory.layouts[-1].names:
                self._memory.add(Layout(self._lines[number].offset, names))
                self.remembered = True

    def _next_header(self, begin: int) -> tuple[int, list[str]]:
        """The first line from `begin` on that is a header, with its names, or a comment, without; else past the end."""
        names = self._memory.layouts[-1].names
        first = next((column for column, name in enumerate(names) if name), 0)
        suspects = self._texts_in(first)
        for at in range(bisect_left(suspects, begin), len(suspects)):
            number = suspects[at]
            line = self._lines[number]
            if line.text.startswith(b"#"):
                return number, []
            if (found := new_header(line.cells, names)) is not None:
                return number, found
        return len(self._lines), []

    def _texts_in(self, column: int) -> list[int]:
        """The lines whose cell in a column is text."""
        if column not in self._texts:
            cells = [line.cells[column] if len(line.cells) > column else b"" for line in self._lines]
            self._texts[column] = list(parse_cells(cells).texts)
        return self._texts[column]

    def _segment(self, lines: Lines) -> Iterator[Batch]:
        """Rows without headers, of which few are made as wide as a wide header at a time."""
        size = max(1, _MOST_CELLS // len(self._memory.layouts[-1].names))
        for start in range(0, len(lines), size):
            yield from self._few(lines[start : start + size])

    def _few(self, lines: Lines) -> Iterator[Batch]:
        lines, damage = _fitted([line for line in lines if not _is_blank(line)], self._memory)
        while lines and not self._memory.layouts[-1].chosen:
            self.remembered = True
            if not self._memory.choose(lines[0].cells, self._hint, lines[0].offset):
                yield from self._sound(lines[:1])
                lines = lines[1:]
        if lines:
            yield from self._sound(lines)
        yield from damage

    def _sound(self, lines: Lines) -> Iterator[Batch]:
        """Rows of the right width, without those that are none."""
        layout = self._memory.layouts[-1]
        columns = self._parse(lines, layout)
        bad = dict.fromkeys(_text_only(columns, len(lines)), "no number in the row")
        if layout.step >= 0:
            bad |= dict.fromkeys(columns[layout.step].texts, "text where the step stands")
        kept = [number for number in range(len(lines)) if number not in bad]
        if bad:
            columns = self._parse([lines[number] for number in kept], layout)
        end = yield from self._counted([lines[number] for number in kept], columns, layout)
        stop = len(lines) if end == len(kept) else kept[end]
        for number in sorted(number for number in bad if number < stop):
            yield Damage(lines[number].offset, len(lines[number].text) + 1, bad[number])
        if stop < len(lines):
            self._memory.drop_step(lines[stop].offset)
            yield from self._sound(lines[stop:])

    def _counted(self, lines: Lines, columns: list[Cells], layout: Layout) -> Generator[Batch, None, int]:
        """Rows with their steps; returns from which one on the column of the step is one like others."""
        if not lines:
            return 0
        if layout.step < 0 or self._memory.steps is None:
            yield _rows(lines, layout, columns, np.full(len(lines), NO_STEP, np.int64))
            return len(lines)
        steps = _steps_of(columns[layout.step], [line.cells[layout.step] for line in lines])
        taken, end = self._take(steps, columns, layout)
        if end:
            found = columns if end == len(lines) else self._parse(lines[:end], layout)
            yield _rows(lines[:end], layout, found, taken[:end])
        return end

    def _parse(self, lines: Lines, layout: Layout) -> list[Cells]:
        columns = zip(*(line.cells for line in lines), strict=True) if lines else [()] * len(layout.names)
        return [parse_cells(cells) if name else _NONE for name, cells in zip(layout.names, columns, strict=True)]

    def _take(self, steps: Ints, columns: list[Cells], layout: Layout) -> tuple[Ints, int]:
        """The steps that count, and up to which row the column tells them.

        Keys of steps are no metrics here: a first row of training and one of validation have the epoch in common.
        """
        counted = self._memory.steps
        assert counted is not None
        end = len(steps)
        if counted.key.lower().endswith("epoch"):
            end = min(end, _first_fraction(columns[layout.step]))
        taken = steps.copy()
        row = 0
        while row < end and not counted.settled:
            if steps[row] != NO_STEP:
                others = (
                    key
                    for column, key in enumerate(layout.keys)
                    if column not in (layout.step, layout.time) and key.lower() not in STEP_KEYS
                    if row in columns[column].texts or row in columns[column].rows
                )
                taken[row] = counted.take(int(steps[row]), list(others))
                self.remembered = True
            row += 1
        if counted.dropped:
            return taken, row - 1
        before = counted.phase
        taken[row:end] = counted.take_each(steps[row:end])
        if end < len(steps):
            counted.phase = "dropped"
        self.remembered |= counted.phase != before
        return taken, end


def _fitted(lines: Lines, memory: Memory) -> tuple[Lines, list[Damage]]:
    """Lines with as many cells as the header: what is beyond it is damage unless it is blank."""
    width = len(memory.layouts[-1].names)
    damage: list[Damage] = []
    for number, line in enumerate(lines):
        if len(line.cells) < width:
            lines[number] = line._replace(cells=line.cells + [b""] * (width - len(line.cells)))
        elif len(line.cells) > width:
            if any(cell.strip() for cell in line.cells[width:]):
                start = surplus_start(line.text, memory.shape.delimiter, width)
                size = len(line.text.rstrip(b"\r")) - start
                damage.append(Damage(line.offset + start, size, "row longer than its header"))
            lines[number] = line._replace(cells=line.cells[:width])
    return lines, damage


def _is_blank(line: Line) -> bool:
    return len(line.cells) == 1 and not line.text.strip()


def _text_only(columns: Sequence[Cells], n: int) -> set[int]:
    """Rows, of n, that hold text but no number."""
    texts = set().union(*(column.texts for column in columns))
    if not texts:
        return texts
    held = np.zeros(n, np.bool_)
    for column in columns:
        held[column.rows] = True
    return {row for row in texts if not held[row]}


def _steps_of(column: Cells, cells: Sequence[bytes]) -> Ints:
    """Each row's step, of shape (n,) like `cells`; `NO_STEP` where there is none."""
    steps = np.full(len(cells), NO_STEP, np.int64)
    small = (np.abs(column.values) < _EXACT) & (np.trunc(column.values) == column.values)
    steps[column.rows[small]] = column.values[small].astype(np.int64)
    for row in column.rows[np.abs(column.values) >= _EXACT].tolist():
        step = as_step(exact(cells[row]))
        steps[row] = NO_STEP if step is None else step
    return steps


def _first_fraction(column: Cells) -> int:
    """The first row with a finite number that is not whole; beyond all rows when there is none."""
    odd = np.flatnonzero(np.isfinite(column.values) & (np.trunc(column.values) != column.values))
    return int(column.rows[odd[0]]) if len(odd) else np.iinfo(np.int64).max


def _rows(lines: Lines, layout: Layout, columns: Sequence[Cells], steps: Ints) -> Rows:
    n = len(lines)
    times = np.full(n, np.nan)
    shown: list[Column] = []
    others: list[Other] = []
    for number, (key, cells) in enumerate(zip(layout.keys, columns, strict=True)):
        if number == layout.step:
            cells = _without_steps(cells, layout, lines)
        elif number == layout.time:
            cells = _without_times(cells, times)
        if len(cells.rows):
            shown.append(Column(key, None if len(cells.rows) == n else cells.rows, cells.values))
        if cells.texts:
            rows = np.fromiter(cells.texts, np.int64, len(cells.texts))
            others.append(other_of(key, rows, as_text(cells.texts[int(rows[-1])])))
    offsets = np.fromiter((line.offset for line in lines), np.int64, n)
    return Rows("history", offsets, steps, times, tuple(shown), tuple(others), by_key=True)


def _without_steps(cells: Cells, layout: Layout, lines: Lines) -> Cells:
    """What of the step's column is no step and therefore shown as it is."""
    odd = _steps_of(cells, [line.cells[layout.step] for line in lines])[cells.rows] == NO_STEP
    return Cells(cells.rows[odd], cells.values[odd], cells.texts)


def _without_times(cells: Cells, times: Floats) -> Cells:
    """Fill in wall times; what of their column is none is shown as it is."""
    found = epoch_seconds_each(cells.values)
    odd = np.isnan(found)
    times[cells.rows[~odd]] = found[~odd]
    texts: dict[int, bytes] = {}
    for row, text in cells.texts.items():
        times[row] = epoch_seconds(as_text(text))
        if np.isnan(times[row]):
            texts[row] = text
    return Cells(cells.rows[odd], cells.values[odd], texts)
