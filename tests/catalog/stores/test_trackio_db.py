"""trackio's database: runs by id or, in old ones, by name; rows that are still in the write-ahead log."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.stores import StoreChangedError, find_store
from runwised.catalog.stores.databases import Databases
from runwised.catalog.stores.trackio_db import TrackioDatabase
from runwised.formats.record import Alert, Rows

STAMP = "2026-11-23T14:58:10.298699+00:00"


@pytest.fixture
def store(databases: Databases) -> TrackioDatabase:
    return TrackioDatabase(databases)


@pytest.fixture
def path(fixture_copy: Any) -> Path:
    folder: Path = fixture_copy("trackio_live")
    return folder / "trackio" / "demo-proj.db"


@pytest.fixture
def old(tmp_path: Path) -> sqlite3.Connection:
    """A project of a trackio that knew no run ids."""
    database = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    database.execute(
        "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT, run_name TEXT, step INTEGER,"
        " metrics TEXT)"
    )
    return database


def log(database: sqlite3.Connection, run: str, step: int, **values: Any) -> None:
    row = (STAMP, run, step, json.dumps(values))
    database.execute("INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)", row)


@pytest.mark.parametrize("most", [1, 7, 10_000])
@pytest.mark.parametrize("has_shm", [True, False])
def test_every_run_says_what_was_logged(
    store: TrackioDatabase, path: Path, truth: Any, read_whole: Any, told_as: Any, most: int, has_shm: bool
) -> None:
    if not has_shm:
        path.with_name("demo-proj.db-shm").unlink()
    beside = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    found = find_store(str(path))
    assert found is not None
    assert found.name == "trackio"
    runs = {run.name: run for run in store.list_runs(str(path))}
    true_runs = truth("trackio_live")["runs"]
    assert list(runs) == list(true_runs)
    for name, true in true_runs.items():
        run = runs[name]
        assert (run.experiment, run.run_id) == (true["project"], run.key)
        whole, cursor = read_whole(store, path, run.key, most=most)
        assert whole.series.keys() == true["series"].keys()
        for key, series in true["series"].items():
            told_as(whole.series[key], series)
        assert whole.config == true["config"]
        assert (whole.identity["name"], whole.identity["project"]) == (name, "demo-proj")
        assert whole.exits == []
        rows = list(store.rows(str(path), run.key, cursor, whole.offsets))
        assert [row.values["nested.a"] for row in rows] == true["series"]["nested.a"]["values"]
        assert rows[0].values["note"] == "text"
        assert math.isnan(rows[9].values["train/loss"])
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == beside


def test_rows_alerts_and_samples_that_come_later_come_once(store: TrackioDatabase, path: Path, read_whole: Any) -> None:
    run = store.list_runs(str(path))[1]
    _, cursor = read_whole(store, path, run.key)
    assert store.read(str(path), run.key, cursor, 50)[::2] == ([], 0)
    database = sqlite3.connect(path, isolation_level=None)
    row = (run.key, STAMP, "beta", 100, b'{"train/loss": "-Infinity"}')
    database.execute("INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)", row)
    sample = (run.key, STAMP, "beta", b'{"gpu": {"0": 55.5}}')
    database.execute("INSERT INTO system_metrics (run_id, timestamp, run_name, metrics) VALUES (?, ?, ?, ?)", sample)
    alert = (run.key, STAMP, "beta", "stuck", "no progress", "warn")
    database.execute("INSERT INTO alerts (run_id, timestamp, run_name, title, text, level) VALUES (?,?,?,?,?,?)", alert)
    whole, cursor = read_whole(store, path, run.key, cursor, most=1)
    assert whole.series == {"train/loss": [(100, -math.inf)]}
    (system,) = [batch for batch in whole.batches if isinstance(batch, Rows) and batch.table == "system"]
    assert [(column.key, column.values.tolist()) for column in system.columns] == [("gpu.0", [55.5])]
    assert [batch for batch in whole.batches if isinstance(batch, Alert)] == [Alert(1, "stuck", "no progress", "WARN")]
    assert not whole.identity
    database.execute("UPDATE configs SET config = ? WHERE run_id = ?", ('{"lr": "NaN", "_Group": "g"}', run.key))
    again, cursor = read_whole(store, path, run.key, cursor)
    assert (again.identity["group"], repr(again.config)) == ("g", "{'lr': nan}")
    database.execute("DELETE FROM metrics WHERE run_id = ? AND step = 100", (run.key,))
    database.close()
    with pytest.raises(StoreChangedError):
        store.read(str(path), run.key, cursor, 50)
    with pytest.raises(StoreChangedError):
        list(store.rows(str(path), run.key, cursor, whole.offsets))
    with pytest.raises(OSError, match="no run"):
        store.read(str(path), "nobody", b"", 50)


def test_without_run_ids_a_run_is_its_name(
    store: TrackioDatabase, old: sqlite3.Connection, tmp_path: Path, read_whole: Any
) -> None:
    path = tmp_path / "old.db"
    for step in range(3):
        log(old, "one", step, loss=step)
        log(old, "two", step, loss=-step)
    assert store.matches(str(path))
    runs = store.list_runs(str(path))
    assert [(run.key, run.run_id, run.name, run.experiment) for run in runs] == [
        ("one", "one", "one", "old"),
        ("two", "two", "two", "old"),
    ]
    whole, _ = read_whole(store, path, "two")
    assert whole.series == {"loss": [(0, 0.0), (1, -1.0), (2, -2.0)]}
    old.close()


def test_the_few_new_rows_of_a_run_are_found_as_well_as_very_many(
    store: TrackioDatabase, old: sqlite3.Connection, tmp_path: Path, read_whole: Any
) -> None:
    old.execute("BEGIN")
    for step in range(25_000):
        log(old, "one" if step % 5 else "two", step, loss=step)
    old.execute("COMMIT")
    one, _ = read_whole(store, tmp_path / "old.db", "one", most=9000)
    assert one.series["loss"] == [(step, float(step)) for step in range(25_000) if step % 5]
    old.close()


def test_a_row_that_is_no_object_costs_only_itself(
    store: TrackioDatabase, old: sqlite3.Connection, tmp_path: Path, read_whole: Any
) -> None:
    log(old, "one", 0, loss=1)
    for bad in ("{cut", "[1]", 5, None):
        old.execute("INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, 'one', 1, ?)", (STAMP, bad))
    log(old, "one", 2, loss=3)
    whole, _ = read_whole(store, tmp_path / "old.db", "one")
    assert whole.series == {"loss": [(0, 1.0), (2, 3.0)]}
    old.close()


def test_a_new_database_that_is_all_in_its_log_is_known(store: TrackioDatabase, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step, metrics)")
    log(database, "one", 0, loss=1)
    assert b"run_name" not in path.read_bytes()
    assert store.matches(str(path))
    assert [run.key for run in store.list_runs(str(path))] == ["one"]
    database.close()
