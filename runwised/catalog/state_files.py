"""Small files in the user's state folder: read whole, written whole, by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator

MOST_BYTES = 16 << 20
LOCK_SECONDS = 5.0
_AGAIN_SECONDS = 0.02


def read_whole(path: str) -> bytes:
    """The file's bytes. Raises OSError, also for what is no regular file or too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"not a file of at most {MOST_BYTES >> 20} MiB", path)
        return file.read()


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Be the only process that writes in the folder, which is made. Raises OSError, also when another will not end."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "locked by another process", path) from None
            time.sleep(_AGAIN_SECONDS)
        yield
    finally:
        os.close(descriptor)
