"""What the cells of a delimited table hold: numbers, text, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from runwised.formats.record import Floats, Ints

MISSING = frozenset((b"", b"NA", b"N/A", b"n/a", b"<NA>", b"None", b"null", b"NULL", b"-", b"--"))
"""Cells that hold nothing, after blanks around them are cut; ``nan`` in any case is a value."""

_LIKE_A_NUMBER = re.compile(rb"\s*+[-+.0-9nNiI]")
_json_numbers = msgspec.json.Decoder(list[float]).decode
_MINUS_ZERO = re.compile(rb"-0[^.0-9]")  # whose sign msgspec does not keep
_INTEGER = re.compile(rb"[+-]?[0-9]{1,4300}")


class Cells(NamedTuple):
    """One column of a block of rows."""

    rows: Ints
    """Which rows hold a number, increasing."""
    values: Floats
    """The numbers, of the shape of `rows`."""
    texts: dict[int, bytes]
    """What the rows that hold text hold, blanks around it cut."""


def number(cell: bytes) -> float:
    """The number in a cell, blanks around it passed over. Raises ValueError when it holds none."""
    if b"_" in cell:  # a digit separator in Python, not in a table
        raise ValueError("no number")
    return float(cell)


def is_number(cell: bytes) -> bool:
    """Whether a cell holds a number."""
    if not _LIKE_A_NUMBER.match(cell):
        return False
    try:
        number(cell)
    except ValueError:
        return False
    return True


def is_number_or_missing(cell: bytes) -> bool:
    """Whether a cell holds no text."""
    return cell.strip() in MISSING or is_number(cell)


def exact(cell: bytes) -> int | float | str | None:
    """A cell's value as `json.loads` would give it: integers exact, text without the blanks around it, or None."""
    cell = cell.strip()
    if cell in MISSING:
        return None
    if _INTEGER.fullmatch(cell):
        return int(cell)
    return number(cell) if is_number(cell) else as_text(cell)


def as_text(cell: bytes) -> str:
    """A cell as text; bytes that are no UTF-8 become U+FFFD."""
    return cell.strip().decode("utf-8", "replace")


def parse_cells(cells: Sequence[bytes]) -> Cells:
    """A column's cells, of shape (n,)."""
    n = len(cells)
    values = _numbers(cells) if all(cells) else None
    if values is not None:
        return Cells(np.arange(n), values, {})
    held = list(filter(None, cells))
    if not held:
        return Cells(np.empty(0, np.int64), np.empty(0), {})
    rows = np.arange(n) if len(held) == n else np.flatnonzero(np.fromiter(map(len, cells), np.int64, n))
    values = _numbers(held) if len(held) < n else None
    return _sorted_out(held, rows) if values is None else Cells(rows, values, {})


def _numbers(cells: Sequence[bytes]) -> Floats | None:
    """All cells' numbers; None when one holds none.

    Most are spelled as JSON does it, and msgspec reads those several times faster than float().
    """
    joined = b"[%b]" % b",".join(cells)
    try:
        values = [] if _MINUS_ZERO.search(joined) else _json_numbers(joined)
        if len(values) == len(cells):  # not, where a cell itself holds a comma
            return np.fromiter(values, np.float64, len(values))
    except msgspec.DecodeError:
        pass
    try:
        return np.fromiter(map(number, cells), np.float64, len(cells))
    except ValueError:
        return None


def _sorted_out(cells: Sequence[bytes], rows: Ints) -> Cells:
    """`cells`, which stand in these rows, one by one."""
    texts: dict[int, bytes] = {}
    left: list[int] = []
    values: list[float] = []
    for row, cell in zip(rows.tolist(), map(bytes.strip, cells), strict=True):
        if cell in MISSING:
            continue
        if is_number(cell):
            values.append(number(cell))
            left.append(row)
        else:
            texts[row] = cell
    return Cells(np.array(left, np.int64), np.array(values, np.float64), texts)
