"""Numbers to bytes and back: one chunk of an array, packed.

A chunk is self-contained: 8 bytes of head, then as its kind says. All little-endian; ``FORMAT.md`` has the table. What
is packed are whole numbers; floats are packed as those that stand for them, chosen so that every bit comes back.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Floats, Ints

CHUNK = 8192
"""Elements in a whole chunk."""

RAW, INTS, WHOLE, PATTERNS, SIGNED_PATTERNS, DECIMALS = range(6)
STEPPED, ABOVE = 0, 1
"""Numbers as steps from one to the next, or as how far each is above the least."""
_HEAD = struct.Struct("<BBBBI")
_LINE = struct.Struct("<qq")
_LEAST = struct.Struct("<q")
_PLANES: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (2, 1), (4,), (4, 1), (4, 2), (4, 2, 1), (8,))
"""The widths of the planes that numbers of so many bytes are laid out in, low bytes first."""
_PROBE = 16
_MOST_DIGITS = 9
"""After the point, of floats that are kept as decimals."""
_EXACT = 2.0**53

U64 = NDArray[np.uint64]


class ChunkDamaged(Exception):  # noqa: N818
    """The bytes are not a chunk of what was expected; the argument says why."""


class _Head(NamedTuple):
    kind: int
    width: int
    order: int
    detail: int
    """Zero bits below a bit pattern, or digits after the point."""
    elements: int


def encode_ints(values: Ints) -> bytes:
    """Pack int64 values, at least one and at most `CHUNK`."""
    return _packed(INTS, 0, values)


def encode_floats(values: Floats) -> bytes:
    """Pack float64 values bit for bit: as whole numbers, decimals or bit patterns, whichever is shortest, or as are."""
    found = [_HEAD.pack(RAW, 8, 0, 0, len(values)) + values.astype("<f8", copy=False).tobytes()]
    if (whole := _as_decimals(values, 0)) is not None:
        found.append(_packed(WHOLE, 0, whole))
    elif digits := _digits(values[:_PROBE]):
        decimals = _as_decimals(values, digits)
        if decimals is not None:
            found.append(_packed(DECIMALS, digits, decimals))
    if len(found) == 1 or len(found[1]) > len(found[0]) // 2:
        found.append(_packed(*_as_patterns(values)))
    return min(found, key=len)


def decode_ints(data: bytes, count: int) -> Ints:
    """Unpack `count` int64 values; raises ChunkDamaged."""
    head = _head(data, count)
    if head.kind != INTS or head.detail:
        raise ChunkDamaged("floats where whole numbers were expected")
    return _unpacked(data, head)


def decode_floats(data: bytes, count: int) -> Floats:
    """Unpack `count` float64 values; raises ChunkDamaged."""
    head = _head(data, count)
    if head.kind == RAW and head.width == 8 and len(data) == _HEAD.size + 8 * count:
        return np.frombuffer(data, "<f8", count, _HEAD.size).astype(np.float64, copy=False)
    if head.kind == WHOLE and not head.detail:
        return _unpacked(data, head).astype(np.float64)
    if head.kind == DECIMALS and 1 <= head.detail <= _MOST_DIGITS:
        return _unpacked(data, head) / 10.0**head.detail
    if head.kind in (PATTERNS, SIGNED_PATTERNS) and head.detail < 64:
        return _from_patterns(_unpacked(data, head).view(np.uint64), head)
    raise ChunkDamaged(f"kind {head.kind} with {len(data)} bytes for {count} floats")


def _digits(values: Floats) -> int:
    """How many digits after the point these have at most; 0 where there are none, or they are no decimals."""
    return next((digits for digits in range(1, _MOST_DIGITS + 1) if _as_decimals(values, digits) is not None), 0)


def _as_decimals(values: Floats, digits: int) -> Ints | None:
    """The whole numbers that these are when divided by a power of ten; None where a bit would be lost."""
    if digits == 0 and len(values) > _PROBE and _as_decimals(values[:_PROBE], 0) is None:
        return None
    power = 10.0**digits
    with np.errstate(all="ignore"):
        near = np.rint(values * power) if digits else values
        if digits and not (np.abs(near) < _EXACT).all():
            return None
        numbers = near.astype(np.int64)
        back = numbers / power if digits else numbers.astype(np.float64)
    return numbers if bool((back.view(np.int64) == values.view(np.int64)).all()) else None


def _as_patterns(values: Floats) -> tuple[int, int, Ints]:
    """The bit patterns of floats without the zeros that all of them end in, the sign last where it differs."""
    bits: U64 = np.ascontiguousarray(values).view(np.uint64)
    used = int(np.bitwise_or.reduce(bits))
    zeros = (used & -used).bit_length() - 1 if used else 0
    signs = bits >> np.uint64(63)
    short = bits >> np.uint64(zeros)
    if signs.any() and not signs.all():
        magnitude = short & np.uint64((1 << 63 - zeros) - 1)
        return SIGNED_PATTERNS, zeros, ((magnitude << np.uint64(1)) | signs).view(np.int64)
    return PATTERNS, zeros, short.view(np.int64)


def _from_patterns(numbers: U64, head: _Head) -> Floats:
    if head.kind == SIGNED_PATTERNS:
        signs = numbers << np.uint64(63)
        bits = (numbers >> np.uint64(1)) << np.uint64(head.detail) | signs
    else:
        bits = numbers << np.uint64(head.detail) if head.detail else numbers
    return bits.view(np.float64)


def _packed(kind: int, detail: int, numbers: Ints) -> bytes:
    """Whole numbers in the order that is shorter."""
    count = len(numbers)
    steps = np.diff(numbers)
    least_step = int(steps.min()) if count > 1 else 0
    beyond = (steps - least_step).view(np.uint64)
    stepped = _width(beyond)
    least = int(numbers.min())
    above = (numbers - least).view(np.uint64)
    width = _width(above)
    if _LINE.size + stepped * (count - 1) <= _LEAST.size + width * count:
        line = _LINE.pack(int(numbers[0]), least_step)
        return _HEAD.pack(kind, stepped, STEPPED, detail, count) + line + _laid_out(beyond, stepped)
    return _HEAD.pack(kind, width, ABOVE, detail, count) + _LEAST.pack(least) + _laid_out(above, width)


def _unpacked(data: bytes, head: _Head) -> Ints:
    begin = _HEAD.size + (_LINE.size if head.order == STEPPED else _LEAST.size)
    stored = head.elements - 1 if head.order == STEPPED else head.elements
    if head.order > ABOVE or head.width >= len(_PLANES) or len(data) != begin + head.width * stored:
        raise ChunkDamaged(f"{len(data)} bytes for {head.elements} numbers of width {head.width}")
    if head.order == ABOVE:
        above = _gathered(data, begin, head.width, stored)
        above += _LEAST.unpack_from(data, _HEAD.size)[0]
        return above
    first, least = _LINE.unpack_from(data, _HEAD.size)
    if not head.width:  # an even pace, as most steps have
        line = np.arange(head.elements)
        line *= least
        line += first
        return line
    apart = _gathered(data, begin, head.width, stored)
    values = np.empty(head.elements, np.int64)
    values[0] = first
    np.add(apart, least, out=values[1:])
    return np.cumsum(values, out=values)


def _width(numbers: U64) -> int:
    """Bytes that hold each of them."""
    return (int(numbers.max()).bit_length() + 7) // 8 if len(numbers) else 0


def _laid_out(numbers: U64, width: int) -> bytes:
    planes, done = [], 0
    for plane in _PLANES[width]:
        planes.append((numbers >> np.uint64(8 * done)).astype(f"<u{plane}").tobytes())
        done += plane
    return b"".join(planes)


def _gathered(data: bytes, begin: int, width: int, count: int) -> Ints:
    numbers: U64 = np.zeros(count, np.uint64)
    done = 0
    for plane in _PLANES[width]:
        part = np.frombuffer(data, f"<u{plane}", count, begin + done * count)
        if done:
            numbers |= part.astype(np.uint64) << np.uint64(8 * done)
        else:
            numbers = part.astype(np.uint64)
        done += plane
    return numbers.view(np.int64)


def _head(data: bytes, count: int) -> _Head:
    """The head, after a look at the count."""
    if len(data) < _HEAD.size:
        raise ChunkDamaged(f"{len(data)} bytes, too short for a chunk")
    head = _Head(*_HEAD.unpack_from(data))
    if head.elements != count:
        raise ChunkDamaged(f"{head.elements} elements where {count} were expected")
    return head
