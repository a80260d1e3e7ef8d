"""Protocol-buffer wire format: walk the fields of one serialized message, knowing no schema.

Wire types after the encoding guide of protobuf.dev; groups (3, 4), which proto3 cannot write, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

VARINT, I64, LEN, I32 = 0, 1, 2, 5

_SIZES = {I64: 8, I32: 4}

Field: TypeAlias = tuple[int, Any]
"""(tag, value). A tag is ``number << 3 | wire type``; the value is an int for VARINT, else the field's bytes."""

Shape: TypeAlias = Mapping[int, tuple[str, Callable[[Any], Any]]]
"""Names and decoders of the fields wanted, by tag. A name that ends in ``[]`` is repeated, in ``{}`` a map."""

_DOUBLE = struct.Struct("<d")


class WireError(ValueError):
    """The bytes are no serialized message."""


def var(number: int) -> int:
    """Tag of a VARINT field."""
    return number << 3 | VARINT


def length_delimited(number: int) -> int:
    """Tag of a LEN field: text, bytes, a message."""
    return number << 3 | LEN


def fields(message: bytes) -> Iterator[Field]:
    """Fields in the order they were written; unknown ones come too, so match on the tag.

    Raises WireError where the message is cut or malformed.
    """
    at, end = 0, len(message)
    try:
        while at < end:
            tag, at = _varint(message, at) if message[at] > 127 else (message[at], at + 1)
            wire = tag & 7
            if wire in _SIZES:
                size = _SIZES[wire]
            else:
                size, at = _varint(message, at) if message[at] > 127 else (message[at], at + 1)
                if wire == VARINT:
                    yield tag, size
                    continue
                if wire != LEN:
                    raise WireError(f"wire type {wire} at byte {at}")
            if at + size > end:
                raise WireError(f"field of {size} bytes at byte {at} of {end}")
            yield tag, message[at : at + size]
            at += size
    except IndexError:
        raise WireError("cut inside a number") from None


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at `at` and where it ends."""
    value = shift = 0
    while (byte := message[at]) > 127:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise WireError(f"number longer than 64 bits at byte {at}")
    return (value | byte << shift) & 0xFFFF_FFFF_FFFF_FFFF, at + 1


def signed(value: int) -> int:
    """A VARINT read as int64, or as int32, whose negative numbers are stored in 64 bits as well."""
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """A VARINT read as sint64."""
    return (value >> 1) ^ -(value & 1)


def double(value: bytes) -> float:
    """An I64 read as double."""
    number: float = _DOUBLE.unpack(value)[0]
    return number


def text(value: bytes) -> str:
    """A LEN read as string; bytes that are no UTF-8 become U+FFFD."""
    return value.decode("utf-8", "replace")


def shaped(message: bytes, shape: Shape) -> dict[str, Any]:
    """The fields named in `shape` that are there; the last one counts, repeated ones come as list or dict.

    Raises WireError.
    """
    found: dict[str, Any] = {}
    for tag, value in fields(message):
        name, decode = shape.get(tag, ("", None))
        if decode is None:
            continue
        if name.endswith("[]"):
            found.setdefault(name[:-2], []).append(decode(value))
        elif name.endswith("{}"):
            entry = dict(fields(value))
            key = text(entry.get(length_delimited(1), b""))
            found.setdefault(name[:-2], {})[key] = decode(entry.get(length_delimited(2), b""))
        else:
            found[name] = decode(value)
    return found


def timestamp(message: bytes) -> float:
    """Epoch seconds of a ``google.protobuf.Timestamp``. Raises WireError."""
    parts = dict(fields(message))
    return float(signed(parts.get(var(1), 0)) + signed(parts.get(var(2), 0)) / 1e9)
