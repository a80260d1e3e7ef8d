"""All threads share one heap."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
import numpy as np
from runwised.catalog.heap import share_heap

if sys.argv[1] == "shared":
    assert share_heap()
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several")
def test_threads_take_from_one_heap() -> None:
    told = {
        how: subprocess.run([sys.executable, "-c", THREADS, how], check=True, capture_output=True, text=True).stdout
        for how in ("shared", "apart")
    }
    assert told["shared"].count("<heap nr=") == 1
    assert told["apart"].count("<heap nr=") > 1
