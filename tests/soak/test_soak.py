"""Ten thousand runs, two hundred of which go on, asked about for a long time: nothing grows, nothing is lost.

RUNWISE_SOAK_SECONDS is how long (600), RUNWISE_SOAK_RUNS how many runs there are (10000), RUNWISE_SOAK_ROWS how many
rows a second they log together (20).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from runwise_protocol import frames
from runwise_protocol.queries import Export, ListRuns, Live, ShowRun, Since
from runwise_protocol.query import Query

from tests.bench.live_writer import NAMED
from tests.robust.real_daemon import (
    DEADLINE_SECONDS,
    Asker,
    RealDaemon,
    cold,
    encoded,
    everything,
    questions,
    until,
)

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("RUNWISE_SOAK_SECONDS") or 600)
RUNS = int(os.environ.get("RUNWISE_SOAK_RUNS") or 10_000)
ACTIVE = 200
ROWS_A_SECOND = float(os.environ.get("RUNWISE_SOAK_ROWS") or 20)
WARM_SHARE = 0.3
"""Of the time, in which memory may still grow."""
CHURN_SECONDS, COMPARE_SECONDS = 10.0, 60.0
SAMPLED = 10
"""Runs that are compared with a cold parse each time."""
TOUCHED, COMPARED = 500, 100
"""Runs that are asked about before, and compared at the end beside those that go on."""
STUCK, SILENT = 10, 10
MOST_GROWTH = 5 << 20
"""Bytes an hour, and in less than an hour."""


class Sample(NamedTuple):
    """What the daemon takes at one moment."""

    seconds: float
    resident: int
    descriptors: int
    threads: int


class Told(NamedTuple):
    """What writers say there is."""

    rows: dict[str, int]
    active: list[str]


class Writers:
    """The process that writes; see `tests.soak.writers`."""

    def __init__(self, wandb: Path) -> None:
        command = [sys.executable, "-m", "tests.soak.writers", str(wandb)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, *words: object) -> Told:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        return Told(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Soak:
    """A daemon, writers, and those who ask."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "proj"
        self.wandb = self.project / "wandb"
        self.wandb.mkdir(parents=True)
        self.writers = Writers(self.wandb)
        self.writers.tell("over", RUNS - ACTIVE)
        self.told = self.writers.tell("new", ACTIVE)
        self.daemon = RealDaemon(home, self.project)
        self.dice = random.Random(1)
        self.samples: list[Sample] = []
        self.compared = self.asked = 0
        self.slowest = 0.0
        self.cursor = ""
        self.bad: list[Asker] = []

    def close(self) -> None:
        self.writers.close()
        self.daemon.process.kill()
        self.daemon.process.wait()

    def ask(self, query: Query) -> str:
        """Over a connection of its own, as commands do."""
        began = time.monotonic()
        asker = Asker(self.daemon.path, self.daemon.where)
        told = asker.ask(query)
        asker.close()
        self.asked += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        return told

    def until_indexed(self) -> None:
        while json.loads(self.ask(ListRuns(limit=1)))["unindexed"]:
            time.sleep(0.5)

    def touch(self, count: int) -> None:
        """Ask all there is to ask of so many runs, so that what an answer leaves behind is there from the beginning."""
        chosen = self.dice.sample(list(self.told.rows), count)
        self.daemon.ask_all([query for run_id in chosen for query in (ShowRun(run=run_id), Export(run=run_id))])

    def look(self, seconds: float) -> None:
        """What everybody asks now and then, and what it costs."""
        chosen = self.dice.choice(list(self.told.rows))
        going = self.dice.choice(self.told.active)
        self.ask(ListRuns(limit=20))
        self.ask(Live())
        self.cursor = json.loads(self.ask(Since(cursor=self.cursor or None)))["cursor"]
        self.ask(ShowRun(run=going))
        self.ask(self.dice.choice(questions(chosen)))
        told = Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        threads = next(int(line.split()[1]) for line in told.splitlines() if line.startswith("Threads"))
        self.samples.append(Sample(seconds, self.daemon.resident, self.daemon.descriptors, threads))

    def trouble(self) -> None:
        """Some that never read and some that never go on, in the place of those before."""
        for asker in self.bad:
            asker.close()
        self.bad = [Asker(self.daemon.path, self.daemon.where) for _ in range(STUCK + SILENT)]
        for asker in self.bad[:STUCK]:
            asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(20):
                asker.put(everything(100))
        for asker in self.bad[STUCK:]:
            asker.socket.sendall(frames.encode(frames.WRITE, encoded(everything(), self.daemon.where))[:-3])

    def compare(self, run_ids: Sequence[str]) -> None:
        """Whether what is said of these runs is what a cold parse says; the writers must be still."""
        asked = [query for run_id in run_ids for query in questions(run_id)]
        told = self.daemon.ask_all(asked)
        with tempfile.TemporaryDirectory(dir=self.home) as scratch:
            for run_id in run_ids:
                name = NAMED.format(run_id)
                shutil.copytree(self.wandb / name, Path(scratch) / "wandb" / name)
            wanted = cold(Path(scratch), asked)
        for query, one, other in zip(asked, told, wanted, strict=True):
            assert one == other, query
            if isinstance(query, Export):
                assert one.count("\n") == self.told.rows[query.run or ""], f"rows of {query.run} are lost"
        self.compared += len(asked)

    def sampled(self) -> list[str]:
        """Some that go on, and some of all."""
        sample, few = self.dice.sample, SAMPLED // 2
        return list({*sample(self.told.active, few), *sample(list(self.told.rows), few)})

    def run(self, seconds: float) -> None:
        """Have it go on so long."""
        began = time.monotonic()
        churn, compare = CHURN_SECONDS, COMPARE_SECONDS
        self.writers.tell("go", ROWS_A_SECOND)
        for tick in itertools.count(1):
            now = time.monotonic() - began
            if now > seconds:
                break
            if now > churn:
                self.told = self.writers.tell("churn")
                self.writers.tell("go", ROWS_A_SECOND)
                churn += CHURN_SECONDS
            if now > compare:
                self.told = self.writers.tell("still")
                self.compare(self.sampled())
                self.trouble()
                self.writers.tell("go", ROWS_A_SECOND)
                compare += COMPARE_SECONDS
            self.look(now)
            time.sleep(max(began + tick - time.monotonic(), 0))
        self.told = self.writers.tell("still")

    def report(self) -> dict[str, Any]:
        """The figures."""
        warm = [sample for sample in self.samples if sample.seconds > WARM_SHARE * self.samples[-1].seconds]
        seconds = np.array([sample.seconds for sample in warm])
        resident = np.array([sample.resident for sample in warm], dtype=float)
        tenth = max(len(warm) // 10, 1)
        return {
            "seconds": round(self.samples[-1].seconds),
            "runs": len(self.told.rows),
            "active": len(self.told.active),
            "rows": sum(self.told.rows.values()),
            "asked": self.asked,
            "slowest_ms": round(self.slowest * 1e3),
            "compared": self.compared,
            "resident_mib": round(resident[-1] / 2**20, 1),
            "grown_mib": round((np.median(resident[-tenth:]) - np.median(resident[:tenth])) / 2**20, 2),
            "resident_mib_each_minute": [
                round(next(each.resident for each in self.samples if each.seconds >= minute) / 2**20, 1)
                for minute in range(0, int(self.samples[-1].seconds) + 1, 60)
            ],
            "slope_mib_an_hour": round(np.polyfit(seconds, resident, 1)[0] * 3600 / 2**20, 2),
            "descriptors": [min(each.descriptors for each in warm), max(each.descriptors for each in warm)],
            "threads": [min(each.threads for each in warm), max(each.threads for each in warm)],
            "load": os.getloadavg()[0],
        }


@pytest.fixture
def soak() -> Iterator[Soak]:
    with tempfile.TemporaryDirectory(prefix="rw", dir="/tmp") as home:
        made = Soak(Path(home))
        try:
            yield made
        finally:
            made.close()


def test_for_long_nothing_grows_and_nothing_is_lost(soak: Soak) -> None:
    soak.until_indexed()
    soak.touch(TOUCHED)
    soak.trouble()
    soak.run(SECONDS)
    figures = soak.report()
    print(json.dumps(figures), flush=True)
    for asker in soak.bad:
        asker.close()
    for some in (soak.told.active, soak.dice.sample(list(soak.told.rows), COMPARED)):
        soak.compare(some)
    listed = {run["id"]: run["rows"] for run in json.loads(soak.ask(everything()))["runs"]}
    assert listed == soak.told.rows, "rows are lost"
    hours = max(figures["seconds"] / 3600, 1)
    assert figures["grown_mib"] * 2**20 <= MOST_GROWTH * hours
    until(lambda: soak.daemon.status()["clients"] == 1)
    warm = [sample.descriptors for sample in soak.samples if sample.seconds > WARM_SHARE * figures["seconds"]]
    third = len(warm) // 3
    assert np.median(warm[-third:]) <= np.median(warm[:third]) + 2
    assert figures["slowest_ms"] < DEADLINE_SECONDS * 1e3
