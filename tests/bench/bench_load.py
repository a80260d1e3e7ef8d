"""More than anybody has: 100,000 runs, 10,000 trainings at once, and one that writes 100 MB a second.

RUNWISE_BENCH_SCALE makes all of it smaller (0.1: a tenth of the runs and bytes). RUNWISE_BENCH_LOAD names parts
(folders, files, active, fast); by default all are measured.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from runwise_protocol.queries.run import ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.wait import WaitFor

from tests.bench.bench_live import LONGEST, SETTLE_SECONDS, Bench, Writer, bench_of, met
from tests.bench.harness import Report

ROOT = Path(__file__).resolve().parents[2]
SCALE = float(os.environ.get("RUNWISE_BENCH_SCALE", "1"))
RUNS, ACTIVE, FAST = int(100_000 * SCALE), int(10_000 * SCALE), 100e6 * SCALE
QUIET = 200
ROWS_A_SECOND = 2000
SAMPLED, LISTS = 40, 20
UNEVEN = 5
"""The latest answer, in medians."""


def run(report: Report) -> None:
    """Measure each part with a daemon of its own."""
    wanted = os.environ.get("RUNWISE_BENCH_LOAD", "folders files active fast").split()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the writer holds all logs open
    parts = {"folders": _folders, "files": _files, "active": _active, "fast": _fast}
    for name in wanted:
        with bench_of(report) as bench:
            parts[name](bench, report)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _folders(bench: Bench, report: Report) -> None:
    writer = Writer(bench.wandb)
    writer.tell("over", RUNS)
    writer.close()
    _many(bench, report, f"{RUNS} run folders")


def _files(bench: Bench, report: Report) -> None:
    logs = bench.project / "logs"
    logs.mkdir()
    rows = "".join(f'{{"step":{step},"loss":{1 / (step + 1)!r}}}\n' for step in range(10))
    for number in range(RUNS):
        (logs / f"run{number:06}.jsonl").write_text(rows)
    _many(bench, report, f"one folder of {RUNS} logs")


def _many(bench: Bench, report: Report, what: str) -> None:
    """The first answer, all indexed, then lists and one run, an idle daemon, and what it takes."""
    began = time.monotonic()
    bench.client.ask(ListRuns(), where=bench.where)
    report.row(f"{what}: first answer (s)", time.monotonic() - began)
    listed = bench.listed()
    report.row("all that are read indexed (s)", time.monotonic() - began)
    report.row("how many are read; that others are not is said", listed, target=RUNS)
    assert listed == RUNS or any("more than" in note for note in bench.client.control("status")["engine"]["notes"])
    time.sleep(SETTLE_SECONDS)
    for name, query in (("list of 20", ListRuns(limit=20)), ("one run", ShowRun())):
        taken = []
        for _ in range(LISTS):
            began = time.monotonic()
            bench.client.ask(query, where=bench.where)
            taken.append(time.monotonic() - began)
        bench.row(name, taken, ())
    report.row("nobody asks: CPU of one core (%)", bench.cpu(20.0))
    _resident(bench, report)


def _resident(bench: Bench, report: Report) -> None:
    told = Path(f"/proc/{bench.pid}/status").read_text(encoding="utf-8")
    resident = next(int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("VmRSS"))
    report.row("RSS (MiB)", resident)


def _active(bench: Bench, report: Report) -> None:
    beside, writer = Writer(bench.wandb), Writer(bench.wandb)
    mine = [f"mine{number}" for number in range(SAMPLED)]
    try:
        beside.tell("new", *(f"r{number:05}" for number in range(ACTIVE)))
        writer.tell("new", *mine)
        bench.listed()
        beside.tell("beside", ROWS_A_SECOND)
        time.sleep(SETTLE_SECONDS)
        taken = bench.waited(
            lambda number: writer.tell("append", mine[number]),
            lambda number: WaitFor(runs=(mine[number],), until="new(loss)", timeout=LONGEST, since=bench.cursor()),
            SAMPLED,
        )
        bench.row(f"{ACTIVE} write {ROWS_A_SECOND} rows/s together: a row to the answer", taken, ())
        uneven = max(taken) / statistics.median(taken)
        report.row("the latest, in medians", uneven, target=f"<= {UNEVEN} {met(uneven <= UNEVEN)}")
        report.row("CPU of one core (%)", bench.cpu(20.0))
        _resident(bench, report)
    finally:
        beside.close()
        writer.close()


def _fast(bench: Bench, report: Report) -> None:
    quiet = Writer(bench.wandb)
    (bench.project / "logs").mkdir()
    quiet.tell("new", *(f"r{number:03}" for number in range(QUIET)))
    bench.listed()
    command = [sys.executable, "-m", "tests.bench.fast_writer", str(bench.project / "logs" / "fast.jsonl"), str(FAST)]
    rng = random.Random(2)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as fast:
        assert fast.stdout is not None
        fast.stdout.readline()
        began = time.monotonic()
        chosen = [f"r{rng.randrange(QUIET):03}" for _ in range(SAMPLED)]
        taken = bench.waited(
            lambda number: quiet.tell("append", chosen[number]),
            lambda number: WaitFor(runs=(chosen[number],), until="new(loss)", timeout=LONGEST, since=bench.cursor()),
            SAMPLED,
        )
        wrote = time.monotonic() - began
        told, _ = fast.communicate()
    quiet.close()
    size, last = map(int, told.split())
    rate = size / wrote / 1e6
    bench.row(f"one writes {rate:.0f} MB/s, {QUIET} are quiet: a quiet one's row", taken, (0.05, 0.15))
    began = time.monotonic()
    bench.client.ask(WaitFor(runs=("fast",), until=f"step>={last}", timeout="10m"), where=bench.where)
    report.row(f"its own {size / 1e6:.0f} MB known after it ended (s)", time.monotonic() - began)
    _resident(bench, report)
