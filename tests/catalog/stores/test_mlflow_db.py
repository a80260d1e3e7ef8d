"""MLflow's database: what its runs say, and that nobody who writes it is ever in our way or we in theirs."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.stores import StoreChangedError, find_store
from runwised.catalog.stores.databases import Databases
from runwised.catalog.stores.mlflow_db import MlflowDatabase
from runwised.formats.record import Damage, Rows

CONFIG = {"lr": 0.0003, "model/layers": 12, "note": "a=b, c"}
CODES = {"finished": [0], "failed": [1], "running": []}


@pytest.fixture
def store(databases: Databases) -> MlflowDatabase:
    return MlflowDatabase(databases)


@pytest.fixture
def path(fixture_copy: Any) -> Path:
    folder: Path = fixture_copy("mlflow_sqlite")
    return folder / "mlflow.db"


@pytest.fixture
def run(truth: Any) -> str:
    """The run that goes on."""
    return next(key for key, run in truth("mlflow_sqlite")["runs"].items() if run["state"] == "running")


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_every_run_says_what_was_logged(
    store: MlflowDatabase, path: Path, truth: Any, read_whole: Any, told_as: Any, most: int
) -> None:
    found = find_store(str(path))
    assert found is not None
    assert found.name == "mlflow-db"
    runs = {run.key: run for run in store.list_runs(str(path))}
    true_runs = truth("mlflow_sqlite")["runs"]
    assert runs.keys() == true_runs.keys()
    for key, true in true_runs.items():
        whole, cursor = read_whole(store, path, key, most=most)
        for name, series in true["series"].items():
            told_as(whole.series.pop(name), series)
        assert whole.series == {"no_step": list(enumerate(true["stepless"]["no_step"]))}
        assert whole.config == CONFIG
        assert (runs[key].name, runs[key].experiment) == (true["name"], true["experiment"])
        assert (whole.identity["name"], whole.identity["run_id"]) == (true["name"], key)
        assert (whole.identity["project"], whole.identity["tags"]) == ("tiny-lm", ("team=nlp",))
        assert [each.code for each in whole.exits] == CODES[true["state"]]
        rows = list(store.rows(str(path), key, cursor, whole.offsets[::-1]))
        assert len(rows) == len(whole.offsets)
        assert rows[-1].values == {"train/loss": true["series"]["train/loss"]["values"][0]}


def test_what_is_inserted_later_comes_once(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any, mlflow_writer: Any
) -> None:
    first, cursor = read_whole(store, path, run)
    assert store.read(str(path), run, cursor, 50)[::2] == ([], 0)
    with mlflow_writer(path) as writer:
        writer.point(run, "train/loss", math.nan, 25)
        writer.point(run, "train/loss", -1.7976931348623157e308, 26)
        writer.point(run, "no_step", 4.0, 0)
        writer.point(run, "no_step", 5.0, 9)
        writer.point(run, "no_step", 6.0, 0)
    more, cursor = read_whole(store, path, run, cursor)
    assert repr(more.series["train/loss"]) == "[(25, nan), (26, -inf)]"
    assert more.series["no_step"] == [(3, 4.0), (9, 5.0), (0, 6.0)]
    assert not set(first.offsets) & set(more.offsets)
    assert not more.identity
    with mlflow_writer(path) as writer:
        writer.execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", run)
        writer.execute("INSERT INTO params VALUES ('late', '1e-3', ?)", run)
    ended, cursor = read_whole(store, path, run, cursor)
    assert [each.code for each in ended.exits] == [-9]
    assert ended.config["late"] == 0.001
    with mlflow_writer(path) as writer:
        writer.execute("INSERT INTO tags VALUES ('new', 'tag', ?)", run)
    again, cursor = read_whole(store, path, run, cursor)
    assert (again.exits, again.identity["tags"]) == ([], ("new=tag", "team=nlp"))
    with mlflow_writer(path) as writer:
        writer.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", run)
    with pytest.raises(StoreChangedError, match="goes on"):
        store.read(str(path), run, cursor, 50)


def test_a_cursor_whose_point_is_gone_or_another_is_refused(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any, mlflow_writer: Any
) -> None:
    whole, cursor = read_whole(store, path, run)
    with mlflow_writer(path) as writer:
        writer.execute("UPDATE metrics SET value = 77 WHERE rowid = ?", whole.offsets[-1])
    with pytest.raises(StoreChangedError):
        store.read(str(path), run, cursor, 50)
    with mlflow_writer(path) as writer:
        writer.execute("DELETE FROM metrics WHERE rowid = ?", whole.offsets[-1])
    with pytest.raises(StoreChangedError):
        store.read(str(path), run, cursor, 50)
    with pytest.raises(StoreChangedError):
        list(store.rows(str(path), run, cursor, whole.offsets))
    with pytest.raises(StoreChangedError, match="another version"):
        store.read(str(path), run, b"\xff\xff", 50)
    with mlflow_writer(path) as writer:
        writer.execute("DELETE FROM runs WHERE run_uuid = ?", run)
    with pytest.raises(StoreChangedError):
        store.read(str(path), run, cursor, 50)
    with pytest.raises(OSError, match="no run"):
        store.read(str(path), run, b"", 50)


def test_deleted_runs_and_those_of_deleted_experiments_are_left_out(
    store: MlflowDatabase, path: Path, run: str, mlflow_writer: Any
) -> None:
    with mlflow_writer(path) as writer:
        writer.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", run)
    assert run not in {each.key for each in store.list_runs(str(path))}
    with mlflow_writer(path) as writer:
        writer.execute("UPDATE experiments SET lifecycle_stage = 'deleted'")
    assert store.list_runs(str(path)) == []


def test_a_point_that_is_no_number_is_damage_and_costs_only_itself(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any, mlflow_writer: Any
) -> None:
    _, cursor = read_whole(store, path, run)
    with mlflow_writer(path) as writer:
        writer.point(run, "bad", 1.0, 0)
        writer.execute("UPDATE metrics SET value = 'text' WHERE key = 'bad'")
        writer.point(run, "good", 2.0, 0)
        writer.execute("INSERT INTO metrics VALUES (CAST(x'6b80' AS TEXT), 3.0, 1750000000000, ?, 7, 0)", run)
    whole, _ = read_whole(store, path, run, cursor)
    assert whole.series == {"good": [(0, 2.0)], "k\ufffd": [(7, 3.0)]}
    assert [batch.reason for batch in whole.batches if isinstance(batch, Damage)] == ["a row is no metric point"]


def test_a_transaction_whose_writer_was_killed_never_happened(
    store: MlflowDatabase, path: Path, run: str, truth: Any, read_whole: Any, told_as: Any, killed_in_transaction: Any
) -> None:
    before = path.read_bytes()
    killed_in_transaction(path, run)
    beside = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert beside["mlflow.db"] != before
    assert store.matches(str(path))
    whole, cursor = read_whole(store, path, run)
    true = truth("mlflow_sqlite")["runs"][run]
    told_as(whole.series["train/loss"], true["series"]["train/loss"])
    assert "lost" not in whole.series
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == beside
    # The next writer rolls it back, and all goes on where it was.
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO metrics VALUES ('live', 1.0, 1750000000000, ?, 3, 0)", (run,))
    database.close()
    more, _ = read_whole(store, path, run, cursor)
    assert more.series == {"live": [(3, 1.0)]}


def test_a_transaction_that_goes_on_is_not_seen_before_its_end(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any
) -> None:
    writer = sqlite3.connect(path, isolation_level=None, timeout=0)
    writer.execute("PRAGMA cache_size=5")
    writer.execute("BEGIN IMMEDIATE")
    points = [("open", run, n) for n in range(20_000)]
    writer.executemany("INSERT INTO metrics VALUES (?, 1.0, 1750000000000, ?, ?, 0)", points)
    whole, cursor = read_whole(store, path, run)
    assert "open" not in whole.series
    writer.execute("COMMIT")
    writer.close()
    more, _ = read_whole(store, path, run, cursor, most=9000)
    assert more.series["open"] == [(n, 1.0) for n in range(20_000)]


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
def test_a_writer_is_never_refused_and_nothing_is_made_beside_the_database(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any, live_writer: Any, mode: str
) -> None:
    _, cursor = read_whole(store, path, run)
    writer = live_writer(path, mode, run)
    may_be = {"mlflow.db", "truth.json", "mlflow.db-wal" if mode == "WAL" else "mlflow.db-journal"}
    may_be |= {"mlflow.db-shm"} if mode == "WAL" else set()
    series: list[tuple[int, float]] = []
    reads = given_up = 0
    while reads < 200 or len(series) < 20:
        reads += 1
        try:
            piece = store.read(str(path), run, cursor, 1000)
        except BlockingIOError:  # on a busy machine the writer may not leave a moment; it is asked again
            given_up += 1
            continue
        cursor = piece.cursor
        for batch in piece.batches:
            assert isinstance(batch, Rows)
            series += zip(batch.steps.tolist(), batch.columns[0].values.tolist(), strict=True)
        assert {each.name for each in path.parent.iterdir()} <= may_be
    done, refused = writer.stop()
    assert refused == 0
    assert given_up <= reads // 10
    more, cursor = read_whole(store, path, run, cursor)
    series += more.series.get("live", [])
    assert series == [(n, float(n)) for n in range(done)]


def test_a_log_that_its_writer_left_behind_counts(
    store: MlflowDatabase, path: Path, run: str, read_whole: Any, tmp_path: Path
) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("INSERT INTO metrics VALUES ('live', 1.0, 1750000000000, ?, 3, 0)", (run,))
    left = tmp_path / "left"
    left.mkdir()
    for name in ("mlflow.db", "mlflow.db-wal"):
        shutil.copyfile(path.with_name(name), left / name)
    writer.close()
    for database in (path, left / "mlflow.db"):
        whole, _ = read_whole(store, database, run)
        assert whole.series["live"] == [(3, 1.0)]
    assert sorted(each.name for each in left.iterdir()) == ["mlflow.db", "mlflow.db-wal"]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"no database at all", b"\x8f" * 8192])
def test_what_is_no_such_database_is_refused_with_a_reason(
    store: MlflowDatabase, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(content)
    assert not store.matches(str(path))
    for ask in (lambda: store.list_runs(str(path)), lambda: store.read(str(path), "a" * 32, b"", 5)):
        with pytest.raises(OSError, match=r".") as raised:
            ask()
        assert raised.value.filename == str(path)
        assert raised.value.strerror
        assert "\n" not in raised.value.strerror


def test_a_database_with_other_tables_and_one_that_is_not_there_are_refused(
    store: MlflowDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "other.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE metrics (a, b)")
    database.close()
    assert find_store(str(path)) is None
    with pytest.raises(OSError, match="no such table"):
        store.list_runs(str(path))
    assert store.look(str(tmp_path / "none.db"), "") is None
    with pytest.raises(FileNotFoundError):
        store.list_runs(str(tmp_path / "none.db"))
    assert not store.matches(str(tmp_path / "none.db"))


def test_a_damaged_page_is_an_error_with_a_reason(store: MlflowDatabase, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * len(content[4096:])
    path.write_bytes(content)
    with pytest.raises(OSError, match="cannot be read"):
        store.list_runs(str(path))


def test_a_look_adds_the_log_to_the_database(store: MlflowDatabase, path: Path, run: str) -> None:
    before = store.look(str(path), run)
    assert before is not None
    assert before.size == path.stat().st_size
    path.with_name("mlflow.db-wal").write_bytes(bytes(100))
    after = store.look(str(path), run)
    assert after is not None
    assert (after.size, after.inode) == (before.size + 100, before.inode)
    assert after.mtime_ns > before.mtime_ns


def test_the_live_writer_would_notice_a_lock(path: Path, run: str, live_writer: Any) -> None:
    writer = live_writer(path, "DELETE", run)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM metrics").fetchone()
    writer.wait_refused()
    reader.close()
    assert writer.stop()[1] > 0
