"""A W&B run whose log holds no rows still has curves: from its console, or from event files saved with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio

EVENTS = next((Path(__file__).parents[1] / "fixtures/logs/tb_torch_basic/runs/exp_a/cmp_a").iterdir())
PRINTED = "".join(f"iter {step}: loss {4 - step / 100:.4f}, time 25.00ms\n" for step in range(0, 50, 10))


@pytest.fixture
def log(add_run: Callable[..., Path]) -> Path:
    """The log of a run; all but its header is kept back in ``rest``."""
    path = add_run("0.31.0-killall")
    (path.parent / "rest").write_bytes(path.read_bytes()[7:])
    path.write_bytes(path.read_bytes()[:7])
    (path.parent / "files/output.log").write_text(PRINTED)
    return path


async def test_without_rows_the_console_is_read_and_said_to_be_where_the_curves_come_from(
    log: Path, tmp_path: Path, ask: Any
) -> None:
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.series("loss").values.tolist() == [4.0, 3.9, 3.8, 3.7, 3.6]
    assert list(run.from_console) == run.history.names == ["loss", "time"]
    assert [source.format for source in run.sources] == ["wandb", "text"]
    with (log.parent / "files/output.log").open("a") as file:
        file.write("iter 50: loss 3.5000, time 25.00ms\n")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.stats("loss").last == 3.5
    await catalog.close()
    (run,) = (await ask(Catalog(tmp_path / "cache"), tmp_path / "proj")).runs
    assert run.history.stats("loss").count == 6


async def test_as_soon_as_the_log_has_rows_they_alone_count(log: Path, tmp_path: Path, ask: Any) -> None:
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    with log.open("ab") as file:
        file.write((log.parent / "rest").read_bytes())
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert list(run.from_console) == []
    assert [source.format for source in run.sources] == ["wandb"]
    assert run.history.row_count == 95
    assert "time" not in run.history.names


async def test_event_files_saved_with_the_run_come_before_its_console(log: Path, tmp_path: Path, ask: Any) -> None:
    shutil.copy(EVENTS, log.parent / "files")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert run.history.names == ["cmp"]
    assert run.history.stats("cmp").last == 14.5
    assert list(run.from_console) == []


async def test_a_log_that_gets_its_rows_together_with_a_console_is_read_alone(
    log: Path, tmp_path: Path, ask: Any
) -> None:
    console = log.parent / "files/output.log"
    console.unlink()
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert not run.history.total_rows
    console.write_text(PRINTED)
    with log.open("ab") as file:
        file.write((log.parent / "rest").read_bytes())
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs  # nobody waits for it
    assert [source.format for source in run.sources] == ["wandb"]
    assert run.history.row_count == 95
    assert run.step == run.history.steps(94, 95)[0]
    assert list(run.from_console) == []
