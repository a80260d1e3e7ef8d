"""Section A of the fault matrix: what happens to source files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from runwise_protocol.queries import Export, ListRuns, ListSources, ShowConfig, ShowStats
from runwise_protocol.query import Look

from tests.faults.conftest import Cold, MakeService
from tests.faults.logs import WANDB, append, counts
from tests.faults.machine import mirrored
from tests.faults.service import Service, rows


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
        for _ in range(60):
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
