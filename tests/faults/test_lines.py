"""Section A of the fault matrix: what the lines and records of a source hold, and how they come."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from runwise_protocol.queries import ListRuns, ListSources, ShowRun, ShowStats
from runwise_protocol.query import Look

from tests.faults.conftest import Cold
from tests.faults.logs import WANDB, append, counts
from tests.faults.service import Service, rows, until


def test_a01_a_line_without_its_end_waits_and_is_counted_once(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    line, whole = rows(10, 11), len(rows(0, 10))
    for cut in (1, len(line) // 2, len(line) - 1):
        append(log, line[:cut])
        assert counts(service.said(project)) == [10]
        append(log, line[cut:])
        assert counts(service.said(project)) == [11]
        assert service.said(project) == cold(project)
        os.truncate(log, whole)


def test_a02_a_daemon_killed_while_the_last_line_is_torn_reads_that_line_whole(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    line = rows(10, 11)
    append(log, line[:9])
    assert counts(service.said(project)) == [10]
    assert service.stop() == 0  # its index is saved
    service.start()
    assert counts(service.said(project)) == [10]
    service.kill()
    append(log, line[9:])
    service.start()
    assert counts(service.said(project)) == [11]
    assert service.status()["engine"]["restored"] == 1
    assert service.said(project) == cold(project)


def test_a03_a_line_whose_writer_died_is_counted_apart_and_no_error(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    command = f"import os; open({str(log)!r}, 'ab', buffering=0).write({rows(10, 12)[:-20]!r}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == -signal.SIGKILL
    torn = len(rows(11, 12)) - 20
    os.utime(log, (1e9, 1e9))  # for long nobody has written

    def told(of: Service) -> str:
        run, sources = (str(of.ask(query(run="run"), project)) for query in (ShowRun, ListSources))
        assert f"logs/run.jsonl: incomplete last line, {torn} bytes\n" in sources
        assert f"! incomplete last line, {torn} bytes: logs/run.jsonl\n" in run
        assert "damaged" not in run
        return run.partition("\n")[0]

    assert counts(service.said(project)) == [11]
    assert "ended" in told(service) or "unknown" in told(service)
    assert service.status()["engine"]["notes"] == []
    assert service.said(project) == cold(project)
    assert service.stop() == 0
    service.start()  # what its sidecar says
    told(service)
    append(log, rows(11, 12)[torn:])
    assert counts(service.said(project)) == [12]
    assert "incomplete" not in str(service.ask(ListSources(run="run"), project))


def test_a04_a_line_that_comes_byte_by_byte_is_read_once(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    before = service.status()["engine"]["read_bytes"]
    line = b'{"step":10,"loss":0.5,"note":"' + b"x" * 200 + b'"}\n'
    with log.open("ab", buffering=0) as file, service.connect() as client:
        for byte in line:
            file.write(bytes((byte,)))
            client.ask(ShowStats(run="run"), project)
    assert service.status()["engine"]["read_bytes"] - before <= 2 * len(line)
    assert counts(service.said(project)) == [11]
    assert service.said(project) == cold(project)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a05_a_character_cut_in_two_writes_is_whole(
    service: Service, project: Path, log: Path, cold: Cold, cut: int
) -> None:
    line = '{"step":10,"loss":1,"note":"\N{BUTTERFLY}"}\n'.encode()
    at = line.index("\N{BUTTERFLY}".encode()) + cut
    append(log, line[:at])
    assert counts(service.said(project)) == [10]
    append(log, line[at:])
    assert "\N{BUTTERFLY}" in service.said(project)[0].logged
    assert service.said(project) == cold(project)


def test_a06_lines_of_damaged_text_keep_their_numbers(service: Service, project: Path, log: Path, cold: Cold) -> None:
    append(log, b'{"step":10,"loss":1,"note":"\xff\xfe"}\n')
    append(log, b'{"step":11,"loss":2,"note":"\\ud800"}\n')
    append(log, b'\xef\xbb\xbf{"step":12,"loss":3}\n')
    append(log, '{"step":13,"loss":4}\n'.encode("utf-16"))
    append(log, b'\n{"step":14,"loss":5}\n')
    (run,) = service.said(project)
    assert [json.loads(line)["loss"] for line in run.served.splitlines()[10:]] == [1, 2, 3, 5]
    assert service.said(project) == cold(project)


def test_a07_values_that_are_not_finite_are_kept_counted_and_left_out_of_the_mean(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    for step, literal in enumerate((b"NaN", b"Infinity", b"-Infinity", b"1e400"), 10):
        append(log, b'{"step":%d,"loss":%s,"other":%d}\n' % (step, literal, step))
    stats = service.ask(ShowStats(run="run"), project)
    assert isinstance(stats, ShowStats.reply)
    found = stats.metrics
    assert (found["loss"].count, found["other"].count) == (14, 4)
    assert found["loss"].nonfinite == 4
    assert found["loss"].max == 1
    assert found["other"].last == 13
    assert service.said(project) == cold(project)


def test_a08_a_line_of_many_megabytes_is_passed_over_and_the_next_one_read(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    with log.open("ab") as file:
        for _ in range(24):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + rows(10, 11))
    (project / "logs" / "other.jsonl").write_bytes(rows(0, 3))
    assert counts(service.said(project)) == [3, 11]
    assert service.said(project) == cold(project)


def test_a09_a_hole_without_end_is_refused_with_a_reason(service: Service, project: Path, log: Path) -> None:
    assert counts(service.said(project)) == [10]
    with log.open("ab") as file:
        file.truncate(100 << 30)
        file.seek(0, os.SEEK_END)
        file.write(rows(10, 11))
    (project / "logs" / "other.jsonl").write_bytes(rows(0, 3))

    def listed() -> dict[str, int | None]:
        reply = service.ask(ListRuns(), project)
        assert isinstance(reply, ListRuns.reply)
        return {run.id: run.rows for run in reply.runs}

    until(lambda: listed() and "a hole of" in "".join(service.status()["engine"]["notes"]))
    assert listed() == {"run": 10, "other": 3}


def test_a09_garbage_between_rows_costs_only_itself(service: Service, project: Path, log: Path, cold: Cold) -> None:
    chance = random.Random(9)
    service.said(project)
    for step in range(10, 20):
        append(log, chance.randbytes(5000).replace(b"\n", b"") + b"\n" + bytes(3000) + b"\n" + rows(step, step + 1))
    assert counts(service.said(project)) == [20]
    assert service.said(project) == cold(project)


def test_a10_lines_out_of_all_proportion_cost_only_themselves(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    append(log, b"[" * 100_000 + b"]" * 100_000 + b"\n")
    append(log, b'{"step":10,"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001 + b"\n")
    append(log, b'{"step":11,"%s":1,"loss":7}\n' % (b"k" * 1_000_000))
    append(log, b'{"step":12,"loss":%s}\n' % (b"9" * 10_000))
    many = ",".join(f'"k{number}":1' for number in range(100_000))
    append(log, f'{{"step":13,{many}}}\n'.encode())
    append(log, b'{"step":14,"loss":5}\n')
    ask = ShowStats(run="run", keys=("loss",))
    warm = service.ask(ask, project)
    assert isinstance(warm, ShowStats.reply)
    assert warm.metrics["loss"].last == 5
    assert service.said(project) == cold(project)


def test_a11_bars_and_colours_that_come_in_pieces_give_the_rows_of_the_whole(
    service: Service, project: Path, cold: Cold
) -> None:
    path = project / "logs" / "train.log"
    bars = b"".join(
        b"\rEpoch 1:  %d%%|####| %d/20 [00:01<00:02, 7.1it/s, loss=%.3f]" % (5 * step, step, 2 - step / 20)
        for step in range(21)
    )
    lines = b"".join(b"\x1b[32mstep %d\x1b[0m loss %.3f\x0c\r\n" % (step, 2 - step / 20) for step in range(40))
    data = lines[:900] + bars + b"\n" + lines[900:]
    for start in range(0, len(data), 211):
        append(path, data[start : start + 211])
        service.said(project)
    assert service.said(project) == cold(project)
    assert service.said(project)[0].listed[2] == 39


def test_a12_columns_that_change_come_late_and_vanish_are_as_if_read_at_once(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    for step, value in enumerate(("1", '"text"', "[1,2]", "null", "true", '{"a":1}', "2.5", "1e30"), 10):
        append(log, b'{"step":%d,"loss":%s,"late%d":1}\n' % (step, value.encode(), step))
        service.said(project)
    append(log, b'{"step":1000000,"last":1}\n')
    assert service.said(project) == cold(project)


def test_a26_a_wandb_log_that_grows_by_torn_records_is_as_if_read_at_once(
    service: Service, project: Path, cold: Cold
) -> None:
    shutil.copytree(WANDB, project / "wandb", symlinks=True)
    (path,) = (project / "wandb").glob("*run-*/*.wandb")
    data = path.read_bytes()
    cuts = [*range(20_000, len(data), 23_456), *range(len(data) - 40, len(data), 7)]
    os.truncate(path, 0)
    with service.connect() as client:
        for start, stop in pairwise([0, *cuts]):
            append(path, data[start:stop])
            client.ask(ListRuns(), project)
    assert service.said(project) == cold(project)
    append(path, data[cuts[-1] :])
    assert service.said(project) == cold(project)


def test_a27_a_wrong_byte_in_a_wandb_log_costs_no_more_than_its_block(
    service: Service, project: Path, cold: Cold
) -> None:
    shutil.copytree(WANDB, project / "wandb", symlinks=True)
    (path,) = (project / "wandb").glob("*run-*/*.wandb")
    whole = counts(service.said(project))[0]
    with path.open("r+b") as file:
        file.seek((1 << 15) + 9000)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 0xFF,)))
    (left,) = counts(service.said(project))
    assert whole / 2 < left < whole
    assert "damaged" in str(service.ask(ShowStats(), project, Look(budget=4000)))
    assert service.said(project) == cold(project)


@pytest.mark.parametrize("data", [b"", b":W&B\xe1\xbe", b":W&B\xe1\xbe\x63", b"\0" * 4000, b"hello\n" * 900])
def test_a28_a_wandb_log_that_does_not_begin_as_one_is_named_and_hides_no_other(
    service: Service, project: Path, log: Path, cold: Cold, data: bytes
) -> None:
    assert log.exists()
    folder = project / "wandb" / "offline-run-20260101_000000-odd"
    folder.mkdir(parents=True)
    (folder / "run-odd.wandb").write_bytes(data)
    said = service.said(project)
    assert [run.listed[0] for run in said] == ["odd", "run"]
    assert said == cold(project)
    assert "Traceback" not in service.log()
