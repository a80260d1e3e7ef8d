"""Memory that was freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HOLES = """
import numpy as np
from pathlib import Path
from runwised.catalog.heap import trim

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

arrays = [np.ones(10_000) for _ in range(1000)]
full = resident()
held = arrays[::10]
del arrays
assert resident() > full - (16 << 20), "it went back by itself"
assert trim()
assert resident() < full - (48 << 20)
assert all(array.sum() == 10_000 for array in held)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it, and has a call that gives it back")
def test_what_lies_free_between_what_is_held_goes_back() -> None:
    subprocess.run([sys.executable, "-c", HOLES], check=True)
