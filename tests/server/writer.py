"""A training of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Writer:
    """A training of its own, which logs when told; see `tests.bench.live_writer`."""

    def __init__(self, wandb: Path) -> None:
        command = [sys.executable, "-m", "tests.bench.live_writer", str(wandb)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell("new", "mine")

    def tell(self, *words: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
