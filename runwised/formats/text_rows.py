"""Lines of text to rows, block by block: shapes are looked up, numbers read as columns, steps told."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np

from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Column,
    Facts,
    Floats,
    Hints,
    Ints,
    Rows,
    escape,
)
from runwised.formats.text_bars import WINDOW, bar_behind, end_over_bars
from runwised.formats.text_numbers import TextBlock
from runwised.formats.text_pairs import Field
from runwised.formats.text_prefix import stamp_times
from runwised.formats.text_shapes import LONGEST_RECORD, Grammar, Kind, Shape
from runwised.formats.text_steps import NONE, Progress, Said
from runwised.formats.text_tables import read_table

_MOST_SHAPES = 1 << 14
_MOST_BYTES = 1 << 24
"""How many shapes, and of how many bytes together, are kept."""
_MOST_NAMES = 256
"""Units, and names that hold numbers, that are remembered; names with numbers beyond give no metrics."""


class Memory(msgspec.Struct):
    """All that a reader remembers between blocks."""

    progress: Progress = msgspec.field(default_factory=Progress)
    units: dict[str, str] = {}
    numbered: dict[str, None] = {}
    """Names that hold a number."""
    total: int = NONE
    """The total number of steps that was reported."""
    hints: Hints = NO_HINTS
    returned: bool = False
    """The record before ended with a carriage return."""

    @classmethod
    def of(cls, hints: Hints) -> Memory:
        """That of a reader at the start of a source."""
        return cls(hints=hints)

    @classmethod
    def decode(cls, state: bytes, hints: Hints) -> Memory:
        """From a resume point's state; an empty or unknown one is that of the start."""
        try:
            memory = _decoder.decode(state) if state else cls(hints=hints)
        except msgspec.MsgspecError:
            return cls(hints=hints)
        if hints != NO_HINTS:
            memory.hints = hints
        return memory

    def encode(self) -> bytes:
        """As a resume point's state."""
        return _encoder.encode(self)


_decoder = msgspec.msgpack.Decoder(Memory)
_encoder = msgspec.msgpack.Encoder()


class _Shapes(dict[bytes, int]):
    """Code of every shape met; 0: lines of that shape say nothing. What a shape says depends on nothing else."""

    def __init__(self, hints: Hints) -> None:
        self._read = Grammar(hints).read
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self.kept_bytes = 0
        self.known: list[Shape] = [Shape(Kind.LOOSE)]
        self.fields_of: list[frozenset[bytes]] = [frozenset()]

    def __missing__(self, shape: bytes) -> int:
        found = self._read(shape)
        code = 0
        if found is not None:
            code = len(self.known)
            self.known.append(found)
            self.fields_of.append(frozenset(field.name for field in found.fields))
        self[shape] = code
        self.kept_bytes += len(shape)
        return code


class _Piece(NamedTuple):
    """One field of the lines of one shape, under one name."""

    line: int
    """The first of its lines, and its place within them: pieces are taken in this order."""
    place: int
    key: str
    lines: Ints
    field: Field


class _Lines(NamedTuple):
    """The lines of a block that say something, and of which shape each is; arrays have one element a line."""

    block: TextBlock
    records: Ints
    first: Ints
    """Each line's first run of digits."""
    codes: Ints
    groups: list[tuple[int, Ints]]
    """By code: the lines of that shape, in order."""


class TextRows:
    """Reads blocks of whole records, in order."""

    def __init__(self, hints: Hints, memory: Memory) -> None:
        self.memory = memory
        self._shapes = _Shapes(hints)

    def read(self, text: bytes, offset: int, behind: bytes) -> list[Batch]:
        """The rows of a block that begins at `offset`, and what they tell anew; `behind` is what follows it."""
        lines = self._lines(text)
        returned, self.memory.returned = self.memory.returned, text.endswith(b"\r")
        if lines is None:
            return []
        said, times = self._said(lines)
        _look_behind(said, lines, text, behind, returned=returned)
        steps = self.memory.progress.steps(said)
        pieces = self._named(lines)
        batches = self._told(pieces)
        rows = np.flatnonzero(said.rows)
        if len(rows):
            offsets = lines.block.offsets[lines.records[rows]] + offset
            columns = _columns(lines, pieces, np.cumsum(said.rows) - 1, len(rows))
            batches.append(Rows("history", offsets, steps[rows], times[rows], columns, by_key=True))
        return batches

    def read_table(self, table: bytes, offset: int) -> list[Batch]:
        """The row that a whole table at `offset` is, if it is one."""
        self.memory.returned = False
        found = read_table(table)
        if found is None:
            return []
        step, values = found
        progress = self.memory.progress
        progress.last, progress.counts = step, True
        columns = tuple(Column(key, None, np.array([float(value)])) for key, value in values.items())
        return [Rows("history", np.array([offset]), np.array([step]), np.array([np.nan]), columns, by_key=True)]

    def row(self, record: bytes) -> tuple[int, float, dict[str, Any]] | None:
        """Step (or `NO_STEP`), time and values of one whole record by itself; None when it is no row."""
        lines = self._lines(record)
        if lines is None:
            return None
        said, times = self._said(lines)
        pieces = self._named(lines)
        if not said.rows[0] or not pieces:
            return None
        progress = self.memory.progress
        step = int(said.steps[0])
        alone = said.kinds[0] == Kind.STEP or (said.kinds[0] == Kind.EPOCH and not progress.no_epochs)
        if not alone or step in (NONE, progress.repeated) or said.epochs[0] != NONE:
            step = NO_STEP
        values = {}
        for piece in pieces:
            value = float(lines.block.floats(lines.first, piece.field.number)[0])
            values[piece.key] = int(value) if piece.field.number.integer and abs(value) < 2**53 else value
        return step, float(times[0]), values

    def _lines(self, text: bytes) -> _Lines | None:
        """What of a block says anything; None: nothing does."""
        block = TextBlock(text)
        shapes = self._shapes
        if len(shapes) > _MOST_SHAPES or shapes.kept_bytes > _MOST_BYTES:
            shapes.clear()
        records = block.speaking
        if len(records) * 8 < len(block.shapes) * 7:
            looked = [block.shapes[record] for record in records.tolist()]
        else:
            looked, records = block.shapes, np.arange(len(block.shapes))
        codes = np.fromiter(map(shapes.__getitem__, looked), np.int64, len(looked))
        said = np.flatnonzero(codes)
        said = said[block.sizes[records[said]] < LONGEST_RECORD]
        if not len(said):
            return None
        records, codes = records[said], codes[said]
        order = np.argsort(codes.astype(np.int16) if len(shapes.known) < 1 << 15 else codes, kind="stable")
        ordered = codes[order]
        starts = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(order)]
        groups = [(int(ordered[start]), order[start:end]) for start, end in pairwise(starts)]
        return _Lines(block, records, block.first_runs[records], codes, groups)

    def _said(self, lines: _Lines) -> tuple[Said, Floats]:
        count = len(lines.records)
        numbers = np.full((3, count), NONE)
        kinds, asides, rows = np.empty(count, np.int8), np.empty(count, np.bool_), np.empty(count, np.bool_)
        times = np.full(count, np.nan)
        for code, which in lines.groups:
            shape = self._shapes.known[code]
            kinds[which], asides[which], rows[which] = shape.kind, shape.aside, bool(shape.fields)
            first = lines.first[which]
            for number, values in zip((shape.step, shape.total, shape.epoch), numbers, strict=True):
                if number is not None:
                    found, fits = lines.block.integers(first, number)
                    values[which] = np.where(fits, found, NONE)
            if shape.stamp is not None:
                times[which] = stamp_times(lines.block, first, shape.stamp)
        steps, totals, epochs = numbers
        return Said(kinds, steps, totals, epochs, asides, rows, self._shapes.fields_of, lines.codes), times

    def _named(self, lines: _Lines) -> list[_Piece]:
        """Every field of every shape under its full name, in the order of their appearance."""
        pieces: list[_Piece] = []
        for code, which in lines.groups:
            for place, field in enumerate(self._shapes.known[code].fields):
                pieces += _pieces(lines, which, place, field)
        pieces.sort(key=lambda piece: piece[:2])
        numbered = self.memory.numbered
        admitted = []
        for piece in pieces:
            if piece.field.name_runs and piece.key not in numbered:
                if len(numbered) >= _MOST_NAMES:
                    continue
                numbered[piece.key] = None
            admitted.append(piece)
        return admitted

    def _told(self, pieces: list[_Piece]) -> list[Batch]:
        """Units, and the total number of steps, where these lines tell them anew."""
        memory = self.memory
        facts: dict[str, Any] = {}
        for piece in pieces:
            unit = piece.field.unit
            if unit and piece.key not in memory.units and len(memory.units) < _MOST_NAMES:
                memory.units[piece.key] = unit
                facts["units"] = dict(memory.units)
        if memory.progress.total != memory.total:
            memory.total = facts["total_steps"] = memory.progress.total
        return [Facts(facts)] if facts else []


def _look_behind(said: Said, lines: _Lines, text: bytes, behind: bytes, *, returned: bool) -> None:
    """Take the place of dicts that were written over a progress bar from the bar behind them."""
    for line in np.flatnonzero((said.kinds == Kind.DICT) & (said.steps == NONE)).tolist():
        end = end_over_bars(text, int(lines.block.offsets[lines.records[line]]), returned=returned)
        bar = bar_behind(text[end : end + WINDOW] + behind) if end else None
        if bar is not None:
            said.steps[line], said.totals[line] = bar


def _pieces(lines: _Lines, which: Ints, place: int, field: Field) -> list[_Piece]:
    if not field.name_runs:
        return [_Piece(int(which[0]), place, _key(field.name), which, field)]
    runs = lines.first[which][:, None] + np.array(field.name_runs)
    same = np.stack((lines.block.run_values[runs], lines.block.run_sizes[runs]))
    if (same == same[:, :1]).all():
        return [_Piece(int(which[0]), place, _full_key(lines, field, runs[0]), which, field)]
    by_key: dict[str, list[int]] = {}
    for line, line_runs in zip(which.tolist(), runs, strict=True):
        by_key.setdefault(_full_key(lines, field, line_runs), []).append(line)
    return [_Piece(part[0], place, key, np.array(part), field) for key, part in by_key.items()]


def _key(name: bytes) -> str:
    return escape((name.decode("utf-8", "replace"),))


def _full_key(lines: _Lines, field: Field, runs: Ints) -> str:
    """The field's name with the digits that stand in it."""
    parts = field.name.split(b"0")
    digits = [lines.block.digits(int(run)) for run in runs]
    return _key(b"".join(part + run for part, run in zip(parts, [*digits, b""], strict=True)))


def _columns(lines: _Lines, pieces: list[_Piece], row_of: Ints, count: int) -> tuple[Column, ...]:
    """The columns of `count` rows; of two numbers of one name in a line the later one stands."""
    by_key: dict[str, list[_Piece]] = {}
    for piece in pieces:
        by_key.setdefault(piece.key, []).append(piece)
    columns = []
    for key, parts in by_key.items():
        if len(parts) == 1:
            rows = row_of[parts[0].lines]
            values = lines.block.floats(lines.first[parts[0].lines], parts[0].field.number)
            columns.append(Column(key, None if len(rows) == count else rows, values))
            continue
        wide = np.empty(count)
        held = np.zeros(count, np.bool_)
        for part in sorted(parts, key=lambda part: part.place):
            rows = row_of[part.lines]
            wide[rows] = lines.block.floats(lines.first[part.lines], part.field.number)
            held[rows] = True
        columns.append(Column(key, None, wide) if held.all() else Column(key, np.flatnonzero(held), wide[held]))
    return tuple(columns)
