"""Private copies of SQLite databases that are being written, and the proof that a read or a copy was not disturbed.

The original is never opened by SQLite while a journal or a write-ahead log stands beside it: that would take locks,
roll back, or create files there. What makes bytes that were read or copied meanwhile consistent:

* No journal, no log: before a writer changes a page it makes a journal whose first byte is not zero, and the journal
  goes only after the change counter (bytes 24..27 of the database) has grown. If both are as before, nobody wrote.
* Hot journal: it holds the old content of every page that was changed, and is on disk before they are. So the database
  is copied first and the journal after it; if it is still the same journal then, SQLite rolls the copy back.
* Write-ahead log: every page that was checkpointed into the database since the log was begun is still in the log. So
  the database is copied first and the log after it; if the log has not been begun anew meanwhile (its header says so),
  the log's pages repair whatever a checkpoint did to the copy. A cut last transaction fails its checksum.

Formats: https://www.sqlite.org/fileformat2.html, sections 1.3, 3 and 4.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from typing import NamedTuple

from runwised.catalog.identity import Seen, seen

MAGIC = b"SQLite format 3\0"
MOST_COPIED_BYTES = 2 << 30
_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 32
BEING_WRITTEN = "being written all the time: no moment was found at which it could be read"
_LOOKS = 20
_TICK_NS = 20_000_000
"""File times are no finer than the kernel's clock tick: a file written less than this ago may change unseen."""


class Beside(NamedTuple):
    """A file and the beginning of it."""

    seen: Seen | None
    head: bytes = b""

    @property
    def size(self) -> int:
        """Bytes; 0 when it is not there."""
        return self.seen.size if self.seen else 0


class State(NamedTuple):
    """A database and what stands beside it, at one moment."""

    main: Beside
    journal: Beside
    log: Beside
    taken_ns: int
    """When this was, epoch nanoseconds; not compared."""

    @property
    def is_hot(self) -> bool:
        """Whether a transaction has begun to change the database: its journal counts."""
        return self.journal.head[:1] not in (b"", b"\0")

    @property
    def has_log(self) -> bool:
        """Whether there are transactions that stand in the write-ahead log."""
        return self.log.size > 0

    @property
    def is_quiet(self) -> bool:
        """Whether the database alone holds everything."""
        return not self.is_hot and not self.has_log

    @property
    def size(self) -> int:
        """Bytes of all that would be copied."""
        return self.main.size + self.log.size + (self.journal.size if self.is_hot else 0)

    def is_same(self, other: State) -> bool:
        """Whether nothing at all differs."""
        return self[:3] == other[:3]

    @property
    def is_settled(self) -> bool:
        """Whether any later change must show in the files' times."""
        times = [each.seen.mtime_ns for each in self[:3] if each.seen is not None]
        return all(abs(self.taken_ns - mtime) > _TICK_NS for mtime in times)

    def was_undisturbed(self, now: State) -> bool:
        """Whether what was read or copied between this moment and `now` is consistent; see the module's text."""
        if self.main.seen is None or now.main.seen is None or self.main.seen.inode != now.main.seen.inode:
            return False
        if self.is_quiet:
            return now.is_quiet and self.main == now.main and self.log == now.log
        if self.is_hot and (_nonce(self.journal) != _nonce(now.journal) or not now.is_hot):
            return False
        if self.is_hot != now.is_hot or self.has_log != now.has_log:
            return False
        return _begun(self.log) == _begun(now.log)


def _nonce(journal: Beside) -> object:
    """What is another in every journal; bytes 8..11 count pages and change while it grows."""
    return journal.seen and journal.seen.inode, journal.head[:8], journal.head[12:]


def _begun(log: Beside) -> object:
    return log.seen and log.seen.inode, log.head


def examine(path: str) -> State:
    """The state now. Raises OSError where there is no database.

    The database is looked at before and after what is beside it. A transaction that ends between two looks at a
    journal and at the counter would otherwise be missed by the one who compares, whichever he looks at first.
    """
    for _ in range(_LOOKS):
        taken = time.time_ns()
        before = _beside(path)
        journal, log = _beside(path + "-journal"), _beside(path + "-wal")
        main = _beside(path)
        if main == before:
            break
    else:
        raise BlockingIOError(errno.EBUSY, BEING_WRITTEN, path)
    if main.seen is None:
        raise FileNotFoundError(errno.ENOENT, "no such database", path)
    if not main.size:
        raise OSError(errno.EINVAL, "an empty file, no database", path)
    if not main.head.startswith(MAGIC):
        raise OSError(errno.EINVAL, "no SQLite database (or an encrypted one)", path)
    return State(main, journal, log, taken)


def _beside(path: str) -> Beside:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Beside(None)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Beside(None)
        head = os.pread(descriptor, _HEADER_BYTES, 0)
        return Beside(seen(found), head)
    finally:
        os.close(descriptor)


def copy(path: str, state: State, folder: str, *, has_main: bool) -> str:
    """Copy a database and what counts beside it into `folder`, in the order that keeps the copy whole; its path there.

    `has_main`: the database itself is there already, unchanged. Raises OSError.
    """
    if state.size > MOST_COPIED_BYTES:
        reason = f"being written, and its {state.size >> 20} MiB are too many to copy (limit {MOST_COPIED_BYTES >> 20})"
        raise OSError(errno.EFBIG, reason, path)
    target = os.path.join(folder, "copy.db")
    if not has_main:
        _copy_file(path, target)
    for suffix, counts in (("-journal", state.is_hot), ("-wal", state.has_log), ("-shm", False)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target + suffix)
        if counts:
            _copy_file(path + suffix, target + suffix)
    return target


def _copy_file(path: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        created = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _copy_bytes(source, created, os.fstat(source).st_size)
        finally:
            os.close(created)
    finally:
        os.close(source)


def _copy_bytes(source: int, target: int, size: int) -> None:
    """Copy `size` bytes or up to the end: shared blocks where the file system has them."""
    done = 0
    if hasattr(os, "copy_file_range"):
        try:
            while done < size and (count := os.copy_file_range(source, target, size - done)):
                done += count
        except OSError as error:
            if done or error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
    while done < size and (block := os.pread(source, min(_BLOCK_BYTES, size - done), done)):
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(target, rest) :]
        done += len(block)


def remove(folder: str) -> None:
    """Delete a folder of copies; what cannot be deleted is left to the next start."""
    shutil.rmtree(folder, ignore_errors=True)
