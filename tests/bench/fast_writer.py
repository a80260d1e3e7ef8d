"""A process that writes one log as fast as it is told: `python -m tests.bench.fast_writer LOG BYTES_A_SECOND`.

It begins at once and writes until its stdin ends, and then tells how many bytes it wrote and its last step.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

BEATS = 100
"""Times a second that it writes."""
BLOCK_ROWS, FIRST_BLOCK = 1000, 100_000
BLOCK = "".join(
    f'{{"step":######{row:03},"loss":{1 / (row + 1):.12f},"acc":0.12345678,"lr":0.00012345}}\n'
    for row in range(BLOCK_ROWS)
).encode()
"""Its lines, once its number stands in their steps: to make each line anew would not be fast enough."""


def main(log: Path, rate: int) -> None:
    """Lines of one length; their steps rise by one."""
    count = 0
    with log.open("wb", buffering=0) as file:
        print("begun", flush=True)
        began = time.monotonic()
        while not select.select([sys.stdin], [], [], 1 / BEATS)[0]:
            while count * len(BLOCK) < (time.monotonic() - began) * rate:
                file.write(BLOCK.replace(b"######", b"%d" % (FIRST_BLOCK + count)))
                count += 1
    print(count * len(BLOCK), (FIRST_BLOCK + count) * BLOCK_ROWS - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(float(sys.argv[2])))
