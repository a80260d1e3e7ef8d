"""Shared by the tests of the catalog: copies of real runs, whole pictures of what a run says, and writers that live."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.project import Project
from runwised.catalog.run import Run

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"

WRITER = """
import sys
log = open(sys.argv[1], "ab", buffering=0)
source = open(sys.argv[2], "rb").read()
log.write(source[: int(sys.argv[3])])
print("ready", flush=True)
for line in sys.stdin:
    log.write(source[log.tell() : int(line)])
    print("written", flush=True)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def add_run(tmp_path: Path) -> Callable[..., Path]:
    """Copy a fixture's runs into a project (by default `tmp_path`/proj); gives the last log's path."""

    def add(name: str, project: str = "proj") -> Path:
        wandb = tmp_path / project / "wandb"
        shutil.copytree(FIXTURES / name / "wandb", wandb, symlinks=True, dirs_exist_ok=True)
        return max(wandb.glob("*run-*/*.wandb"), key=lambda log: (log.parent.name in _names(name), log.parent.name))

    return add


def _names(fixture: str) -> list[str]:
    return [path.name for path in (FIXTURES / fixture / "wandb").iterdir()]


@pytest.fixture
def truth() -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((FIXTURES / name / "truth.json").read_text())
        return loaded

    return read


@pytest.fixture
def picture() -> Callable[[Run], dict[str, Any]]:
    """Everything a question can learn of a run, comparable (NaN as text)."""
    return _picture


def _picture(run: Run) -> dict[str, Any]:
    table = run.history
    count = table.row_count
    said = {
        "identity": (run.id, run.name, run.project, run.group, run.notes, list(run.tags), run.host, run.created),
        "condition": (run.condition.state, run.condition.exit_code),
        "step": run.step,
        "segments": run.segments,
        "config": run.config,
        "summary": run.summary,
        "facts": run.facts,
        "rewinds": [tuple(rewind) for rewind in run.rewinds],
        "damage": run.damage,
        "steps": table.steps(0, count).tolist(),
        "times": table.times(0, count).tolist(),
        "metrics": {name: table.series(name).values.tolist() for name in table.names},
        "curves": {name: [column.tolist() for column in table.sample(name, 10)] for name in table.names},
        "stats": {name: repr(table.stats(name)) for name in table.names},
        "system": {name: run.system.series(name).values.tolist() for name in run.system.names},
        "rows": [(number, row.step, row.values) for number, row in run.rows(0, table.total_rows)],
        "console": [tuple(line) for line in run.console()],
    }
    return {name: _plain(value) for name, value in said.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.fixture
def ask() -> Callable[..., Any]:
    """The project as a catalog sees it, every run with its whole index."""

    async def view(catalog: Catalog, root: Path) -> Project:
        project = await catalog.view(str(root), {})
        return await catalog.indexed(project, [run.id for run in project.runs])

    return view


class Writer:
    """A real process that holds a log open for writing, and writes when told."""

    def __init__(self, log: Path, source: Path, length: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(log), str(source), str(length)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._heard()

    def write(self, upto: int) -> None:
        """Write on until the log has this length."""
        assert self._process.stdin is not None
        print(upto, file=self._process.stdin, flush=True)
        self._heard()

    def kill(self) -> None:
        """End it as the kernel would."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _heard(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline()


@pytest.fixture
def writer() -> Iterator[Callable[[Path, Path, int], Writer]]:
    """Start writers; those still there at the end are killed."""
    started: list[Writer] = []

    def start(log: Path, source: Path, length: int = 0) -> Writer:
        started.append(Writer(log, source, length))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def age() -> Callable[[Path, float], None]:
    """Set the modification times of a folder and all that is in it."""

    def set_times(folder: Path, moment: float) -> None:
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (moment, moment), follow_symlinks=False)

    return set_times
