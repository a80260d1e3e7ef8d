from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked

from runwised.catalog import watch
from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio


async def heard(folders: list[Path], act: Callable[[], object]) -> set[str]:
    """What is handed on after `act`, once anything is; acts again until it is."""
    found: set[str] = set()
    happened = anyio.Event()

    def heed(paths: set[str]) -> None:
        found.update(paths)
        happened.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.follow, [str(folder) for folder in folders], heed)
            while not happened.is_set():
                act()
                with anyio.move_on_after(0.5):
                    await happened.wait()
            tasks.cancel_scope.cancel()
    return found


async def test_what_changes_in_a_folder_is_handed_on(tmp_path: Path) -> None:
    assert str(tmp_path / "new") in await heard([tmp_path], (tmp_path / "new").touch)


async def test_what_changes_below_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()

    def act() -> None:
        (tmp_path / "below/no").touch()
        (tmp_path / "yes").touch()

    assert await heard([tmp_path], act) == {str(tmp_path / "yes")}


async def test_variables_that_steer_the_library_have_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    monkeypatch.setenv("WATCHFILES_POLL_DELAY_MS", "1000000")
    assert str(tmp_path / "new") in await heard([tmp_path], (tmp_path / "new").touch)


async def test_folders_that_are_not_there_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.05)
    later = tmp_path / "later"

    def act() -> None:
        later.mkdir(exist_ok=True)
        (later / "new").touch()

    assert str(later / "new") in await heard([later], act)


async def test_a_folder_that_is_removed_while_watched_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.05)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    def act() -> None:
        if (tmp_path / "a").exists():
            (tmp_path / "a").rmdir()
        (tmp_path / "b/new").touch()

    assert await heard([tmp_path / "a", tmp_path / "b"], act)


async def test_stopping_does_not_wait_for_the_next_event(tmp_path: Path) -> None:
    await heard([tmp_path], (tmp_path / "new").touch)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.follow, [str(tmp_path)], lambda _: None)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()


async def test_a_growing_run_is_followed_without_a_question(
    add_run: Callable[..., Path], tmp_path: Path, writer: Callable[..., Any]
) -> None:
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    held = writer(log, source, 70_000)
    catalog = Catalog(None)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await tasks.start(catalog.run)
            (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
            assert run.condition.state == "running"
            for upto in range(80_000, source.stat().st_size, 10_000):
                held.write(upto)
                with anyio.move_on_after(1):
                    while sum(run.slot.offsets) < upto:
                        await anyio.sleep(0.02)
                if sum(run.slot.offsets) == upto:
                    break
            assert sum(run.slot.offsets) > 70_000
            tasks.cancel_scope.cancel()
    await catalog.close()


async def test_a_new_run_is_found_without_a_question(add_run: Callable[..., Path], tmp_path: Path) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(None)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await tasks.start(catalog.run)
            await catalog.view(str(tmp_path / "proj"), {})
            add_run("0.28.2-failed")
            while catalog.status()["runs"] < 2:
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    await catalog.close()


async def test_a_flood_is_handed_on_in_few_pieces_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FLOOD", 1)
    files = {str(tmp_path / f"{number:04}") for number in range(2000)}
    pieces: list[tuple[float, set[str]]] = []
    happened = anyio.Event()
    begun = anyio.Event()

    def heed(paths: set[str]) -> None:
        pieces.append((anyio.current_time(), paths))
        if files <= set().union(*(each for _, each in pieces)):
            happened.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.follow, [str(tmp_path)], heed, watch.QUICK, begun.set)
            await begun.wait()
            await anyio.to_thread.run_sync(lambda: [Path(file).touch() for file in files])
            await happened.wait()
            tasks.cancel_scope.cancel()
    for (at, paths), (later, _) in pairwise(pieces):
        if len(paths) > watch.FLOOD:
            assert later - at >= min(watch.FLOOD_SECONDS * len(paths), watch.MOST_SECONDS)
    assert any(len(paths) > watch.FLOOD for _, paths in pieces)
