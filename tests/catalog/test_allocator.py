"""All threads share one heap."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
import numpy as np
from runwised.catalog import allocator

if sys.argv[1] == "shared":
    allocator.begin()
together, held = threading.Barrier(8), []

def work():
    together.wait()
    held.append([np.ones(1000) for _ in range(100)])
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""

FREED = """
import ctypes, sys
from runwised.catalog import allocator

def resident():
    return int(open("/proc/self/statm").read().split()[1])

allocator.begin()
held = [bytes(2000) for _ in range(20_000)]
del held[1::2], held[:-1]
before = resident()
allocator.give_back()
print(before - resident())
"""


def told(code: str, *words: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several")
def test_threads_take_from_one_heap() -> None:
    assert told(THREADS, "shared").count("<heap nr=") == 1
    assert told(THREADS, "apart").count("<heap nr=") > 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only of glibc it can be asked")
def test_what_is_free_below_what_is_held_goes_back_to_the_system() -> None:
    assert int(told(FREED)) > 2000  # pages, of ten thousand that were freed
