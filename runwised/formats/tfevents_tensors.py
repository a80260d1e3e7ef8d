"""Decodes a ``TensorProto``: its elements where they are few, from ``tensor_content`` or from the list of their type.

Layout after ``tensor.proto`` and ``types.proto`` of TensorFlow. The lists may be packed or not.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np

from runwised.formats.protowire import I32, LEN, VARINT, WireError, fields, length_delimited, signed, var

_MOST_ELEMENTS = 4096
"""Elements above which a tensor's values are not decoded."""
_LONGEST_VARINT = 10
_SINGLE = struct.Struct("<f")
_STRING = 7


class _Kind(NamedTuple):
    """How a dtype is stored."""

    name: str
    numpy: str
    """Of ``tensor_content``."""
    field: int
    """Number of the list."""
    item: str
    """Of the list: numpy's type when its elements have a fixed width, else empty: varints."""


_KINDS = {
    1: _Kind("float", "<f4", 5, "<f4"),
    2: _Kind("double", "<f8", 6, "<f8"),
    3: _Kind("int32", "<i4", 7, ""),
    4: _Kind("uint8", "|u1", 7, ""),
    5: _Kind("int16", "<i2", 7, ""),
    6: _Kind("int8", "|i1", 7, ""),
    9: _Kind("int64", "<i8", 10, ""),
    10: _Kind("bool", "|u1", 11, ""),
    14: _Kind("bfloat16", "<u2", 13, ""),
    17: _Kind("uint16", "<u2", 7, ""),
    19: _Kind("half", "<f2", 13, ""),
    22: _Kind("uint32", "<u4", 16, ""),
    23: _Kind("uint64", "<u8", 17, ""),
}
_BFLOAT16, _HALF = 14, 19


def content_types() -> dict[int, str]:
    """numpy's type of an element of ``tensor_content``, by dtype, where numpy has one."""
    return {code: kind.numpy for code, kind in _KINDS.items() if code != _BFLOAT16}


class Tensor(NamedTuple):
    """A tensor, as far as it was decoded."""

    dtype: str
    shape: tuple[int, ...]
    """-1: a dimension that is not known."""
    numbers: list[Any]
    """All elements, int or float, row by row; none when they are too many, or do not fit the shape."""
    texts: list[bytes]
    """The elements of a string tensor."""

    def is_histogram(self) -> bool:
        """Whether it looks like TensorBoard's: float64 triples of left edge, right edge and count, in order."""
        if self.dtype != "double" or len(self.shape) != 2 or self.shape[1] != 3 or not self.numbers:
            return False
        edges = np.array(self.numbers).reshape(-1, 3)
        return bool((edges[:, 0] <= edges[:, 1]).all() and (edges[:, 2] >= 0).all())


def single(value: bytes) -> float:
    """An I32 read as float."""
    number: float = _SINGLE.unpack(value)[0]
    return number


def decode_tensor(message: bytes) -> Tensor:
    """The tensor in a message. Raises WireError where it is cut or malformed."""
    code, content = 0, b""
    shape: tuple[int, ...] = ()
    lists: dict[int, list[Any]] = {}
    for tag, value in fields(message):
        if tag == var(1):
            code = value
        elif tag == length_delimited(2):
            shape = tuple(_dimension(size) for inner, size in fields(value) if inner == length_delimited(2))
        elif tag == length_delimited(4):
            content = value
        else:
            lists.setdefault(tag >> 3, []).append((tag & 7, value))
    if code == _STRING:
        return Tensor("string", shape, [], [text for wire, text in lists.get(8, []) if wire == LEN])
    kind = _KINDS.get(code)
    count = math.prod(shape)
    if kind is None:
        return Tensor(f"type {code}", shape, [], [])
    parts = lists.get(kind.field, [])
    stored = sum(len(value) for wire, value in parts if wire != VARINT)
    if min(shape, default=0) < 0 or count > _MOST_ELEMENTS or stored > _MOST_ELEMENTS * _LONGEST_VARINT:
        return Tensor(kind.name, shape, [], [])
    numbers = _from_content(code, kind, content, count) if content else _from_list(code, kind, parts)
    # A list of one stands for as many as the shape tells, and an empty one for zeros: so TensorFlow reads it.
    if not content and len(numbers) < 2:
        numbers = (numbers or [0]) * count
    return Tensor(kind.name, shape, numbers if len(numbers) == count else [], [])


def _dimension(message: bytes) -> int:
    return signed(dict(fields(message)).get(var(1), 0))


def _from_content(code: int, kind: _Kind, content: bytes, count: int) -> list[Any]:
    if len(content) != count * np.dtype(kind.numpy).itemsize:
        return []
    found: list[Any] = _widened(code, np.frombuffer(content, kind.numpy)).tolist()
    return found


def _from_list(code: int, kind: _Kind, parts: list[tuple[int, Any]]) -> list[Any]:
    """The elements of a list, given as (wire type, value) of its fields. Raises WireError."""
    if kind.item:
        stored = b"".join(value for wire, value in parts if wire != VARINT)
        if len(stored) % np.dtype(kind.item).itemsize:
            raise WireError(f"a list of {kind.name} of {len(stored)} bytes")
        singles: list[Any] = np.frombuffer(stored, kind.item).tolist()
        return singles
    numbers: list[int] = []
    for wire, value in parts:
        if wire == VARINT:
            numbers.append(value)
        elif wire == LEN:
            numbers += _varints(value)
        elif wire == I32:
            raise WireError(f"a list of {kind.name} of fixed width")
    if code in (_HALF, _BFLOAT16):
        halves = np.array([number & 0xFFFF for number in numbers], np.uint16)
        found: list[Any] = _widened(code, halves.view(kind.numpy)).tolist()
        return found
    return numbers if code in (10, 22, 23) else [signed(number) for number in numbers]


def _varints(packed: bytes) -> list[int]:
    """The numbers of a packed list."""
    numbers: list[int] = []
    value = shift = 0
    for octet in packed:
        value |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            numbers.append(value & 0xFFFF_FFFF_FFFF_FFFF)
            value = shift = 0
        elif shift > 63:
            raise WireError("number longer than 64 bits")
    if shift:
        raise WireError("cut inside a number")
    return numbers


def _widened(code: int, stored: Any) -> Any:
    """Brain floats are the upper halves of float32."""
    return (stored.astype(np.uint32) << 16).view(np.float32) if code == _BFLOAT16 else stored
