"""Text that a program printed is a run when it has metrics, is still being written, or tells of a death."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio

PROSE = "the server listens on port 8080 and waits for clients\n" * 200
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 3\nModuleNotFoundError: No module named torch\n'


async def listed(project: Path) -> dict[str, str]:
    catalog = Catalog(None)
    view = await catalog.view(str(project), {})
    view = await catalog.indexed(view, [run.id for run in view.runs])
    return {run.id: run.condition.state for run in view.runs}


async def test_old_prose_is_not_listed_but_a_death_before_the_first_step_is(
    tmp_path: Path, age: Callable[[Path, float], None]
) -> None:
    logs = tmp_path / "proj/logs"
    logs.mkdir(parents=True)
    (logs / "server.log").write_text(PROSE)
    (logs / "job.out").write_text(PROSE + TRACE)
    (logs / "fine.log").write_text(PROSE + "step 1 | loss 2.5\n")
    age(logs, 1.7e9)
    assert await listed(tmp_path / "proj") == {"job": "crashed", "fine": "ended"}


async def test_text_that_is_being_written_is_listed_before_its_first_metric(tmp_path: Path) -> None:
    logs = tmp_path / "proj/logs"
    logs.mkdir(parents=True)
    (logs / "train.log").write_text(PROSE)
    assert await listed(tmp_path / "proj") == {"train": "running"}
    os.utime(logs / "train.log", (1.7e9, 1.7e9))
    assert await listed(tmp_path / "proj") == {}
