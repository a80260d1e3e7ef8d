"""`kill -9`, then the next answer: of 10,000 runs that are indexed, through a daemon that has to start for it.

"Theirs" is the same start without the manifest, from the sidecars of the runs. RUNWISE_BENCH_RUNS makes it smaller.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.bench.harness import Report

RUNS = int(os.environ.get("RUNWISE_BENCH_RUNS", "10000"))
ROUNDS = 5
RUNWISE = str(Path(sysconfig.get_path("scripts")) / "runwise")


def run(report: Report) -> None:
    """Index them once, then kill and ask again and again."""
    home = Path(tempfile.mkdtemp(prefix="rw", dir="/tmp"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RUNWISE_", "WANDB_"))}
    environ |= {f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE")}
    wandb = home / "project" / "wandb"
    wandb.mkdir(parents=True)
    try:
        writer = [sys.executable, "-m", "tests.bench.live_writer", wandb]
        subprocess.run(writer, input=f"over {RUNS}\n", text=True, check=True, stdout=subprocess.DEVNULL)
        _measure(report, wandb.parent, home / "cache", environ)
    finally:
        subprocess.run([RUNWISE, "daemon", "stop"], env=environ, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(home)


def _measure(report: Report, project: Path, cache: Path, environ: dict[str, str]) -> None:
    def ask(*words: str) -> float:
        began = time.perf_counter()
        told = subprocess.run([RUNWISE, *words], cwd=project, env=environ, check=True, capture_output=True, text=True)
        assert "not indexed" not in told.stdout, told.stdout
        return time.perf_counter() - began

    _index(project, cache, environ)
    manifest = next(cache.rglob("*.rwm"))

    def killed(*words: str) -> float:
        os.kill(_pid(environ), 9)
        return ask(*words)

    def without() -> float:
        kept = manifest.read_bytes()
        os.kill(_pid(environ), 9)
        manifest.unlink()
        taken = _until_indexed(project, environ)
        _stop(environ)
        manifest.write_bytes(kept)
        ask("latest")
        return taken

    theirs = statistics.median(without() for _ in range(2))
    for words, target in ((("latest",), "500 ms"), (("list", "-n", "20"), "")):
        ours = statistics.median(killed(*words) for _ in range(ROUNDS))
        what = f"kill -9, then `runwise {' '.join(words)}`, {RUNS} runs, ms"
        report.row(what, 1e3 * ours, 1e3 * theirs, theirs / ours, target)
    told = Path(f"/proc/{_pid(environ)}/status").read_text(encoding="utf-8")
    resident = next(int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("VmRSS"))
    report.row("the daemon just after that list: RSS, MiB", resident)


def _index(project: Path, cache: Path, environ: dict[str, str]) -> None:
    """Have all runs indexed, saved, and put into the manifest."""
    _until_indexed(project, environ)
    while sum(1 for _ in cache.rglob("*.rwx")) < RUNS:
        time.sleep(1)
    size = -1
    while size != (size := sum(path.stat().st_size for path in cache.rglob("*.rwm"))) or not size:
        time.sleep(12)


def _until_indexed(project: Path, environ: dict[str, str]) -> float:
    """Seconds until a list leaves no run out."""
    began = time.perf_counter()
    while True:
        told = subprocess.run([RUNWISE, "list"], cwd=project, env=environ, check=True, capture_output=True, text=True)
        if "not indexed" not in told.stdout:
            return time.perf_counter() - began
        time.sleep(0.2)  # who asks without a pause leaves no time for what is waited for


def _stop(environ: dict[str, str]) -> None:
    subprocess.run([RUNWISE, "daemon", "stop"], env=environ, check=True, stdout=subprocess.DEVNULL)


def _pid(environ: dict[str, str]) -> int:
    told = subprocess.run([RUNWISE, "status"], env=environ, check=True, capture_output=True, text=True).stdout
    return int(told.partition("pid ")[2].split()[0].strip(",;)"))


if __name__ == "__main__":
    run(Report())
