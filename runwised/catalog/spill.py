"""Memory for indexes that are larger than memory should be: long arrays lie in files, and leave memory again."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from runwised.index.arrays import Heap

LEAST_BYTES = 2 << 20
"""Shorter arrays stay in memory."""
SLAB_BYTES = 4 << 20
"""What is copied at a time."""
PIECES = 16
"""So many chunks of a sidecar are made of at most 24 MiB of arrays, however small they are packed."""
SPARE = 2
"""A file is made so many times longer than what is asked for, so that fewer are made."""


class SpillRooms(Heap):
    """Rooms for one worker; see `runwised.index.arrays.Rooms`. The files have no names and go away with it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._maps: WeakSet[mmap.mmap] = WeakSet()

    def make(self, data: NDArray[np.generic], length: int, room: int) -> NDArray[np.generic]:
        """As `Rooms`; in ordinary memory where no file can be had."""
        if room * data.itemsize < LEAST_BYTES:
            return super().make(data, length, room)
        try:
            made = self._map(room * data.itemsize * SPARE)
        except OSError:
            return super().make(data, length, room)
        array = np.frombuffer(made, data.dtype)
        slab = SLAB_BYTES // data.itemsize
        for start in range(0, length, slab):
            array[start : min(start + slab, length)] = data[start : min(start + slab, length)]
            self.trim()
        return array

    def trim(self) -> None:
        """Let go of all pages: they are read from the files again where they are needed."""
        for each in self._maps:
            each.madvise(mmap.MADV_DONTNEED)

    def _map(self, size: int) -> mmap.mmap:
        with tempfile.TemporaryFile(dir=self._folder) as file:
            _take_room(file.fileno(), size)
            made = mmap.mmap(file.fileno(), size)
        self._maps.add(made)
        return made


def _take_room(descriptor: int, size: int) -> None:
    """Make a file that long. A page that the disk has no room for when it is written would end us (SIGBUS)."""
    if sys.platform == "darwin":  # has no such call
        os.ftruncate(descriptor, size)
    else:
        os.posix_fallocate(descriptor, 0, size)


class Spool:
    """Pieces of a sidecar on their way to its file; memory is let go of as they come."""

    def __init__(self, folder: str, rooms: SpillRooms) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the spool
        self._rooms = rooms
        self._since = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keep(self, piece: bytes) -> None:
        """Take the next piece. Raises OSError."""
        self._file.write(piece)
        self._since += 1
        if self._since == PIECES:
            self._rooms.trim()
            self._since = 0

    def pieces(self) -> Iterator[bytes]:
        """All that was kept, in its order."""
        self._file.seek(0, os.SEEK_SET)
        while piece := self._file.read(SLAB_BYTES):
            yield piece
