"""Section E of the fault matrix: the daemon's life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runwise_protocol.queries import ListRuns

from tests.faults.conftest import Cold, MakeService
from tests.faults.machine import mirrored, strace
from tests.faults.service import Service, rows, until


def command(service: Service, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`runwise` with the folders of a daemon, which is started where none answers."""
    line = [sys.executable, "-m", "runwise_cli", *argv]
    return subprocess.run(line, cwd=cwd, env=service.env, capture_output=True, text=True, check=False)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def spawned(new_service: MakeService) -> Iterator[Service]:
    """The folders of daemons that commands start; the last one is ended afterwards."""
    service = new_service()
    yield service
    command(service, "daemon", "stop", cwd=service.home)


def test_e02_whoever_asks_after_a_kill_gets_what_is_on_disk(
    spawned: Service, project: Path, log: Path, cold: Cold
) -> None:
    for count in range(11, 14):
        append(log, rows(count - 1, count))
        told = command(spawned, "export", "--raw", cwd=project)
        assert (told.returncode, told.stderr, len(told.stdout.splitlines())) == (0, "", count)
        os.kill(spawned.pid, signal.SIGKILL)
    assert command(spawned, "daemon", "start", cwd=project).returncode == 0
    assert spawned.said(project) == cold(project)


def test_e07_a_strangers_pid_in_the_lock_file_is_left_alone(service: Service, project: Path, log: Path) -> None:
    assert log.exists()
    service.kill()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (service.home / "runtime" / "daemon.lock").write_text(f"{stranger.pid}\n")
        assert "none" in command(service, "daemon", "stop", cwd=project).stdout.replace("no daemon", "none")
        service.start()
        assert service.said(project)[0].listed[3] == 10
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("point", ["fsync:signal=TERM:when=1", "fsync:signal=TERM:when=3", "rename:signal=TERM:when=2"])
def test_e08_a_signal_in_the_middle_of_a_save_leaves_it_whole(
    new_service: MakeService, project: Path, log: Path, tmp_path: Path, cold: Cold, point: str
) -> None:
    assert log.exists()
    call = point.partition(":")[0]
    service = new_service(strace(tmp_path / "trace", "-e", f"trace={call}", "-e", f"inject={point}")).start()
    with service.connect() as client:
        client.put(ListRuns(), project)
        client.next()
    with contextlib.suppress(ProcessLookupError):  # it may have had its signal already
        service.signal(signal.SIGTERM)
    assert service.ended() == 0
    assert list(service.cache.rglob("*.tmp")) == []
    assert not Path(service.path).exists()
    again = new_service(home=service.home).start()
    assert again.said(project) == cold(project)


def test_e11_signals_have_their_documented_effect_each_time(service: Service, project: Path, log: Path) -> None:
    assert log.exists()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGUSR1):
        for _ in range(2):
            service.signal(number)
            assert service.said(project)[0].listed[3] == 10
    assert "Current thread" in service.log()
    assert "Traceback" not in service.log()
    service.signal(signal.SIGINT)
    service.signal(signal.SIGINT)
    assert service.ended() == 0
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("version", ["0.0.1", "99.0.0"])
def test_e15_a_daemon_of_another_version_is_replaced_or_said_to_be_of_another(
    spawned: Service, project: Path, log: Path, version: str
) -> None:
    assert log.exists()
    other = (
        f"import runwise_protocol, runpy, sys; runwise_protocol.__version__ = '{version}'; "
        "sys.argv[1:] = ['--ready-fd', '1']; runpy.run_module('runwised', run_name='__main__')"
    )
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", other], env=spawned.env, **options) as daemon:  # type: ignore[call-overload]
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        told = command(spawned, "export", "--raw", cwd=project)
        if told.returncode == 0:
            assert len(told.stdout.splitlines()) == 10
        else:
            assert (told.returncode, told.stdout) == (6, "")
            assert version in told.stderr
        daemon.kill()


def test_e23_a_thread_that_hangs_in_a_read_does_not_keep_the_daemon(
    new_service: MakeService, project: Path, log: Path, tmp_path: Path, cold: Cold
) -> None:
    seen, mode = tmp_path / "seen", tmp_path / "mode"
    seen.mkdir()
    service = new_service(mirrored(project, seen, mode)).start()
    service.said(seen)
    append(log, rows(10, 12))
    mode.write_text("hang")
    with service.connect() as client:
        client.put(ListRuns(), seen)
        until(lambda: stuck(service.pid))
        service.signal(signal.SIGTERM)
        assert service.ended() in (0, -signal.SIGALRM)  # the kernel ends it where it cannot do so itself
    mode.write_text("ok")
    again = new_service(service.prefix, home=service.home).start()
    assert again.said(seen) == cold(seen, service.prefix)


def stuck(pid: int) -> bool:
    """Whether a thread of the process waits for a file system."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return any("request_wait" in (thread / "wchan").read_text() or _asleep(thread) for thread in threads)


def _asleep(thread: Path) -> bool:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "D"
