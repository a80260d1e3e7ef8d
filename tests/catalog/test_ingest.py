import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from runwised.catalog import awake, growth, ingest, slot, upkeep
from runwised.catalog import catalog as catalog_module
from runwised.catalog.catalog import Catalog
from runwised.catalog.place import locate
from runwised.catalog.processes import process
from runwised.catalog.run import NOT_READ
from tests.faults.service import rows

pytestmark = pytest.mark.anyio

SEVERAL = ("0.31.0-finished", "0.28.2-failed", "0.21.4-resumed", "0.16.6-finished", "0.17.5-core")

DAEMON = """
import sys, anyio
from runwised.catalog.catalog import Catalog
async def main():
    catalog = Catalog(None, workers=1, inline_bytes=0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(catalog.run)
        project = await catalog.view(sys.argv[1], {})
        await catalog.indexed(project, [run.id for run in project.runs])
        print("indexed", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


@asynccontextmanager
async def living(catalog: Catalog) -> AsyncIterator[Catalog]:
    """A catalog with its background."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            await tasks.start(catalog.run)
            yield catalog
            tasks.cancel_scope.cancel()
        await catalog.close()


def workers(parent: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    commands = {pid: living for pid in found if (living := process(pid)) is not None}
    return [pid for pid, worker in commands.items() if "catalog.worker" in worker.command]


def waiting_at_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have workers begin only once somebody opens this pipe to write."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(ingest, "COMMAND", f"open({str(pipe)!r}).close()\n" + ingest.COMMAND)
    return pipe


async def until(happened: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not happened():
            await anyio.sleep(0.01)


async def test_the_first_answer_about_a_folder_never_seen_comes_from_probes(
    add_run: Callable[..., Path], tmp_path: Path, truth: Callable[[str], dict[str, Any]]
) -> None:
    for fixture in SEVERAL:
        add_run(fixture)
    project = await Catalog(None, inline_bytes=0).view(str(tmp_path / "proj"), {})
    assert project.unindexed == len(project.runs) == len(SEVERAL)
    said = {run.id: (run.condition.state, run.condition.exit_code, run.step, run.project) for run in project.runs}
    for fixture in SEVERAL:
        last = truth(fixture)["runs"][-1]
        state = truth(fixture)["state"], last["exit_code"], last["last_step"], "fixture-proj"
        assert said[last["run"]["run_id"]] == state
    assert all(not run.indexed and run.history.row_count == 0 for run in project.runs)
    assert all(run.summary["epoch"] >= 1 for run in project.runs if run.id != "fx6ea763")


@pytest.mark.parametrize("cached", [True, False])
async def test_workers_make_the_same_index_as_is_made_in_place(
    cached: bool, add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    for fixture in SEVERAL:
        add_run(fixture)
    expected = {run.id: picture(run) for run in (await ask(Catalog(None), tmp_path / "proj")).runs}
    async with living(Catalog(tmp_path / "cache" if cached else None, workers=2, inline_bytes=0)) as catalog:
        project = await ask(catalog, tmp_path / "proj")
        assert {run.id: picture(run) for run in project.runs} == expected
        assert project.unindexed == 0
    assert len(list((tmp_path / "cache").rglob("*.rwx"))) == (len(SEVERAL) if cached else 0)


async def test_a_run_that_is_asked_for_is_indexed_before_newer_ones(
    add_run: Callable[..., Path], tmp_path: Path
) -> None:
    for fixture in SEVERAL:
        add_run(fixture)
    async with living(Catalog(None, workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        oldest = project.runs[-1]
        project = await catalog.indexed(project, [oldest.id])
        assert oldest.indexed
        assert project.unindexed > 0


async def test_much_growth_is_left_to_a_worker_and_counted_as_unread_meanwhile(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    log = add_run("0.31.0-finished")
    data = log.read_bytes()
    os.truncate(log, 50_000)
    async with living(Catalog(tmp_path / "cache", inline_bytes=60_000)) as catalog:
        (run,) = (await ask(catalog, tmp_path / "proj")).runs
        with log.open("ab") as file:
            file.write(data[50_000:])
        project = await catalog.view(str(tmp_path / "proj"), {})
        assert run.sources[0].unread_bytes == len(data) - 50_000
        await catalog.indexed(project, [run.id])
        assert run.sources[0].unread_bytes == 0
        assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_a_sidecar_that_was_closed_when_a_worker_replaced_it_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slot, "MOST_HEALED_BYTES", 0)
    log = tmp_path / "proj" / "logs" / "run.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(rows(0, 10))
    async with living(Catalog(tmp_path / "cache", workers=1, inline_bytes=0)) as catalog:
        (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
        await until(lambda: run.indexed)
        for length in (11, 12):
            with log.open("ab") as file:
                file.write(rows(length - 1, length))
            await catalog.view(str(tmp_path / "proj"), {})
            catalog._growth.store.close()
            run.slot.rest()
            await until(lambda: run not in catalog._growth.ingest)
            project = await catalog.indexed(await catalog.view(str(tmp_path / "proj"), {}), [run.id])
            assert project.runs[0].history.row_count == length
    assert "background broke" not in caplog.text


async def test_a_run_whose_worker_dies_is_indexed_by_the_next(
    add_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "died"
    deadly = (
        f"import os\nif not os.path.exists({str(marker)!r}):\n    open({str(marker)!r}, 'w').close(); os._exit(9)\n"
    )
    monkeypatch.setattr(ingest, "COMMAND", deadly + ingest.COMMAND)
    add_run("0.31.0-finished")
    async with living(Catalog(tmp_path / "cache", workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: project.runs[0].indexed)
        assert marker.exists()
        project = await catalog.view(str(tmp_path / "proj"), {})
        assert project.notes == ()


async def test_a_worker_that_hangs_is_seen_not_to_move(
    add_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = waiting_at_a_pipe(tmp_path, monkeypatch)
    add_run("0.31.0-finished")
    async with living(Catalog(None, workers=1, inline_bytes=0)) as catalog:
        assert catalog.stalled_seconds < 1
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: catalog.stalled_seconds > 0.2)
        assert catalog.counts() == {"projects": 1, "runs": 1, "to index": 1}
        pipe.open("w").close()  # it goes on
        await until(lambda: project.runs[0].indexed)
        assert catalog.stalled_seconds == 0


async def test_what_is_folded_in_memory_is_saved_while_the_loop_hangs(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.31.0-finished")
    add_run("0.28.2-failed")
    catalog = Catalog(tmp_path / "cache")
    project = await ask(catalog, tmp_path / "proj")
    busy = project.runs[0]
    assert list((tmp_path / "cache").rglob("*.rwx")) == []
    async with busy.slot.lock:
        await anyio.to_thread.run_sync(catalog.rescue)  # on another thread, as then
    (kept,) = (tmp_path / "cache").rglob("*.rwx")
    assert project.runs[1].id in kept.name
    await catalog.close()
    assert len(list((tmp_path / "cache").rglob("*.rwx"))) == 2


async def test_a_run_no_worker_survives_is_given_up_and_noted(
    add_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "COMMAND", "import os; os._exit(9)")
    add_run("0.31.0-finished")
    async with living(Catalog(tmp_path / "cache", workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: project.runs[0].failures >= 3)
        project = await catalog.view(str(tmp_path / "proj"), {})
        assert project.notes == ("the worker process died",)
        assert project.runs[0].condition.state == "finished"


async def test_workers_without_work_are_let_go(
    add_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "IDLE_SECONDS", 0.1)
    add_run("0.31.0-finished")
    async with living(Catalog(None, workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: bool(workers(os.getpid())))
        await until(lambda: project.runs[0].indexed)
        await until(lambda: not workers(os.getpid()))


async def test_workers_work_at_low_priority_and_end_when_the_daemon_is_killed(
    add_run: Callable[..., Path], tmp_path: Path
) -> None:
    add_run("0.31.0-finished")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path / "proj")], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "indexed\n"
    (worker,) = workers(daemon.pid)
    own = os.getpriority(os.PRIO_PROCESS, daemon.pid)
    assert os.getpriority(os.PRIO_PROCESS, worker) == min(own + 10, 19)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.communicate()
    await until(lambda: process(worker) is None)


async def test_a_run_whose_names_are_no_utf8_is_indexed_saved_and_restored_like_any_other(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    folder = log.parent.rename(log.parents[1] / os.fsdecode(b"offline-run-20260102_030405-\xff\xfe"))
    (folder / log.name).rename(folder / os.fsdecode(b"run-\xff\xfe.wandb"))
    for started in (1, 2):
        async with living(Catalog(tmp_path / "cache", inline_bytes=0)) as catalog:
            (run,) = (await ask(catalog, tmp_path / "proj")).runs
            assert (run.id, run.history.row_count) == ("fxb2c515", 201)
            assert catalog.status()["restored"] == started - 1


def short_runs(project: Path, count: int) -> None:
    folder = project / "logs"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"run{number:02}.jsonl").write_bytes(rows(0, 3 + number))


def instead(of_work: str) -> str:
    """The command of workers that do this with a job, which has `work` for what they would do."""
    head = ingest.COMMAND.rsplit("; ", 1)[0]
    return (
        f"{head}; from runwised.catalog import worker; work = worker.work\n{of_work}\nworker.work = do; worker.main()"
    )


async def test_of_the_runs_a_worker_was_given_the_one_it_dies_of_has_failed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_runs(tmp_path / "proj", 20)
    deadly = "def do(job): return __import__('os')._exit(9) if 'run07' in job.sources[0].path else work(job)"
    monkeypatch.setattr(ingest, "COMMAND", instead(deadly))
    async with living(Catalog(tmp_path / "cache", workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: sum(run.slot.filled for run in project.runs) == 19 and not catalog._growth.ingest)
        project = await catalog.view(str(tmp_path / "proj"), {})
        assert {run.id: run.failures for run in project.runs if run.failures} == {"run07": growth.MOST_FAILURES}
        assert project.notes == ("the worker process died",)
        assert [run.history.row_count for run in project.runs if run.id == "run08"] == [11]


@pytest.mark.parametrize("words", ["not an answer", "x" * (ingest.LONGEST_REPLY + 1), "{}x", '{"size": "much"}'])
async def test_an_answer_that_cannot_be_read_fails_one_run_and_not_the_queue(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_runs(tmp_path / "proj", 20)
    (tmp_path / "words").write_text(words + "\n")
    says = f"open({str(tmp_path / 'words')!r}).read()"
    monkeypatch.setattr(
        ingest,
        "COMMAND",
        instead(f"def do(job): 'run15' in job.sources[0].path and print({says}, flush=True); return work(job)"),
    )
    async with living(Catalog(tmp_path / "cache", workers=1, inline_bytes=0)) as catalog:
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: sum(run.slot.filled for run in project.runs) == 19 and not catalog._growth.ingest)
        assert {run.id for run in project.runs if run.failures} == {"run15"}


async def test_all_workers_work_also_where_they_have_been_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = waiting_at_a_pipe(tmp_path, monkeypatch)
    short_runs(tmp_path / "proj", 20)
    async with living(Catalog(None, workers=3, inline_bytes=0)) as catalog:
        await anyio.wait_all_tasks_blocked()
        project = await catalog.view(str(tmp_path / "proj"), {})
        await until(lambda: len(catalog._growth.ingest.working) == 3)
        while not all(run.slot.filled for run in project.runs):
            with suppress(OSError):  # none waits at it just now
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            await anyio.sleep(0.01)


async def test_while_a_worker_hangs_at_one_run_those_it_was_given_beside_are_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = waiting_at_a_pipe(tmp_path, monkeypatch)
    short_runs(tmp_path / "proj", 20)
    monkeypatch.setattr(growth, "MANY", 5)
    monkeypatch.setattr(catalog_module, "NEW_SHARE", 0.0)
    async with living(Catalog(tmp_path / "cache", workers=1)) as catalog:
        project = await catalog._look(locate(str(tmp_path / "proj"), {}, catalog._settings), 0.0, 0.0)
        queue = catalog._growth.ingest
        await until(lambda: len(queue) > 0 and len(queue.working) == 1)
        beside = next(run for run in project.runs if run in queue and run not in queue.working)
        project = await catalog.indexed(project, [beside.id])
        assert beside.history.row_count == 3 + int(beside.id.removeprefix("run"))
        project = await catalog.view(str(tmp_path / "proj"), {})
        stuck = next(iter(queue.working))
        assert all(part.is_probed for run in project.runs if run in queue for part in run.parts)
        assert stuck.current is not NOT_READ, "its ends were read all the same"
        pipe.open("w").close()
        await until(lambda: all(run.slot.filled for run in project.runs))
        assert beside.history.row_count == 3 + int(beside.id.removeprefix("run"))


async def test_short_logs_of_many_are_read_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Any, picture: Any
) -> None:
    monkeypatch.setattr(upkeep, "TIDY_SECONDS", 0.1)
    monkeypatch.setattr(growth, "MANY", 5)
    monkeypatch.setattr(catalog_module, "MANY", 5)
    monkeypatch.setattr(catalog_module, "NEW_SHARE", 0.0)
    short_runs(tmp_path / "proj", 40)
    async with living(Catalog(tmp_path / "cache", workers=2)) as catalog:
        project = await catalog._look(locate(str(tmp_path / "proj"), {}, catalog._settings), 0.0, 0.0)
        assert project.unindexed == 40
        assert catalog._growth.awake.most_bytes == awake.MOST_BYTES_AMID
        await until(lambda: all(run.slot.filled for run in project.runs))
        apart = [run for run in project.runs if run.slot.is_in_file]
        assert len(apart) >= 35, "no more than the last of them are read here"
        await until(lambda: catalog._growth.awake.most_bytes == awake.MOST_BYTES)
        found = {run.id: picture(run) for run in (await ask(catalog, tmp_path / "proj")).runs}
    assert found == {run.id: picture(run) for run in (await ask(Catalog(None), tmp_path / "proj")).runs}
