"""One heap of the C library's for all threads."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


def share_heap() -> bool:
    """Have all threads take memory from one heap, before there are any; False where the C library has no such choice.

    By default glibc gives each thread one of its own: what one thread has freed the others cannot use, and a busy
    moment with many threads leaves as many heaps full of holes. Ours take turns anyway.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    return choose is not None and bool(choose(_ARENA_MAX, 1))
