"""Sources of a run as they are read on: a file through its format's reader, a store's run through a cursor."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from runwised import formats
from runwised.catalog.identity import Fingerprint, Seen, identify, is_same, read_piece
from runwised.catalog.opening import open_source
from runwised.catalog.stores import Store, StoreChangedError, all_stores
from runwised.formats.record import NO_HINTS, Batch, Format, Hints, Resume

Fold: TypeAlias = Callable[[Batch], None]

MOST_HOLE_BYTES = 64 << 20
"""Zeros that are read where a file has a hole."""
BYTES_A_POINT = 32
"""What a point of a store is taken for where pieces are measured in bytes."""


class SourceChangedError(Exception):
    """A source is not what was read before (truncated, rewritten, replaced): its run must be read from the start."""


class Log(NamedTuple):
    """One source of a run, and how it is read."""

    path: str
    format: Format | Store
    store_key: str = ""
    """Which of a store's runs."""
    hints: Hints = NO_HINTS

    @property
    def name(self) -> str:
        """What the source is known by."""
        return f"{self.path}#{self.store_key}" if self.store_key else self.path

    @property
    def together(self) -> bool:
        """Whether it is read on while later sources of the run are."""
        return self.file_format is None or self.file_format.together

    @property
    def file_format(self) -> Format | None:
        """How its bytes are read; None for a store."""
        return None if is_store(self.format) else self.format  # type: ignore[return-value]

    @property
    def store(self) -> Store:
        """The store it is a run of; only to be asked of such."""
        assert is_store(self.format)
        return self.format  # type: ignore[return-value]


def kind_named(name: str) -> Format | Store:
    """The format or store of this name. Raises KeyError."""
    kinds: tuple[Format | Store, ...] = (*formats.all_formats(), *all_stores())
    for kind in kinds:
        if kind.name == name:
            return kind
    raise KeyError(name)


def is_store(kind: Format | Store) -> bool:
    """Whether sources of this kind are runs of stores."""
    return hasattr(kind, "list_runs")


class Stamped(msgspec.Struct, array_like=True):
    """One source of a sidecar, as it was at the end of its last whole record."""

    file: Fingerprint
    run_id: str | None = None
    """The run it said it belongs to."""
    started: float | None = None
    """When it said that the run was started, epoch seconds."""


class Feed(Protocol):
    """One source that is being read on."""

    read_to: Fingerprint
    """The source as it was where reading stopped."""
    stamped: Stamped

    @property
    def resume(self) -> Resume:
        """Where a new feed can take over."""

    def read(self, piece_bytes: int, fold: Fold) -> int:
        """Read and fold the next piece; gives its length, 0 when there is none.

        Raises OSError, and SourceChangedError when the source is not the one that was read.
        """

    def close(self, fold: Fold) -> None:
        """A later start of the program began: what was held back will not be completed."""

    def is_behind(self) -> bool:
        """Whether there may be more to read although the source is not longer than before."""


def open_feed(log: Log, stamped: Stamped | None = None, resume: Resume | None = None) -> Feed:
    """A feed at the start of a source, or where another one stopped. Raises OSError."""
    return (
        StoreFeed(log, stamped, resume) if log.file_format is None else FileFeed(log, log.file_format, stamped, resume)
    )


def still_begins(known: Fingerprint, log: Log) -> bool:
    """Whether a source that has grown still begins with what was read of it; of what cannot be read nobody knows."""
    if log.file_format is None:  # the store itself proves that a cursor fits
        return True
    try:
        descriptor = open_source(log.path)
    except OSError:
        return True
    try:
        return is_same(descriptor, known)
    except OSError:
        return True
    finally:
        os.close(descriptor)


class FileFeed:
    """A file."""

    def __init__(self, log: Log, form: Format, stamped: Stamped | None, resume: Resume | None) -> None:
        self._path = log.path
        self._reader = form.reader(resume, log.hints)
        self.read_to = stamped.file if stamped else self._begin()
        self.stamped = stamped or Stamped(self.read_to)

    def _begin(self) -> Fingerprint:
        descriptor = open_source(self._path)
        try:
            return identify(descriptor, self._path, 0)
        finally:
            os.close(descriptor)

    @property
    def resume(self) -> Resume:
        """As `Feed`."""
        return self._reader.resume

    def read(self, piece_bytes: int, fold: Fold) -> int:
        """As `Feed`."""
        path, known = self._path, self.read_to
        descriptor = open_source(path)
        try:
            piece = read_piece(descriptor, known.offset, piece_bytes)
            if not is_same(descriptor, known, piece):
                raise SourceChangedError(path)
            data = piece.data[known.offset - piece.start :]
            if not data:
                return 0
            _refuse_hole(descriptor, data, known.offset)
            for batch in self._reader.feed(data):
                fold(batch)
            # Of the bytes that were read: they may have been written over while they were folded.
            self.read_to = identify(descriptor, path, known.offset + len(data), piece)
            self.stamped.file = identify(descriptor, path, self._reader.resume.offset, piece)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(descriptor)
        return len(data)

    def close(self, fold: Fold) -> None:
        """As `Feed`."""
        for batch in self._reader.close():
            fold(batch)

    def is_behind(self) -> bool:
        """As `Feed`: a file that is not longer has nothing more."""
        return False


def _refuse_hole(descriptor: int, data: bytes, offset: int) -> None:
    """Raises OSError where a file holds nothing but a long hole: reading zeros would take for ever."""
    if data[0] or data.count(0) < len(data):
        return
    try:
        end = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:  # there are no holes here, as far as the file system tells
            return
        end = os.fstat(descriptor).st_size
    if end - offset > MOST_HOLE_BYTES:
        raise OSError(errno.EFBIG, f"byte {offset}: a hole of {end - offset} bytes, what is behind it is not read")


class StoreFeed:
    """One run of a store. Its fingerprint holds no hashes: the store itself proves that a cursor fits."""

    def __init__(self, log: Log, stamped: Stamped | None, resume: Resume | None) -> None:
        self._log = log
        self._cursor = resume.state if resume else b""
        self._points = resume.offset if resume else 0
        self.read_to = stamped.file if stamped else self._print(Seen(0, 0, 0, 0, 0), 0)
        self.stamped = stamped or Stamped(self.read_to)

    @property
    def resume(self) -> Resume:
        """As `Feed`; its offset counts points."""
        return Resume(self._points, self._cursor)

    def read(self, piece_bytes: int, fold: Fold) -> int:
        """As `Feed`; gives points."""
        log = self._log
        seen = self._look()
        try:
            piece = log.store.read(log.path, log.store_key, self._cursor, max(piece_bytes // BYTES_A_POINT, 1))
        except StoreChangedError as error:
            raise SourceChangedError(str(error)) from error
        for batch in piece.batches:
            fold(batch)
        self._cursor = piece.cursor
        self._points += piece.count
        self.read_to = self.stamped.file = self._print(seen, self.read_to.offset if piece.count else seen.size)
        return piece.count

    def close(self, fold: Fold) -> None:
        """As `Feed`."""

    def is_behind(self) -> bool:
        """As `Feed`: pages of a database change in place."""
        return self._print(self._look(), self.read_to.offset) != self.read_to

    def _look(self) -> Seen:
        seen = self._log.store.look(self._log.path, self._log.store_key)
        if seen is None:
            raise FileNotFoundError(2, "no such run", self._log.name)
        return seen

    def _print(self, seen: Seen, offset: int) -> Fingerprint:
        return Fingerprint(
            self._log.name, seen.device, seen.inode, offset, b"", b"", seen.size, seen.mtime_ns, seen.ctime_ns
        )
