"""Databases as they are opened: copies are kept while they are true, shared by threads, and deleted afterwards."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runwised.catalog.stores import databases as module
from runwised.catalog.stores import snapshot
from runwised.catalog.stores.databases import Databases, look_at, peek_tables


def count(connection: sqlite3.Connection, _: int) -> int:
    found: int = connection.execute("SELECT count(*) FROM points").fetchone()[0]
    return found


def where(connection: sqlite3.Connection, _: int) -> str:
    """The file that was opened."""
    found: str = connection.execute("PRAGMA database_list").fetchone()[2]
    return found


def settle(path: Path) -> None:
    """Make the files so old that their times can be trusted."""
    for each in path.parent.glob(f"{path.name}*"):
        os.utime(each, (1_750_000_000, 1_750_000_000))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one row and nothing beside it."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "some #1?.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE points (a)")
    database.execute("INSERT INTO points VALUES (1)")
    database.close()
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """A program that has the database open in WAL mode."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO points VALUES (2)")
    yield database
    database.close()


def test_a_quiet_database_is_opened_where_it_is(databases: Databases, path: Path) -> None:
    assert databases.query(str(path), where) == str(path)
    assert databases.query(str(path), count) == 1
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_copy_is_kept_while_the_files_are_as_they_were(
    databases: Databases, path: Path, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    settle(path)
    copied = databases.query(str(path), where)
    assert Path(copied).is_relative_to(tmp_path / "scratch")
    assert Path(copied).parent.stat().st_mode & 0o777 == 0o700
    before = Path(copied).stat()
    log = Path(f"{copied}-wal").stat()
    assert databases.query(str(path), count) == 2
    assert Path(f"{copied}-wal").stat() == log
    writer.execute("INSERT INTO points VALUES (3)")
    assert databases.query(str(path), count) == 3
    # The log alone was copied anew: the database itself had not changed.
    assert Path(copied).stat() == before
    assert Path(f"{copied}-wal").stat().st_size > log.st_size
    writer.execute("PRAGMA wal_checkpoint(RESTART)")
    writer.execute("INSERT INTO points VALUES (4)")
    assert databases.query(str(path), count) == 4
    assert len(list((tmp_path / "scratch").iterdir())) == 1


def test_the_copy_goes_when_the_database_is_quiet_again(
    databases: Databases, path: Path, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    assert databases.query(str(path), count) == 2
    writer.close()
    assert databases.query(str(path), where) == str(path)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_emptied_log_leaves_the_database_quiet(databases: Databases, path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.with_name(f"{path.name}-wal").stat().st_size == 0
    assert databases.query(str(path), where) == str(path)
    assert databases.query(str(path), count) == 2


def test_threads_may_ask_at_once(databases: Databases, path: Path, writer: sqlite3.Connection) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(databases.query, str(path), count) for _ in range(40)]
        for number in range(20):
            writer.execute("INSERT INTO points VALUES (?)", (number,))
        found = [each.result() for each in asked]
    assert set(found) <= set(range(2, 23))
    assert databases.query(str(path), count) == 22


def test_no_more_than_a_few_stay_open(databases: Databases, path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for number in range(module.MOST_OPEN + 3):
        other = tmp_path / "data" / f"{number}.db"
        other.write_bytes(content)
        assert databases.query(str(other), count) == 1
        assert len(databases) <= module.MOST_OPEN


@pytest.mark.usefixtures("writer")
def test_what_is_idle_is_closed(
    databases: Databases,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    databases.query(str(path), count)
    databases.close_idle()
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    monkeypatch.setattr(module, "IDLE_SECONDS", -1.0)
    databases.close_idle()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert databases.query(str(path), count) == 2


@pytest.mark.usefixtures("writer")
def test_a_copy_that_would_be_too_large_is_refused(
    databases: Databases, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MOST_COPIED_BYTES", 4096)
    with pytest.raises(OSError, match="too many to copy") as raised:
        databases.query(str(path), count)
    assert raised.value.filename == str(path)


def test_a_read_that_a_writer_comes_between_is_done_again_with_fewer_rows(databases: Databases, path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def ask(connection: sqlite3.Connection, most: int) -> int:
        asked.append((count(connection, 0), most))
        if len(asked) < 3:
            with sqlite3.connect(path) as database:
                database.execute("INSERT INTO points VALUES (9)")
            database.close()
        return asked[-1][0]

    assert databases.query(str(path), ask, 10_000) == 3
    assert asked == [(1, 10_000), (2, 2500), (3, 625)]


def test_an_error_out_of_a_disturbed_read_does_not_count(databases: Databases, path: Path) -> None:
    def ask(connection: sqlite3.Connection, _: int) -> int:
        found = count(connection, 0)
        if found == 1:
            with sqlite3.connect(path) as database:
                database.execute("INSERT INTO points VALUES (9)")
            database.close()
            raise sqlite3.DatabaseError("database disk image is malformed")
        return found

    assert databases.query(str(path), ask) == 2


def test_a_database_that_is_never_left_alone_is_given_up_with_a_reason(databases: Databases, path: Path) -> None:
    def ask(*_: object) -> None:
        with sqlite3.connect(path) as database:
            database.execute("INSERT INTO points VALUES (9)")
        database.close()

    with pytest.raises(BlockingIOError, match="being written"):
        databases.query(str(path), ask)


@pytest.mark.usefixtures("writer")
def test_a_process_that_ends_without_closing_leaves_no_copy(path: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "left"
    scratch.mkdir()
    program = (
        "import os, sys\n"
        "from runwised.catalog.stores.databases import Databases\n"
        "databases = Databases(sys.argv[2])\n"
        "ask = lambda connection, most: connection.execute('SELECT count(*) FROM points').fetchone()[0]\n"
        "print(databases.query(sys.argv[1], ask), len(os.listdir(sys.argv[2])), flush=True)\n"
        "if not os.fork():\n"
        "    print(databases.query(sys.argv[1], ask), len(os.listdir(sys.argv[2])), flush=True)\n"
        "    sys.exit()\n"
        "os.wait()\n"
        "print(databases.query(sys.argv[1], ask), len(os.listdir(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", program, str(path), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.splitlines()) == ["2 1", "2 1", "2 2"]
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("writer")
def test_what_a_killed_process_left_is_swept_away_after_a_while(path: Path, tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    scratch = tmp_path / "left"
    names = [f"runwised-store-{int(gone.stdout)}-old", f"runwised-store-{os.getpid()}-mine", "other"]
    for name in [*names, f"runwised-store-{int(gone.stdout)}-new"]:
        (scratch / name).mkdir(parents=True)
        (scratch / name / "copy.db").touch()
        if name in names:
            os.utime(scratch / name, (1_750_000_000, 1_750_000_000))
    with Databases(str(scratch)) as databases:
        assert databases.query(str(path), count) == 2
    left = {each.name for each in scratch.iterdir()}
    assert left == {names[1], names[2], f"runwised-store-{int(gone.stdout)}-new"}


def test_tables_are_told_at_one_look(path: Path) -> None:
    assert peek_tables(str(path)) == {"points": "a)"}
    assert peek_tables(str(path.parent)) == {}
    assert peek_tables(str(path.parent / "none")) == {}


@pytest.mark.usefixtures("writer")
def test_a_link_to_a_database_finds_the_log_beside_the_database(
    databases: Databases, path: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert databases.query(str(link), count) == 2
    seen = look_at(str(link))
    assert seen is not None
    assert seen.size == sum(each.stat().st_size for each in path.parent.iterdir() if not each.name.endswith("-shm"))
