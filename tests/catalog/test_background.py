"""What the catalog does by itself: it looks again in time however long it once took, and saves what is kept late."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from runwised.catalog import catalog as catalog_module
from runwised.catalog.catalog import Catalog
from runwised.catalog.place import locate
from runwised.catalog.stores import close_idle_stores

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(catalog: Catalog) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(catalog.run)
        yield
        tasks.cancel_scope.cancel()
    await catalog.close()


async def until(so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not so():
            await anyio.sleep(0.001)


async def test_it_sweeps_in_time_however_long_a_look_took(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(catalog_module, "REST", 1e9)
    add_run("0.31.0-finished")
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    async with running(catalog):
        for _ in range(3):
            before = project.holdings.looked_at
            await until(lambda: project.holdings.looked_at > before)  # noqa: B023 - asked at once


async def test_a_project_with_much_to_read_does_not_keep_others_from_being_looked_at(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "SWEEP_SECONDS", 0.0)
    log = add_run("0.31.0-finished", "large")
    for number in range(40):
        shutil.copytree(log.parent, log.parent.with_name(f"offline-run-20261123_140348-copy{number:04}"))
    add_run("0.31.0-finished", "small")
    catalog = Catalog(None)
    small = await ask(catalog, tmp_path / "small")
    large = catalog._hold(locate(str(tmp_path / "large"), {}, catalog._settings))
    async with running(catalog):
        await until(lambda: large.is_behind)
        before = small.holdings.looked_at
        await until(lambda: small.holdings.looked_at > before)
        assert large.is_behind
        await until(lambda: not large.is_behind)


async def test_what_an_answer_keeps_is_saved_though_nobody_asks_again_and_nothing_is_read(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "TIDY_SECONDS", 0.002)
    passes: list[None] = []  # each ends with a look at the stores
    monkeypatch.setattr(catalog_module, "close_idle_stores", lambda: passes.append(close_idle_stores()))
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    async with running(catalog):
        await until(lambda: run.slot.warm is None)
        done = len(passes)
        await until(lambda: len(passes) > done + 3)
        run.memory.note = b"late"
        await until(lambda: not run.memory.is_new)
        assert Path(run.memory.path).read_bytes() == b"late"
