"""How far a run is: its records, its newest segment's console, and when its program was last heard of."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.index.kept import Mark
from runwised.index.view import Unreadable
from tests.formats.conftest import LogWriter, field

pytestmark = pytest.mark.anyio

RECORDS_ONLY = ["0.16.6-finished", "0.19.11-finished", "0.17.5-core", "0.21.4-resumed", "0.28.2-failed"]


def texts(lines: Any) -> list[str]:
    return [line.text for line in lines]


@pytest.mark.parametrize("fixture", RECORDS_ONLY)
async def test_where_only_the_log_has_the_console_its_end_is_negative_and_all_before_is_behind_it(
    fixture: str, add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run(fixture)
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert run.console_end < -1
    assert texts(run.console_from(run.console_end)) == []
    for before in (-1, 0, 500):
        whole = texts(run.console_from(before))
        assert whole
        assert whole == texts(run.console())[-len(whole) :]


async def test_a_console_in_the_log_gives_what_was_printed_behind_each_end(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.28.2-failed")
    data, catalog = log.read_bytes(), Catalog(None)
    ends: dict[int, list[str]] = {}
    for share in range(1, 9):
        log.write_bytes(data[: len(data) * share // 8])
        (run,) = (await ask(catalog, tmp_path / "proj")).runs
        ends[run.console_end] = texts(run.console_from(-1))
    whole = texts(run.console())
    assert len(ends) > 2
    assert list(ends) == sorted(ends, reverse=True)
    for end, seen in ends.items():
        behind = texts(run.console_from(end))
        assert len(seen) + len(behind) in (len(whole), len(whole) + 1)  # one that was cut in two
        assert "".join(seen + behind) == "".join(whole)


@pytest.mark.parametrize("fixture", ["0.31.0-finished", "0.31.0-online", "0.12.21-finished", "0.16.6-online"])
async def test_a_console_file_is_read_from_its_byte_on(
    fixture: str, add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    path = add_run(fixture).parent / "files/output.log"
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    end = path.stat().st_size
    assert run.console_end == run.mark.console == end
    begun = [] if path.read_bytes().endswith(b"\n") else texts(run.console())[-1:]
    assert texts(run.console_from(end)) == begun
    assert texts(run.console_from(end, ended=True)) == []
    with path.open("a") as file:
        file.write("RuntimeError: on fire\nwhat a pity\n")
    assert run.console_end == path.stat().st_size
    assert texts(run.console_from(end)) == ["".join(begun) + "RuntimeError: on fire", "what a pity"]
    (last,) = list(run.console_from(end + 22))
    assert (last.text, last.stderr, math.isnan(last.time)) == ("what a pity", False, True)
    assert texts(run.console_from(-500)) == texts(run.console_from(0))
    assert len(texts(run.console_from(0))) > 5


def printing_log(*, chunks: list[tuple[str, bool]]) -> bytes:
    """A log of a run that prints this, each with whether it goes to standard error, and logs a row."""
    log = LogWriter()
    log.record(17, field(1, b"prints") + field(3, b"demo"))
    for text, stderr in chunks:
        log.console(text, stderr=stderr)
    log.history({"_step": 0, "_timestamp": 1.5, "loss": 1.0})
    return bytes(log.data)


CUT = [
    ("epoch 1\nRuntime", True),
    ("all is well\nstep", False),
    ("Error: ", True),
    (" 1\n", False),
    ("fire\nend\n", True),
]


@pytest.mark.parametrize("count", range(1, 6))
async def test_a_line_of_a_log_that_was_cut_by_an_end_is_given_whole_once_it_has_its_own(
    count: int, tmp_path: Path, ask: Any
) -> None:
    path = tmp_path / "proj/wandb/offline-run-20260101_000000-prints/run-prints.wandb"
    path.parent.mkdir(parents=True)
    catalog = Catalog(None)
    path.write_bytes(printing_log(chunks=CUT[:count]))
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    end, before = run.console_end, texts(run.console_from(-1, ended=True))
    path.write_bytes(printing_log(chunks=CUT))
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    whole = ["epoch 1", "RuntimeError: fire", "end", "all is well", "step 1"]
    assert sorted(before + texts(run.console_from(end, ended=True))) == sorted(whole)
    await catalog.close()


async def test_a_line_of_a_file_that_was_cut_by_an_end_is_given_whole_once_it_has_its_own(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    path = add_run("0.31.0-finished").parent / "files/output.log"
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    path.write_bytes(b"first\nRuntimeErr\xc3")
    end = run.console_end
    assert texts(run.console_from(0, ended=True)) == ["first"]
    assert texts(run.console_from(end, ended=True)) == []
    with path.open("ab") as file:
        file.write(b"\xb6r: on fire\nlast")
    assert texts(run.console_from(end, ended=True)) == ["RuntimeErr\u00f6r: on fire"]
    assert texts(run.console_from(end)) == ["RuntimeErr\u00f6r: on fire", "last"]


async def test_what_is_printed_beside_a_log_that_stands_still_is_in_the_next_cursor(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, writer: Callable[..., Any]
) -> None:
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    writer(log, source, source.stat().st_size)
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    assert project.runs[0].condition.state == "running"
    first = project.cursor()
    with (log.parent / "files/output.log").open("a") as file:
        file.write("RuntimeError: on fire\n")
    project = await ask(catalog, tmp_path / "proj")
    then, now = (next(iter(project.past(cursor).marks.values())) for cursor in (first, project.cursor()))
    assert now.console - then.console == 22
    assert now.records == then.records
    second = project.cursor()
    assert (await ask(catalog, tmp_path / "proj")).cursor() == second
    await catalog.close()


async def test_a_console_file_that_is_shorter_than_it_was_is_another_and_read_whole(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    path = add_run("0.31.0-finished").parent / "files/output.log"
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    end = run.console_end
    path.write_text("begun anew\n")
    assert texts(run.console_from(end)) == ["begun anew"]


async def test_where_the_console_file_comes_up_later_all_of_it_is_new(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    path = add_run("0.19.11-finished").parent / "files/output.log"
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    end = run.console_end
    path.write_text("first\nsecond\n")
    assert run.console_end == 13
    assert texts(run.console_from(end)) == ["first", "second"]
    path.unlink()
    assert run.console_end == end
    assert texts(run.console_from(13)) == texts(run.console_from(-1))


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """The text log of a project whose only run it is."""
    path = tmp_path / "proj/logs/train.log"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"step {step} | loss {1 / step:.3f}\n" for step in range(1, 40)))
    return path


async def test_a_text_log_is_its_own_console(printed: Path, tmp_path: Path, ask: Any) -> None:
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    end = run.console_end
    assert end == printed.stat().st_size
    assert run.mark == Mark(39, 39, run.condition.state, None, 1, end)
    with printed.open("a") as file:
        file.write("step 40 | loss 0.02\nKeyError: 'x'\n")
    assert texts(run.console_from(end)) == ["step 40 | loss 0.02", "KeyError: 'x'"]
    assert len(texts(run.console_from(-7))) == 41


async def test_a_text_log_that_has_just_vanished_has_no_end_and_cannot_be_read(
    printed: Path, tmp_path: Path, ask: Any
) -> None:
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    end = run.console_end
    printed.unlink()
    assert (run.console_end, run.mark.console) == (0, 0)
    for read in (lambda: run.console_from(end), run.console, lambda: run.console(newest_first=True), run.texts):
        with pytest.raises(Unreadable, match=r"train\.log: No such file"):
            list(read())


async def test_rows_without_any_console_have_none(tmp_path: Path, ask: Any) -> None:
    (tmp_path / "proj/logs").mkdir(parents=True)
    (tmp_path / "proj/logs/run.jsonl").write_text("".join(f'{{"step": {n}, "loss": 1.5}}\n' for n in range(20)))
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert run.console_end == -1
    assert list(run.console_from(run.console_end)) == list(run.console_from(0)) == []
    assert run.mark.records == 20


async def test_of_a_resumed_run_only_the_newest_start_is_read(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.21.4-resumed")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    newest, both = texts(run.console_from(-1)), texts(run.console())
    assert run.mark.segments == 2
    assert 0 < len(newest) < len(both)
    assert newest == both[-len(newest) :]


async def test_the_mark_says_how_far_a_run_is_and_is_the_same_however_its_index_is_held(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.28.2-failed")
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    mark = run.mark
    assert mark == Mark(run.history.total_rows, run.step, "failed", 1, 1, run.console_end, run.beginning)
    assert mark.beginning
    await catalog.close()
    again = Catalog(tmp_path / "cache")
    (run,) = (await ask(again, tmp_path / "proj")).runs
    assert run.slot.warm is None
    assert run.mark == mark
    await again.close()


async def test_a_log_has_its_beginning_until_another_takes_its_place(tmp_path: Path, ask: Any) -> None:
    path = tmp_path / "proj/logs/run.jsonl"
    path.parent.mkdir(parents=True)
    catalog = Catalog(None)

    async def beginning(first: float, rows: int) -> int:
        path.write_text("".join(f'{{"step": {n}, "loss": {first - n / 1000}}}\n' for n in range(rows)))
        (run,) = (await ask(catalog, tmp_path / "proj")).runs
        assert run.mark.records == rows
        return int(run.mark.beginning)

    short, long, longer, other = [await beginning(first, n) for first, n in ((4, 20), (4, 300), (4, 400), (5, 500))]
    assert short == 0
    assert long == longer != 0
    assert other not in (0, long)
    await catalog.close()


async def test_a_log_that_is_written_anew_as_a_whole_has_no_beginning(tmp_path: Path, ask: Any) -> None:
    path = tmp_path / "proj/logs/metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,loss\n" + "".join(f"{n},{4 - n / 1000}\n" for n in range(600)))
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert run.mark.records == 600
    assert run.mark.beginning == 0


async def test_a_run_whose_log_is_not_indexed_yet_says_so_in_its_mark(
    add_run: Callable[..., Path], tmp_path: Path
) -> None:
    add_run("0.25.1-big")
    catalog = Catalog(None, inline_bytes=0)
    (run,) = (await catalog.view(str(tmp_path / "proj"), {})).runs
    run.slot.clear()
    run.changed()
    assert run.mark.records == -1
    assert run.console_end < 0
    assert list(run.console_from(-1)) == []


async def test_it_was_heard_of_when_it_last_logged_or_printed_whatever_the_machine_measured(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    path = add_run("0.31.0-finished").parent / "files/output.log"
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    last = float(run.history.times(run.history.row_count - 1, run.history.row_count)[0])
    os.utime(path, (1.0, 1.0))
    os.utime(run.newest.path)
    assert run.heard == last
    os.utime(path, (last + 50, last + 50))
    assert run.heard == pytest.approx(last + 50, abs=1e-6)
    path.unlink()
    assert run.heard == last


async def test_of_other_logs_any_growth_is_a_sign(printed: Path, tmp_path: Path, ask: Any) -> None:
    os.utime(printed, (1.9e9, 1.9e9))
    now = 2.0e9
    catalog = Catalog(None, clock=lambda: now)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.heard == 1.9e9
    now += 100
    with printed.open("a") as file:
        file.write("still here\n")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.heard == now
