import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.place import NoProject

pytestmark = pytest.mark.anyio

ALL = sorted(path.name for path in (Path(__file__).parents[1] / "fixtures" / "wandb").iterdir() if path.is_dir())


@pytest.mark.parametrize("fixture", ALL)
async def test_every_fixture_is_one_run_that_says_what_was_logged(
    fixture: str, add_run: Callable[..., Path], truth: Callable[[str], dict[str, Any]], tmp_path: Path, ask: Any
) -> None:
    add_run(fixture)
    told = truth(fixture)
    last = told["runs"][-1]
    project = await ask(Catalog(None), tmp_path / "proj")
    (run,) = project.runs
    expected = {"killed": "crashed", "running": "crashed"}.get(told["state"], told["state"])
    assert (run.id, run.condition.state) == (last["run"]["run_id"], expected)
    assert run.name == last.get("renamed", last["run"])["name"]
    assert run.project == "fixture-proj"
    assert run.host == "trainbox"
    assert run.segments == len(told["runs"])
    assert run.indexed
    assert run.config == last["config"]
    assert run.history.total_rows == sum(each.get("rows_on_disk", each["rows"]) for each in told["runs"])
    assert project.unindexed == 0
    assert project.notes == ()
    assert [source.unread_bytes for source in run.sources] == [0] * run.segments


async def test_a_resumed_run_is_one_run_with_two_segments_and_a_rewind(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.21.4-resumed")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert run.segments == 2
    assert [source.path for source in run.sources] == sorted(source.path for source in run.sources)
    (rewind,) = run.rewinds
    assert rewind.to_step == 0
    assert rewind.voided > 0
    assert run.history.row_count < run.history.total_rows
    steps = run.history.steps(0, run.history.row_count)
    assert (steps[1:] > steps[:-1]).all()


async def test_without_a_project_the_question_has_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoProject):
        await Catalog(None).view(str(tmp_path), {})


async def test_runs_are_listed_newest_first(add_run: Callable[..., Path], tmp_path: Path) -> None:
    for fixture in ("0.31.0-finished", "0.12.21-finished", "0.21.4-resumed", "0.28.2-failed"):
        add_run(fixture)
    project = await Catalog(None).view(str(tmp_path / "proj"), {})
    created = [run.newest.started for run in project.runs]
    assert created == sorted(created, reverse=True)
    assert project.runs[0].id == "fxa8246c"


@pytest.mark.parametrize("length", [0, 7])
async def test_a_log_without_records_says_no_data_yet(
    length: int, add_run: Callable[..., Path], tmp_path: Path
) -> None:
    log = add_run("0.31.0-killall")
    os.truncate(log, length)
    (run,) = (await Catalog(None).view(str(tmp_path / "proj"), {})).runs
    assert run.id == "fx03f46c"
    assert run.condition.state == "empty"
    assert run.condition.proof.startswith("no data yet")
    assert run.step is None


async def test_a_folder_whose_log_is_still_to_come_says_so_and_is_read_when_it_comes(
    add_run: Callable[..., Path], tmp_path: Path
) -> None:
    log = add_run("0.31.0-finished")
    log.rename(tmp_path / "later")
    catalog = Catalog(None)
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert (run.id, run.condition.state, run.sources) == ("fxb2c515", "empty", [])
    (tmp_path / "later").rename(log)
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert run.condition.state == "finished"


async def test_a_file_that_is_no_log_is_named_and_does_not_hide_others(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-killall")
    log.write_bytes(b"not a log at all" * 1000)
    add_run("0.31.0-finished")
    project = await ask(Catalog(None), tmp_path / "proj")
    assert {run.id: run.condition.state for run in project.runs} == {"fxb2c515": "finished", "fx03f46c": "unknown"}
    assert project.notes == (f"{log}: does not begin as a wandb log does",)


async def test_what_was_written_before_the_question_is_in_the_answer(
    add_run: Callable[..., Path], tmp_path: Path, writer: Callable[..., Any], picture: Any, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    source = log.rename(tmp_path / "source")
    held = writer(log, source)
    catalog = Catalog(None)
    steps = []
    for upto in (40_000, 90_000, 90_000, 150_000):
        held.write(upto)
        (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
        steps.append(run.step)
        assert run.condition.state == "running"
        assert run.condition.proof == f"pid {held.pid} is writing"
        assert run.sources[0].unread_bytes == 0
    assert steps[0] < steps[1] == steps[2] < steps[3]
    held.write(source.stat().st_size)
    grown = picture((await catalog.view(str(tmp_path / "proj"), {})).runs[0])
    assert grown == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_a_writer_that_is_killed_leaves_a_crashed_run(
    add_run: Callable[..., Path], tmp_path: Path, writer: Callable[..., Any]
) -> None:
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    held = writer(log, source, source.stat().st_size)
    catalog = Catalog(None)
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert run.condition.state == "running"
    held.kill()
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert run.condition.state == "crashed"


async def test_who_writes_a_log_that_has_just_come_is_known_though_the_processes_were_gone_through_before(
    add_run: Callable[..., Path], tmp_path: Path, writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.processes.ANSWER_SECONDS", 1000.0)
    catalog = Catalog(None)
    catalog._holders.look()
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    held = writer(log, source, source.stat().st_size)
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert run.condition.proof == f"pid {held.pid} is writing"
    held.kill()
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    assert (run.condition.state, run.condition.proof) == ("crashed", f"pid {held.pid} is gone")


async def test_a_copied_folder_does_not_run_and_a_log_fresher_than_its_folder_does(
    add_run: Callable[..., Path], tmp_path: Path, age: Callable[[Path, float], None]
) -> None:
    log = add_run("0.31.0-running")
    root = str(tmp_path / "proj")
    age(tmp_path / "proj", time.time())
    (run,) = (await Catalog(None).view(root, {})).runs
    assert run.condition.state == "crashed"
    assert "silent for" in run.condition.proof
    age(tmp_path / "proj", time.time() - 3600)
    os.utime(log)
    (run,) = (await Catalog(None).view(root, {})).runs
    assert run.condition.state == "running"


@pytest.mark.parametrize(
    "harm",
    [
        lambda log, other: log.write_bytes(other),
        lambda log, other: (log.unlink(), log.write_bytes(other)),
        lambda log, other: (log.with_name("new").write_bytes(other), log.with_name("new").rename(log)),
        lambda log, other: (os.truncate(log, 0), log.write_bytes(other + b"\0" * 200_000)),
    ],
    ids=["rewritten", "deleted and made anew", "replaced", "truncated and grown past its old length"],
)
async def test_a_log_that_became_another_is_read_from_its_start(
    harm: Any, add_run: Callable[..., Path], tmp_path: Path, picture: Any, ask: Any
) -> None:
    other = add_run("0.28.2-failed", "other").read_bytes()
    log = add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    harm(log, other)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.condition.state == "failed"
    fresh = (await ask(Catalog(None), tmp_path / "proj")).runs[0]
    assert picture(run) == picture(fresh)
    await catalog.close()


async def test_a_truncated_log_is_read_from_its_start(
    add_run: Callable[..., Path], tmp_path: Path, picture: Any, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(None)
    await ask(catalog, tmp_path / "proj")
    os.truncate(log, 70_000)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_a_run_that_is_removed_leaves_the_list_and_comes_back_from_zero(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    add_run("0.28.2-failed")
    catalog = Catalog(None)
    assert len((await ask(catalog, tmp_path / "proj")).runs) == 2
    shutil.rmtree(log.parent)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.id == "fx6ea763"
    add_run("0.31.0-finished")
    assert {run.id for run in (await ask(catalog, tmp_path / "proj")).runs} == {"fx6ea763", "fxb2c515"}


async def test_a_segment_that_appears_later_joins_its_run(
    add_run: Callable[..., Path], tmp_path: Path, picture: Any, ask: Any
) -> None:
    second = add_run("0.21.4-resumed")
    hidden = second.parent.rename(tmp_path / "hidden")
    catalog = Catalog(None)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.segments == 1
    hidden.rename(second.parent)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.segments == 2
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_an_older_segment_that_appears_later_comes_first(
    add_run: Callable[..., Path], tmp_path: Path, picture: Any, ask: Any
) -> None:
    second = add_run("0.21.4-resumed")
    first = min(second.parents[1].glob("*/*.wandb")).parent
    hidden = first.rename(tmp_path / "hidden")
    catalog = Catalog(None)
    await ask(catalog, tmp_path / "proj")
    hidden.rename(first)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_a_copy_of_a_run_in_the_same_folder_is_another_run(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    shutil.copytree(log.parent, log.parents[1] / "offline-run-20270101_000000-fxb2c515")
    renamed = log.parents[1] / "offline-run-20270101_000000-fresh1"
    shutil.copytree(log.parent, renamed)
    (renamed / log.name).rename(renamed / "run-fresh1.wandb")
    project = await ask(Catalog(None), tmp_path / "proj")
    assert sorted(run.id for run in project.runs) == [
        "fresh1",
        "fxb2c515@offline-run-20261123_140347-fxb2c515",
        "fxb2c515@offline-run-20270101_000000-fxb2c515",
    ]
    assert [run.history.row_count for run in project.runs] == [201] * 3


async def test_the_same_id_in_two_projects_below_the_root_is_two_runs(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.31.0-finished", "all/one")
    add_run("0.31.0-finished", "all/two")
    project = await ask(Catalog(None), tmp_path / "all")
    assert sorted(run.id for run in project.runs) == ["fxb2c515@one", "fxb2c515@two"]


async def test_a_run_from_before_the_binary_log_is_read_from_its_files(tmp_path: Path, ask: Any) -> None:
    folder = tmp_path / "proj/wandb/run-20190102_030405-old"
    folder.mkdir(parents=True)
    rows = [f'{{"_step": {n}, "_timestamp": {1546398245 + n}, "loss": {1 / (n + 1)}}}' for n in range(50)]
    (folder / "wandb-history.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "wandb-events.jsonl").write_text('{"system.cpu": 12.5, "_timestamp": 1546398250}\n')
    (folder / "wandb-summary.json").write_text('{"loss": 0.02, "best": 0.01}')
    (folder / "config.yaml").write_text("wandb_version: 1\n\nlr:\n  desc: null\n  value: 0.5\n")
    (folder / "wandb-metadata.json").write_text(
        '{"host": "node3", "state": "failed", "exitcode": 2, "program": "t.py"}'
    )
    (folder / "output.log").write_text("hello\nworld\n")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert (run.id, run.host, run.step, run.segments) == ("old", "node3", 49, 1)
    assert (run.condition.state, run.condition.exit_code) == ("failed", 2)
    assert run.config == {"lr": 0.5}
    assert run.summary == {"loss": 0.02, "best": 0.01}
    assert run.facts["program"] == "t.py"
    assert run.system.row_count == 1
    assert [line.text for line in run.console()] == ["hello", "world"]


async def test_settings_that_change_are_read_again(add_run: Callable[..., Path], tmp_path: Path) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(None)
    assert (await catalog.view(str(tmp_path / "proj"), {})).config.project_name is None
    (tmp_path / "proj/runwise.json").write_text('{"project_name": "mine"}')
    assert (await catalog.view(str(tmp_path / "proj"), {})).config.project_name == "mine"
    (tmp_path / "proj/runwise.json").write_text("{")
    project = await catalog.view(str(tmp_path / "proj"), {})
    assert project.config.project_name == "mine"
    assert project.notes[0].startswith("runwise.json")


async def test_the_status_counts_what_there_is(add_run: Callable[..., Path], tmp_path: Path, ask: Any) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(None)
    await ask(catalog, tmp_path / "proj")
    status = catalog.status()
    assert (status["runs"], status["indexed"], status["waiting"]) == (1, 1, 0)
    assert status["read_bytes"] == log.stat().st_size


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be another user for a while")
async def test_a_log_that_may_not_be_read_is_noted_and_does_not_hide_others(
    add_run: Callable[..., Path], ask: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        log = add_run("0.31.0-killall", folder)
        add_run("0.31.0-finished", folder)
        log.chmod(0)
        os.seteuid(12345)
        try:
            project = await ask(Catalog(None), folder)
        finally:
            os.seteuid(0)
    assert [run.id for run in project.runs if run.indexed] == ["fxb2c515"]
    assert project.notes == (f"{log}: Permission denied",)
    assert project.unindexed == 0
