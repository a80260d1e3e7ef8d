"""How sources are opened: to be read only, never waited for, and never through a link."""

from __future__ import annotations

import errno
import os
import stat


def open_source(path: str) -> int:
    """A descriptor to read a source with: a regular file, never waited for. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return descriptor
