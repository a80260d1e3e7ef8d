"""What waiting costs and how quickly it ends, with a real daemon and real writers of W&B logs, beside a poll a second.

RUNWISE_BENCH_LIVE names parts (append, new, death, waiting, burst, flood, idle); by default all are measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from runwise_protocol import __version__, frames, messages
from runwise_protocol.client import Client
from runwise_protocol.paths import SOCKET_NAME
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.since import Since
from runwise_protocol.queries.wait import Waited, WaitFor
from runwise_protocol.query import Where

from tests.bench.harness import Report

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("append", "new", "death", "waiting", "burst", "flood", "idle")
ACTIVE = 200
ROWS_A_SECOND = 10
APPENDS, NEW, DEATHS, POLLS = 120, 40, 10, 15
CLIENTS, CLIENT_SECONDS = 1000, 20.0
BURST = 100_000
FLOOD, FLOOD_SECONDS = 5000, 20.0
"""Events a second of files that are none of ours."""
INDEXED, IDLE_SECONDS = 10_000, 60.0
LONGEST = "60s"
SETTLE_SECONDS = 5.0


class Writer:
    """A process of its own that writes; see `tests.bench.live_writer`."""

    def __init__(self, wandb: Path) -> None:
        command = [sys.executable, "-m", "tests.bench.live_writer", str(wandb)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *words: object) -> float:
        """When it was done, on the monotonic clock, which all processes share."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def die(self) -> float:
        """Have it end without a word."""
        at = time.monotonic()
        self._process.kill()
        self._process.wait()
        return at

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Bench:
    """A daemon of its own, a project, and what is measured in it."""

    def __init__(self, home: Path, report: Report) -> None:
        self.project = home / "proj"
        self.wandb = self.project / "wandb"
        self.wandb.mkdir(parents=True)
        self.where = Where(cwd=str(self.project))
        self._socket = home / "runtime" / SOCKET_NAME
        self._report = report
        self.client = Client()
        self.pid = self.client.control("ping")["pid"]

    def row(self, what: str, seconds: Sequence[float], targets: tuple[float, ...], theirs: str = "") -> None:
        """p50 and p99 of what was measured, beside the targets: of p99, of both, or of none."""
        middle, worst = np.percentile(np.array(seconds) * 1e3, [50, 99])
        found = (middle, worst)[2 - len(targets) :]
        is_met = all(value <= target * 1e3 for value, target in zip(found, targets, strict=True))
        said = "/".join(f"{target * 1e3:g}" for target in targets)
        load = f"load {os.getloadavg()[0]:.1f}"
        aim = f"<= {said} {met(is_met)} " if targets else ""
        label = f"{what}, p50/p99 of {len(seconds)} (ms)"
        self._report.row(label, f"{middle:.0f}/{worst:.0f}", theirs, target=aim + load)

    def share(self, what: str, share: float, target: float) -> None:
        """Part of a core, in percent."""
        load = f"load {os.getloadavg()[0]:.1f}"
        self._report.row(what, f"{share:.2f} %", target=f"<= {target:g} % {met(share <= target)} {load}")

    def waited(self, act: Callable[[int], float], query: Callable[[int], WaitFor], rounds: int) -> list[float]:
        """Seconds from each act to the answer of who waited for it, who was waiting for a while by then."""
        rng, taken = random.Random(1), []
        for number in range(rounds):
            asked = query(number)
            answered: list[float] = []
            thread = threading.Thread(target=self.wait, args=(asked, answered))
            thread.start()
            time.sleep(rng.uniform(0.15, 0.4))
            began = act(number)
            thread.join()
            taken += [at - began for at in answered]
        return taken

    def wait(self, query: WaitFor, answered: list[float]) -> None:
        """Ask, and note when the answer came, which must be that it has come to pass."""
        with Client() as client:
            reply = client.ask(query, where=self.where)
        at = time.monotonic()
        assert isinstance(reply, Waited)
        assert reply.fired, reply
        answered.append(at)

    def cursor(self) -> str:
        """Stands for now."""
        reply = self.client.ask(Since(), where=self.where)
        return str(reply.cursor)  # type: ignore[attr-defined]

    def listed(self) -> int:
        """How many runs are indexed, once all are."""
        while True:
            reply = self.client.ask(ListRuns(limit=1), where=self.where)
            if not reply.unindexed:  # type: ignore[attr-defined]
                return int(reply.total)  # type: ignore[attr-defined]
            time.sleep(0.2)

    def cpu(self, seconds: float) -> float:
        """Percent of a core that the daemon takes over so many seconds."""
        before = _cpu_seconds(self.pid)
        time.sleep(seconds)
        return 100 * (_cpu_seconds(self.pid) - before) / seconds

    @contextlib.contextmanager
    def waiting(self, runs: Sequence[str], count: int) -> Iterator[None]:
        """So many clients who wait, each for one of the runs, over connections of their own."""
        with contextlib.ExitStack() as stack:
            connections: list[socket.socket] = []
            for number in range(count):
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(self._socket))
                query = WaitFor(runs=(runs[number % len(runs)],), until="state!=running", timeout="1h")
                ask = messages.encode_ask(messages.Ask.of(query, None, self.where))
                hello = frames.encode(frames.HELLO, __version__.encode())
                connection.sendall(hello + frames.encode(frames.ASK, ask))
                connections.append(connection)
            for connection in connections:
                heard = b""
                while b"@" not in heard:  # the cursor of one who waits
                    heard += connection.recv(1 << 16)
            yield


def run(report: Report) -> None:
    """Measure each part, with a daemon of its own for the last."""
    wanted = os.environ.get("RUNWISE_BENCH_LIVE", " ".join(PARTS)).split()
    if set(wanted) - {"idle"}:
        with bench_of(report) as bench:
            _active(bench, wanted)
    if "idle" in wanted:
        with bench_of(report) as bench:
            _idle(bench, report)


def _active(bench: Bench, wanted: Sequence[str]) -> None:
    beside, writer = Writer(bench.wandb), Writer(bench.wandb)
    names = [f"r{number:03}" for number in range(ACTIVE - 1)]
    try:
        beside.tell("new", *names)
        writer.tell("new", "mine")
        bench.listed()
        beside.tell("beside", ROWS_A_SECOND)
        time.sleep(SETTLE_SECONDS)
        if "append" in wanted:
            _append(bench, writer)
        if "new" in wanted:
            _new(bench, writer)
        if "death" in wanted:
            _death(bench)
        beside.tell("still")
        if "waiting" in wanted:
            began = time.monotonic()
            with bench.waiting(names, CLIENTS):
                bench.row(f"{CLIENTS} clients until all wait", [time.monotonic() - began], (10.0,))
                time.sleep(SETTLE_SECONDS)
                bench.share(f"{CLIENTS} waiting clients, nothing happens: CPU", bench.cpu(CLIENT_SECONDS), 2)
        if "burst" in wanted:
            _burst(bench, writer)
        if "flood" in wanted:
            _flood(bench)
    finally:
        beside.close()
        writer.close()


def _append(bench: Bench, writer: Writer) -> None:
    polled = np.array([_polled(bench, writer) for _ in range(POLLS)]) * 1e3
    theirs = "{:.0f}/{:.0f} (poll)".format(*np.percentile(polled, [50, 99]))
    taken = bench.waited(
        lambda _: writer.tell("append", "mine"),
        lambda _: WaitFor(runs=("mine",), until="new(loss)", timeout=LONGEST, since=bench.cursor()),
        APPENDS,
    )
    bench.row(f"a row of one in {ACTIVE} runs to the answer", taken, (0.05, 0.15), theirs)


def _polled(bench: Bench, writer: Writer) -> float:
    """Seconds until somebody who asks for the list once a second sees a row."""
    command = [sys.executable, str(ROOT / "runwise_cli/bin/runwise"), "list", "--where", "id==mine", "--format", "json"]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"}

    def step() -> int:
        told = subprocess.run(command, cwd=bench.project, env=environ, capture_output=True, check=True).stdout
        return int(json.loads(told)["runs"][0]["step"])

    before = step()
    time.sleep(random.uniform(0, 1))
    began = next_poll = writer.tell("append", "mine")
    next_poll += random.uniform(0, 1)
    while True:
        time.sleep(max(next_poll - time.monotonic(), 0))
        if step() > before:
            return time.monotonic() - began
        next_poll += 1


def _new(bench: Bench, writer: Writer) -> None:
    taken = bench.waited(
        lambda number: writer.tell("new", f"new{number}"),
        lambda number: WaitFor(until=f"id==new{number} and step>=0", timeout=LONGEST),
        NEW,
    )
    bench.row("a new run's folder to the answer", taken, (1.0,))


def _death(bench: Bench) -> None:
    dying = [Writer(bench.wandb) for _ in range(DEATHS)]
    for number, writer in enumerate(dying):
        writer.tell("new", f"dies{number}")
    bench.listed()
    taken = bench.waited(
        lambda number: dying[number].die(),
        lambda number: WaitFor(runs=(f"dies{number}",), until="state==crashed", timeout=LONGEST),
        DEATHS,
    )
    bench.row("kill -9 of a training to the answer", taken, (5.0,))


def _burst(bench: Bench, writer: Writer) -> None:
    """More events than the queue holds, in a folder that is watched; then a row and a new run."""

    def act(number: int) -> float:
        for at in range(BURST):
            os.close(os.open(bench.wandb / f"junk{number}-{at}", os.O_CREAT | os.O_WRONLY))
        writer.tell("new", "late")
        return writer.tell("append", "mine")

    query = WaitFor(runs=("mine",), until="new(loss)", timeout=LONGEST, since=bench.cursor())
    late = WaitFor(until="id==late", timeout=LONGEST)
    answered: list[float] = []
    threads = [threading.Thread(target=bench.wait, args=(asked, answered)) for asked in (query, late)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = act(0)
    for thread in threads:
        thread.join()
    bench.row(f"{BURST} files, then a row and a run: to both answers", [max(answered) - began], (10.0,))


def _flood(bench: Bench) -> None:
    """Somebody writes checkpoints beside the logs, in folders that are watched; first while nobody waits."""
    _flooded(bench, "nobody waits")
    with bench.waiting(["mine"], 1):
        _flooded(bench, "one waits")


def _flooded(bench: Bench, who: str) -> None:
    time.sleep(SETTLE_SECONDS)
    folders = [str(bench.wandb), *map(str, sorted(bench.wandb.glob("*-r00?")))]
    command = [sys.executable, "-m", "tests.bench.foreign_writer", str(FLOOD), *folders]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as flood:
        assert flood.stdout is not None
        flood.stdout.readline()  # it has begun
        began = time.monotonic()
        share = bench.cpu(FLOOD_SECONDS)
        told, _ = flood.communicate()
        rate = int(told) / (time.monotonic() - began)
    bench.share(f"{rate:.0f} foreign events/s, {who}: CPU", share, 5)


def _idle(bench: Bench, report: Report) -> None:
    writer = Writer(bench.wandb)
    writer.tell("over", INDEXED)
    writer.close()
    assert bench.listed() == INDEXED
    while bench.client.control("status")["engine"]["in_memory"]:
        time.sleep(1)
    time.sleep(SETTLE_SECONDS)
    bench.share(f"{INDEXED} indexed runs, nobody asks: CPU over {IDLE_SECONDS:.0f} s", bench.cpu(IDLE_SECONDS), 1)
    told = Path(f"/proc/{bench.pid}/status").read_text(encoding="utf-8")
    resident = next(int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("VmRSS"))
    report.row("the same: RSS (MiB)", resident, target=f"<= 80 {met(resident <= 80)}")


def _cpu_seconds(pid: int) -> float:
    """What a process has taken of all cores, to the nanosecond: its ticks in ``/proc`` are guessed from samples."""
    return time.clock_gettime(~pid << 3 | 2)


def met(is_met: bool) -> str:
    return "(met)" if is_met else "(NOT met)"


@contextlib.contextmanager
def bench_of(report: Report) -> Iterator[Bench]:
    """With a daemon that ends with it, in folders of its own."""
    home = Path(tempfile.mkdtemp(prefix="rw", dir="/tmp"))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("RUNWISE_", "WANDB_"))]:
        del os.environ[name]
    os.environ.update({f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE")})
    try:
        bench = Bench(home, report)
        try:
            yield bench
        finally:
            os.kill(bench.pid, signal.SIGTERM)
            bench.client.close()
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    run(Report())
