"""A disk runs full: the old index stays, answers come from memory, it is said, and saved when there is room again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.feeds import Log
from runwised.catalog.spill import LEAST_BYTES
from runwised.catalog.worker import Job, Source
from runwised.formats.jsonl import JSONL
from tests.robust.loose_machine import picture

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
FULL = os.strerror(errno.ENOSPC)
DISK = "64k"
LONG = LEAST_BYTES // 8 + 10_000
"""Rows whose arrays go to files."""

WORK = """
import json, sys, msgspec
from runwised.catalog.worker import Job, work
done, parts = work(msgspec.convert(json.loads(sys.argv[1]), Job))
print(json.dumps([done.error, done.disk_error, sum(map(len, parts))]))
"""


def rows(first: int, last: int) -> bytes:
    return b"".join(json.dumps({"step": step, "loss": 1 / (step + 1)}).encode() + b"\n" for step in range(first, last))


def fill(disk: Path) -> Path:
    """Leave no room at all."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(disk).f_bavail == 0
    return path


async def asked(catalog: Catalog, root: Path) -> tuple[Any, tuple[str, ...]]:
    project = await catalog.view(str(root), {})
    project = await catalog.indexed(project, [run.id for run in project.runs])
    (run,) = project.runs
    return picture(run), project.notes


async def test_a_full_disk_costs_no_answer_and_no_old_sidecar(
    small_disk: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.store.RETRY_SECONDS", (0.0, 0.0))
    disk, root = small_disk(DISK), tmp_path / "proj"
    log = root / "logs/metrics.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(rows(0, 100))
    catalog = Catalog(disk / "cache")
    await asked(catalog, root)
    await catalog.close()
    (sidecar,) = (disk / "cache").rglob("*.rwx")
    old = sidecar.read_bytes()
    ballast = fill(disk)
    with log.open("ab") as file:
        file.write(rows(100, 5000))
    catalog = Catalog(disk / "cache")
    said, _ = await asked(catalog, root)
    await catalog.close()
    assert sidecar.read_bytes() == old
    assert [FULL in note for note in catalog.status()["notes"]] == [True]
    assert [path.name for path in disk.rglob("*.tmp")] == []
    assert (await asked(catalog, root))[0] == said == (await asked(Catalog(None), root))[0]
    ballast.unlink()
    os.truncate(log, len(rows(0, 500)))
    said, _ = await asked(catalog, root)
    await catalog.close()
    assert sidecar.read_bytes() != old
    assert catalog.status()["notes"] == []
    again = Catalog(disk / "cache")
    assert (await asked(again, root))[0] == said == (await asked(Catalog(None), root))[0]
    assert again.status()["restored"] == 1
    await again.close()


async def test_what_cannot_be_written_of_the_state_is_said_in_status(
    small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    disk, root = small_disk(DISK), tmp_path / "proj"
    log = root / "logs/metrics.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(rows(0, 10))
    ballast = fill(disk)
    catalog = Catalog(None, disk / "state")
    project = await catalog.view(str(root), {})
    cursor = project.cursor()
    notes = catalog.status()["notes"]
    assert [FULL in note for note in notes] == [True, True], notes
    assert project.past(cursor) is not None
    assert await catalog.recent() == [str(root)]
    await catalog.close()
    ballast.unlink()
    again = Catalog(None, disk / "state")
    cursor = (await again.view(str(root), {})).cursor()
    assert again.status()["notes"] == []
    await again.close()
    assert (await Catalog(None, disk / "state").view(str(root), {})).past(cursor) is not None


@pytest.mark.parametrize("room", ["64k", "1m", "4m", "12m"])
def test_a_disk_too_small_for_a_long_runs_arrays_does_not_end_who_indexes_it(
    room: str, small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    disk, log = small_disk(room), tmp_path / "metrics.jsonl"
    log.write_bytes(rows(0, LONG))
    jobs = [Job([Source.of(Log(str(log), JSONL))], str(folder / "runs/a.rwx")) for folder in (disk, tmp_path / "large")]
    for job in jobs:
        command = [sys.executable, "-c", WORK, json.dumps({"sources": [_plain(job)], "sidecar": job.sidecar})]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        error, disk_error, size = json.loads(done.stdout)
        assert not error
        assert disk_error == (FULL if size else "")
        assert Path(job.sidecar).exists() == (not size)


def _plain(job: Job) -> dict[str, Any]:
    (source,) = job.sources
    return {"path": source.path, "format": source.format}
