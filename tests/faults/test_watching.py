"""Section C of the fault matrix: what events miss, and file systems that give none."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import ListRuns, ShowStats, WaitFor

from tests.faults.conftest import Cold, MakeService
from tests.faults.machine import mirrored, own_limits, strace
from tests.faults.service import Connection, Service, rows, until

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def waiting(client: Connection, cwd: Path, until_: str, *runs: str) -> Callable[[], Any]:
    """Put a question that waits; gives what takes its answer, which must be that it has come to pass."""
    query = WaitFor(runs=runs, until=until_, timeout="50s")
    client.put(query, cwd)

    def answer() -> Any:
        reply: Any = client.answer(query)
        assert reply.fired, reply
        return reply

    return answer


def watching(service: Service) -> str:
    return " ".join(service.status()["engine"]["watching"])


def notes(service: Service) -> str:
    return " ".join(service.status()["engine"]["notes"])


def followers(service: Service) -> bool:
    """Whether a question waits for something."""
    return bool(service.status()["answering"] == 1)


def test_c01_more_events_than_the_queue_holds_lose_nothing(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    if not QUEUE.exists() or int(QUEUE.read_text()) > 50_000:
        pytest.skip("the queue of events cannot be filled")
    service.said(project)
    with service.connect() as client:
        answer = waiting(client, project, "step>=11", "run")
        until(lambda: followers(service))
        service.signal(signal.SIGSTOP)
        for number in range(int(QUEUE.read_text()) // 2 + 100):
            (project / "logs" / f"{number}.tmp").touch()
        (project / "logs" / "new.jsonl").write_bytes(rows(0, 3))
        append(log, rows(10, 12))
        service.signal(signal.SIGCONT)
        assert answer().step == 11
    for path in (project / "logs").glob("*.tmp"):
        path.unlink()
    assert service.said(project) == cold(project)
    append(log, rows(12, 13))
    assert service.said(project) == cold(project)


def test_c02_without_watches_from_the_start_everything_is_found_by_looking(
    new_service: MakeService, project: Path, log: Path, cold: Cold
) -> None:
    service = new_service(own_limits(watches=0)).start()
    service.said(project)
    with service.connect() as client:
        answer = waiting(client, project, "step>=11", "run")
        until(lambda: followers(service))
        append(log, rows(10, 12))
        assert answer().step == 11
    until(lambda: "fs.inotify.max_user_watches" in notes(service))
    assert "changes are reported" not in watching(service)
    assert service.said(project) == cold(project)


def test_c03_when_watches_run_out_later_new_runs_are_found_all_the_same(
    new_service: MakeService, project: Path, log: Path, cold: Cold
) -> None:
    service = new_service(own_limits(watches=4)).start()
    service.said(project)
    until(lambda: "changes are reported" in watching(service))
    for number in range(8):
        (project / "logs" / f"r{number}").mkdir()
        (project / "logs" / f"r{number}" / "metrics.jsonl").write_bytes(rows(0, 3))
    until(lambda: service.status()["engine"]["indexed"] == 9)
    until(lambda: "fs.inotify.max_user_watches" in notes(service))
    append(log, rows(10, 12))
    append(project / "logs" / "r5" / "metrics.jsonl", rows(3, 9))
    assert service.said(project) == cold(project)


def test_c04_without_any_instance_everything_is_found_by_looking(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    (project / "logs" / "run.jsonl").write_bytes(rows(0, 10))
    service = new_service(own_limits(instances=0)).start()
    service.said(project)
    until(lambda: "fs.inotify.max_user_instances" in notes(service))
    (project / "logs" / "new.jsonl").write_bytes(rows(0, 3))
    assert len(service.said(project)) == 2
    assert service.said(project) == cold(project)


@pytest.fixture
def far(new_service: MakeService, project: Path, log: Path, tmp_path: Path) -> tuple[Service, Path, Path]:
    """A daemon that sees the project over a network, as it were; where it sees it; and the file of modes."""
    del log
    seen, mode = tmp_path / "seen", tmp_path / "mode"
    seen.mkdir()
    return new_service(mirrored(project, seen, mode)).start(), seen, mode


def test_c05_what_another_host_appends_is_found_without_events(
    far: tuple[Service, Path, Path], project: Path, log: Path, cold: Cold
) -> None:
    service, seen, _ = far
    assert len(service.said(seen)) == 1
    assert "reports no changes" in watching(service)
    with service.connect() as client:
        answer = waiting(client, seen, "step>=11", "run")
        until(lambda: followers(service))
        append(log, rows(10, 12))
        assert answer().step == 11
    (project / "logs" / "new.jsonl").write_bytes(rows(0, 3))
    assert len(service.said(seen)) == 2
    assert service.said(seen) == cold(seen, service.prefix)


def test_c06_a_file_system_that_hangs_keeps_only_its_own_projects_waiting(
    far: tuple[Service, Path, Path], tmp_path: Path, log: Path, cold: Cold
) -> None:
    service, seen, mode = far
    near = tmp_path / "near" / "logs" / "near.jsonl"
    near.parent.mkdir(parents=True)
    near.write_bytes(rows(0, 5))
    assert len(service.said(seen)) == len(service.said(tmp_path / "near")) == 1
    mode.write_text("hang")
    with service.connect() as client:
        client.put(ListRuns(), seen)
        for count in range(6, 9):
            append(near, rows(count - 1, count))
            assert [run.listed[3] for run in service.said(tmp_path / "near")] == [count]
        until(lambda: "does not answer" in notes(service))
        with pytest.raises(RunwiseError, match="does not answer") as raised:
            client.answer(ListRuns())
        assert raised.value.kind is Kind.UNREADABLE
    other = tmp_path / "other" / "logs"
    other.mkdir(parents=True)
    (other / "new.jsonl").write_bytes(rows(0, 3))
    assert len(service.said(tmp_path / "other")) == 1  # a project that nobody asked about before
    mode.write_text("ok")
    append(log, rows(10, 12))
    until(lambda: "does not answer" not in notes(service))
    assert [run.listed[3] for run in service.said(seen)] == [12]
    assert "does not answer" not in notes(service)
    assert service.said(seen) == cold(seen, service.prefix)


def test_c07_a_size_that_lags_behind_for_once_does_not_begin_the_run_anew(
    far: tuple[Service, Path, Path], log: Path, cold: Cold
) -> None:
    service, seen, mode = far
    service.said(seen)
    for _ in range(10):
        mode.write_text("small")
        with service.connect() as client:
            client.ask(ListRuns(), seen)
    mode.write_text("ok")
    append(log, rows(10, 12))
    assert [run.listed[3] for run in service.said(seen)] == [12]
    assert service.said(seen) == cold(seen, service.prefix)


def test_c08_a_name_that_ends_the_watching_thread_ends_nothing_else(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    until(lambda: "changes are reported" in watching(service))
    with service.connect() as client:
        answer = waiting(client, project, "step>=11", "run")
        until(lambda: followers(service))
        (project / "logs" / os.fsdecode(b"\xff\xfe.tmp")).touch()
        append(log, rows(10, 12))
        assert answer().step == 11
    (project / "logs" / os.fsdecode(b"new\xff.jsonl")).write_bytes(rows(0, 3))
    assert len(service.said(project)) == 2
    assert service.said(project) == cold(project)


def test_c09_a_daemon_that_was_stopped_for_long_catches_up(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    service.said(project)
    service.signal(signal.SIGSTOP)
    for number in range(50):
        (project / "logs" / f"r{number}.jsonl").write_bytes(rows(0, number + 1))
        append(log, rows(10 + number, 11 + number))
    service.signal(signal.SIGCONT)
    assert len(service.said(project)) == 51
    assert service.said(project) == cold(project)


def test_c11_variables_that_steer_the_watcher_change_nothing(
    new_service: MakeService, project: Path, log: Path, cold: Cold
) -> None:
    steer = {
        "WATCHFILES_FORCE_POLLING": "1",
        "WATCHFILES_IGNORE_PERMISSION_DENIED": "1",
        "WATCHFILES_POLL_DELAY_MS": "99999",
    }
    service = new_service(env=steer).start()
    service.said(project)
    until(lambda: "changes are reported" in watching(service))
    links = [str(path.readlink()) for path in Path(f"/proc/{service.pid}/fd").iterdir() if path.is_symlink()]
    assert "anon_inode:inotify" in links
    append(log, rows(10, 12))
    assert service.said(project) == cold(project)


def test_c12_what_is_written_while_watching_begins_is_found(
    new_service: MakeService, tmp_path: Path, project: Path, log: Path, cold: Cold
) -> None:
    slow = strace(
        tmp_path / "trace", "-e", "trace=inotify_add_watch", "-e", "inject=inotify_add_watch:delay_exit=300000"
    )
    service = new_service(slow).start()
    writing = threading.Event()

    def write() -> None:
        for number in range(10, 400):
            append(log, rows(number, number + 1))
            (project / "logs" / f"r{number}.jsonl").write_bytes(rows(0, 2)) if number % 40 == 0 else None
        writing.set()

    thread = threading.Thread(target=write)
    with service.connect() as client:
        client.put(ListRuns(), project)
        thread.start()
        client.answer(ListRuns())
    thread.join()
    assert writing.is_set()
    until(lambda: service.status()["engine"]["indexed"] == 10)
    assert service.said(project) == cold(project)


def test_c13_an_answer_is_never_older_than_its_question_whatever_was_missed(
    new_service: MakeService, project: Path, log: Path, cold: Cold
) -> None:
    service = new_service(own_limits(instances=0)).start()
    with service.connect() as client:
        for count in range(11, 60):
            append(log, rows(count - 1, count))
            reply: Any = client.ask(ShowStats(run="run"), project)
            assert reply.metrics["loss"].count == count
    (project / "logs" / "new.jsonl").write_bytes(rows(0, 3))
    assert len(service.said(project)) == 2
    assert service.said(project) == cold(project)
