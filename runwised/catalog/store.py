"""Sidecar files in the cache folder: written whole or not at all, read with `pread`, never mapped."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias
from weakref import WeakSet

from runwised.catalog.discover import Found
from runwised.catalog.processes import lives

SUFFIX = ".rwx"
MANIFEST_SUFFIX = ".rwm"
TEMPORARY = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-\d+\.tmp")
STRAY_SECONDS = 86_400.0
MOST_OPEN = 64
RETRY_SECONDS = (5.0, 600.0)
"""How long a failed write keeps further ones away: at first, and at most (it doubles)."""

_numbers = itertools.count()

Signature: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size in bytes, modification time in nanoseconds."""


def write_file(path: str, parts: Iterable[bytes]) -> None:
    """Put a file in place as a whole: it is there with every byte on disk, or the old one still is. Raises OSError."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = temporary_in(folder)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            for part in parts:
                write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def temporary_in(folder: str) -> str:
    """A path for what is to be renamed once it is whole; `remove_strays` knows by it whose it was."""
    return os.path.join(folder, f".{_host()}-{os.getpid()}-{next(_numbers)}.tmp")


def write_all(descriptor: int, data: bytes) -> None:
    """Write where the descriptor stands, however little is taken at once. Raises OSError."""
    rest = memoryview(data)
    while rest:
        # On a disk that runs full a write may be short without an error: the next one then tells.
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _host() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _signature(found: os.stat_result) -> Signature:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def signature_at(path: str) -> Signature | None:
    """Which file is there; None when there is none."""
    try:
        return _signature(os.stat(path, follow_symlinks=False))
    except OSError:
        return None


def is_same_file(found: Signature, known: Signature) -> bool:
    """Whether it is that file: devices are numbered anew at every mount."""
    return found[1:] == known[1:]


class SidecarFile:
    """One sidecar, open for reading. It goes on reading the same file when another takes its name."""

    __slots__ = ("_descriptor", "_opened", "_place", "signature", "size")

    def __init__(
        self,
        place: str | Callable[[], str],
        opened: Callable[[SidecarFile], None] | None = None,
        signature: Signature | None = None,
    ) -> None:
        self._place = place
        """Its path, or what tells it once it is opened."""
        self._opened = opened
        self._descriptor = -1
        self.signature = signature
        """Which file it is; where that is known it is only opened when it is read."""
        self.size = self._open() if signature is None else signature[2]

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes there; fewer at the end of the file. Raises OSError."""
        if self._descriptor < 0:
            self._open()
        return os.pread(self._descriptor, length, offset)

    def _open(self) -> int:
        path = self._place if isinstance(self._place, str) else self._place()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        signature = _signature(found)
        if self.signature is not None and not is_same_file(signature, self.signature):
            os.close(descriptor)
            raise FileNotFoundError(errno.ESTALE, "replaced by another", path)
        self._descriptor, self.signature = descriptor, signature
        if self._opened is not None:
            self._opened(self)
        return found.st_size

    def close(self) -> None:
        """Give the descriptor back; the next read opens the file again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


class MemoryFile:
    """A sidecar that could not be saved."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.data = data

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes there; fewer at the end."""
        return self.data[offset : offset + length]


class Store:
    """The cache folder. Where it cannot be written nothing fails: indexes stay in memory, and `note` says why."""

    def __init__(self, cache: Path | None) -> None:
        self.folder = str(cache / "runs") if cache is not None else None
        self.note = ""
        self._open: OrderedDict[int, SidecarFile] = OrderedDict()
        self._opened = self._note_open
        self._lock = threading.Lock()
        self._kept: WeakSet[MemoryFile] = WeakSet()
        self._retry_at = 0.0
        self._wait = RETRY_SECONDS[0]

    def prepare(self) -> None:
        """Make the folder."""
        if self.folder is None:
            return
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            if os.stat(self.folder).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "belongs to another user", self.folder)
        except OSError as error:
            self.failed(error)

    @property
    def usable(self) -> bool:
        """Whether writing is worth a try."""
        return self.folder is not None and time.monotonic() >= self._retry_at

    def path(self, run_folder: str, run_id: str) -> str:
        """Where the sidecar of a run lies whose first segment is in that folder; empty without a cache."""
        if self.folder is None:
            return ""
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", run_id)[:40]
        name = f"{readable}-{_short_hash(os.path.join(run_folder, run_id))}{SUFFIX}"
        return os.path.join(self.folder, _short_hash(os.path.dirname(run_folder)), name)

    def path_of(self, first: Found) -> str:
        """Where the sidecar of the run lies whose first segment's log was found so; empty without a cache."""
        return self.path(first.folder, first.run_id)

    def write(self, path: str, parts: Iterable[bytes]) -> bool:
        """Save a sidecar; False when it could not be."""
        if not path or not self.usable:
            return False
        try:
            write_file(path, parts)
        except OSError as error:
            self.failed(error)
            return False
        self.note, self._wait = "", RETRY_SECONDS[0]
        return True

    def failed(self, error: OSError) -> None:
        """Take note of a write that failed, here or in a worker; nothing is written for a while."""
        is_first = self.usable  # others were on their way when it failed: of one full disk many are told
        self.note = f"the cache cannot be written ({error.strerror or error}): indexes are kept in memory only"
        if is_first:
            self._retry_at = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, RETRY_SECONDS[1])

    def open(self, path: str) -> SidecarFile:
        """The sidecar there. Raises OSError."""
        return SidecarFile(path, self._opened)

    def known(self, place: Callable[[], str], signature: Signature) -> SidecarFile:
        """The sidecar that was there, not opened before it is read."""
        return SidecarFile(place, self._opened, signature)

    def _note_open(self, file: SidecarFile) -> None:
        with self._lock:
            self._open[id(file)] = file
            closing = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MOST_OPEN)]
        for each in closing:
            each.close()

    def manifest_path(self, root: str) -> str:
        """Where the manifest of the project at `root` lies; empty without a cache."""
        return os.path.join(self.folder, _short_hash(root) + MANIFEST_SUFFIX) if self.folder is not None else ""

    def keep(self, parts: Iterable[bytes]) -> MemoryFile:
        """Hold a sidecar in memory."""
        file = MemoryFile(b"".join(parts))
        self._kept.add(file)
        return file

    @property
    def kept_bytes(self) -> int:
        """What all sidecars held in memory take."""
        return sum(file.size for file in self._kept)

    def close(self) -> None:
        """Give all descriptors back."""
        while self._open:
            self._open.popitem()[1].close()


def remove_strays(folder: str) -> None:
    """Remove temporaries of writers of this host that are gone, and any that are a day old."""
    for parent, _, names in os.walk(folder):
        for name in names:
            made = TEMPORARY.fullmatch(name)
            if made is None:
                continue
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                gone = made["host"] == _host() and not lives(int(made["pid"]))
                if gone or time.time() - os.stat(path).st_mtime > STRAY_SECONDS:
                    os.unlink(path)


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()
