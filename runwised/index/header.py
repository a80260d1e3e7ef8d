"""The sidecar's header: what answers most questions, and where everything else lies."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, TypeVar

import msgspec

from runwised.index.metadata import Metadata
from runwised.index.parts import ArrayHead, SidecarDamaged
from runwised.index.view import Stats

T = TypeVar("T")

MAGIC = b"runwised"
VERSION = 3
PROLOGUE = struct.Struct("<8sIIII")
"""Magic, version, length of the header, its CRC-32, CRC-32 of the 20 bytes before."""


class SidecarVersion(Exception):  # noqa: N818
    """An unharmed sidecar of another version; `newer`: it is to be left alone."""

    def __init__(self, version: int) -> None:
        super().__init__(f"sidecar version {version}, this program writes {VERSION}")
        self.version = version
        self.newer = version > VERSION


class PresenceHead(msgspec.Struct, array_like=True):
    """Where a key's points stand: from position `start` on without a gap, or at `rows`."""

    count: int
    start: int
    rows: ArrayHead | None
    owner: int
    owners: ArrayHead | None
    """The source of all points, or of each."""


class ColumnHead(msgspec.Struct, array_like=True):
    """One metric."""

    presence: PresenceHead
    values: ArrayHead
    levels: list[ArrayHead]
    stats: Stats | None
    rank: int


class OrderHead(msgspec.Struct, array_like=True):
    """The rows of a table whose rows are known by their steps, in the order of these."""

    rows: ArrayHead
    times: ArrayHead
    records: ArrayHead


class OtherHead(msgspec.Struct, array_like=True):
    """What one key holds beside numbers."""

    presence: PresenceHead
    kind: str
    last_row: int
    last_step: int
    current: bool
    """The last value is in a served row."""
    last_length: int
    """Its length within the table's texts."""
    rank: int


class TableHead(msgspec.Struct, array_like=True):
    """One table. Lists of numbers that grow with the rewinds are little-endian int64 arrays."""

    served: int
    starts: bytes
    positions: bytes
    stretch_starts: list[int]
    stretch_sources: list[int]
    """Where in file order the records of which source begin."""
    rewinds: bytes
    """Four numbers each: row, from_step, to_step, voided."""
    offsets: ArrayHead
    steps: ArrayHead
    times: ArrayHead
    keys: bytes
    """JSON array: first the keys of `columns`, then those of `others`."""
    columns: list[msgspec.Raw]
    """A `ColumnHead` each: of most only one or two are asked for."""
    others: list[OtherHead]
    texts: ArrayHead
    """The last other values, one behind the other."""
    order: OrderHead | None
    """Of a table whose rows are known by their steps."""


class ConsoleHead(msgspec.Struct, array_like=True):
    """Console chunks of one source."""

    offsets: ArrayHead
    times: ArrayHead
    stderr: ArrayHead
    sizes: ArrayHead


class Header(msgspec.Struct, array_like=True):
    """Everything of the sidecar but the parts."""

    stamp: bytes
    parts_size: int
    metadata: bytes
    """JSON text of `index.metadata.Metadata`."""
    history: TableHead
    system: msgspec.Raw
    """A `TableHead`."""
    consoles: list[msgspec.Raw]
    """A `ConsoleHead` each."""


def encode_header(header: Header) -> bytes:
    """Prologue and header."""
    body = msgspec.msgpack.encode(header)
    start = PROLOGUE.pack(MAGIC, VERSION, len(body), zlib.crc32(body), 0)[:-4]
    return start + struct.pack("<I", zlib.crc32(start)) + body


def header_length(prologue: bytes) -> tuple[int, int]:
    """Length and CRC-32 of the header; raises SidecarDamaged, SidecarVersion."""
    if len(prologue) < PROLOGUE.size:
        raise SidecarDamaged(f"{len(prologue)} bytes, too short for a sidecar")
    magic, version, length, check, own = PROLOGUE.unpack_from(prologue)
    if magic != MAGIC:
        raise SidecarDamaged(f"begins with {magic!r}")
    if zlib.crc32(prologue[: PROLOGUE.size - 4]) != own:
        raise SidecarDamaged("checksum of the prologue")
    if version != VERSION:
        raise SidecarVersion(version)
    return length, check


def decode_header(body: bytes, check: int) -> Header:
    """The header from its bytes; raises SidecarDamaged."""
    if zlib.crc32(body) != check:
        raise SidecarDamaged("checksum of the header")
    return decode_head(body, Header)


def encode_head(head: msgspec.Struct) -> msgspec.Raw:
    """A part of the header that is decoded when it is asked for."""
    return msgspec.Raw(msgspec.msgpack.encode(head))


def decode_head(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The header or a part of it; raises SidecarDamaged."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SidecarDamaged(f"header: {error}") from error


def encode_json(value: Any) -> bytes:
    """JSON that keeps NaN, integers of any size and lone surrogates (escaped)."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def decode_json(text: bytes, kind: Any) -> Any:
    """The value of that type; raises SidecarDamaged."""
    try:
        return msgspec.convert(json.loads(text), kind)
    except (ValueError, RecursionError) as error:
        raise SidecarDamaged(f"metadata: {error}") from error


def encode_metadata(metadata: Metadata) -> bytes:
    """Metadata as JSON."""
    return encode_json(msgspec.to_builtins(metadata))
