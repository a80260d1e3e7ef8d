"""A worker process: builds one run's index after the other and saves it; jobs come as lines of JSON on stdin.

It works at low priority, and ends when its stdin does: when the daemon closes it, or is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from itertools import chain
from typing import BinaryIO

import msgspec

from runwised.catalog.feeds import Log, SourceChangedError, kind_named
from runwised.catalog.spill import SpillRooms, Spool
from runwised.catalog.store import SidecarFile, write_file
from runwised.catalog.stores import close_stores
from runwised.catalog.warm import Warm
from runwised.formats.record import NO_HINTS, Hints
from runwised.formats.wandb_fast import PIECE_BYTES
from runwised.index.arrays import Heap, Vector
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion

NICENESS = 10
LONGEST_ERROR = 500


class Source(msgspec.Struct):
    """One source, and how it is read; see `runwised.catalog.feeds.Log`."""

    path: str
    format: str
    """Name of the format, or of the store."""
    store_key: str = ""
    hints: Hints = NO_HINTS

    @classmethod
    def of(cls, log: Log) -> Source:
        """The source a log is."""
        return cls(log.path, log.format.name, log.store_key, log.hints)

    @property
    def log(self) -> Log:
        """The log it was made of."""
        return Log(self.path, kind_named(self.format), self.store_key, self.hints)


class Job(msgspec.Struct):
    """Index one run."""

    sources: list[Source]
    """In the order they are to be read."""
    sidecar: str
    """Where to save it; empty: send it back."""


class Done(msgspec.Struct):
    """How it went; `size` bytes of sidecar follow when it was not saved."""

    error: str = ""
    """Why there is no index."""
    unreadable: str = ""
    """The source that could not be read, where that is why."""
    disk_error: str = ""
    """Why it could not be saved."""
    is_changed: bool = False
    """Whether that is because sources were written over while they were read."""
    broken: bool = False
    """The worker is of no use any more."""
    read_bytes: int = 0
    size: int = 0


def main() -> None:
    """Serve jobs until stdin ends."""
    os.nice(NICENESS)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the daemon hears signals on one thread, and holds them elsewhere
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        _serve(msgspec.convert(json.loads(line), Job), out)


def _serve(job: Job, out: BinaryIO) -> None:
    parts: list[bytes] = []
    try:
        done, parts = work(job)
    except OSError as error:
        done = Done(error=error.strerror or str(error), unreadable=error.filename or "")
    except SourceChangedError as error:
        done = Done(error=str(error) or type(error).__name__, is_changed=True)
    except Exception as error:  # noqa: BLE001 - the boundary: what one log meets in a reader must not end the rest
        done = Done(error=f"{job.sources[-1].path}: cannot be indexed: {error!r:.{LONGEST_ERROR}}")
    close_stores()  # a worker is ended by a signal, and copies of databases would outlive it
    done.size = sum(map(len, parts))
    out.write(json.dumps(msgspec.to_builtins(done)).encode() + b"\n")
    out.writelines(parts)
    out.flush()


def work(job: Job) -> tuple[Done, list[bytes]]:
    """Build and save one index; where it cannot be saved it is given back, else the list is empty.

    Raises OSError when a source cannot be read, SourceChangedError when one changed meanwhile.
    """
    if not job.sidecar:
        return _index(job, None)
    folder = os.path.dirname(job.sidecar)
    with contextlib.suppress(OSError):  # the sidecar will not find its folder either, and that is told
        os.makedirs(folder, mode=0o700, exist_ok=True)
    rooms = SpillRooms(folder)
    Vector.rooms = rooms
    try:
        return _index(job, rooms)
    finally:
        Vector.rooms = Heap()


def _index(job: Job, rooms: SpillRooms | None) -> tuple[Done, list[bytes]]:
    warm = resume_or_start(job)
    try:
        _read(warm, rooms)
    except SourceChangedError:
        warm = Warm([source.log for source in job.sources])
        _read(warm, rooms)
    done = Done(read_bytes=warm.read_bytes)
    if rooms is not None:
        try:
            _save(warm, job.sidecar, rooms)
        except OSError as error:
            done.disk_error = error.strerror or str(error)
        else:
            return done, []
    return done, warm.parts()


def _read(warm: Warm, rooms: SpillRooms | None) -> None:
    for _ in warm.read_all(PIECE_BYTES):
        if rooms is not None:
            rooms.trim()


def _save(warm: Warm, path: str, rooms: SpillRooms) -> None:
    with Spool(os.path.dirname(path), rooms) as spool:
        head = warm.parts_into(spool.keep)
        write_file(path, chain([head], spool.pieces()))


def resume_or_start(job: Job) -> Warm:
    """An index to go on with: what the sidecar holds, where it still fits."""
    logs = [source.log for source in job.sources]
    try:
        file = SidecarFile(job.sidecar)
        return Warm.thaw(Sidecar(file.read_at, file.size), logs)
    except (OSError, SidecarDamaged, SidecarVersion, SourceChangedError):
        return Warm(logs)


if __name__ == "__main__":
    main()
