"""Logs that are written over in place while they are read."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from runwised.catalog import ingest
from runwised.catalog.catalog import Catalog
from runwised.catalog.feeds import FileFeed, Fold
from runwised.catalog.segment import Segment
from tests.catalog.loose_logs import Point, jsonl

pytestmark = pytest.mark.anyio


def points(count: int) -> Sequence[Point]:
    return [Point(step, 1e9 + step, {"loss": 1 / (step + 1)}) for step in range(count)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of nine rows in a project of its own."""
    path = tmp_path / "proj" / "logs" / "run.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(jsonl(points(9)))
    return path


@pytest.fixture
def have_workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have workers run this before they serve: it may give `worker.work` another meaning, `work` is the real one."""

    def have(code: str) -> None:
        start, end = ingest.COMMAND.rsplit("from runwised", 1)
        command = f"{start}\nfrom runwised.catalog import worker\nwork = worker.work\n{code}\nfrom runwised{end}"
        monkeypatch.setattr(ingest, "COMMAND", command)

    return have


async def until(happened: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not happened():
            await anyio.sleep(0.01)


async def test_an_index_of_bytes_that_were_written_over_is_not_served_while_a_worker_has_the_run(
    log: Path, tmp_path: Path, ask: Any
) -> None:
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.row_count == 9
    catalog._growth.ingest.put(run)
    log.write_bytes(jsonl(points(4)))
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert (project.unindexed, run.indexed, run.step) == (1, False, 3)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.row_count == 4


def answering_late(tmp_path: Path, have_workers: Callable[[str], None]) -> tuple[Path, Path]:
    """Have workers say with a file that they have read, and answer once something is written to a pipe."""
    has_read, may_answer = tmp_path / "has_read", tmp_path / "may_answer"
    os.mkfifo(may_answer)
    have_workers(
        "def late(job):\n"
        f"    done = work(job); open({str(has_read)!r}, 'w').close(); open({str(may_answer)!r}).read()\n"
        "    return done\n"
        "worker.work = late"
    )
    return has_read, may_answer


async def test_what_a_worker_read_before_it_was_written_over_is_not_served(
    log: Path, tmp_path: Path, have_workers: Callable[[str], None], ask: Any
) -> None:
    has_read, may_answer = answering_late(tmp_path, have_workers)
    catalog = Catalog(tmp_path / "cache", workers=1, inline_bytes=0)
    queue = catalog._growth.ingest
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(has_read.exists)
        log.write_bytes(jsonl(points(4)))
        project = await catalog.view(str(tmp_path / "proj"), {})
        assert project.runs[0] in queue.working
        may_answer.write_bytes(b"")
        await until(lambda: project.runs[0] not in queue)
        seen = project.holdings.project()
        assert (seen.unindexed, seen.runs[0].indexed) == (1, False)
        tasks.cancel_scope.cancel()
    (run,) = (await ask(Catalog(tmp_path / "cache"), tmp_path / "proj")).runs
    assert run.history.row_count == 4


@pytest.mark.usefixtures("log")
async def test_a_log_that_was_written_over_while_a_worker_read_it_is_read_again_and_no_trouble(
    tmp_path: Path, have_workers: Callable[[str], None]
) -> None:
    was_changed, may_go_on = tmp_path / "was_changed", tmp_path / "may_go_on"
    os.mkfifo(may_go_on)
    have_workers(
        "import os\n"
        "def changed(job):\n"
        f"    if not os.path.exists({str(was_changed)!r}):\n"
        f"        open({str(was_changed)!r}, 'w').close()\n"
        "        raise worker.SourceChangedError('changed')\n"
        f"    open({str(may_go_on)!r}).read()\n"
        "    return work(job)\n"
        "worker.work = changed"
    )
    catalog = Catalog(tmp_path / "cache", workers=1, inline_bytes=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catalog._growth.ingest.run)
        project = await catalog.view(str(tmp_path / "proj"), {})
        (run,) = project.runs
        await until(lambda: run.failures > 0)
        seen = await catalog.view(str(tmp_path / "proj"), {})
        assert (seen.unindexed, seen.notes) == (1, ())
        may_go_on.write_bytes(b"")
        await until(lambda: run.indexed)
        assert run.history.row_count == 9
        tasks.cancel_scope.cancel()


async def test_a_worker_that_finishes_while_the_run_is_probed_has_it_looked_at_again(
    log: Path, tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    catalog._growth.ingest.put(run)
    log.write_bytes(jsonl(points(4)))

    async def finished(_: Segment) -> None:
        catalog._growth.ingest.drop(run)
        catalog._owe(run)

    monkeypatch.setattr(Segment, "read_probe", finished)
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert (run.indexed, run.history.row_count, project.holdings.behind) == (True, 4, 0)


async def test_what_a_short_log_grew_by_is_read_though_a_worker_has_the_run(
    log: Path, tmp_path: Path, ask: Any
) -> None:
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    catalog._growth.ingest.put(run)
    log.write_bytes(jsonl(points(30)))
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert (project.unindexed, run.history.row_count) == (0, 30)
    assert run not in catalog._growth.ingest


async def test_what_is_longer_but_does_not_begin_as_it_did_is_not_known_while_a_worker_has_the_run(
    log: Path, tmp_path: Path, ask: Any
) -> None:
    catalog = Catalog(tmp_path / "cache", inline_bytes=1000)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    catalog._growth.ingest.put(run)
    log.write_bytes(jsonl(points(60)[1:]))
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert run in catalog._growth.ingest
    assert (project.unindexed, run.indexed, run.step) == (1, False, 59)


async def test_a_log_a_worker_read_half_written_is_not_served_once_it_is_longer(
    log: Path, tmp_path: Path, have_workers: Callable[[str], None]
) -> None:
    has_read, may_answer = answering_late(tmp_path, have_workers)
    half = jsonl(points(9)[2:6])
    log.write_bytes(half + bytes(len(half)))
    catalog = Catalog(tmp_path / "cache", workers=1, inline_bytes=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catalog._growth.ingest.run)
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(has_read.exists)
        log.write_bytes(jsonl(points(40)))
        project = await catalog.view(str(tmp_path / "proj"), {})
        may_answer.write_bytes(b"")
        await until(lambda: project.runs[0] not in catalog._growth.ingest.working)
        seen = project.holdings.project()
        assert (seen.unindexed, seen.runs[0].indexed) == (1, False)
        tasks.cancel_scope.cancel()


async def test_a_change_first_seen_between_two_looks_is_told_by_the_next(log: Path, tmp_path: Path, ask: Any) -> None:
    os.utime(log, (1e9, 1e9))
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    log.write_bytes(jsonl(points(4)))
    assert run.look(0.0)
    log.write_bytes(jsonl(points(3)))
    assert run.compare() == "changed"
    assert (run.look(0.0), run.look(0.0)) == (True, False)


async def test_a_log_that_changes_while_it_is_read_is_not_known_rather_than_as_it_was(
    log: Path, tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path / "cache")
    read = FileFeed.read

    def read_late(feed: FileFeed, piece_bytes: int, fold: Fold) -> int:
        log.write_bytes(jsonl(points(12)))
        count = read(feed, piece_bytes, fold)
        log.write_bytes(jsonl(points(4)))
        return count

    monkeypatch.setattr(FileFeed, "read", read_late)
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert (project.unindexed, project.runs[0].indexed) == (1, False)
    monkeypatch.undo()
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.row_count == 4
