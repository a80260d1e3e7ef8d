"""Whether a file still is the one that was read: names, numbers, and hashes of what lies at two places in it."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from typing import NamedTuple

import msgspec

PROOF_BYTES = 4096
"""How much is hashed: at most this much of the head, and as much just before the offset that was read up to."""
_NUMBERS = struct.Struct("=QQqqq")
_LATEST = 2**63 - 1
"""Times beyond, of the year 2262, are taken for this one."""


class Seen(bytes):
    """What one stat of a source tells. Kept of every source there is, and therefore small."""

    __slots__ = ()

    def __new__(cls, device: int, inode: int, size: int, mtime_ns: int, ctime_ns: int) -> Seen:
        """Of these numbers; see the properties."""
        try:
            return super().__new__(cls, _NUMBERS.pack(device, inode, size, mtime_ns, ctime_ns))
        except struct.error:
            times = min(mtime_ns, _LATEST), min(ctime_ns, _LATEST)
            return super().__new__(cls, _NUMBERS.pack(device, inode, size, *times))

    def is_of(self, inode: int, size: int, mtime_ns: int, ctime_ns: int) -> bool:
        """Whether it tells these numbers, on whatever device."""
        return self[8:] == Seen(0, inode, size, mtime_ns, ctime_ns)[8:]

    def _number(self, at: int) -> int:
        number: int = _NUMBERS.unpack(self)[at]
        return number

    @property
    def device(self) -> int:
        """Device the file lies on."""
        return self._number(0)

    @property
    def inode(self) -> int:
        """Its number there."""
        return self._number(1)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._number(2)

    @property
    def mtime_ns(self) -> int:
        """Modification time, nanoseconds."""
        return self._number(3)

    @property
    def times(self) -> tuple[int, int]:
        """Modification and change time, nanoseconds."""
        return self._number(3), self._number(4)

    @property
    def ctime_ns(self) -> int:
        """Change time, nanoseconds."""
        return self._number(4)


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """A source as it was when it had been read up to `offset`."""

    path: str
    device: int
    inode: int
    offset: int
    head: bytes
    """Hash of the first `PROOF_BYTES`, or of what there was before `offset`."""
    tail: bytes
    """Hash of the last `PROOF_BYTES` before `offset`, or of what there was."""
    size: int
    """Size when it was last looked at, and the two times then, nanoseconds."""
    mtime_ns: int
    ctime_ns: int


def look(path: str, *, follow: bool = True) -> Seen | None:
    """One stat; None when there is no such regular file (without `follow` a link to one is none)."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except OSError:
        return None
    return seen(found) if stat.S_ISREG(found.st_mode) else None


def seen(found: os.stat_result) -> Seen:
    """The part of a stat that tells files apart."""
    return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Piece(NamedTuple):
    """Bytes of a file that were read at once, from `start` on, and what a stat told just before."""

    seen: Seen
    start: int
    data: bytes


def read_piece(descriptor: int, offset: int, length: int) -> Piece:
    """What lies from `offset` on, as far as the file then reached, and before it what proves that it still is the one
    that was read up to there. Raises OSError.
    """
    now = seen(os.fstat(descriptor))
    start = max(offset - PROOF_BYTES, 0)
    stop = min(offset + length, now.size)
    return Piece(now, start, os.pread(descriptor, max(stop - start, 0), start))


def identify(descriptor: int, path: str, offset: int, piece: Piece | None = None) -> Fingerprint:
    """The fingerprint of an open source that was read up to `offset`. Raises OSError.

    With the `piece` that was read last it is one of those bytes, whatever has been written over them since.
    """
    now = piece.seen if piece is not None else seen(os.fstat(descriptor))
    head, tail = _proofs(descriptor, offset, piece)
    return Fingerprint(path, now.device, now.inode, offset, head, tail, now.size, now.mtime_ns, now.ctime_ns)


def is_same(descriptor: int, known: Fingerprint, piece: Piece | None = None) -> bool:
    """Whether an open file, of which `piece` has been read, goes on where `known` ends.

    The device may change (network and overlay file systems number theirs anew at every mount); the inode and the
    bytes may not. A file that has its old size but new times was written to: it is another one. Raises OSError.
    """
    now = piece.seen if piece is not None else seen(os.fstat(descriptor))
    if now.inode != known.inode or now.size < known.offset or now.size < known.size:
        return False
    if now.size == known.size and now.times != (known.mtime_ns, known.ctime_ns):
        return False
    return _proofs(descriptor, known.offset, piece) == (known.head, known.tail)


def _proofs(descriptor: int, offset: int, piece: Piece | None) -> tuple[bytes, bytes]:
    start = max(offset - PROOF_BYTES, 0)
    head = _read_at(descriptor, 0, min(PROOF_BYTES, offset), piece)
    return _hash(head), _hash(_read_at(descriptor, start, offset - start, piece) if start else head)


def _read_at(descriptor: int, offset: int, length: int, piece: Piece | None) -> bytes:
    """Bytes of a file, from the piece where they are in it."""
    if piece is not None and piece.start <= offset and offset + length <= piece.start + len(piece.data):
        return piece.data[offset - piece.start : offset - piece.start + length]
    return os.pread(descriptor, length, offset)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
