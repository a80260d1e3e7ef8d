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
from runwised.index.kept import Mark
from runwised.index.view import Condition

MAGIC = b"rwmani" + bytes([LAYOUT := 2, 16 * VERSION + GENERATION])
"""Other versions of sidecars, and of what they were made by, make other manifests."""
FRAME = struct.Struct("<III")
MOST_BYTES = 512 << 20
"""A longer file is left aside: runs are then found by their sidecars."""
MOST_HEAD_BYTES = 32 << 10
"""The head of a longer one stays in its sidecar alone."""
MOST_ENTRY_BYTES = 1 << 20
"""A run of which there is more to say, of thousands of sources maybe, is found by its sidecar."""
FIRST_BYTES = 4096
"""Read at first of a frame: the whole of most."""
PIECE_BYTES = 1 << 20
"""Read at once of all frames."""
SLACK = 1000
"""Entries that may be out of date beside as many as are not."""


class Glimpse(msgspec.Struct, array_like=True):
    """A run that is over and lies in its sidecar, as far as it must be known of each when a daemon starts."""

    sources: list[Stamped]
    """In the order they were read, as they were when the sidecar was made."""
    hints: list[Hints]
    condition: Condition
    good_until: float
    """When that is to be looked at again, epoch seconds."""
    name: str
    """What it says it is called; empty where it does not."""
    links: list[str]
    """Absolute folders where its log says that other logs of it lie."""
    mark: Mark
    """How far it was."""


class Rested(Glimpse):
    """The same run, with what is only asked for now and then."""

    signature: Signature
    """Of the sidecar."""
    last_time: float | None
    head_check: int = 0
    """CRC-32 of the head."""


class Shelf:
    """An open manifest. Those who read runs from it go on with this one when another takes its name."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def __del__(self) -> None:
        if (descriptor := getattr(self, "descriptor", -1)) >= 0:
            os.close(descriptor)

    def runs(self) -> Iterator[tuple[Glimpse, int, int]]:
        """Each run, where it stands and where the next one does. Raises OSError."""
        decoder = msgspec.msgpack.Decoder(Glimpse)
        data, at, end = b"", 0, len(MAGIC)
        while True:
            begin = at + FRAME.size
            length, head_length, check = FRAME.unpack_from(data, at) if begin <= len(data) else (0, 0, 0)
            if length > MOST_ENTRY_BYTES or head_length > MOST_HEAD_BYTES:
                return
            if (after := begin + length + head_length) > len(data):
                more = os.pread(self.descriptor, PIECE_BYTES, end + len(data) - at)
                if not more:
                    return
                data, at = data[at:] + more, 0
                continue
            entry = data[begin : begin + length]
            try:
                known = decoder.decode(entry) if zlib.crc32(entry) == check else None
            except msgspec.DecodeError:
                known = None
            if known is None or not known.sources:
                return
            offset, end, at = end, end + after - at, after
            yield known, offset, end

    def read(self, offset: int) -> tuple[Rested, bytes]:
        """The run that stands there, and the head of its sidecar, empty where that is long.

        Raises OSError, also when another one that writes the manifest has put other bytes there.
        """
        frame = os.pread(self.descriptor, FIRST_BYTES, offset)
        if len(frame) < FRAME.size:
            raise OSError(errno.ESTALE, "less than there was")
        length, head_length, check = FRAME.unpack_from(frame)
        head = FRAME.size + length
        if len(frame) < head + head_length and length <= MOST_ENTRY_BYTES and head_length <= MOST_HEAD_BYTES:
            frame = os.pread(self.descriptor, head + head_length, offset)
        entry = frame[FRAME.size : head]
        try:
            rested = _RESTED.decode(entry) if zlib.crc32(entry) == check else None
        except msgspec.DecodeError:
            rested = None
        if rested is None or zlib.crc32(frame[head : head + head_length]) != rested.head_check:
            raise OSError(errno.ESTALE, "other bytes than were there")
        return rested, frame[head : head + head_length]


class Manifest:
    """The manifest of one project; `path` is empty where there is no cache."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._end = 0
        """Where the next frame goes."""
        self._frames = 0
        self._seen: Signature | None = None
        """The file that was read or written last, as it then was."""
        self.shelf: Shelf | None = None
        """That file, open: what `load`, `add` and `replace` tell are offsets in it."""

    def load(self) -> Iterator[tuple[Glimpse, int]]:
        """All runs, and where each stands; of several words on one the last holds.

        A manifest that cannot be read says nothing.
        """
        self._end, self._frames, self._seen = 0, 0, signature_at(self.path)
        try:
            self.shelf = Shelf(self.path)
            shelf = self.shelf.descriptor
            if os.fstat(shelf).st_size > MOST_BYTES or os.pread(shelf, len(MAGIC), 0) != MAGIC:
                return
            self._end = len(MAGIC)
            for known, offset, end in self.shelf.runs():
                self._frames, self._end = self._frames + 1, end
                yield known, offset
        except OSError:
            return

    def add(self, runs: Iterable[tuple[Rested, bytes]]) -> list[int | None]:
        """Put runs behind those known, each with the head of its sidecar.

        Tells where each now stands, None for one that cannot. Raises OSError.
        """
        frames = [_frame(rested, head) for rested, head in runs]
        if not any(frames):
            return [None] * len(frames)
        if self._seen != signature_at(self.path):  # removed, or written to by another daemon
            for _ in self.load():
                pass
        if not self._end:
            return self._write(frames)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, self._end)
            os.lseek(descriptor, self._end, os.SEEK_SET)
            write_all(descriptor, b"".join(frames))
        finally:
            os.close(descriptor)
        # Of what was not written whole the next one begins anew: nobody reads past a torn frame.
        return self._wrote(frames)

    def is_stale(self, count: int) -> bool:
        """Whether the file should be written anew where only so many of its runs are there."""
        return self._frames > 2 * count + SLACK

    def replace(self, runs: Iterable[tuple[Rested, bytes]]) -> list[int | None]:
        """Write it anew, with these runs; as `add`."""
        return self._write([_frame(rested, head) for rested, head in runs])

    def _write(self, frames: list[bytes]) -> list[int | None]:
        write_file(self.path, [MAGIC, *frames])
        self._end, self._frames = len(MAGIC), 0
        self.shelf = Shelf(self.path)
        return self._wrote(frames)

    def _wrote(self, frames: list[bytes]) -> list[int | None]:
        """These frames are there now."""
        offsets: list[int | None] = []
        for frame in frames:
            offsets.append(self._end if frame else None)
            self._end += len(frame)
        self._frames += sum(map(bool, frames))
        self._seen = signature_at(self.path)
        return offsets


def _frame(rested: Rested, head: bytes) -> bytes:
    """Empty for a run that cannot stand in the manifest: it is found by its sidecar."""
    kept = head if len(head) <= MOST_HEAD_BYTES else b""
    rested.head_check = zlib.crc32(kept)
    try:
        entry = msgspec.msgpack.encode(rested)
    except UnicodeEncodeError:
        return b""  # names that are not UTF-8
    if len(entry) > MOST_ENTRY_BYTES:
        return b""
    return FRAME.pack(len(entry), len(kept), zlib.crc32(entry)) + entry + kept


_RESTED = msgspec.msgpack.Decoder(Rested)
