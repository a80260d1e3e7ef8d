"""A listening socket that somebody else has made: the daemon takes it as it is, or says what is wrong with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.service_manager import ServiceManager, hand_over

PROJECT = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"
ACTIVATE = shutil.which("systemd-socket-activate")
DEADLINE_SECONDS = 30

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def listening(folder: Path) -> Iterator[socket.socket]:
    """A socket where clients look for it."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "runwised.sock"))
        made.listen()
        yield made


def given(*sockets: socket.socket, names: str = "") -> dict[str, Any]:
    """Options with which a process is started that is handed these."""
    return hand_over([each.fileno() for each in sockets], names)


def test_it_is_taken_as_it_is_and_left_for_the_next_daemon(
    start: Callable[..., Any], listening: socket.socket, folder: Path
) -> None:
    before = (folder / "runwised.sock").stat().st_ino
    daemon = start(options=given(listening))
    assert daemon.peer().status()["handed_over"] is True
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert (folder / "runwised.sock").stat().st_ino == before
    waiting = daemon.peer()  # nobody is there, and nobody is turned away
    again = start(options=given(listening))
    waiting.greet()
    assert again.process.poll() is None


def test_of_several_the_one_of_our_name_is_taken_and_the_others_are_closed(
    start: Callable[..., Any], listening: socket.socket
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        daemon = start(options=given(ours, listening, names="other:runwised"))
        ours.close()
        assert theirs.recv(1) == b""  # the daemon holds the other end no more
        daemon.peer().greet()


def test_what_is_meant_for_another_process_is_not_taken(start: Callable[..., Any], folder: Path) -> None:
    environ = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    daemon = start(options={"environ": environ})
    assert daemon.peer().status()["handed_over"] is False
    assert stat.S_ISSOCK((folder / "runwised.sock").stat().st_mode)


def wrong_family(folder: Path) -> socket.socket:
    del folder
    made = socket.socket(socket.AF_INET)
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


def wrong_type(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(folder / "runwised.sock"))
    return made


def not_listening(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "runwised.sock"))
    return made


def elsewhere(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "other.sock"))
    made.listen()
    return made


def removed(folder: Path) -> socket.socket:
    made = elsewhere(folder)
    made.close()
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "runwised.sock"))
    made.listen()
    (folder / "runwised.sock").unlink()
    return made


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (wrong_family, "is of the family AF_INET, expected AF_UNIX"),
        (wrong_type, "is of the type SOCK_DGRAM, expected SOCK_STREAM"),
        (not_listening, "does not listen"),
        (elsewhere, "lies at '{folder}/other.sock', clients look for '{folder}/runwised.sock'"),
        (removed, "has lost its file {folder}/runwised.sock"),
    ],
)
def test_what_clients_would_not_find_is_refused(
    start: Callable[..., Any], folder: Path, make: Callable[[Path], socket.socket], said: str
) -> None:
    with make(folder) as made:
        daemon = start(ready=False, options=given(made))
        assert daemon.line() == f"the socket that was handed over {said.format(folder=folder)}"
        assert daemon.line() == "runwise daemon install"
        assert daemon.ended() == 6


def test_what_is_no_socket_is_refused(start: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    daemon = start(ready=False, options=hand_over([reading], ""))
    assert daemon.line() == "what was handed over as descriptor 3 is no socket: Socket operation on non-socket"
    os.close(reading)
    os.close(writing)


def test_several_without_ours_are_refused(start: Callable[..., Any], listening: socket.socket) -> None:
    with listening.dup() as second:
        daemon = start(ready=False, options=given(listening, second, names="one"))
        expected = "2 sockets were handed over (one, one without a name), expected one called runwised"
        assert daemon.line() == expected


def test_a_daemon_that_had_made_its_own_socket_gives_way_to_one_that_is_handed_another(
    start: Callable[..., Any], folder: Path
) -> None:
    first = start(check_seconds=0.05)
    first.path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(first.path))
        made.listen()
        start(options=given(made)).peer().greet()
        assert first.ended() == 0
        assert stat.S_ISSOCK((folder / "runwised.sock").stat().st_mode)


def test_a_question_that_comes_while_it_ends_is_answered_by_the_next_one(
    daemon_env: dict[str, str], runwise: Run
) -> None:
    with ServiceManager(daemon_env) as manager:
        first = runwise("list", cwd=PROJECT)
        assert (first.returncode, first.stderr) == (0, "")
        assert runwise("daemon", "stop").returncode == 0
        again = runwise("list", cwd=PROJECT)
        assert (again.returncode, again.stderr) == (0, "")
        assert len(manager.pids) == 2
        assert runwise("daemon", "status").stdout.count("handed_over True") == 1


@pytest.mark.skipif(ACTIVATE is None, reason="needs systemd-socket-activate (Debian: the package systemd)")
def test_systemd_hands_its_socket_over_at_the_first_question(daemon_env: dict[str, str], runwise: Run) -> None:
    runtime = Path(daemon_env["RUNWISE_RUNTIME_DIR"])
    runtime.mkdir(mode=0o700)
    command = [str(ACTIVATE), "-l", str(runtime / "runwised.sock"), "--fdname=runwised"]
    for name in daemon_env:
        command += ["-E", name]
    with subprocess.Popen(
        [*command, sys.executable, "-P", "-m", "runwised"], env=daemon_env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "Listening on" not in process.stderr.readline():
            pass
        told = runwise("list", cwd=PROJECT)
        assert (told.returncode, told.stderr) == (0, "")
        status = runwise("daemon", "status").stdout
        assert f"\npid {process.pid}\n" in status
        assert "\nhanded_over True\n" in status
        assert runwise("daemon", "stop").returncode == 0
        assert process.wait(DEADLINE_SECONDS) == 0
    assert (runtime / "runwised.sock").is_socket()  # who made it removes it
