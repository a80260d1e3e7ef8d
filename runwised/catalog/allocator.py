"""Keeps little of memory that was freed: of how the C library does that, where it is glibc (elsewhere nothing is done).

A daemon reads ten thousand runs in a burst, and then does nothing for days: what the burst took is to be the system's
again. By default glibc has an arena for each thread that ever allocated, and after one large block was freed it keeps
up to twice as much (mallopt(3), M_ARENA_MAX and M_MMAP_THRESHOLD).
"""

from __future__ import annotations

import ctypes
import errno
import sys
import threading

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""As glibc's malloc.h has them."""
THRESHOLD_BYTES = 256 << 10
STACK_BYTES = 2 << 20
"""Of a thread; by default it is 8 MiB of address space, which may be limited."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def begin() -> None:
    """To be called before there are other threads."""
    threading.stack_size(STACK_BYTES)
    if (mallopt := getattr(_libc, "mallopt", None)) is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, THRESHOLD_BYTES)


def is_spent(error: Exception) -> bool:
    """Whether it says that there is no memory left; a thread that cannot be started has none for its stack."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def give_back() -> None:
    """Give to the system what is free; takes milliseconds, and lets other threads run."""
    if (trim := getattr(_libc, "malloc_trim", None)) is not None:
        trim(0)
