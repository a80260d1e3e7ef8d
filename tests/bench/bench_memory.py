"""What a worker needs of memory for a log of 5 GB, against reading the same log into plain lists.

RUNWISE_BENCH_GB makes it smaller; so does a disk without the room. What the plain way takes is measured on a tenth of
the log and multiplied: it might not fit otherwise.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.harness import Report

GIGABYTES = float(os.environ.get("RUNWISE_BENCH_GB", "5"))
ROWS_AT_ONCE = 20_000
SHARE = 10
LIMIT_MIB = 200

WORK = """
import json, resource, sys
from runwised.catalog.worker import Job, Source, work
done, parts = work(Job([Source(sys.argv[1], "jsonl")], sys.argv[2]))
assert not (done.error or done.disk_error or parts), done
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
PLAIN = """
import json, resource, sys
columns = {}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in open(sys.argv[1], "rb"):
    for key, value in json.loads(line).items():
        columns.setdefault(key, []).append(value)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def run(report: Report) -> None:
    """Write the log, index it in a process of its own, and then once more from where that one stopped."""
    with tempfile.TemporaryDirectory(prefix="runwise-bench-") as scratch:
        size = min(GIGABYTES * 1e9, shutil.disk_usage(scratch).free * 0.5)
        log, small, sidecar = (
            Path(scratch) / "big.jsonl",
            Path(scratch) / "small.jsonl",
            Path(scratch) / "cache/big.rwx",
        )
        _write(log, size)
        _write(small, size / SHARE)
        ours, again = (_peak(WORK, log, sidecar) for _ in range(2))
        plain = _peak(PLAIN, small, sidecar) * SHARE
    what = f"index {size / 1e9:.1f} GB of JSON lines: peak RSS, MiB"
    report.row(what, ours, f"{plain:.0f} (lists)", plain / ours, f"<= {LIMIT_MIB}")
    report.row("the same from its sidecar: peak RSS, MiB", again, target=f"<= {LIMIT_MIB}")


def _write(path: Path, size: float) -> None:
    rng = random.Random(0)
    names = ("train/loss", "train/grad_norm", "train/lr", "perf/tps", "perf/mfu", "epoch")
    ends = [
        "".join(f', "{name}": {rng.random() * 10**at!r}' for at, name in enumerate(names)) + "}\n"
        for _ in range(ROWS_AT_ONCE)
    ]
    step = written = 0
    with path.open("w") as file:
        while written < size:
            rows = (
                f'{{"step": {step + at}, "time": {1.7e9 + (step + at) * 0.531:.3f}{end}' for at, end in enumerate(ends)
            )
            written += file.write("".join(rows))
            step += ROWS_AT_ONCE


def _peak(program: str, log: Path, sidecar: Path) -> float:
    command = [sys.executable, "-c", program, os.fspath(log), os.fspath(sidecar)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(told.stdout.split()[0])
