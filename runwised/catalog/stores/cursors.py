"""Cursors: where a read stopped, and how it is known that the place still is the same."""

from __future__ import annotations

from typing import Any, TypeVar
from zlib import crc32

import msgspec

from runwised.catalog.stores.contract import StoreChangedError

C = TypeVar("C", bound=msgspec.Struct)


def encode(cursor: msgspec.Struct) -> bytes:
    """The cursor as bytes."""
    return msgspec.msgpack.encode(cursor)


def decode(data: bytes, kind: type[C]) -> C:
    """The cursor again; a new one where there are no bytes. Raises StoreChangedError when these are none of ours."""
    if not data:
        return kind()
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError:
        raise StoreChangedError("a cursor of another version") from None


def proof_of(*values: Any) -> int:
    """A number that is another when anything about the values is."""
    return crc32(repr(values).encode("utf-8", "replace"))
