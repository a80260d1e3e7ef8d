"""JSON-lines logs: one JSON object a line, its keys, step and time as the program chose them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from runwised.formats.jsonl_axes import Axes
from runwised.formats.jsonl_bulk import Decoded, OddRow, decode_block, token_share
from runwised.formats.jsonl_cells import rows_of
from runwised.formats.jsonl_match import looks_like_log
from runwised.formats.jsonl_rows import LineDamage, LineRow, parts_of, values_at_start
from runwised.formats.jsonl_shape import NO_SHAPE, Shape
from runwised.formats.line_blocks import LineBlock, LineBlocks
from runwised.formats.linelog import last_lines, read_line
from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Damage,
    Hints,
    Identity,
    Probe,
    Resume,
    Row,
    Rows,
    Text,
)
from runwised.formats.rows_builder import RowsBuilder

_LEAST_LINES = 64
"""Fewer lines at a time are read one by one: to learn a shape for them does not pay."""

_SAMPLED_LINES = 48
_MOST_ODD = 1 / 32
_RARE = 1 / 16
_HOPELESS = 1 / 2
_WIDE = 64
_LEAST_FILLED = 1 / 16
_PROBED_LINES = 64


class JsonlReader:
    """Reads one JSON-lines log; see `runwised.formats.record.Reader`.

    The first lines, and where there are few at a time, are read one by one; many go the way of `jsonl_bulk`.
    """

    def __init__(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> None:
        self._blocks = LineBlocks(resume.offset if resume else 0)
        self._axes = _axes_of(resume)
        self._hint = hints.step_key
        self._shape: Shape | None = NO_SHAPE
        """None: the rows have no shape that pays."""
        self._tokens = False
        """NaN and infinities are frequent."""

    @property
    def resume(self) -> Resume:
        """The first line not delivered, and what told step and time before it."""
        return Resume(self._blocks.offset, msgspec.msgpack.encode(self._axes))

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give the rows they complete."""
        batches: list[Batch] = []
        for found in self._blocks.feed(data):
            if isinstance(found, Damage):
                batches.append(found)
            else:
                self._read(found, batches)
        return batches

    def close(self) -> list[Batch]:
        """Nothing: a line without its end may still grow."""
        return []

    def _read(self, block: LineBlock, batches: list[Batch]) -> None:
        if not self._axes.settled:
            block = block.behind(self._read_singly(block, batches, until_settled=True))
        many = len(block.starts) >= _LEAST_LINES and self._shape is not None
        if not (many and self._read_bulk(block, batches)):
            self._read_singly(block, batches)

    def _read_singly(self, block: LineBlock, batches: list[Batch], *, until_settled: bool = False) -> int:
        """Read line by line; how many lines were read."""
        rows, damage = RowsBuilder(), []
        read = 0
        while read < len(block.starts) and not (until_settled and self._axes.settled):
            place = block.offset + int(block.starts[read])
            for part in parts_of(block.line(read), self._axes.is_row, first=place == 0):
                if isinstance(part, LineDamage):
                    damage.append(Damage(place + part.at, part.size, part.reason))
                else:
                    step, time = self._axes.take(place + part.at, part.values, self._hint)
                    rows.add(place + part.at, step, time, part.values)
            read += 1
        if rows:
            batches.append(rows.build()._replace(by_key=True))
        batches += damage
        return read

    def _read_bulk(self, block: LineBlock, batches: list[Batch]) -> bool:
        """Read many lines at once; False, and nothing happened, when they have to be read one by one."""
        if self._shape is NO_SHAPE:
            self._shape = NO_SHAPE.learn(_usual(list(_sampled(block))))
        shape = self._shape
        if shape is None or self._axes.awaits((*shape.numbers, *shape.plains), self._hint):
            return False
        decoded = decode_block(block, shape, self._axes, tokens=self._tokens)
        if any(self._axes.awaits(odd.values, self._hint) for odd in decoded.odd):
            return False
        rows = rows_of(shape, decoded, self._axes)
        if rows is None:
            self._tokens = False
            return False
        if len(rows.offsets):
            batches.append(rows)
        batches += decoded.damage
        self._learn(shape, decoded, rows)
        return True

    def _learn(self, shape: Shape, decoded: Decoded, rows: Rows) -> None:
        """Look back at what a block held, for the next one."""
        count, odd = len(rows.offsets), decoded.odd
        had_tokens, self._tokens = self._tokens, token_share(decoded) > _MOST_ODD
        if len(odd) > count * _MOST_ODD:
            self._shape = shape.learn(_usual(odd))
            if self._shape is shape and self._tokens == had_tokens and len(odd) > count * _HOPELESS:
                self._shape = None
        elif _is_sparse(rows, shape):
            self._shape = None


class JsonlLog:
    """JSON lines as a `runwised.formats.record.Format`."""

    name = "jsonl"
    rewritten = console = False
    together = True
    tells_end = False

    def matches(self, filename: str, head: bytes) -> bool:
        """See `looks_like_log`."""
        return looks_like_log(filename, head)

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> JsonlReader:
        """See `runwised.formats.record.Format`."""
        return JsonlReader(resume, hints)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        """Step and time of the last rows, their keys known from the first; the summary is what the last rows hold."""
        axes = Axes()
        step = time = None
        summary: dict[str, Any] = {}
        for number, line in enumerate(_probed_lines(head, tail, tail_offset)):
            for part in parts_of(line, axes.is_row, first=number == 0):
                if isinstance(part, LineRow):
                    row_step, row_time = axes.take(number, part.values, hints.step_key)
                    step = step if row_step == NO_STEP else row_step
                    time = time if math.isnan(row_time) else row_time
                    _merge(summary, part.logged)
        for key in (axes.now.step_key, axes.now.time_key):
            summary.pop(key, None)
        return Probe(Identity(), {}, {}, summary, step, time, None, header=bool(head))

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The row whose object begins at ``data[0]``, be others glued to it; see the protocol."""
        line = read_line(data)
        return None if line is None else _axes_of(resume).row(offset, values_at_start(line))

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """JSON lines hold no console text."""
        raise ValueError(f"no console chunk at byte {offset} of a JSON-lines log")


def _axes_of(resume: Resume | None) -> Axes:
    return msgspec.msgpack.decode(resume.state, type=Axes) if resume and resume.state else Axes()


def _sampled(block: LineBlock) -> Iterator[LineRow]:
    """Some rows from all over a block."""
    for number in range(0, len(block.starts), max(len(block.starts) // _SAMPLED_LINES, 1)):
        yield from (part for part in parts_of(block.line(number), lambda _: True) if isinstance(part, LineRow))


def _usual(rows: Sequence[LineRow | OddRow]) -> list[dict[str, Any]]:
    """What those rows logged that hold no rare key: each key of a shape costs something in every row."""
    uses = Counter(key for row in rows for key in row.values)
    least = len(rows) * _RARE
    return [row.logged for row in rows if all(uses[key] >= least for key in row.values)]


def _is_sparse(rows: Rows, shape: Shape) -> bool:
    """Whether the rows fill so little of the shape that to read them one by one costs less."""
    filled = sum(len(column.values) for column in rows.columns)
    return len(shape.numbers) > _WIDE and filled < len(rows.offsets) * len(shape.numbers) * _LEAST_FILLED


def _probed_lines(head: bytes, tail: bytes, tail_offset: int) -> list[bytes]:
    """The first lines and the last, none of them twice."""
    first = last_lines(head if tail_offset else tail, 0)
    last = last_lines(tail, tail_offset) if tail_offset else first[_PROBED_LINES:]
    return first[:_PROBED_LINES] + last[-_PROBED_LINES:]


def _merge(tree: dict[str, Any], later: dict[str, Any]) -> None:
    for key, value in later.items():
        known = tree.get(key)
        if isinstance(value, dict) and isinstance(known, dict) and "_type" not in value:
            _merge(known, value)
        else:
            tree[key] = value


JSONL = JsonlLog()
