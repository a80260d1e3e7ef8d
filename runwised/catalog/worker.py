"""A worker process: builds one run's index after the other and saves it; jobs come as lines of JSON on stdin.

It works at low priority, and ends when its stdin does: when the daemon closes it, or is killed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from runwised.catalog.store import SidecarFile, write_file
from runwised.catalog.warm import Log, SourceChangedError, Warm
from runwised.formats import FORMATS
from runwised.formats.wandb_fast import PIECE_BYTES
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion

NICENESS = 10


class Job(msgspec.Struct):
    """Index one run."""

    sources: list[tuple[str, str]]
    """Path and format's name, oldest segment first."""
    sidecar: str
    """Where to save it; empty: send it back."""


class Done(msgspec.Struct):
    """How it went; `size` bytes of sidecar follow when it was not saved."""

    error: str = ""
    """Why there is no index."""
    disk_error: str = ""
    """Why it could not be saved."""
    broken: bool = False
    """The worker is of no use any more."""
    read_bytes: int = 0
    size: int = 0


def main() -> None:
    """Serve jobs until stdin ends."""
    os.nice(NICENESS)
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        _serve(msgspec.convert(json.loads(line), Job), out)


def _serve(job: Job, out: BinaryIO) -> None:
    parts: list[bytes] = []
    try:
        done, parts = work(job)
    except (OSError, SourceChangedError) as error:
        done = Done(error=str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the boundary: what one log meets in a reader must not end the rest
        done = Done(error=f"{job.sources[-1][0]}: cannot be indexed: {error!r}")
    done.size = sum(map(len, parts))
    out.write(json.dumps(msgspec.to_builtins(done)).encode() + b"\n")
    out.writelines(parts)
    out.flush()


def work(job: Job) -> tuple[Done, list[bytes]]:
    """Build and save one index; where it cannot be saved it is given back, else the list is empty.

    Raises OSError when a source cannot be read, SourceChangedError when one changed meanwhile.
    """
    warm = resume_or_start(job)
    for _ in read_all(warm):
        pass
    parts = warm.parts()
    done = Done(read_bytes=warm.read_bytes)
    if job.sidecar:
        try:
            write_file(job.sidecar, parts)
        except OSError as error:
            done.disk_error = error.strerror or str(error)
        else:
            return done, []
    return done, parts


def read_all(warm: Warm) -> Iterator[int]:
    """Read what was there at the beginning: a writer that is faster than us must not keep us for ever."""
    ends = sum(os.stat(log.path).st_size for log in warm.logs)
    while sum(warm.offsets) < ends and (read := warm.step(PIECE_BYTES)):
        yield read


def resume_or_start(job: Job) -> Warm:
    """An index to go on with: what the sidecar holds, where it still fits."""
    logs = [Log(path, FORMATS_BY_NAME[name]) for path, name in job.sources]
    try:
        file = SidecarFile(job.sidecar)
        return Warm.thaw(Sidecar(file.read_at, file.size), logs)
    except (OSError, SidecarDamaged, SidecarVersion, SourceChangedError):
        return Warm(logs)


FORMATS_BY_NAME = {form.name: form for form in FORMATS}

if __name__ == "__main__":
    main()
