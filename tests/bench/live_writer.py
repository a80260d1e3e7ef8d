"""A process that writes W&B logs as it is told, as many trainings would: `python -m tests.bench.live_writer WANDB_DIR`.

It takes a command a line and answers each with the monotonic time at which the bytes were with the system.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import BinaryIO

from tests.formats.conftest import LogWriter, field, varint_field

NAMED = "offline-run-20260101_000000-{0}"


class Training:
    """One run's log, held open as the real writer does; without `rows` it holds nothing yet but its header."""

    def __init__(self, wandb: Path, run_id: str, rows: int | None = 1) -> None:
        folder = wandb / NAMED.format(run_id)
        folder.mkdir(parents=True)
        self.file: BinaryIO = (folder / f"run-{run_id}.wandb").open("wb", buffering=0)
        self._log = LogWriter()
        self._written = 0
        self._step = 0
        if rows is None:
            self.flush()
            return
        self._log.record(17, field(1, run_id.encode()) + field(3, b"bench") + field(8, run_id.encode()))
        for _ in range(rows):
            self._row()
        self.flush()

    def _row(self) -> None:
        self._log.history({"_step": self._step, "_timestamp": time.time(), "loss": 1 / (self._step + 1)})
        self._step += 1

    def append(self) -> None:
        """Log one row."""
        self._row()
        self.flush()

    def finish(self) -> None:
        """Log the end."""
        self._log.record(18, varint_field(2, 60))
        self.flush()
        self.file.close()

    def flush(self) -> None:
        """Hand what is new to the system."""
        self.file.write(self._log.data[self._written :])
        self._written = len(self._log.data)


def main(wandb: Path) -> None:
    """Obey.

    ``new ID…`` begins runs, ``silent ID`` one without data, ``append ID``, ``finish ID``, ``over N`` makes N finished
    runs, ``beside ROWS_A_SECOND`` goes on with all runs in turn until the next command.
    """
    known: dict[str, Training] = {}
    for line in sys.stdin:
        verb, *rest = line.split()
        if verb == "new":
            known |= {name: Training(wandb, name) for name in rest}
        elif verb == "silent":
            known[rest[0]] = Training(wandb, rest[0], rows=None)
        elif verb == "append":
            known[rest[0]].append()
        elif verb == "finish":
            known[rest[0]].finish()
        elif verb == "over":
            for number in range(int(rest[0])):
                Training(wandb, f"over{number:05}", rows=10).finish()
        print(time.monotonic(), flush=True)
        if verb == "beside":
            _go_on(list(known.values()), 1 / float(rest[0]))


def _go_on(runs: list[Training], pause: float) -> None:
    at = 0
    while not select.select([sys.stdin], [], [], pause)[0]:
        runs[at % len(runs)].append()
        at += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
