import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog import readback
from runwised.catalog.catalog import Catalog
from runwised.catalog.readback import put
from runwised.formats.record import Row, Text, escape
from runwised.index.view import Unreadable

pytestmark = pytest.mark.anyio

MEDIA = ("table", "img", "hist")


def plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("fixture", ["0.31.0-finished", "0.16.6-finished", "0.17.5-core", "0.25.1-big"])
async def test_rows_are_read_back_as_they_were_logged(
    fixture: str, add_run: Callable[..., Path], truth: Callable[[str], dict[str, Any]], tmp_path: Path, ask: Any
) -> None:
    add_run(fixture)
    (told,) = truth(fixture)["runs"]
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    rows = dict(run.rows(0, run.history.total_rows))
    by_step = {row.step: row for row in rows.values()}
    assert len(rows) == told["rows"]
    for series in told["history"]:
        key = escape(series["path"])
        if series["kind"] == "media" or key in told["hazy"]:
            continue
        for step, value in zip(series["steps"], series["values"], strict=True):
            assert plain(by_step[step].values[key]) == value, (key, step)


async def test_single_rows_and_stretches_agree_with_all_of_them(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.21.4-resumed")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    count = run.history.total_rows
    rows = list(run.rows(0, count))
    assert [number for number, _ in rows] == list(range(count))
    assert repr([row for number in range(count) for row in run.rows(number, number + 1)]) == repr(rows)
    assert repr(list(run.rows(140, 160))) == repr(rows[140:160])
    assert list(run.rows(count, count + 10)) == []


async def test_a_source_that_changed_under_us_is_an_error_that_names_it(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    log.write_bytes(b"x" * log.stat().st_size)
    with pytest.raises(Unreadable, match="changed at byte"):
        list(run.rows(0, 10))
    os.truncate(log, 1000)
    with pytest.raises(Unreadable, match="ends in the middle"):
        list(run.rows(100, 101))
    log.unlink()
    with pytest.raises(Unreadable, match="No such file"):
        list(run.rows(100, 101))


@pytest.mark.parametrize("fixture", ["0.31.0-finished", "0.28.2-failed", "0.16.6-failed", "0.12.21-finished"])
async def test_console_lines_are_those_that_were_printed(
    fixture: str, add_run: Callable[..., Path], truth: Callable[[str], dict[str, Any]], tmp_path: Path, ask: Any
) -> None:
    add_run(fixture)
    (told,) = truth(fixture)["runs"]
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    printed = "".join(told["console"]["stdout"]).replace("\x1b[32m", "").replace("\x1b[0m", "").splitlines()
    lines = list(run.console())
    assert [line.text for line in lines if not line.stderr][: len(printed)] == printed
    assert list(map(repr, run.console(newest_first=True))) == list(map(repr, reversed(lines)))


async def test_lines_cut_by_the_edge_of_a_stretch_are_whole_from_both_ends(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run("0.28.2-failed")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    whole = [repr(line) for line in run.console()]
    for stretch in (1, 2, 3, 7):
        monkeypatch.setattr(readback, "CHUNKS_AT_ONCE", stretch)
        texts = sorted(json.dumps(line.text) for line in run.console(newest_first=True))
        assert texts == sorted(json.dumps(line.text) for line in run.console())
        assert [repr(line) for line in run.console()] == whole


def test_the_first_lines_of_each_stream_go_to_the_stretch_before() -> None:
    chunks = [
        Text(1.0, False, "end\nnext"),
        Text(2.0, True, "no end"),
        Text(3.0, True, " yet\nerr"),
        Text(4.0, False, "\n"),
    ]
    begun, rest = readback.cut_first_lines(chunks)
    assert begun == [Text(1.0, False, "end\n"), Text(2.0, True, "no end"), Text(3.0, True, " yet\n")]
    assert rest == [Text(1.0, False, "next"), Text(3.0, True, "err"), Text(4.0, False, "\n")]


async def test_a_console_file_that_reaches_further_than_the_log_is_read_instead(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-killall")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    lines = [line.text for line in run.console()]
    with (log.parent / "files/output.log").open("w") as file:
        file.write("".join(f"{line}\n" for line in [*lines, "written later"] + ["last"] * 5000))
    further = [line.text for line in run.console()]
    assert further[-5001:] == ["written later"] + ["last"] * 5000
    assert [line.text for line in run.console(newest_first=True)] == further[::-1]
    assert "".join(text.text for text in run.texts()).splitlines() == further


async def test_the_log_tells_the_console_where_the_file_stops_earlier(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    lines = [repr(line) for line in run.console()]
    (log.parent / "files/output.log").write_text("starting finished part 0\n")
    assert [repr(line) for line in run.console()] == lines


async def test_a_row_without_a_step_keeps_the_one_it_was_given_even_when_taken_back(tmp_path: Path, ask: Any) -> None:
    folder = tmp_path / "proj" / "wandb" / "run-20190101_000000-old00001"
    folder.mkdir(parents=True)
    steps = (10, None, None, 13, None, 11)
    rows = [{"loss": 1.0} if step is None else {"loss": 1.0, "_step": step} for step in steps]
    (folder / "wandb-history.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    assert [row.step for _, row in run.rows(0, 6)] == [10, 11, 12, 13, 14, 11]


async def test_the_lines_of_a_moment_are_those_the_log_has_times_for(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.31.0-running")
    (run,) = (await ask(Catalog(None), tmp_path / "proj")).runs
    lines = list(run.console())
    start, stop = lines[6].time, lines[10].time
    assert {line.text for line in run.console_between(start, stop)} >= {line.text for line in lines[7:10]}
    assert all(start <= line.time < stop for line in run.console_between(start, stop))
    assert list(run.console_between(lines[-1].time + 1, math.inf)) == []


def test_the_records_of_a_step_make_one_row_in_any_order() -> None:
    records = [Row(2, math.nan, {"loss": 1.25}), Row(2, 20.5, {"acc": 0.5}), Row(2, 21.5, {"lr": 0.1})]
    for order in itertools.permutations(records):
        rows: dict[int, Row] = {}
        for record in order:
            put(rows, record)
        assert rows == {2: Row(2, 21.5, {"loss": 1.25, "acc": 0.5, "lr": 0.1})}
