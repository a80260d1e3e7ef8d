"""Section F of the fault matrix: the socket, and who is at its other end."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import __version__, frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import Export, ListRuns, Local, ShowStats
from runwise_protocol.query import Look, Where

from tests.faults.conftest import Cold, MakeService
from tests.faults.machine import works
from tests.faults.service import Connection, Service, rows, until

NOBODY = 65534


@pytest.fixture
def log(project: Path) -> Path:
    path = project / "logs" / "run.jsonl"
    path.write_bytes(rows(0, 2000))
    return path


def question(project: Path) -> bytes:
    """A greeting and a typed question, as bytes."""
    asked = messages.Ask.of(Export(run="run"), Look(budget=1_000_000), Where(cwd=str(project)))
    return frames.encode(frames.HELLO, __version__.encode()) + frames.encode(frames.WRITE, messages.encode_ask(asked))


def memory(pid: int) -> int:
    """KiB of memory a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_f01_a_client_that_leaves_at_any_byte_disturbs_nobody(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    assert log.exists()
    expected, request = cold(project), question(project)
    for cut in range(0, len(request) + 1, 3):
        with Connection(service.path) as client:
            client.socket.sendall(request[:cut])
    for taken in range(1, 4000, 97):
        with Connection(service.path) as client:
            client.socket.sendall(request)
            client.socket.recv(taken)
    until(lambda: service.status()["clients"] == 1)
    assert service.said(project) == expected
    assert "Traceback" not in service.log()


def test_f02_clients_that_never_read_hold_up_nobody_and_hold_little(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    log.write_bytes(rows(0, 20_000))
    expected = cold(project)
    assert service.said(project) == expected
    before = memory(service.pid)
    stuck = [Connection(service.path) for _ in range(50)]
    for client in stuck:
        client.socket.sendall(question(project) + question(project) * 10)
    assert service.said(project) == expected
    assert service.status()["clients"] == 51
    assert memory(service.pid) - before < len(stuck) * 1024
    for client in stuck:
        client.socket.close()
    until(lambda: service.status()["clients"] == 1)


def test_f05_mutated_frames_end_at_most_their_own_connection(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    assert log.exists()
    chance, whole = random.Random(5), question(project)
    for _ in range(800):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            how = chance.randrange(4)
            at = chance.randrange(len(data))
            if how == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif how == 1:
                del data[at : at + chance.randrange(1, 9)]
            elif how == 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            else:
                data[at : at + 4] = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
        with Connection(service.path) as client:
            client.socket.sendall(data)
            client.socket.shutdown(socket.SHUT_WR)
            client.socket.recv(1 << 16)
    until(lambda: service.status()["clients"] == 1)
    assert service.said(project) == cold(project)
    assert "Traceback" not in service.log()


def test_f09_without_descriptors_it_serves_those_it_has_and_recovers(
    new_service: MakeService, project: Path, log: Path, cold: Cold
) -> None:
    assert log.exists()
    service = new_service()
    service.start(preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NOFILE, (64, 64)))
    first = service.connect()
    assert isinstance(first.ask(ListRuns(), project), ListRuns.reply)
    crowd = [Connection(service.path) for _ in range(200)]
    refused = crowd[-1].next()
    assert refused is not None
    error = messages.decode_failure(refused[1])
    assert error.kind is Kind.UNREACHABLE
    assert "busy" in error.message
    assert isinstance(first.ask(ListRuns(), project), ListRuns.reply)
    for client in (first, *crowd):
        client.socket.close()
    until(lambda: service.status()["clients"] == 1)
    assert service.said(project) == cold(project)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("opened", [False, True])
def test_f11_somebody_else_gets_no_answer(service: Service, opened: bool) -> None:
    if opened:  # on purpose: the modes of files are only the first line of defence
        for folder in (service.home.parent, service.home, service.home / "runtime"):
            folder.chmod(0o755)
        Path(service.path).chmod(0o666)
    program = (
        f"import os, socket, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); "
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        "sys.stdout.buffer.write(s.recv(9999))"
    )
    told = subprocess.run([sys.executable, "-c", program, service.path], capture_output=True, check=False)
    if not opened:
        assert (told.stdout, b"PermissionError" in told.stderr) == (b"", True)
        return
    ((kind, payload),) = frames.Frames(frames.REPLY_CAP).feed(told.stdout)
    assert kind == frames.FAILURE
    assert "serves uid 0 alone" in messages.decode_failure(payload).message


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_f12_root_is_somebody_else_too(new_service: MakeService, short_path: Path) -> None:
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if not works(*prefix, sys.executable, "-c", "import msgspec"):
        pytest.skip("another user cannot run this Python")
    short_path.chmod(0o755)
    service = new_service(prefix)
    os.chown(service.home, NOBODY, NOBODY)
    service.launch()
    if service.told() != b"ready\n":
        pytest.skip("another user cannot read this source")
    with Connection(service.path) as client:
        refused = client.next()
        assert refused is not None
        assert f"serves uid {NOBODY} alone, you are 0" in messages.decode_failure(refused[1]).message
    told = subprocess.run(
        [sys.executable, "-m", "runwise_cli", "list"],
        env=service.env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 6
    assert f"belongs to uid {NOBODY}" in told.stderr


@pytest.mark.parametrize("umask", [0, 0o777])
def test_f15_socket_and_folder_are_never_open_to_others_whatever_the_umask(
    new_service: MakeService, umask: int
) -> None:
    service = new_service()
    seen: set[tuple[str, int]] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for path in (service.home / "runtime", Path(service.path), service.home / "runtime" / "new.sock"):
                try:
                    seen.add((path.name, stat.S_IMODE(path.lstat().st_mode)))
                except FileNotFoundError:
                    continue

    looking = threading.Thread(target=look)
    looking.start()
    service.start(umask=umask)
    until(lambda: any(name == "runwised.sock" for name, _ in seen.copy()))
    done.set()
    looking.join()
    assert {("runtime", 0o700), ("runwised.sock", 0o600)} <= seen
    assert [mode for _, mode in seen if mode & 0o077] == []
    made = [path for folder in (service.cache, service.home / "state") if folder.exists() for path in folder.rglob("*")]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def takes(path: str) -> bool:
    """Whether there is room in the queue."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        return client.connect_ex(path) == 0


def test_f19_a_full_queue_is_no_missing_daemon(service: Service, project: Path, log: Path, cold: Cold) -> None:
    assert log.exists()
    service.signal(signal.SIGSTOP)
    waiting: list[socket.socket] = []
    full = False
    while not full and len(waiting) < 5000:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        waiting.append(client)
        try:
            client.connect(service.path)
        except BlockingIOError:
            full = True
    if not full:
        pytest.skip("the queue of this system is longer than that")
    env = {**service.env, "RUNWISE_TIMEOUT_SECONDS": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "runwise_cli", "list"], env=env, cwd=project, capture_output=True, text=True, check=False
    )
    assert told.returncode == 6
    assert f"the daemon is not responding (pid {service.pid})" in told.stderr
    for client in waiting:
        client.close()
    service.signal(signal.SIGCONT)
    until(lambda: takes(service.path))
    assert service.said(project) == cold(project)
    assert service.log().count(" ready on ") == 1


def test_f20_the_largest_questions_at_once_keep_small_ones_answered(
    service: Service, project: Path, log: Path, cold: Cold
) -> None:
    log.write_bytes(rows(0, 30_000))
    service.said(project)
    large = [service.connect() for _ in range(10)]
    for client in large:
        client.put(Export(run="run"), project, Look(budget=1_000_000))
    for _ in range(20):
        assert isinstance(service.ask(ShowStats(run="run"), project), ShowStats.reply)
    sizes = {len(str(client.answer(Export(run="run")))) for client in large}
    assert len(sizes) == 1
    for client in large:
        client.socket.close()
    assert service.said(project) == cold(project)


@pytest.mark.parametrize(
    "where", [{"cwd": "/\0"}, {"cwd": "/", "project": "a\0"}, {"cwd": "/", "environ": {"WANDB_DIR": "\0"}}]
)
def test_f06_a_path_with_a_null_byte_is_refused(service: Service, where: dict[str, Any]) -> None:
    with service.connect() as client:
        client.send(frames.ASK, messages.encode_ask(messages.Ask.of(ListRuns(), None, Where(**where))))
        with pytest.raises(RunwiseError, match="null byte") as raised:
            client.answer(ListRuns())
    assert raised.value.kind is Kind.USAGE


def test_f06_a_named_path_with_a_null_byte_is_refused(service: Service) -> None:
    with pytest.raises(RunwiseError) as raised:
        service.ask(Local(file="a\0b"), "/tmp")
    assert raised.value.kind in (Kind.USAGE, Kind.NOT_FOUND)
    assert "Traceback" not in service.log()
