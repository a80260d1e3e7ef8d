"""Runs in the manifest whose other logs come while no daemon runs: they are seen as a start without it sees them."""

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
PRINTED = "".join(f"iter {step}: loss {4 - step / 100:.4f}, time 25.00ms\n" for step in range(0, 50, 10))


def chunk(record: bytes) -> bytes:
    """A whole chunk of a W&B log that holds one ``Record``."""
    return struct.pack("<IHB", crc32(b"\x01" + record), len(record), 1) + record


def first_records(data: bytes, count: int) -> list[bytes]:
    """Each ``Record`` a log begins with."""
    found, at = [], 7
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at + 4)
        found.append(data[at + 7 : at + 7 + length])
        at += 7 + length
    return found


def link(folder: bytes) -> bytes:
    """The ``Record`` that names a folder of event files."""
    return bytes([9 << 3 | 2, len(folder) + 2, 1 << 3 | 2, len(folder)]) + folder


@pytest.fixture
def log(add_run: Callable[..., Path]) -> Path:
    """The log of a run without rows that names a folder, and has ended."""
    path = add_run("0.31.0-finished")
    data = path.read_bytes()
    ended = b"\x92\x01\x02\x10\x02"
    assert data.endswith(ended)
    path.write_bytes(data[:7] + b"".join(map(chunk, [*first_records(data, 2), link(b"runs/exp"), ended])))
    (path.parent / "files/output.log").unlink()
    return path


@pytest.fixture
def see(tmp_path: Path, ask: Any) -> Any:
    async def look(cache: str = "cache") -> Any:
        catalog = Catalog(tmp_path / cache)
        project = await ask(catalog, tmp_path / "proj")
        said = {run.id: (run.current.state, [s.format for s in run.sources], run.history.names) for run in project.runs}
        await catalog.close()
        return said

    return look


@pytest.mark.parametrize("rows", [False, True])
async def test_event_files_in_a_folder_it_names(
    log: Path, add_run: Callable[..., Path], tmp_path: Path, see: Any, rows: bool
) -> None:
    if rows:
        add_run("0.31.0-finished")
        with log.open("ab") as file:
            file.write(chunk(link(b"runs/exp")))
    before = await see()
    assert [state for state, _, _ in before.values()] == ["finished"]
    (tmp_path / "proj/runs/exp").mkdir(parents=True)
    shutil.copy(EVENTS, tmp_path / "proj/runs/exp")
    said = await see()
    assert said == await see("cold") != before
    assert len(said) == 1


async def test_a_console_beside_it(log: Path, see: Any) -> None:
    before = await see()
    (log.parent / "files/output.log").write_text(PRINTED)
    said = await see()
    assert said == await see("cold") != before
