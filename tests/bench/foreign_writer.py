"""A process that writes files that are none of ours: `python -m tests.bench.foreign_writer WRITES_A_SECOND FOLDER…`.

It writes checkpoints in turn until its stdin ends, and then tells how often it wrote.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

FILES = 50
BEATS = 50
"""Times a second that it writes."""


def main(rate: int, folders: list[Path]) -> None:
    """Each write is one change of one file, made at once."""
    paths = [folder / f"checkpoint-{number}.pt" for folder in folders for number in range(FILES)]
    files = [os.open(path, os.O_CREAT | os.O_WRONLY, 0o600) for path in paths]
    print("begun", flush=True)
    began, count = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], 1 / BEATS)[0]:
        for _ in range(int((time.monotonic() - began) * rate) - count):
            os.pwrite(files[count % len(files)], b"weights", 0)
            count += 1
    print(count, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
