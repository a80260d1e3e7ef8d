"""Indexing one long W&B log that was never seen, against the reader inside the wandb wheel: bytes a CPU second.

Theirs is ``wandb-core leet inspect --summary --json``, a Go program run directly. All are fresh processes on a warm
page cache, run in turns. The log is written by the installed wandb, offline, and kept in the temporary folder.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.bench_cold import TRAINING
from tests.bench.harness import Report, commands

ROWS = int(os.environ.get("RUNWISE_BENCH_ROWS", "200000"))
ROUNDS = 7
TARGET = ">= 3, aim 4"

START = """
import sys
from runwised.catalog.worker import Job, Source, work
from runwised.formats import WANDB
from runwised.formats.wandb_fast import PIECE_BYTES
"""
INDEX = START + 'work(Job([Source(sys.argv[1], "wandb")], sidecar=""))'
READ = (
    START
    + """
reader, buffer = WANDB.reader(), bytearray(PIECE_BYTES)
with open(sys.argv[1], "rb", buffering=0) as file:
    while size := file.readinto(buffer):
        reader.feed(memoryview(buffer)[:size])
reader.close()
"""
)


def run(report: Report) -> None:
    """Make the log unless it is there, and read it in turns."""
    log = _log()
    theirs = [_wandb_core(), "leet", "inspect", "--summary", "--json", "--no-observability", "--run-file", log]
    ours = [[sys.executable, "-c", script, log] for script in (INDEX, READ, START)]
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"HOME": home, "PYTHONPATH": os.pathsep.join(sys.path)}
        costs = commands(theirs, *ours, rounds=ROUNDS, environ=environ)
    go, indexed, read, started = (cost.cpu for cost in costs)
    megabytes = log.stat().st_size / 1e6
    for what, mine in (
        (f"index a log of {megabytes:.0f} MB, whole process", indexed),
        ("index it, without the start of Python", indexed - started),
        ("read it only, without the start of Python", read - started),
    ):
        report.row(what, f"{megabytes / mine:.0f} MB/CPU s", f"{megabytes / go:.0f} MB/CPU s", go / mine, TARGET)


def _log() -> Path:
    """A log of `ROWS` rows of seven metrics."""
    version = importlib.metadata.version("wandb")
    kept = Path(tempfile.gettempdir()) / f"runwise-bench-{os.getuid()}-wandb-{version}-{ROWS}"
    if not kept.exists():
        making = Path(tempfile.mkdtemp(dir=kept.parent))
        command = [sys.executable, "-c", TRAINING, making, str(ROWS), "longlog"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        try:
            making.rename(kept)
        except OSError:  # another process has made one meanwhile
            shutil.rmtree(making)
    (log,) = kept.glob("wandb/offline-run-*/run-*.wandb")
    return log


def _wandb_core() -> Path:
    found = importlib.util.find_spec("wandb")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "wandb-core"


if __name__ == "__main__":
    run(Report())
