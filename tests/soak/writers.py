"""Many trainings in one process: `python -m tests.soak.writers WANDB_DIR`. A command a line; an answer of JSON to each.

``over N`` makes N finished runs, ``new N`` begins N runs, ``churn`` ends the oldest that goes on, begins another and
deletes the folder of the oldest that is over, ``go ROWS_A_SECOND`` goes on with all in turn until the next command.
Every answer tells the rows of all runs there are, by id, and which of them go on.
"""

from __future__ import annotations

import json
import select
import shutil
import sys
from pathlib import Path

from tests.bench.live_writer import NAMED, Training

ROWS_OF_OLD = 10


class Writers:
    """The runs of one project."""

    def __init__(self, wandb: Path) -> None:
        self._wandb = wandb
        self._active: dict[str, Training] = {}
        self._rows: dict[str, int] = {}
        self._made = 0

    def over(self, count: int) -> None:
        """Runs that are over."""
        for _ in range(count):
            run_id = self._name("o")
            Training(self._wandb, run_id, rows=ROWS_OF_OLD).finish()
            self._rows[run_id] = ROWS_OF_OLD

    def new(self, count: int) -> None:
        """Runs that go on."""
        for _ in range(count):
            run_id = self._name("r")
            self._active[run_id] = Training(self._wandb, run_id)
            self._rows[run_id] = 1

    def churn(self) -> None:
        """One ends, one begins, one is deleted."""
        ended = next(iter(self._active))
        self._active.pop(ended).finish()
        self.new(1)
        deleted = next(run_id for run_id in self._rows if run_id not in self._active)
        shutil.rmtree(self._wandb / NAMED.format(deleted))
        del self._rows[deleted]

    def go(self, pause: float) -> None:
        """A row a pause, until there is another command."""
        while True:
            for run_id, run in self._active.items():
                if select.select([sys.stdin], [], [], pause)[0]:
                    return
                run.append()
                self._rows[run_id] += 1

    def told(self) -> str:
        """What there is."""
        return json.dumps({"rows": self._rows, "active": list(self._active)})

    def _name(self, letter: str) -> str:
        self._made += 1
        return f"{letter}{self._made:06}"


def main(wandb: Path) -> None:
    """Obey until stdin ends."""
    writers = Writers(wandb)
    for line in iter(sys.stdin.readline, ""):
        verb, *rest = line.split()
        if verb == "over":
            writers.over(int(rest[0]))
        elif verb == "new":
            writers.new(int(rest[0]))
        elif verb == "churn":
            writers.churn()
        print(writers.told(), flush=True)
        if verb == "go":
            writers.go(1 / float(rest[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
