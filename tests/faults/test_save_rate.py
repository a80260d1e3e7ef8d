"""Row D21 of the fault matrix: many runs that go on, all of which change all the time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwised.catalog import saving
from runwised.catalog.catalog import Catalog
from tests.faults.logs import append
from tests.faults.service import rows
from tests.faults.sidecars import runs

HOLDER = "import sys; files = [open(path, 'ab') for path in sys.argv[1:]]; print(flush=True); sys.stdin.read()"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def live_logs(project: Path) -> Iterator[list[Path]]:
    """Logs of a training that goes on."""
    logs = runs(project, 40, 300)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *map(str, logs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        yield logs


@pytest.mark.anyio
async def test_d21_saves_of_many_live_runs_are_no_more_than_the_stated_bytes_a_second_and_reach_all(
    live_logs: list[Path], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "BYTES_A_SECOND", 2 << 20)
    catalog = Catalog(tmp_path / "cache")
    began, length = time.monotonic(), 300
    written: dict[str, list[tuple[int, int]]] = {}
    """Of each sidecar every version there was: its inode and its bytes."""
    while len(written) < len(live_logs) or sum(map(len, written.values())) < 2 * len(live_logs):
        for log in live_logs:
            append(log, rows(length, length + 1))
        length += 1
        project_now = await catalog.view(str(project), {})
        assert {run.condition.state for run in project_now.runs} == {"running"}
        await catalog._saving.tidy(project_now.runs)
        for path in (tmp_path / "cache").rglob("*.rwx"):
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size)
            if version not in written.setdefault(path.name, []):
                written[path.name].append(version)
        saved_bytes = sum(size for versions in written.values() for _, size in versions)
        burst = saving.ABREAST * max(size for versions in written.values() for _, size in versions)
        assert saved_bytes <= saving.BYTES_A_SECOND * (time.monotonic() - began) + burst
    await catalog.close()
    assert [run.history.total_rows for run in (await Catalog(tmp_path / "cache").view(str(project), {})).runs] == (
        [length] * len(live_logs)
    )
