"""Runs of several sources, and sources that are written anew as a whole: what stands while something is wrong."""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runwised.catalog import tracked
from runwised.catalog.catalog import Catalog
from runwised.catalog.feeds import Log
from runwised.catalog.store import SidecarFile, write_file
from runwised.catalog.warm import Warm
from runwised.catalog.worker import Done, Job, Source, _serve, work
from runwised.formats import choose
from runwised.index.sidecar import Sidecar
from tests.catalog import loose_logs
from tests.catalog.loose_logs import Point

pytestmark = pytest.mark.anyio


def points(*steps: int, time: float = 1.75e9, **values: float) -> list[Point]:
    return [Point(step, time + step, values or {"loss": float(step)}) for step in steps]


def write_table(path: Path, *steps: int) -> None:
    path.write_bytes(loose_logs.csv_head(["acc"]) + loose_logs.csv(points(*steps, acc=1.0), ["acc"]))


def rest(path: Path) -> None:
    """Have it look as if it had been left alone for a while."""
    os.utime(path, (time.time() - 60,) * 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "proj/logs/exp"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def see(ask: Any, folder: Path) -> Callable[..., Any]:
    """The only run of the folder, as a catalog sees it."""

    async def see(catalog: Catalog) -> Any:
        (run,) = (await ask(catalog, folder.parents[1])).runs
        return run

    return see


# Tables that are written anew.


async def test_a_table_begun_anew_with_less_is_taken_once_it_rests_though_its_last_row_is_torn(
    folder: Path, see: Any
) -> None:
    table, catalog = folder / "metrics.csv", Catalog(None)
    write_table(table, 1, 2, 3)
    await see(catalog)
    table.write_bytes(loose_logs.csv_head(["acc"]) + b"1,0.5,\n2,0.2")
    assert (await see(catalog)).history.row_count == 3
    rest(table)
    assert (await see(catalog)).history.series("acc").values.tolist() == [0.5]


async def test_a_log_beside_it_that_goes_on_does_not_keep_a_table_from_being_at_rest(folder: Path, see: Any) -> None:
    table, console, catalog = folder / "metrics.csv", folder / "train.log", Catalog(None)
    write_table(table, 1, 2, 3)
    console.write_bytes(loose_logs.text(points(1, loss=1.0)))
    await see(catalog)
    write_table(table, 1)
    rest(table)
    with console.open("ab") as file:
        file.write(loose_logs.text(points(2, loss=1.0)))
    assert (await see(catalog)).history.series("acc").steps.tolist() == [1]


async def test_a_table_that_is_never_at_rest_is_not_held_for_ever(
    folder: Path, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, catalog = folder / "metrics.csv", Catalog(None)
    write_table(table, 1, 2, 3, 4)
    await see(catalog)
    write_table(table, 1)
    assert (await see(catalog)).history.row_count == 4
    monkeypatch.setattr(tracked, "LONGEST_HOLD_SECONDS", 0.0)
    with table.open("ab") as file:
        file.write(loose_logs.csv(points(2, acc=1.0), ["acc"]))
    assert (await see(catalog)).history.row_count == 2


async def test_another_log_that_was_cut_is_read_anew_at_once_beside_a_table_that_was_just_written(
    folder: Path, see: Any
) -> None:
    log, catalog = folder / "metrics.jsonl", Catalog(None)
    log.write_bytes(loose_logs.jsonl(points(1, 2, 3)))
    write_table(folder / "metrics.csv", 1, 2)
    await see(catalog)
    log.write_bytes(loose_logs.jsonl(points(1)))
    run = await see(catalog)
    assert run.history.series("loss").steps.tolist() == [1]
    assert len(list(run.rows(0, 10))) == 2


# Sources that cannot be read.


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of a user who is not root; the test runs as that user from then on."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base, "proj/logs/exp")
        folder.mkdir(parents=True)
        if os.geteuid() != 0:
            yield folder
            return
        for path in (Path(base), *Path(base).rglob("*")):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


async def test_a_source_that_cannot_be_read_hides_none_of_the_others(nobody: Path, ask: Any) -> None:
    log, table, catalog = nobody / "metrics.jsonl", nobody / "metrics.csv", Catalog(None)
    log.write_bytes(loose_logs.jsonl(points(1, 2)))
    write_table(table, 1, 2, 3)
    events = nobody / "events.out.tfevents.1750000000.host.1.0"
    events.write_bytes(loose_logs.events_head(1.75e9) + loose_logs.events(points(1, tb=1.0)))
    (run,) = (await ask(catalog, nobody.parents[1])).runs
    assert list(run.history.names) == ["loss", "acc", "tb"]
    log.chmod(0)
    events.chmod(0)
    project = await ask(catalog, nobody.parents[1])
    assert list(project.runs[0].history.names) == ["acc"]
    assert project.notes == (f"{log}: Permission denied",)
    rest(table)
    with table.open("ab") as file:
        file.write(loose_logs.csv(points(4, acc=1.0), ["acc"]))
    rest(table)
    (run,) = (await ask(catalog, nobody.parents[1])).runs
    assert run.history.series("acc").steps.tolist() == [1, 2, 3, 4]
    log.chmod(0o600)
    events.chmod(0o600)
    project = await ask(catalog, nobody.parents[1])
    assert list(project.runs[0].history.names) == ["loss", "acc", "tb"]
    assert project.notes == ()


async def test_a_source_that_vanished_takes_only_its_own_rows_with_it(folder: Path, see: Any) -> None:
    catalog = Catalog(None)
    (folder / "metrics.jsonl").write_bytes(loose_logs.jsonl(points(1, 2)))
    write_table(folder / "metrics.csv", 1, 2, 3)
    await see(catalog)
    (folder / "metrics.csv").unlink()
    assert list((await see(catalog)).history.names) == ["loss"]


def test_a_worker_names_the_source_it_cannot_read(tmp_path: Path) -> None:
    there, gone = tmp_path / "metrics.jsonl", tmp_path / "events.out.tfevents.1"
    there.write_bytes(loose_logs.jsonl(points(1)))
    out = io.BytesIO()
    _serve(Job([Source.of(log) for log in logs_of(there, gone)], ""), out)
    done = msgspec.convert(json.loads(out.getvalue().splitlines()[0]), Done)
    assert (done.error, done.unreadable) == ("No such file or directory", str(gone))


# Sources that are written at the same time.


def logs_of(*paths: Path) -> list[Log]:
    return [Log(str(path), form) for path in paths if (form := choose(path.name, b"{")) is not None]


def test_a_worker_begins_anew_where_a_saved_index_took_a_writer_for_one_that_had_ended(tmp_path: Path) -> None:
    first, second = (tmp_path / f"events.out.tfevents.{number}.host" for number in (1, 2))
    first.write_bytes(loose_logs.events_head(1.75e9) + loose_logs.events(points(1, 2, 9)))
    second.write_bytes(loose_logs.events_head(1.76e9) + loose_logs.events(points(3, 4, time=1.76e9)))
    logs = logs_of(first, second)
    warm = Warm(logs)
    while warm.step():
        pass
    assert warm.index.history.series("loss").steps.tolist() == [1, 2, 3, 4]
    sidecar = tmp_path / "cache/saved"
    sidecar.parent.mkdir()
    write_file(str(sidecar), warm.parts())
    with first.open("ab") as file:
        file.write(loose_logs.events(points(10, time=1.77e9)))
    work(Job([Source.of(log) for log in logs], str(sidecar)))
    file = SidecarFile(str(sidecar))
    assert Sidecar(file.read_at, file.size).history.series("loss").steps.tolist() == [1, 2, 3, 4, 9, 10]


async def test_rows_are_read_back_as_they_are_served_where_two_writers_log_the_same_step(
    folder: Path, see: Any
) -> None:
    names = "events.out.tfevents.1750000000.a", "events.out.tfevents.1750000001.b"
    first, second = (folder / name for name in names)
    first.write_bytes(loose_logs.events_head(1.75e9) + loose_logs.events(points(1, 2, loss=1.0)))
    second.write_bytes(loose_logs.events_head(1.75e9) + loose_logs.events(points(1, 2, 3, loss=2.0)))
    catalog = Catalog(None)
    await see(catalog)
    with first.open("ab") as file:
        file.write(loose_logs.events(points(3, loss=1.0)))
    for run in (await see(catalog), await see(Catalog(None))):
        assert run.history.series("loss").values.tolist() == [1.0, 1.0, 1.0]
        assert [row.values for _, row in run.rows(0, 10)] == [{"loss": 1.0}] * 3
