"""Runs `python -P -m MODULE ARGUMENT…` with a wall clock that is ahead by as many seconds as a file says, at any time:

python stepped_clock.py SECONDS_FILE PYTHON -P -m MODULE ARGUMENT…
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path


def main(ahead: Path, module: str, arguments: list[str]) -> None:
    """Only this process's; the kernel's own, by which files are stamped, goes on as it was."""
    real = time.time
    time.time = lambda: real() + float(ahead.read_text(encoding="ascii"))
    time.time_ns = lambda: int(time.time() * 1e9)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    del sys.path[0]
    main(Path(sys.argv[1]), sys.argv[5], sys.argv[6:])
