"""Numbers to bytes and back: one chunk of an array, packed.

A chunk is self-contained: 8 bytes of head (kind, width, two zeros, u32 count), then as its kind says. All
little-endian; ``FORMAT.md`` has the table.
"""

from __future__ import annotations

import struct

import numpy as np

from runwised.formats.record import Floats, Ints

CHUNK = 8192
"""Elements in a whole chunk."""

RAW, STEPPED, STEPPED_FLOATS = 0, 1, 2
_HEAD = struct.Struct("<BBxxI")
_LINE = struct.Struct("<qq")
_WIDTHS = {0: "<u1", 1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_PROBE = 16


class ChunkDamaged(Exception):  # noqa: N818
    """The bytes are not a chunk of what was expected; the argument says why."""


def encode_ints(values: Ints) -> bytes:
    """Pack int64 values, at least one and at most `CHUNK`: the first, and how far each goes beyond the least step."""
    return _stepped(STEPPED, values)


def encode_floats(values: Floats) -> bytes:
    """Pack float64 values bit for bit: as integers where they are all whole, else as they are."""
    if len(values) > _PROBE and not _whole(values[:_PROBE]):
        packed = b""
    else:
        packed = _stepped(STEPPED_FLOATS, values.astype(np.int64)) if _whole(values) else b""
    raw_size = _HEAD.size + 8 * len(values)
    if packed and len(packed) < raw_size:
        return packed
    return _HEAD.pack(RAW, 8, len(values)) + values.astype("<f8", copy=False).tobytes()


def decode_ints(data: bytes, count: int) -> Ints:
    """Unpack `count` int64 values; raises ChunkDamaged."""
    if _head(data, count)[0] != STEPPED:
        raise ChunkDamaged("floats where whole numbers were expected")
    return _unstepped(data, count)


def decode_floats(data: bytes, count: int) -> Floats:
    """Unpack `count` float64 values; raises ChunkDamaged."""
    kind, width = _head(data, count)
    if kind == STEPPED_FLOATS:
        return _unstepped(data, count).astype(np.float64)
    if kind != RAW or width != 8 or len(data) != _HEAD.size + 8 * count:
        raise ChunkDamaged(f"kind {kind} with {len(data)} bytes for {count} floats")
    return np.frombuffer(data, "<f8", count, _HEAD.size).astype(np.float64, copy=False)


def _whole(values: Floats) -> bool:
    with np.errstate(invalid="ignore"):
        back = values.astype(np.int64).astype(np.float64)
    return bool((back.view(np.int64) == values.view(np.int64)).all())


def _stepped(kind: int, values: Ints) -> bytes:
    steps = np.diff(values)
    least = int(steps.min()) if len(steps) else 0
    beyond = (steps - least).view(np.uint64)
    top = int(beyond.max()) if len(steps) else 0
    width = next(width for width in _WIDTHS if top < 1 << 8 * width)
    body = beyond.astype(_WIDTHS[width]).tobytes() if width else b""
    return _HEAD.pack(kind, width, len(values)) + _LINE.pack(int(values[0]), least) + body


def _unstepped(data: bytes, count: int) -> Ints:
    width = data[1]
    begin = _HEAD.size + _LINE.size
    if width not in _WIDTHS or len(data) != begin + width * (count - 1):
        raise ChunkDamaged(f"{len(data)} bytes for {count} numbers of width {width}")
    first, least = _LINE.unpack_from(data, _HEAD.size)
    values = np.empty(count, np.int64)
    values[0] = first
    values[1:] = np.frombuffer(data, _WIDTHS[width], count - 1, begin) if width else 0
    values[1:] += least
    return np.cumsum(values, out=values)


def _head(data: bytes, count: int) -> tuple[int, int]:
    """Kind and width, after a look at the count."""
    if len(data) < _HEAD.size:
        raise ChunkDamaged(f"{len(data)} bytes, too short for a chunk")
    kind, width, stored = _HEAD.unpack_from(data)
    if stored != count:
        raise ChunkDamaged(f"{stored} elements where {count} were expected")
    return kind, width
