"""Section A of the fault matrix: what happens to source files."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from runwise_protocol.queries import Export, ListRuns, ListSources, ShowConfig, ShowStats
from runwise_protocol.query import Look

from tests.faults.conftest import MakeService
from tests.faults.machine import mirrored
from tests.faults.service import Said, Service, rows, until

Cold = Callable[..., list[Said]]
WANDB = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished" / "wandb"


@pytest.fixture
def log(project: Path) -> Path:
    """A log of ten rows."""
    path = project / "logs" / "run.jsonl"
    path.write_bytes(rows(0, 10))
    return path


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def counts(said: list[Said]) -> list[int]:
    return [run.listed[3] for run in said]


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
        for _ in range(64):
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


def test_a13_steps_that_go_back_serve_the_later_value_and_keep_both(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    append(log, rows(5, 15, "loss"))
    (run,) = service.said(project)
    assert len(run.logged.splitlines()) == 20
    assert [json.loads(line)["_step"] for line in run.served.splitlines()] == list(range(15))
    assert service.said(project) == cold(project)


def test_a14_a_log_truncated_to_nothing_begins_anew(service: Service, project: Path, log: Path, cold: Cold) -> None:
    service.said(project)
    os.truncate(log, 0)
    service.said(project)
    append(log, rows(100, 103))
    assert counts(service.said(project)) == [3]
    assert service.said(project) == cold(project)


@pytest.mark.parametrize("restart", [False, True])
def test_a15_a_log_rewritten_and_longer_before_anybody_looked_is_read_anew(
    service: Service, project: Path, log: Path, cold: Cold, restart: bool
) -> None:
    service.said(project)
    if restart:
        assert service.stop() == 0
    else:
        service.signal(signal.SIGSTOP)
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(rows(50, 90))
    if restart:
        service.start()
    else:
        service.signal(signal.SIGCONT)
    assert counts(service.said(project)) == [40]
    assert service.said(project) == cold(project)


def test_a16_a_byte_changed_in_place_with_its_old_time_is_seen(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    before = log.stat()
    with log.open("r+b") as file:
        file.write(rows(0, 10).replace(b"0.25", b"0.75"))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert '"loss":0.75' in service.said(project)[0].served
    assert service.said(project) == cold(project)


def test_a17_a_log_renamed_and_begun_anew_loses_and_repeats_nothing(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    append(log, rows(10, 12))
    log.rename(log.with_name("run.1.jsonl"))
    log.write_bytes(rows(12, 15))
    assert sorted(counts(service.said(project))) == [3, 12]
    assert service.said(project) == cold(project)


def test_a18_a_log_copied_and_truncated_goes_on_from_nothing(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    for turn in range(3):
        append(log, rows(10 * turn, 10 * turn + 3))
        service.said(project)
        shutil.copy(log, log.with_name(f"run.{turn}.jsonl"))
        os.truncate(log, 0)
        service.said(project)
    append(log, rows(90, 95))
    assert counts(service.said(project)) == [5, 3, 3, 3]
    assert service.said(project) == cold(project)


@pytest.mark.parametrize(
    "data", [rows(0, 20), rows(0, 4), rows(40, 50), rows(0, 10)], ids=["longer", "shorter", "other", "same"]
)
def test_a19_a_log_replaced_by_a_rename_is_what_lies_there_now(
    service: Service, project: Path, log: Path, cold: Cold, data: bytes
) -> None:
    service.said(project)
    beside = project / "new"
    beside.write_bytes(data)
    beside.replace(log)
    assert service.said(project) == cold(project)


def test_a20_a_log_made_anew_with_the_inode_of_the_old_one_is_read_from_its_start(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    inode, kept = log.stat().st_ino, []
    for _ in range(200):
        service.said(project)
        log.unlink()
        log.write_bytes(rows(500, 530))
        if log.stat().st_ino == inode:
            break
        kept.append(log.rename(log.with_suffix(f".{len(kept)}")))
        log.write_bytes(rows(0, 10))
        inode = log.stat().st_ino
    else:
        pytest.skip("this file system gives no inode number twice")
    for path in kept:
        path.unlink()
    assert counts(service.said(project)) == [30]
    assert service.said(project) == cold(project)


def test_a21_logs_that_begin_alike_are_never_confused(service: Service, project: Path, cold: Cold) -> None:
    same = rows(0, 300)
    for name in "abc":
        (project / "logs" / f"{name}.jsonl").write_bytes(same + rows(300, 300 + 10 * ord(name) - 960))
    service.said(project)
    paths = [project / "logs" / f"{name}.jsonl" for name in "abc"]
    other = project / "logs" / "x"
    paths[0].rename(other)
    paths[1].rename(paths[0])
    other.rename(paths[1])
    assert counts(service.said(project)) == [320, 310, 330]
    assert service.said(project) == cold(project)


def test_a22_a_link_to_a_log_and_a_copy_of_a_run_are_runs_of_their_own(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    os.link(log, log.with_name("linked.jsonl"))
    shutil.copytree(WANDB, project / "wandb", symlinks=True)
    (folder,) = (path for path in (project / "wandb").iterdir() if path.is_dir() and "run-" in path.name)
    shutil.copytree(folder, folder.with_name(f"{folder.name}x"), symlinks=True)
    assert len(service.said(project)) == 4
    append(log, rows(10, 12))
    assert service.said(project) == cold(project)


def test_a23_a_log_that_shrinks_and_grows_while_it_is_read_is_right_once_it_rests(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    done = threading.Event()
    data = rows(0, 3000)

    def write() -> None:
        while not done.is_set():
            for length in (len(data), 100, len(data) // 2, 0):
                os.truncate(log, length)
                with log.open("r+b") as file:
                    file.write(data[: length // 2])

    writing = threading.Thread(target=write)
    writing.start()
    with service.connect() as client:
        for _ in range(150):
            client.ask(ListRuns(), project)
    done.set()
    writing.join()
    log.write_bytes(data)
    assert counts(service.said(project)) == [3000]
    assert service.said(project) == cold(project)


def test_a24_a_log_that_fails_to_be_read_keeps_its_rows_and_says_why(
    new_service: MakeService, tmp_path: Path, project: Path, log: Path, cold: Cold
) -> None:
    seen, mode = tmp_path / "seen", tmp_path / "mode"
    seen.mkdir()
    (project / "logs" / "other.jsonl").write_bytes(rows(0, 5))
    prefix = mirrored(project, seen, mode)
    service = new_service(prefix).start()
    assert counts(service.said(seen)) == [5, 10]
    mode.write_text("eio")
    append(log, rows(10, 12))
    stats = service.ask(ShowStats(run="run"), seen)
    assert isinstance(stats, ShowStats.reply)
    assert stats.metrics["loss"].count == 10
    assert "Input/output error" in "".join(service.status()["engine"]["notes"])
    mode.write_text("ok")
    append(log, rows(12, 13))
    assert service.said(seen) == cold(seen, prefix)
    assert counts(service.said(seen)) == [5, 13]


def test_a25_a_stale_log_is_read_again_once_it_is_not(
    new_service: MakeService, tmp_path: Path, project: Path, log: Path, cold: Cold
) -> None:
    seen, mode = tmp_path / "seen", tmp_path / "mode"
    seen.mkdir()
    prefix = mirrored(project, seen, mode)
    service = new_service(prefix).start()
    service.said(seen)
    mode.write_text("stale")
    append(log, rows(10, 12))
    assert counts(service.said(seen)) in ([10], [None])
    mode.write_text("ok")
    assert counts(service.said(seen)) == [12]
    assert service.said(seen) == cold(seen, prefix)


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


def test_a29_a_configuration_seen_half_written_leaves_the_last_good_one_standing(
    service: Service, project: Path, cold: Cold
) -> None:
    folder = project / "logs" / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_bytes(rows(0, 5))
    config = folder / "config.json"

    def told(of: Service) -> str:
        return str(of.ask(ShowConfig(run="run"), project)).rpartition("\n@")[0]

    config.write_text('{"lr": 0.125}')
    assert "lr=0.125" in told(service)
    for harmed in ('{"lr": 0.', "", "\xff"):
        config.write_text(harmed)
        assert "lr=0.125" in told(service), harmed
    config.write_text('{"lr": 0.375}')
    assert "lr=0.375" in told(service)
    assert service.said(project) == cold(project)


def test_a30_a_compressed_log_is_not_taken_for_text(service: Service, project: Path, log: Path, cold: Cold) -> None:
    import gzip

    log.with_name("run.jsonl.1.gz").write_bytes(gzip.compress(rows(0, 10)))
    log.with_name("old.jsonl").write_bytes(gzip.compress(rows(0, 10)))
    assert counts(service.said(project)) == [10]
    told = str(service.ask(ListSources(), project, Look(budget=1000)))
    assert "run.jsonl.1.gz" in told
    assert service.said(project) == cold(project)


def test_a31_odd_times_of_files_change_no_answer(service: Service, project: Path, log: Path, cold: Cold) -> None:
    for number, seconds in enumerate((0, -(10**9), 2**33)):
        path = log.with_name(f"{number}.jsonl")
        path.write_bytes(rows(0, 3))
        os.utime(path, (seconds, seconds))
        append(log, rows(10 + number, 11 + number))
        os.utime(log, (seconds, seconds))
        assert service.said(project) == cold(project)
    assert counts(service.said(project)) == [3, 3, 3, 13]
    assert len(str(service.ask(Export(run="run"), project)).splitlines()) == 13
