"""An index in memory together with the readers that feed it: reads sources piece by piece, and can be saved."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runwised.catalog.identity import Fingerprint, identify, is_same
from runwised.formats.record import Batch, Format, Identity, Reader
from runwised.index import sidecar
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, SidecarDamaged

PIECE_BYTES = 256 << 10
GENERATION = 1
"""To be raised whenever a reader or the index sees more in the same bytes: older sidecars are built anew then."""


class SourceChangedError(Exception):
    """A source is not what was read before (truncated, rewritten, replaced): its run must be read from the start."""


class Log(NamedTuple):
    """One source of a run, and how it is read."""

    path: str
    format: Format


class Stamped(msgspec.Struct, array_like=True):
    """One source of a sidecar, as it was at the end of its last whole record."""

    file: Fingerprint
    run_id: str | None = None
    """The run it said it belongs to."""
    started: float | None = None
    """When it said that the run was started, epoch seconds."""


class Stamp(msgspec.Struct, array_like=True):
    """What a sidecar was made from, oldest segment first."""

    generation: int
    sources: list[Stamped]


class Warm:
    """One run's index and the reader of its newest source. Sources are read one after the other, in their order."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs = list(logs)
        self.index = RunIndex()
        self.piece_bytes = PIECE_BYTES
        """What it is good to read at once."""
        self.read_bytes = 0
        """Bytes of sources read since it is in memory."""
        self.stamped: list[Stamped] = []
        """Each source as it was at the end of its last whole record."""
        self.read_to: list[Fingerprint] = []
        """Each source as it was where reading stopped."""
        self._reader: Reader | None = None

    @classmethod
    def thaw(cls, file: Sidecar, logs: Sequence[Log]) -> Warm:
        """Go on where a sidecar ends.

        Raises SidecarDamaged, and SourceChangedError when it was not made from these logs or they have changed.
        """
        stamp = stamp_of(file)
        if [source.file.path for source in stamp.sources] != [log.path for log in logs[: len(stamp.sources)]]:
            raise SourceChangedError("made from other files")
        warm = cls(logs)
        warm.index = file.thaw()
        warm.stamped = stamp.sources
        warm.read_to = [source.file for source in stamp.sources]
        if stamp.sources:
            number = len(stamp.sources) - 1
            warm._reader = logs[number].format.reader(warm.index.sources[number].resume)
        return warm

    @property
    def offsets(self) -> list[int]:
        """Bytes of each source that the index stands on."""
        return [source.offset for source in self.read_to]

    def extend(self, logs: Sequence[Log]) -> None:
        """Newer segments were found. Raises SourceChangedError when they do not come after those known."""
        if list(logs[: len(self.logs)]) != self.logs:
            raise SourceChangedError("another segment is older")
        self.logs = list(logs)

    def step(self, piece_bytes: int = PIECE_BYTES) -> int:
        """Read and fold the next piece; gives its length, 0 when everything has been read.

        Raises OSError, and SourceChangedError when the index is of no use any more.
        """
        while True:
            number = len(self.read_to) - 1
            if number >= 0 and (read := self._read(number, piece_bytes)):
                return read
            if number + 1 == len(self.logs):
                return 0
            self._start_next()

    def parts(self) -> list[bytes]:
        """The index as a sidecar, to be written part after part."""
        stamp = msgspec.to_builtins(Stamp(GENERATION, self.stamped))
        return sidecar.encode(self.index, json.dumps(stamp).encode())

    def _start_next(self) -> None:
        log = self.logs[len(self.read_to)]
        descriptor = open_source(log.path)
        try:
            start = identify(descriptor, log.path, 0)
        finally:
            os.close(descriptor)
        self._finish()
        self.index.start_source(log.path)
        self._reader = log.format.reader()
        self.read_to.append(start)
        self.stamped.append(Stamped(start))

    def _finish(self) -> None:
        """A newer segment begins: what was held back of this one will not be completed."""
        if self._reader is not None:
            for batch in self._reader.close():
                self.index.fold(batch)

    def _read(self, number: int, piece_bytes: int) -> int:
        assert self._reader is not None
        path, known = self.logs[number].path, self.read_to[number]
        descriptor = open_source(path)
        try:
            if not is_same(descriptor, known):
                raise SourceChangedError(path)
            data = os.pread(descriptor, piece_bytes, known.offset)
            if not data:
                return 0
            for batch in self._reader.feed(data):
                self._fold(batch, number)
            resume = self._reader.resume
            self.read_to[number] = identify(descriptor, path, known.offset + len(data))
            self.stamped[number].file = identify(descriptor, path, resume.offset)
        finally:
            os.close(descriptor)
        self.index.set_resume(number, resume, known.offset + len(data))
        self.read_bytes += len(data)
        return len(data)

    def _fold(self, batch: Batch, number: int) -> None:
        if isinstance(batch, Identity):
            said = self.stamped[number]
            said.run_id = batch.run_id or said.run_id
            said.started = batch.start_time or said.started
        self.index.fold(batch)


def stamp_of(file: Sidecar) -> Stamp:
    """What a sidecar was made from. Raises SidecarDamaged, also for a stamp of another generation."""
    try:
        stamp = msgspec.convert(json.loads(file.stamp), Stamp)
    except ValueError as error:
        raise SidecarDamaged(f"stamp: {error}") from error
    if stamp.generation != GENERATION:
        raise SidecarDamaged(f"generation {stamp.generation}, expected {GENERATION}")
    return stamp


def open_source(path: str) -> int:
    """A descriptor to read a source with: a regular file, never waited for. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return descriptor
