"""How sources are opened: to be read only, never waited for, and never through a link."""

from __future__ import annotations

import errno
import os
import stat

_HOW = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_source(path: str) -> int:
    """A descriptor to read a source with: a regular file, never waited for. Raises OSError."""
    descriptor = os.open(path, _HOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return descriptor


def read_head(path: str, length: int) -> bytes:
    """The first bytes of a regular file, none of anything else. Raises OSError; never waits for a pipe's other end."""
    descriptor = os.open(path, _HOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        return os.pread(descriptor, length, 0)
    finally:
        os.close(descriptor)
