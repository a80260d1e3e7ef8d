"""Decodes the values of many W&B items at once.

Numbers are gathered into a JSON array whose cells are of equal width, filled up with blanks, and decoded by one call;
what is no plain number is told by its first bytes, or else decoded singly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from runwised.formats.json_value import as_float, decode_json
from runwised.formats.record import Floats, Ints
from runwised.formats.wandb_fast_items import Items
from runwised.formats.wandb_fast_words import WORD, Flags, Octets, Window, Words

_BLOCK = 4096
"""Values decoded at a time: their cells stay in the processor's cache."""
_CELL_WORDS = 6
_CELL = _CELL_WORDS * WORD
_ZERO = np.frombuffer(b"0".ljust(_CELL), "<u4")

_NAN = int.from_bytes(b"NaN", "little")
_MINUS_INFINITY = int.from_bytes(b"-I", "little")
_OTHER_STARTS = np.array([byte in b'"tfn[' for byte in range(256)])
"""First bytes of JSON texts that `decode_json` takes neither for a number nor for a dict, however they go on."""

_decode_numbers = msgspec.json.Decoder(list[float]).decode
_pack = msgspec.msgpack.Encoder().encode
_PACKED = np.dtype([("tag", "u1"), ("number", ">f8")])


def _masks() -> tuple[Words, Words]:
    """For each size of value: which bits of a cell are the value, and the comma and blanks that fill the rest."""
    column, size = np.arange(_CELL), np.arange(_CELL)[:, None]
    keep = np.where(column < size, 255, 0).astype(np.uint8)
    fill = np.where(column < size, 0, np.where(column == size, ord(","), ord(" "))).astype(np.uint8)
    return keep.view("<u4"), fill.view("<u4")


_KEEP, _FILL = _masks()


class Values(NamedTuple):
    """Decoded values; all arrays have shape (i,)."""

    numbers: Floats
    numeric: Flags
    """Whether it is a number; if not, what stands in `numbers` means nothing."""
    dicts: Flags
    """Whether it is a dict, which holds keys of its own."""


def decode_value(window: Window, start: int, size: int) -> Any:
    """An item's value; None when it has none."""
    return decode_json(window.text[start : start + size]) if size else None


def decode_values(window: Window, items: Items) -> Values:
    """Decode the values of items."""
    numbers = np.empty(len(items.values))
    numeric, dicts = np.zeros((2, len(items.values)), np.bool_)
    for start in range(0, len(items.values), _BLOCK):
        block = slice(start, start + _BLOCK)
        values = Values(numbers[block], numeric[block], dicts[block])
        _decode_block(window, items.values[block], items.sizes[block], values)
    return Values(numbers, numeric, dicts)


def _decode_block(window: Window, starts: Ints, sizes: Octets, values: Values) -> None:
    text = np.empty(_CELL * (len(starts) + 1), np.uint8)
    cells = text[_CELL:].view(np.uint32).reshape(-1, _CELL_WORDS)
    places = np.empty(cells.shape, np.int64)
    for number in range(_CELL_WORDS):
        np.add(starts, number * WORD, out=places[:, number])
    window.take(places, out=cells)
    leads = cells[:, 0].copy()
    initial = leads & 0xFF
    plain = ((initial - 48 < 10) | (initial == 45)) & (sizes - 1 < _CELL - 1) & (leads & 0xFFFF != _MINUS_INFINITY)
    unusual = np.flatnonzero(~plain)
    if len(unusual):
        widths = np.where(plain, sizes, np.uint8(1))
        cells[unusual] = _ZERO
    else:
        widths = sizes
    cells &= _KEEP.take(widths, axis=0)
    cells |= _FILL.take(widths, axis=0)
    text[_CELL - 1] = ord("[")
    text[_CELL * len(starts) + int(widths[-1])] = ord("]")
    values.numeric[:] = plain
    if not _decode_cells(text[_CELL - 1 :], values.numbers):
        unusual = np.arange(len(starts))
    if len(unusual):
        _decode_unusual(window, starts, sizes, leads, unusual, values)


def _decode_cells(text: Octets, numbers: Floats) -> bool:
    """Decode a JSON array into `numbers`; False when it does not hold so many numbers, and nothing else."""
    try:
        decoded = _decode_numbers(text.data)
    except msgspec.DecodeError:
        return False
    if len(decoded) != len(numbers):
        return False
    # From MessagePack they are read at a fraction of what it costs to take floats out of a list one by one.
    packed = _pack(decoded)
    numbers[:] = np.frombuffer(packed, _PACKED, len(decoded), len(packed) - _PACKED.itemsize * len(decoded))["number"]
    return True


def _decode_unusual(window: Window, starts: Ints, sizes: Octets, leads: Words, unusual: Ints, values: Values) -> None:
    """Decode some values singly where their first bytes do not say enough."""
    sizes, leads = sizes[unusual], leads[unusual]
    nan = (leads & 0xFFFFFF == _NAN) & (sizes == 3)
    values.numbers[unusual[nan]] = np.nan
    values.numeric[unusual] = nan
    told = nan | (_OTHER_STARTS[leads & 0xFF] & (sizes > 0))
    for index in np.flatnonzero(~told).tolist():
        place = unusual[index]
        value = decode_value(window, int(starts[place]), int(sizes[index]))
        if type(value) is float or type(value) is int:
            values.numbers[place] = as_float(value)
            values.numeric[place] = True
        elif isinstance(value, dict):
            values.dicts[place] = True
