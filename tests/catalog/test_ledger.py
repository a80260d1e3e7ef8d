"""A cursor stands for what all runs were like when it was given, or for nothing: never for anything else."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.catalog import ledger as ledgers
from runwised.catalog.ledger import Ledger
from runwised.index.kept import Mark, Past

HERE = "/data/proj"

FULL = """
import resource, sys
from pathlib import Path
from runwised.catalog.ledger import Ledger
from runwised.index.kept import Mark
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
ledger = Ledger(Path(sys.argv[1]))
marks = [Mark(number, number, "running", None, 1, 0) for number in range(40)]
cursors = [ledger.note("/data/other", {"a": mark}) for mark in marks]
assert [ledger.past("/data/other", cursor).marks for cursor in cursors] == [{"a": mark} for mark in marks]
ledger.close()
print(*cursors)
"""


def mark(records: int, state: str = "running") -> Mark:
    return Mark(records, records - 1, state, None, 1, 10 * records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/ledger"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Ledger]]:
    """Open one more ledger at the path; all are closed at the end."""
    held: list[Ledger] = []

    def open_one() -> Ledger:
        held.append(Ledger(path))
        return held[-1]

    yield open_one
    for each in held:
        each.close()


def told(ledger: Ledger, seed: int = 0, count: int = 30) -> dict[str, dict[str, Mark]]:
    """Let a project of some runs go on; what it was like at each cursor."""
    dice, start = random.Random(seed), ledger.past(HERE, ledger.note(HERE, {}))
    now, said = dict(start.marks or {}) if start else {}, dict[str, dict[str, Mark]]()
    for number in range(1, count + 1):
        name = f"run{dice.randrange(6)}"
        if name in now and dice.random() < 0.2:
            del now[name]
            cursor = ledger.note(HERE, {name: None})
        else:
            now[name] = mark(1000 * seed + number)
            cursor = ledger.note(HERE, {name: now[name]})
        said[cursor] = dict(now)
    return said


def known(ledger: Ledger, cursors: dict[str, dict[str, Mark]]) -> list[str]:
    """The cursors the ledger knows; each must be right."""
    found = {cursor: past for cursor in cursors if (past := ledger.past(HERE, cursor)) is not None}
    assert {cursor: past.marks for cursor, past in found.items()} == {cursor: cursors[cursor] for cursor in found}
    return list(found)


def test_the_same_marks_are_the_same_cursor_and_news_a_new_one(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    first = ledger.note(HERE, {"a": mark(1), "b": mark(5)})
    assert first.startswith("@")
    assert ledger.note(HERE, {"a": mark(1)}) == ledger.note(HERE, {}) == ledger.note(HERE, {"c": None}) == first
    second = ledger.note(HERE, {"a": mark(2)})
    third = ledger.note(HERE, {"a": mark(1)})
    assert len({first, second, third}) == 3
    assert ledger.past(HERE, first) == ledger.past(HERE, third) == Past({"a": mark(1), "b": mark(5)})
    assert ledger.past(HERE, second) == Past({"a": mark(2), "b": mark(5)})


@pytest.mark.parametrize("seed", range(3))
def test_every_cursor_stands_for_its_moment_before_and_after_the_file_is_read_again(
    opened: Callable[[], Ledger], seed: int
) -> None:
    first = opened()
    said = told(first, seed)
    assert known(first, said) == list(said)
    first.close()
    second = opened()
    assert known(second, said) == list(said)
    more = told(second, seed + 7)
    assert not said.keys() & more.keys()
    second.close()
    assert known(opened(), said) == list(said)


def test_a_run_that_is_gone_is_not_there_from_then_on_and_still_was_before(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    before = ledger.note(HERE, {"a": mark(1), "b": mark(1)})
    after = ledger.note(HERE, {"a": None})
    again = ledger.note(HERE, {"a": mark(1)})
    assert ledger.past(HERE, before) == ledger.past(HERE, again) == Past({"a": mark(1), "b": mark(1)})
    assert ledger.past(HERE, after) == Past({"b": mark(1)})
    assert ledger.note(HERE, {"a": None}) != ledger.note(HERE, {"b": None})
    assert ledger.names(HERE) == set()


def test_projects_do_not_mix_and_one_not_looked_at_yet_has_no_marks(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    first = ledger.note(HERE, {"a": mark(1)})
    empty = ledger.note("/data/empty", {})
    assert empty != first
    assert ledger.note("/data/empty", {}) == empty
    last = ledger.note("/data/other", {"a": mark(9)})
    for cursor in (first, empty, last):
        assert ledger.past(HERE, cursor) == Past({"a": mark(1)})
    assert [ledger.past("/data/other", cursor) for cursor in (first, last)] == [Past(None), Past({"a": mark(9)})]
    assert [ledger.past("/data/empty", cursor) for cursor in (first, empty)] == [Past(None), Past({})]
    assert ledger.past("/data/never", last) == Past(None)
    assert (ledger.names(HERE), ledger.names("/data/never")) == ({"a"}, set())


def test_names_that_are_no_utf8_are_kept_as_they_are(opened: Callable[[], Ledger]) -> None:
    project, run = os.fsdecode(b"/data/\xff"), os.fsdecode(b"r\x80n")
    first = opened()
    cursor = first.note(project, {run: mark(1)})
    first.close()
    again = opened()
    assert again.past(project, cursor) == Past({run: mark(1)})
    assert again.names(project) == {run}


@pytest.mark.parametrize(
    "typed", ["", "@", "@1", "@123", "@zzzz", "@!!!!", "@0000", "@ıııı", "@" + "1" * 5000, "@\udc80abc", "latest"]
)
def test_what_is_no_cursor_is_unknown(opened: Callable[[], Ledger], typed: str) -> None:
    ledger = opened()
    told(ledger)
    assert ledger.past(HERE, typed) is None


def test_a_cursor_may_be_typed_in_capitals_and_without_its_sign(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    cursor = ledger.note(HERE, {"a": mark(1)})
    assert ledger.past(HERE, cursor.upper()) == ledger.past(HERE, cursor[1:]) == Past({"a": mark(1)})
    assert ledger.past(HERE, f"@0{cursor[1:]}") is None


def test_a_cursor_of_another_ledger_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter((123_456_789, 987_654_321))
    monkeypatch.setattr(ledgers, "_lot", lambda: next(seeds))  # by chance one in 32,768 would fit
    one, other = Ledger(tmp_path / "one"), Ledger(None)
    said = told(one)
    assert told(other).keys().isdisjoint(said)
    assert known(other, said) == []
    one.close()


def test_a_file_torn_at_any_length_knows_a_beginning_of_its_cursors(
    path: Path, opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A check has 15 bits: of the thousands of cursors tried here a few would be taken for others by chance.
    monkeypatch.setattr(ledgers, "_lot", lambda: 7)
    first = opened()
    said = told(first, count=12)
    first.close()
    data, most = path.read_bytes(), 0
    monkeypatch.setattr(ledgers, "_lot", lambda: 42)
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        torn = Ledger(path)
        left = known(torn, said)
        assert left == list(said)[: len(left)]
        assert len(left) >= most
        most = len(left)
        more = told(torn, seed=length + 1, count=12 - len(left))
        assert known(torn, said) == left
        torn.close()
        again = Ledger(path)
        assert known(again, {**said, **more}) == [*left, *more]
        again.close()
    assert most == len(said)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, dict[str, dict[str, Mark]]]:
    path = tmp_path_factory.mktemp("flipped") / "ledger"
    first = Ledger(path)
    said = told(first, count=10)
    first.close()
    return path, path.read_bytes(), said


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_never_gives_wrong_marks(
    written: tuple[Path, bytes, dict[str, dict[str, Mark]]], data: st.DataObject
) -> None:
    path, whole, said = written
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    harmed = Ledger(path)
    left = known(harmed, said)
    harmed.close()
    assert left == list(said)[: len(left)]
    assert len(left) < len(said)


def test_bytes_that_are_no_ledger_are_replaced_by_one(path: Path, opened: Callable[[], Ledger]) -> None:
    path.parent.mkdir()
    path.write_bytes(random.Random(1).randbytes(5000))
    first = opened()
    said = told(first)
    first.close()
    assert known(opened(), said) == list(said)


def test_beyond_a_size_the_oldest_cursors_end_and_the_newer_stay_right(
    path: Path, opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MOST_BYTES", 600)
    ledger = opened()
    other = ledger.note("/data/other", {"x": mark(3)})
    said = told(ledger, count=200)
    left = known(ledger, said)
    assert 5 < len(left) < 60
    assert left == list(said)[-len(left) :]
    assert ledger.past("/data/other", other) is None
    assert ledger.past("/data/other", left[0]) == Past({"x": mark(3)})
    ledger.close()
    assert path.stat().st_size < 2000
    assert known(opened(), said) == left


def test_one_block_beyond_that_size_is_kept_whole(
    opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MOST_BYTES", 600)
    ledger = opened()
    marks = {f"run{number}": mark(number) for number in range(500)}
    cursor = ledger.note(HERE, marks)
    assert ledger.past(HERE, cursor) == Past(marks)
    ledger.close()
    assert opened().past(HERE, cursor) == Past(marks)


def test_looking_up_is_right_however_many_cursors_are_asked_for(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    said = told(ledger, count=5 * ledgers.MOST_KEPT)
    for _ in range(2):
        assert known(ledger, said) == list(said)


def test_a_second_one_keeps_what_it_adds_to_itself_and_harms_nothing(opened: Callable[[], Ledger]) -> None:
    first = opened()
    said = told(first, 1)
    second = opened()
    assert known(second, said) == list(said)
    own = told(second, 2)
    later = told(first, 3)
    assert known(second, own) == list(own)
    second.close()
    assert known(first, {**said, **later}) == [*said, *later]
    first.close()
    assert known(opened(), {**said, **later}) == [*said, *later]


def test_one_that_opened_the_file_just_before_it_was_replaced_does_not_write_it(
    opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened()
    said = told(first, 1)
    first.close()
    late, plain = opened(), ledgers.fcntl.flock

    def flock(file: int, operation: int) -> None:
        monkeypatch.setattr(ledgers.fcntl, "flock", plain)
        said.update(told(first_again, 2))
        plain(file, operation)

    first_again = opened()
    monkeypatch.setattr(ledgers.fcntl, "flock", flock)
    told(late, 3)
    first_again.close()
    assert known(opened(), said) == list(said)


def test_the_file_is_for_its_owner_alone_and_nothing_lies_beside_it(path: Path, opened: Callable[[], Ledger]) -> None:
    told(opened())
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("what", ["a file where its folder should be", "a folder in its place", "a link in its place"])
def test_where_no_file_can_be_it_goes_on_in_memory(
    what: str, path: Path, tmp_path: Path, opened: Callable[[], Ledger]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    if what.startswith("a file"):
        path.parent.write_bytes(b"")
    else:
        path.parent.mkdir()
        path.mkdir() if "folder" in what else path.symlink_to(elsewhere)
    ledger = opened()
    said = told(ledger)
    assert known(ledger, said) == list(said)
    assert elsewhere.read_bytes() == b"mine"


def test_a_ledger_without_a_file_knows_its_cursors() -> None:
    ledger = Ledger(None)
    said = told(ledger)
    assert known(ledger, said) == list(said)


@pytest.mark.parametrize("room", [0, 10, 60, 300])
def test_on_a_full_disk_it_goes_on_in_memory_and_what_was_written_stays_good(
    room: int, path: Path, opened: Callable[[], Ledger]
) -> None:
    first = opened()
    said = told(first, count=3)
    first.close()
    size = path.stat().st_size
    limited = [sys.executable, "-W", "error", "-c", FULL, str(path), str(size - 30 + room)]
    ran = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("cursors are good for this daemon alone") == 1
    assert list(path.parent.iterdir()) == [path]
    again = opened()
    assert known(again, said) == list(said)
    for number, cursor in enumerate(ran.stdout.split()):
        assert again.past("/data/other", cursor) in (None, Past({"a": Mark(number, number, "running", None, 1, 0)}))


def test_where_the_file_cannot_be_written_anew_what_is_there_stays_good(
    path: Path, opened: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MOST_BYTES", 600)
    ledger, plain = opened(), os.write
    said = told(ledger, count=10)

    def write(file: int, data: bytes) -> int:
        if len(data) > 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(file, data)

    monkeypatch.setattr(ledgers.os, "write", write)
    more = told(ledger, 5, count=60)
    left = known(ledger, more)
    assert left[-1] == list(more)[-1]
    monkeypatch.setattr(ledgers.os, "write", plain)
    ledger.close()
    assert list(path.parent.iterdir()) == [path]
    again = opened()
    assert known(again, said) == list(said)
    assert known(again, more) == list(more)[: len(known(again, more))]


def test_what_many_pasts_have_in_common_is_held_once(opened: Callable[[], Ledger]) -> None:
    ledger = opened()
    ledger.note(HERE, {f"run{number}": mark(number) for number in range(100)})
    cursors = [ledger.note(HERE, {"run7": mark(200 + number)}) for number in range(8)]
    pasts = [ledger.past(HERE, cursor) for cursor in cursors]
    marks = [past.marks for past in pasts if past and past.marks]
    assert [known["run7"] for known in marks] == [mark(200 + number) for number in range(8)]
    assert len({id(each) for known in marks for each in known.values()}) == 99 + 8
    assert len({id(name) for known in marks for name in known}) == 100
