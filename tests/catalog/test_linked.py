"""A W&B log names the folder its TensorBoard sync copies from: that folder's event files are the run's own."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio

EVENTS = next((Path(__file__).parents[1] / "fixtures/logs/tb_torch_basic/runs/exp_a/cmp_a").iterdir())


def link_record(folder: str) -> bytes:
    """A chunk that holds one ``Record`` with a ``TBRecord``, for a place well inside a block."""
    inner = bytes([0x0A, len(folder)]) + folder.encode()
    record = bytes([0x4A, len(inner)]) + inner
    return struct.pack("<IHB", crc32(b"\x01" + record), len(record), 1) + record


@pytest.fixture
def project(add_run: Callable[..., Path], tmp_path: Path) -> Path:
    add_run("0.31.0-running")
    events = tmp_path / "proj/runs/exp"
    events.mkdir(parents=True)
    shutil.copy(EVENTS, events)
    return tmp_path / "proj"


def name_folder(project: Path, folder: str) -> None:
    (log,) = project.glob("wandb/*run-*/*.wandb")
    left = 32768 - log.stat().st_size % 32768
    record = link_record(folder)
    assert left > len(record)
    with log.open("ab") as file:
        file.write(record)


@pytest.mark.parametrize("absolute", [False, True])
async def test_the_folder_a_log_names_is_no_run_of_its_own(project: Path, ask: Any, absolute: bool) -> None:
    catalog = Catalog(project.parent / "cache")
    names = {run.id for run in (await ask(catalog, project)).runs}
    assert len(names) == 2
    name_folder(project, str(project / "runs/exp") if absolute else "runs/exp")
    (run,) = (await ask(catalog, project)).runs
    assert [source.format for source in run.sources] == ["wandb", "tfevents"]
    assert [source.unread_bytes for source in run.sources] == [0, 0]
    assert "cmp" not in run.history.names
    await catalog.close()
    (run,) = (await ask(Catalog(project.parent / "cache"), project)).runs
    assert len(run.sources) == 2


async def test_a_folder_elsewhere_stays_what_it_is(project: Path, ask: Any) -> None:
    name_folder(project, "runs/another")
    assert len((await ask(Catalog(None), project)).runs) == 2
