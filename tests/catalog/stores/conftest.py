"""Shared by the tests of stores: writable copies of the fixtures, whole reads, and writers that live or are killed."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runwised.catalog.stores.contract import Store
from runwised.catalog.stores.databases import Databases
from runwised.formats.record import Batch, Exit, Identity, Patch, Rows

FIXTURES = Path(__file__).parents[2] / "fixtures" / "logs"

# Commits one point after the other without ever waiting for a lock, until it is told to stop; says how often it was
# refused and how many points it has committed.
WRITER = """
import sqlite3, sys, threading
path, mode, run = sys.argv[1:]
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
db = sqlite3.connect(path, timeout=0, isolation_level=None)
db.execute(f"PRAGMA journal_mode={mode}")
done = refused = 0
while not stop.is_set():
    try:
        db.execute("INSERT INTO metrics VALUES ('live', ?, 1750000000000, ?, ?, 0)", (done, run, done))
        done += 1
    except sqlite3.OperationalError:
        refused += 1
        if refused == 1:
            print("refused", flush=True)
    if done == 1:
        print("ready", flush=True)
    stop.wait(0.002)
print(done, refused, flush=True)
"""

# Is killed inside a transaction whose pages have been spilled into the database.
VICTIM = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size=5")
db.execute("PRAGMA cache_spill=1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE metrics SET value = -1")
for n in range(20000):
    db.execute("INSERT INTO metrics VALUES ('lost', 1.0, 1750000000000, ?, ?, 0)", (sys.argv[2], n))
os.kill(os.getpid(), signal.SIGKILL)
"""


class Whole:
    """All that a store says of one run."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.offsets: list[int] = []
        self.config: dict[str, Any] = {}
        self.identity: dict[str, Any] = {}
        self.exits = [batch for batch in batches if isinstance(batch, Exit)]
        for batch in batches:
            if isinstance(batch, Rows) and batch.table == "history":
                assert batch.by_key
                self.offsets += batch.offsets.tolist()
                for key, rows, values in batch.columns:
                    steps = batch.steps if rows is None else batch.steps[rows]
                    self.series.setdefault(key, []).extend(zip(steps.tolist(), values.tolist(), strict=True))
            elif isinstance(batch, Patch):
                self.config |= {path[0]: value for path, value in batch.sets}
            elif isinstance(batch, Identity):
                told = msgspec.structs.asdict(batch)
                self.identity |= {name: value for name, value in told.items() if value is not None}


@pytest.fixture
def read_whole() -> Callable[..., tuple[Whole, bytes]]:
    """Read a run from a cursor on to its end; what it says, and the cursor there."""

    def read(store: Store, path: Path, key: str, cursor: bytes = b"", most: int = 50) -> tuple[Whole, bytes]:
        batches: list[Batch] = []
        while True:
            piece = store.read(str(path), key, cursor, most)
            assert piece.count <= most
            assert sum(len(batch.offsets) for batch in piece.batches if isinstance(batch, Rows)) <= piece.count
            batches += piece.batches
            cursor = piece.cursor
            if not piece.count:
                return Whole(batches), cursor

    return read


@pytest.fixture
def told_as() -> Callable[[list[tuple[int, float]], dict[str, Any]], None]:
    """Compare a series with the truth, NaN equal to NaN."""

    def check(found: list[tuple[int, float]], true: dict[str, Any]) -> None:
        values = [float(value) for value in true["values"]]
        assert [step for step, _ in found] == true["steps"]
        assert [repr(value) for _, value in found] == [repr(value) for value in values]

    return check


@pytest.fixture
def fixture_copy(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a fixture that may be written to; its folder."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(FIXTURES / name, folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
        return folder

    return make


@pytest.fixture
def truth() -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((FIXTURES / name / "truth.json").read_text())
        return loaded

    return read


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    """Databases whose copies go into an own folder, which is empty again at the end."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Databases(str(scratch)) as opened:
        yield opened
    assert list(scratch.iterdir()) == []


class LiveWriter:
    """A process that goes on committing points to a run."""

    def __init__(self, path: Path, mode: str, run: str) -> None:
        command = [sys.executable, "-c", WRITER, str(path), mode, run]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def wait_refused(self) -> None:
        """Wait until it was refused once."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "refused\n"

    def stop(self) -> tuple[int, int]:
        """How many points it committed, and how often it was refused."""
        out, _ = self._process.communicate("", timeout=30)
        done, refused = out.split()[-2:]
        return int(done), int(refused)


@pytest.fixture
def live_writer() -> Iterator[Callable[[Path, str, str], LiveWriter]]:
    writers: list[LiveWriter] = []

    def start(path: Path, mode: str, run: str) -> LiveWriter:
        writers.append(LiveWriter(path, mode, run))
        return writers[-1]

    yield start
    for writer in writers:
        if writer._process.poll() is None:
            writer._process.kill()
            writer._process.communicate()


@pytest.fixture
def killed_in_transaction() -> Callable[[Path, str], None]:
    """Have a writer of a database die in the middle of a transaction."""

    def kill(path: Path, run: str) -> None:
        done = subprocess.run([sys.executable, "-c", VICTIM, str(path), run], timeout=60, check=False)
        assert done.returncode == -9
        assert path.with_name(f"{path.name}-journal").stat().st_size > 0

    return kill


class MlflowWriter:
    """Adds to an MLflow database as MLflow does."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # What is on the disk after a loss of power is none of these tests' business, and costs a wait each time.
        self._database.execute("PRAGMA synchronous=OFF")

    def __enter__(self) -> MlflowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def execute(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, values)

    def point(self, run: str, key: str, value: float, step: int) -> None:
        stored = 0 if math.isnan(value) else value
        self.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, 1750000200000, ?, ?, ?)",
            *(key, stored, run, step, math.isnan(value)),
        )


@pytest.fixture
def mlflow_writer() -> type[MlflowWriter]:
    return MlflowWriter
