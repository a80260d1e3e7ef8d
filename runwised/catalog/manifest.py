"""What is known of a project's runs that are over, in one file: a daemon that starts reads it instead of ten thousand.

The file is a cache, appended to as runs end and written anew when most of it is out of date. It begins with `MAGIC`;
frames follow, each `FRAME` (length of the entry, length of the head, CRC-32 of the entry), the entry as MessagePack and
the head of the run's sidecar, which is only read when somebody asks for the run. What follows a damaged frame is no
more than what was being written when a daemon was killed: it is cut off by the next one that writes.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from runwised.catalog.feeds import Stamped
from runwised.catalog.store import Signature, signature_at, write_all, write_file
from runwised.catalog.warm import GENERATION
from runwised.formats.record import Hints
from runwised.index.header import VERSION
from runwised.index.view import Condition

MAGIC = b"rwmanif" + bytes([16 * VERSION + GENERATION])
"""Other versions of sidecars, and of what they were made by, make other manifests."""
FRAME = struct.Struct("<III")
MOST_BYTES = 512 << 20
"""A longer file is left aside: runs are then found by their sidecars."""
MOST_HEAD_BYTES = 32 << 10
"""The head of a longer one stays in its sidecar alone."""
SLACK = 1000
"""Entries that may be out of date beside as many as are not."""


class Rested(msgspec.Struct, array_like=True):
    """A run that is over and lies in its sidecar, as far as it must be known while nobody asks for it."""

    place: str
    """Path of the sidecar."""
    signature: Signature
    """Of the sidecar."""
    sources: list[Stamped]
    """In the order they were read, as they were when the sidecar was made."""
    hints: list[Hints]
    condition: Condition
    good_until: float
    """When that is to be looked at again, epoch seconds."""
    name: str
    """What it says it is called; empty where it does not."""
    last_step: int | None
    last_time: float | None
    links: list[str]
    """Absolute folders where its log says that other logs of it lie."""
    head_check: int = 0
    """CRC-32 of the head."""


class Head:
    """The head of a sidecar, in the manifest."""

    __slots__ = ("_check", "_file", "_length", "_offset")

    def __init__(self, file: _File, offset: int, length: int, check: int) -> None:
        self._file, self._offset, self._length, self._check = file, offset, length, check

    def read(self) -> bytes:
        """Its bytes. Raises OSError, also when another one that writes the manifest has put others there."""
        head = os.pread(self._file.descriptor, self._length, self._offset)
        if zlib.crc32(head) != self._check:
            raise OSError(errno.ESTALE, "other bytes than were there")
        return head


class _File:
    """An open manifest. Those who read heads from it go on with this one when another takes its name."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def __del__(self) -> None:
        if (descriptor := getattr(self, "descriptor", -1)) >= 0:
            os.close(descriptor)


class Manifest:
    """The manifest of one project; `path` is empty where there is no cache."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._end = 0
        """Where the next frame goes."""
        self._frames = 0
        self._seen: Signature | None = None
        """The file that was read or written last, as it then was."""

    def load(self) -> Iterator[tuple[Rested, Head | None]]:
        """All runs; of several words on one the last holds. A manifest that cannot be read says nothing."""
        self._end, self._frames, self._seen = 0, 0, signature_at(self.path)
        try:
            file = _File(self.path)
            size = os.fstat(file.descriptor).st_size
            data = os.pread(file.descriptor, size, 0) if size <= MOST_BYTES else b""
        except OSError:
            return
        if not data.startswith(MAGIC):
            return
        self._end = len(MAGIC)
        for rested, head, length in self._entries(data):
            yield rested, Head(file, head, length, rested.head_check) if length else None

    def _entries(self, data: bytes) -> Iterator[tuple[Rested, int, int]]:
        """Each entry, and where its head stands."""
        decoder = msgspec.msgpack.Decoder(Rested)
        view = memoryview(data)
        while self._end + FRAME.size <= len(data):
            length, head_length, check = FRAME.unpack_from(data, self._end)
            begin = self._end + FRAME.size
            head = begin + length
            if head + head_length > len(data) or zlib.crc32(view[begin:head]) != check:
                return
            try:
                rested = decoder.decode(view[begin:head])
            except msgspec.DecodeError:
                return
            if not rested.sources:
                return
            self._end = head + head_length
            self._frames += 1
            yield rested, head, head_length

    def add(self, runs: Iterable[tuple[Rested, bytes]]) -> None:
        """Put runs behind those known, each with the head of its sidecar. Raises OSError."""
        frames = list(_frames(runs))
        if not frames:
            return
        if self._seen != signature_at(self.path):  # removed, or written to by another daemon
            for _ in self.load():
                pass
        if not self._end:
            self._write(frames)
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, self._end)
            os.lseek(descriptor, self._end, os.SEEK_SET)
            write_all(descriptor, b"".join(frames))
        finally:
            os.close(descriptor)
        # Of what was not written whole the next one begins anew: nobody reads past a torn frame.
        self._end += sum(map(len, frames))
        self._frames += len(frames)
        self._seen = signature_at(self.path)

    def is_stale(self, count: int) -> bool:
        """Whether the file should be written anew where only so many of its runs are there."""
        return self._frames > 2 * count + SLACK

    def replace(self, runs: Iterable[tuple[Rested, bytes]]) -> None:
        """Write it anew, with these runs. Raises OSError."""
        self._write(list(_frames(runs)))

    def _write(self, frames: list[bytes]) -> None:
        write_file(self.path, [MAGIC, *frames])
        self._end, self._frames = len(MAGIC) + sum(map(len, frames)), len(frames)
        self._seen = signature_at(self.path)


def _frames(runs: Iterable[tuple[Rested, bytes]]) -> Iterator[bytes]:
    for rested, head in runs:
        kept = head if len(head) <= MOST_HEAD_BYTES else b""
        rested.head_check = zlib.crc32(kept)
        try:
            entry = msgspec.msgpack.encode(rested)
        except UnicodeEncodeError:
            continue  # names that are not UTF-8: such a run is found by its sidecar
        yield FRAME.pack(len(entry), len(kept), zlib.crc32(entry)) + entry + kept
