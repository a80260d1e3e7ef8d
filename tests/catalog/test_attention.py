"""Whoever waits for a run is woken when it goes on, and when it ends, whether or not the file system says so."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from runwised.catalog import attention
from runwised.catalog.attention import Attention
from runwised.catalog.catalog import Catalog
from runwised.catalog.changes import Follower
from runwised.catalog.project import Project
from runwised.catalog.run import Run

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")]

BOUND = 10.0
"""Seconds in which a busy machine must have done what takes it a fraction of one, or one tick."""
QUIET = 0.4
"""Seconds in which nothing happens where nothing is to happen."""


class Growing:
    """A run whose log a real process holds open."""

    def __init__(self, log: Path, writer: Callable[..., Any]) -> None:
        self.source = log.rename(log.parents[3] / f"source-{log.stem}")
        self.size = self.source.stat().st_size * 2 // 3
        self.held = writer(log, self.source, self.size)

    def grow(self) -> None:
        self.size += 4096
        assert self.size < self.source.stat().st_size
        self.held.write(self.size)


@pytest.fixture
def growing(add_run: Callable[..., Path], writer: Callable[..., Any]) -> Callable[..., Growing]:
    return lambda name="0.31.0-running", project="proj": Growing(add_run(name, project), writer)


@asynccontextmanager
async def running(catalog: Catalog) -> AsyncIterator[Catalog]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(catalog.run)
        yield catalog
        tasks.cancel_scope.cancel()
    await catalog.close()


def run_of(project: Project, name: str) -> Run:
    """The run of a fixture, by the id its folder names."""
    return next(run for run in project.runs if name in run.newest.found.folder)


async def woken(follower: Follower) -> None:
    with anyio.fail_after(BOUND):
        await follower.changed()


async def quiet(follower: Follower) -> bool:
    """Whether nothing more comes; what was still on its way is taken first."""
    for _ in range(30):
        with anyio.move_on_after(QUIET) as waiting:
            await follower.changed()
        if waiting.cancelled_caught:
            return True
    return False


async def test_a_follower_of_the_run_is_woken_and_one_of_another_is_not(
    growing: Callable[..., Growing], add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = growing()
    add_run("0.31.0-killall")
    async with running(Catalog(None)) as catalog:
        project = await ask(catalog, tmp_path / "proj")
        run, other = run_of(project, "fxc2e402"), run_of(project, "fx03f46c")
        with catalog.follow(project, [run.id]) as mine, catalog.follow(project, [other.id]) as others:
            assert await quiet(mine)
            assert await quiet(others)
            for _ in range(3):
                before = run.history.total_rows
                log.grow()
                with anyio.fail_after(BOUND):
                    while run.history.total_rows == before:
                        await mine.changed()
            assert await quiet(others)


async def test_a_follower_of_all_runs_is_woken_by_one_that_is_new(
    growing: Callable[..., Growing], add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    growing()
    async with running(Catalog(None)) as catalog:
        project = await ask(catalog, tmp_path / "proj")
        with catalog.follow(project, None) as follower:
            assert await quiet(follower)
            add_run("0.28.2-failed")
            with anyio.fail_after(BOUND):
                while len(project.holdings.runs) < 2:
                    await follower.changed()


async def test_the_death_of_the_process_wakes_though_no_file_changes(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any
) -> None:
    log = growing()
    async with running(Catalog(None)) as catalog:
        project = await ask(catalog, tmp_path / "proj")
        (run,) = project.runs
        assert run.condition.state == "running"
        with catalog.follow(project, [run.id]) as follower:
            assert await quiet(follower)
            log.held.kill()
            with anyio.fail_after(attention.TICK_SECONDS + BOUND / 2):
                while run.condition.state == "running":
                    await follower.changed()
            assert run.condition.proof == f"pid {log.held.pid} is gone"


async def test_where_nothing_is_reported_the_run_is_looked_at_again_and_again(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "TICK_SECONDS", 1000.0)
    monkeypatch.setattr(attention, "POLL_SECONDS", 0.02)
    log, catalog = growing(), Catalog(None)
    catalog._mounts._kinds, catalog._mounts._read_at = {"/": "nfs"}, math.inf
    project = await ask(catalog, tmp_path / "proj")
    (run,) = project.runs
    with catalog.follow(project, [run.id]) as follower:
        async with running(catalog):
            assert await quiet(follower)
            assert not catalog._watching._watched
            before = run.history.total_rows
            log.grow()
            with anyio.fail_after(BOUND / 2):
                while run.history.total_rows == before:
                    await follower.changed()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[Catalog], Any]:
    """Only attention at work, with quick ticks unless a test says otherwise: nothing else may look at a run."""
    monkeypatch.setattr(attention, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(attention, "POLL_SECONDS", 0.01)

    @asynccontextmanager
    async def at_work(catalog: Catalog) -> AsyncIterator[Attention]:
        found = catalog._attention
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(found.run)
            yield found
            tasks.cancel_scope.cancel()
        await catalog.close()

    return at_work


async def test_what_nobody_waits_for_is_not_looked_at(
    growing: Callable[..., Growing], add_run: Callable[..., Path], tmp_path: Path, ask: Any, alone: Any
) -> None:
    log, catalog = growing(), Catalog(None)
    add_run("0.31.0-killall")
    growing("0.31.0-running", "elsewhere")
    project, elsewhere = await ask(catalog, tmp_path / "proj"), await ask(catalog, tmp_path / "elsewhere")
    run, other = run_of(project, "fxc2e402"), run_of(project, "fx03f46c")
    looks = other.looks, elsewhere.runs[0].looks
    async with alone(catalog):
        with catalog.follow(project, [run.id]) as follower:
            for _ in range(4):
                log.grow()
                await woken(follower)
        assert (other.looks, elsewhere.runs[0].looks) == looks


async def test_where_nobody_waits_events_are_not_even_kept(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any, alone: Any
) -> None:
    log, catalog = growing(), Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    (run,) = project.runs
    looks = run.looks
    async with alone(catalog) as found:
        assert not found.is_wanted
        assert found.folders() == []
        log.grow()
        found.heed({run.newest.path})
        await anyio.wait_all_tasks_blocked()
        assert (run.looks, found._touched) == (looks, set())


async def test_an_event_of_its_log_is_enough(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, catalog = growing(), Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    (run,) = project.runs
    monkeypatch.setattr(attention, "TICK_SECONDS", 1000.0)
    monkeypatch.setattr(attention, "POLL_SECONDS", 1000.0)
    async with alone(catalog) as found:
        with catalog.follow(project, None) as follower:
            assert set(found.folders()) >= {run.newest.found.folder, str(tmp_path / "proj/wandb")}
            before, looks = run.history.total_rows, run.looks
            log.grow()
            found.heed({str(tmp_path / "proj/wandb/other")})
            await anyio.wait_all_tasks_blocked()
            assert run.looks == looks
            found.heed({run.newest.path})
            await woken(follower)
            assert run.history.total_rows > before


async def test_what_is_printed_beside_the_log_wakes_though_the_log_stands_still(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any
) -> None:
    growing()
    async with running(Catalog(None)) as catalog:
        project = await ask(catalog, tmp_path / "proj")
        (run,) = project.runs
        with catalog.follow(project, [run.id]) as follower:
            assert await quiet(follower)
            assert str(Path(run.console_file).parent) in catalog._watching._watched
            before, rows = run.mark, run.history.total_rows
            with Path(run.console_file).open("a") as file:
                file.write("RuntimeError: on fire\n")
            await woken(follower)
            assert run.mark != before
            assert run.history.total_rows == rows


async def test_an_event_of_its_console_is_enough(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing()
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    (run,) = project.runs
    monkeypatch.setattr(attention, "TICK_SECONDS", 1000.0)
    monkeypatch.setattr(attention, "POLL_SECONDS", 1000.0)
    async with alone(catalog) as found:
        with catalog.follow(project, None) as follower:
            project.cursor()
            with Path(run.console_file).open("a") as file:
                file.write("RuntimeError: on fire\n")
            found.heed({run.console_file})
            await woken(follower)


async def test_the_followers_of_a_run_that_vanishes_are_told(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any
) -> None:
    log, catalog = growing(), Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    (run,) = project.runs
    log.held.kill()
    with catalog.follow(project, [run.id]) as follower:
        Path(run.newest.path).rename(tmp_path / "gone")
        Path(run.newest.found.folder).rename(tmp_path / "gone too")
        await project.holdings.attend([run], 1.0)
        await woken(follower)


async def test_attending_to_a_run_that_is_none_any_more_does_nothing(
    growing: Callable[..., Growing], tmp_path: Path, ask: Any
) -> None:
    growing()
    growing("0.31.0-running", "elsewhere")
    catalog = Catalog(None)
    project, elsewhere = await ask(catalog, tmp_path / "proj"), await ask(catalog, tmp_path / "elsewhere")
    looks = elsewhere.runs[0].looks
    await project.holdings.attend(elsewhere.runs, 1.0)
    assert elsewhere.runs[0].looks == looks
    await catalog.close()
