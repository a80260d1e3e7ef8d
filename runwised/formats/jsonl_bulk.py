"""Many lines of a JSON-lines log at once, decoded: the same rows as line by line, several times faster.

A stretch of lines is decoded as rows of a learned shape. Where that fails, it is cut at the line that is wrong, and
what is left on its own (NaN, a new key, glued or torn lines) is taken as `runwised.formats.jsonl_rows` tells it. So
what is odd costs its own neighbourhood and no more.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.jsonl_axes import Axes
from runwised.formats.jsonl_rows import LineDamage, LinePart, LineRow, parts_of
from runwised.formats.jsonl_shape import Shape
from runwised.formats.jsonl_tokens import is_token, respell
from runwised.formats.line_blocks import LineBlock
from runwised.formats.record import Damage, Ints

_STRETCH_BYTES = 1 << 14
_EXACT = 2.0**53
_PLACE = re.compile(r"\(byte (?P<byte>\d{1,9})\)|`\$\[(?P<row>\d{1,9})\]")


class OddRow(NamedTuple):
    """A row that is not of the shape."""

    row: int
    """Its number within the block."""
    offset: int
    logged: dict[str, Any]
    values: dict[str, Any]
    """By escaped key, step and time among them."""


class Decoded(NamedTuple):
    """The rows of a block, in two kinds."""

    typed: list[Any]
    typed_rows: Ints | None
    """Numbers of the typed rows within the block; None: they are all its rows."""
    odd: list[OddRow]
    offsets: Ints
    """Of every row; shape (rows,)."""
    damage: list[Damage]
    respelled: int
    """NaN and infinities among the typed rows' text (see `jsonl_tokens`)."""


def decode_block(block: LineBlock, shape: Shape, axes: Axes, *, tokens: bool = False) -> Decoded:
    """The rows of a block of lines that is not the first of its source; `tokens`: NaN is to be expected."""
    typed: list[Any] = []
    odd: dict[int, list[LinePart]] = {}
    block = _without_blank(block)
    tidy = _tidy(block)
    all_tidy = bool(tidy.all())
    respelled = 0
    waiting = _stretches(block)
    while waiting:
        first, stop = waiting.pop()
        found = _Found([], (first + stop) // 2)
        if all_tidy or tidy[first:stop].all():
            found = _decode_lines(shape, block, first, stop, tokens)
        if len(found.rows) == stop - first:
            typed += found.rows
            respelled += found.respelled
        elif stop - first == 1:
            odd[first] = parts_of(block.line(first), axes.is_row)
        else:
            parts = ((found.wrong + 1, stop), (found.wrong, found.wrong + 1), (first, found.wrong))
            waiting += [part for part in parts if part[0] < part[1]]
    return _placed(typed, odd, block.offset + block.starts, respelled)


class _Found(NamedTuple):
    """What came of a stretch of lines."""

    rows: list[Any]
    """Empty when it could not be decoded as a whole."""
    wrong: int
    """The line at which to cut it then: most likely the one that is wrong."""
    respelled: int = 0


def _without_blank(block: LineBlock) -> LineBlock:
    sizes = block.ends - block.starts
    if sizes.min() > 1:
        return block
    there = (sizes > 1) | ((sizes == 1) & (np.frombuffer(block.data, np.uint8)[block.starts] != 0x0D))
    return block._replace(starts=block.starts[there], ends=block.ends[there])


def _stretches(block: LineBlock) -> list[tuple[int, int]]:
    """Neighbouring lines, the last first: number of the first, and one behind the last."""
    edges = np.searchsorted(block.starts, np.arange(0, len(block.data), _STRETCH_BYTES)).tolist()
    return [(first, stop) for first, stop in pairwise((*edges, len(block.starts))) if first < stop][::-1]


def _tidy(block: LineBlock) -> NDArray[np.bool_]:
    """Whether each line begins with ``{`` and ends with ``}``; shape (lines,).

    Where all lines do, none of them begins or ends within a value. So when as many values as lines are decoded, each
    line is one of them.
    """
    data = np.frombuffer(block.data, np.uint8)
    last = data[block.ends - 1]
    tidy: NDArray[np.bool_] = data[block.starts] == 0x7B
    tidy &= (last == 0x7D) | ((last == 0x0D) & (data[block.ends - 2] == 0x7D))
    return tidy


def _decode_lines(shape: Shape, block: LineBlock, first: int, stop: int, tokens: bool) -> _Found:
    begin, middle, respelled = int(block.starts[first]), (first + stop) // 2, 0
    lines: memoryview | bytes = block.data[begin : int(block.ends[stop - 1]) + 1]
    if tokens:
        lines, respelled = respell(bytes(lines))
    try:
        return _Found(shape.decoder.decode_lines(lines), middle, respelled)
    except ValueError as error:
        place = _PLACE.search(str(error))
    except RecursionError:  # a value nested deeper than the decoder goes
        place = None
    if place is None:
        return _Found([], middle)
    byte, row = place["byte"], place["row"]
    wrong = int(np.searchsorted(block.ends, begin + int(byte))) if byte else first + int(row)
    return _Found([], wrong if first <= wrong < stop else middle)


def _placed(typed: list[Any], odd: dict[int, list[LinePart]], line_offsets: Ints, respelled: int) -> Decoded:
    if not odd:
        return Decoded(typed, None, [], line_offsets, [], respelled)
    counts = np.ones(len(line_offsets), np.int64)
    lines = np.fromiter(odd, np.int64, len(odd))
    counts[lines] = [sum(isinstance(part, LineRow) for part in parts) for parts in odd.values()]
    offsets = np.repeat(line_offsets, counts)
    first_rows = np.cumsum(counts) - counts
    found, damage = [], []
    for line, parts in odd.items():
        row = int(first_rows[line])
        for part in parts:
            offset = int(line_offsets[line]) + part.at
            if isinstance(part, LineDamage):
                damage.append(Damage(offset, part.size, part.reason))
            else:
                found.append(OddRow(row, offset, part.logged, part.values))
                offsets[row] = offset
                row += 1
    return Decoded(typed, np.delete(first_rows, lines), found, offsets, damage, respelled)


def token_share(decoded: Decoded) -> float:
    """Of all rows, those with NaN or infinities."""
    odd = sum(any(is_token(value) for value in row.values.values()) for row in decoded.odd)
    return (odd + decoded.respelled) / max(len(decoded.offsets), 1)
