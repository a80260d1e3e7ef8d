"""Whether a file still is the one that was read: names, numbers, and hashes of what lies at two places in it."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

import msgspec

PROOF_BYTES = 4096
"""How much is hashed: at most this much of the head, and as much just before the offset that was read up to."""


_devices: dict[int, int] = {}
"""Every device that was met, once: of ten thousand files nearly all lie on one."""


class Seen(NamedTuple):
    """What one stat of a source tells."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def times(self) -> tuple[int, int]:
        """Modification and change time, nanoseconds."""
        return self.mtime_ns, self.ctime_ns


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


def look(path: str) -> Seen | None:
    """One stat; None when there is no such regular file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return seen(found) if stat.S_ISREG(found.st_mode) else None


def seen(found: os.stat_result) -> Seen:
    """The part of a stat that tells files apart."""
    return Seen(
        _devices.setdefault(found.st_dev, found.st_dev),
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def identify(descriptor: int, path: str, offset: int) -> Fingerprint:
    """The fingerprint of an open source that was read up to `offset`. Raises OSError."""
    now = seen(os.fstat(descriptor))
    head, tail = _proofs(descriptor, offset)
    return Fingerprint(path, now.device, now.inode, offset, head, tail, now.size, now.mtime_ns, now.ctime_ns)


def is_same(descriptor: int, known: Fingerprint) -> bool:
    """Whether an open file goes on where `known` ends.

    The device may change (network and overlay file systems number theirs anew at every mount); the inode and the
    bytes may not. A file that has its old size but new times was written to: it is another one. Raises OSError.
    """
    now = seen(os.fstat(descriptor))
    if now.inode != known.inode or now.size < known.offset or now.size < known.size:
        return False
    if now.size == known.size and now.times != (known.mtime_ns, known.ctime_ns):
        return False
    return _proofs(descriptor, known.offset) == (known.head, known.tail)


def _proofs(descriptor: int, offset: int) -> tuple[bytes, bytes]:
    start = max(offset - PROOF_BYTES, 0)
    head = os.pread(descriptor, min(PROOF_BYTES, offset), 0)
    return _hash(head), _hash(os.pread(descriptor, offset - start, start) if start else head)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
