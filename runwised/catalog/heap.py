"""Gives freed memory back to the system: what lies free between what is held is kept by the C library for ever."""

from __future__ import annotations

import ctypes


def trim() -> bool:
    """Give back every free page of the C library's heap; False where it has no call for that (only glibc does)."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return release is not None and bool(release(ctypes.c_size_t(0)))
