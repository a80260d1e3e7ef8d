"""Framing of W&B's transaction log: blocks, chunks and checksums become records; what is broken becomes `Damage`.

The file is a 7-byte header, then blocks of 32 KiB; a chunk is ``u32 crc32 | u16 length | u8 kind | payload`` (little
endian, the checksum over kind and payload) and never crosses a block's edge; fewer than 7 bytes at the end of a block
are padding. A record is one FULL chunk, or FIRST, any MIDDLEs, LAST.

Theory of operation. `_at` walks over the chunks. Everything before `_mark` has been delivered, or reported as damage;
when a record is complete and there is a `_reason` to call bytes lost, all between `_mark` and the record's start is
damage. After a broken chunk, `_edge` is the block edge to go on at. A chunk that ends in zeros is `_held`: zeros up to
the end of the file are a torn tail, but with data behind them they are damage.

The grid. Blocks are counted from the file's start (origin 0), or by some early writers from behind the header (origin
7). Both are alike until 7 bytes before the first edge. The chunk whose checksum fits there settles it; where damage
hides that, one at a later edge.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias
from zlib import crc32

from runwised.formats.record import Damage

FILE_HEADER = b":W&B\xe1\xbe\x00"
BLOCK = 32768
CHUNK_HEADER = 7
SHIFTED = 7
UNSETTLED = -1
LONGEST_RECORD = 256 << 20

_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_WAIT, _BROKEN = -1, -2
_CHUNK = struct.Struct("<IHB")


class Framed(NamedTuple):
    """One whole record."""

    offset: int
    """Where its first chunk begins."""
    payload: bytes


Found: TypeAlias = Framed | Damage


class BlockLog:
    """Takes bytes from `offset` on, where a chunk begins (or a broken block goes on until `edge`); gives records."""

    def __init__(self, offset: int = 0, origin: int = UNSETTLED, edge: int = 0) -> None:
        self.origin = origin
        self._buffer = bytearray()
        self._base = offset
        self._at = 0
        self._mark = offset
        self._start = offset
        self._parts: list[bytes] = []
        self._reason = ""
        self._edge = edge
        self._held = ""

    @property
    def offset(self) -> int:
        """All before it has been delivered: with `origin` and `edge`, where a new log can take over."""
        return self._mark

    @property
    def edge(self) -> int:
        """End of the broken block `offset` stands in, or 0."""
        return 0 if self._reason or self._held else self._edge

    @property
    def position(self) -> int:
        """Where the bytes begin that have not been walked over."""
        return self._base + self._at

    @property
    def pending(self) -> int:
        """How many there are."""
        return len(self._buffer) - self._at

    @property
    def intact(self) -> bool:
        """Nothing has been found broken since the last record."""
        return not (self._reason or self._held or self._edge)

    @property
    def clean(self) -> bool:
        """At `position` begins a record, or the padding before it, and the grid is known."""
        return self.intact and not self._parts and self.origin != UNSETTLED and self.position >= CHUNK_HEADER

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._trim()
        self._buffer += data

    def view(self) -> memoryview:
        """The pending bytes; to be released before the log is used again."""
        with memoryview(self._buffer) as whole:
            return whole[self._at :]

    def advance(self, consumed: int) -> None:
        """The first `consumed` bytes of `view` are whole records, delivered by other means; only when `clean`."""
        self._at += consumed
        self._mark = self.position

    def take(self, budget: int) -> list[Found]:
        """Records and damage in the next `budget` bytes, to the end of the last; at least one where there is one."""
        found: list[Found] = []
        budget += self._at
        with memoryview(self._buffer) as view:
            while (self._at < budget or not found or self._parts) and self._step(view, found):
                pass
        self._trim()
        return found

    def _trim(self) -> None:
        """Let go of the bytes that have been walked over."""
        del self._buffer[: self._at]
        self._base += self._at
        self._at = 0

    def close(self) -> list[Damage]:
        """Report damage with no record behind it. A torn tail is not reported: it may still grow."""
        if not self._reason:
            return []
        end = self._start if self._parts or self._held else self.position
        lost = Damage(self._mark, end - self._mark, self._reason)
        self._mark, self._reason = end, ""
        return [lost]

    def _step(self, view: memoryview, found: list[Found]) -> bool:
        """Walk over one chunk or gap; False: more bytes are needed."""
        if self._held:
            return self._pass_zeros(view)
        if self._edge:
            return self._resync(view) if self.origin != UNSETTLED else self._resync_unsettled(view)
        at = self._at
        position = self._base + at
        if position < CHUNK_HEADER:
            return self._file_header(view)
        if self.origin != UNSETTLED:
            left = BLOCK - (position - self.origin) % BLOCK
            if left < CHUNK_HEADER:
                return self._pass_padding(view, left)
        elif position > BLOCK - CHUNK_HEADER:
            return self._settle(view)
        else:
            left = BLOCK + SHIFTED - position
        end = _check(view, at, at + left)
        if end < 0:
            return end == _BROKEN and self._break(view, at, at + left)
        self._at = end
        if self.origin == UNSETTLED and self.position > BLOCK:
            self.origin = SHIFTED
        self._accept(view[at + 6], view[at + CHUNK_HEADER : end], position, found)
        return True

    def _accept(self, kind: int, payload: memoryview, position: int, found: list[Found]) -> None:
        """Add a good chunk to its record."""
        if kind in (_FULL, _FIRST):
            if self._parts:
                self._lose("record without an end")
            self._start = position
        elif not self._parts:
            self._lose("fragment without a start")
            return
        self._parts.append(bytes(payload))
        if kind in (_FULL, _LAST):
            if self._reason:
                found.append(Damage(self._mark, self._start - self._mark, self._reason))
                self._reason = ""
            found.append(Framed(self._start, b"".join(self._parts)))
            self._parts.clear()
            self._mark = self.position
        elif len(self._parts) * BLOCK > LONGEST_RECORD:
            self._lose("record longer than 256 MiB")

    def _lose(self, reason: str) -> None:
        """What stands behind `_mark` is lost; the first reason for it is told."""
        self._reason = self._reason or reason
        self._parts.clear()

    def _file_header(self, view: memoryview) -> bool:
        if len(view) < CHUNK_HEADER:
            return False
        self._at = CHUNK_HEADER
        if view[:CHUNK_HEADER] == FILE_HEADER:
            self._mark = CHUNK_HEADER
        else:
            self._lose(f"file header {bytes(view[:CHUNK_HEADER]).hex()}, expected {FILE_HEADER.hex()}")
        return True

    def _pass_padding(self, view: memoryview, left: int) -> bool:
        if len(view) < self._at + left:
            return False
        self._at += left
        return True

    def _break(self, view: memoryview, at: int, limit: int) -> bool:
        """Leave a broken chunk: lost at once, or when it ends in zeros only after something else follows."""
        _, size, kind = _CHUNK.unpack_from(view, at)
        end = at + CHUNK_HEADER + size
        possible = _FULL <= kind <= _LAST and end <= limit
        if not self._parts:
            self._start = self._base + at
        self._parts.clear()
        self._edge = self._edge_after(self._base + at)
        if possible and not view[end - 1]:
            self._held = "bad checksum"
            self._at = end
        elif not any(view[at : at + CHUNK_HEADER]):
            self._held = "zeros"
            self._at = at + CHUNK_HEADER
        else:
            self._lose("bad checksum" if possible else "bad chunk header")
        return True

    def _pass_zeros(self, view: memoryview) -> bool:
        rest = bytes(view[self._at :])
        data = rest.lstrip(b"\0")
        self._at += len(rest) - len(data)
        if not data:
            return False
        self._lose(self._held)
        self._held = ""
        self._edge = max(self._edge, self._edge_after(self.position - 1))
        return True

    def _resync(self, view: memoryview) -> bool:
        """Pass over the rest of a broken block."""
        stop = min(len(view), self._edge - self._base)
        if stop > self._at:
            self._lose("rest of a broken block")
            self._at = stop
        if self.position < self._edge:
            return False
        self._edge = 0
        return True

    def _resync_unsettled(self, view: memoryview) -> bool:
        """Pass over the rest of a broken block, and find a good chunk where one of the two grids has its next edge."""
        edge = self._edge - self._base
        stop = min(len(view), edge)
        if stop > self._at:
            self._lose("rest of a broken block")
            self._at = stop
        for origin in (0, SHIFTED):
            end = _check(view, edge + origin, edge + origin + BLOCK)
            if end == _WAIT:
                return False
            if end > edge + CHUNK_HEADER:
                self.origin = origin
                self._at = edge + origin
                self._edge = 0
                return True
        self._edge += BLOCK
        return True

    def _settle(self, view: memoryview) -> bool:
        """Tell the grids apart at the first edge: by a chunk right here, fitting only origin 7, or one at the edge."""
        edge = BLOCK - self._base
        shifted = _check(view, self._at, edge + SHIFTED)
        if shifted >= 0:
            self.origin = SHIFTED
            return True
        end = _check(view, edge, edge + BLOCK) if shifted == _BROKEN else _WAIT
        if end == _WAIT:
            return False
        self._at = edge
        if end == _BROKEN:
            return self._break(view, edge, edge + BLOCK)
        self.origin = 0
        return True

    def _edge_after(self, position: int) -> int:
        """The first block edge behind `position`; on an unsettled grid one after which origin 7 may have its own."""
        if self.origin == UNSETTLED:
            return max(BLOCK, -(-(position - SHIFTED) // BLOCK) * BLOCK)
        return position + BLOCK - (position - self.origin) % BLOCK


def _check(view: memoryview, at: int, limit: int) -> int:
    """End of the good chunk at `at`, which may reach up to `limit`; `_WAIT` for more bytes, or `_BROKEN`."""
    if len(view) < at + CHUNK_HEADER:
        return _WAIT
    checksum, size, kind = _CHUNK.unpack_from(view, at)
    end: int = at + CHUNK_HEADER + size
    if end > limit or not _FULL <= kind <= _LAST:
        return _BROKEN
    if end > len(view):
        return _WAIT
    return end if crc32(view[at + 6 : end]) == checksum else _BROKEN


def read_record(data: bytes, offset: int, origin: int) -> bytes | None:
    """Payload of the record whose first chunk is ``data[0]``, standing at `offset`; None: more bytes are needed.

    Raises ValueError when no whole record begins there.
    """
    if origin == UNSETTLED and offset > BLOCK:  # no record was found as far as that, or the grid would be known
        raise ValueError(f"no record at byte {offset}")
    log = BlockLog(offset, origin)
    log.feed(data)
    found = log.take(0)
    if found and isinstance(found[0], Framed):
        return found[0].payload
    if found or not log.intact:
        raise ValueError(f"no record at byte {offset}")
    return None


def guess_origin(head: bytes) -> int:
    """Origin of the grid, from the first 64 KiB of a log: 7 when a chunk at the first edge says so, else 0."""
    view = memoryview(head)
    if _check(view, BLOCK, 2 * BLOCK) > BLOCK + CHUNK_HEADER:
        return 0
    return SHIFTED if _check(view, BLOCK + SHIFTED, 2 * BLOCK + SHIFTED) >= 0 else 0
