"""One daemon per user, from the lock to the last save: real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import frames


def test_a_second_daemon_gives_way_to_the_first(start: Callable[..., Any]) -> None:
    first = start()
    second = start(ready=False)
    assert second.line() == f"a daemon is already running (pid {first.process.pid})"
    assert second.ended() == 6
    first.peer().greet()


def test_a_daemon_whose_lock_file_was_deleted_is_not_pushed_off_its_socket(start: Callable[..., Any]) -> None:
    first = start()
    (first.folder / "daemon.lock").unlink()
    second = start(ready=False)
    assert "a daemon is already running" in second.line()
    first.peer().greet()


def test_a_stopped_daemon_whose_socket_is_gone_is_named(start: Callable[..., Any]) -> None:
    first = start()
    first.process.send_signal(signal.SIGSTOP)
    first.path.unlink()
    second = start(ready=False)
    assert second.line() == f"the daemon is not responding (pid {first.process.pid})"
    assert second.line() == f"kill -9 {first.process.pid}, or set RUNWISE_NO_DAEMON=1"
    assert second.ended() == 6


def test_the_remains_of_a_killed_daemon_are_replaced(start: Callable[..., Any]) -> None:
    first = start()
    first.process.kill()
    first.ended()
    assert stat.S_ISSOCK(first.path.stat().st_mode)
    start().peer().greet()


def test_something_else_at_the_sockets_path_is_refused_and_left_alone(start: Callable[..., Any], folder: Path) -> None:
    path = folder / "runwised.sock"
    path.write_text("important")
    daemon = start(ready=False)
    assert daemon.line() == f"{path} is in the way: it is not a socket"
    assert daemon.ended() == 6
    assert path.read_text() == "important"


def test_an_unsafe_folder_is_refused_and_nothing_made_in_it(start: Callable[..., Any], folder: Path) -> None:
    folder.chmod(0o770)
    daemon = start(ready=False)
    assert daemon.line() == f"{folder} has mode 0770, others must not get in"
    assert daemon.line() == f"chmod 700 {folder}"
    assert daemon.ended() == 6
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_socket_and_lock_are_ours_alone_whatever_the_umask(start: Callable[..., Any], umask: int) -> None:
    daemon = start(options={"umask": umask})
    assert daemon.path.stat().st_mode & 0o777 == 0o600
    assert (daemon.folder / "daemon.lock").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in daemon.folder.iterdir()) == ["daemon.lock", "runwised.sock"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_it_with_the_last_save_done_and_the_socket_gone(daemon: Any, number: int) -> None:
    daemon.process.send_signal(number)
    assert daemon.ended() == 0
    assert daemon.line() == "closed"
    assert [path.name for path in daemon.folder.iterdir()] == ["daemon.lock"]


def test_a_hangup_has_it_read_its_settings_and_does_not_end_it(daemon: Any) -> None:
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.line() == "reloaded"
    daemon.peer().greet()


def test_the_stop_verb_ends_it_and_is_answered_first(daemon: Any) -> None:
    peer = daemon.peer()
    peer.send(frames.CONTROL, b"stop")
    assert [kind for kind, _ in peer.rest()] == [frames.STATE]
    assert daemon.ended() == 0


def test_a_question_that_was_not_answered_when_it_ends_gets_no_answer_at_all(daemon: Any) -> None:
    peer, watching = daemon.peer(), daemon.peer()
    peer.socket.sendall(frames.lane_request("0.1.0", b"/", 0, "", [], [b"list", b"--state", b"wait"]))
    while watching.status()["answering"] != 1:
        pass
    daemon.process.terminate()
    assert peer.rest() == []
    assert daemon.ended() == 0


def ask_and_stop(daemon: Any, folder: Path, state: bytes) -> Any:
    """Somebody who is being answered when another client asks the daemon to end."""
    asking, ending = daemon.peer(), daemon.peer()
    words = [b"list", b"--state", state]
    asking.socket.sendall(frames.lane_request("0.1.0", os.fsencode(folder), 0, "", [], words))
    while ending.status()["answering"] != 1:
        pass
    ending.send(frames.CONTROL, b"stop")
    assert ending.next()[0] == frames.STATE
    return asking


def test_who_is_being_answered_when_another_daemon_is_to_take_over_has_the_whole_answer(
    daemon: Any, folder: Path, tmp_path: Path
) -> None:
    asking = ask_and_stop(daemon, tmp_path, b"hold")
    while (folder / "runwised.sock").exists():
        assert daemon.process.poll() is None
    (tmp_path / "go").touch()
    assert [kind for kind, _ in asking.rest()] == [frames.OUT, frames.EXIT]
    assert daemon.ended() == 0


def test_an_answer_that_does_not_come_does_not_keep_it(daemon: Any, tmp_path: Path) -> None:
    asking = ask_and_stop(daemon, tmp_path, b"hold")
    assert daemon.ended() == 0
    assert asking.rest() == []


@pytest.mark.parametrize(("state", "status"), [(b"block", 0), (b"wedge", -signal.SIGALRM)])
def test_a_daemon_whose_loop_hangs_saves_what_it_can_and_ends_all_the_same(
    daemon: Any, state: bytes, status: int
) -> None:
    peer = daemon.peer()
    peer.socket.sendall(frames.lane_request("0.1.0", b"/", 0, "", [], [b"list", b"--state", state]))
    assert daemon.line() == "blocking"
    daemon.process.terminate()
    assert daemon.ended() == status
    assert daemon.line() == "rescued"


def test_it_ends_after_its_idle_time(start: Callable[..., Any]) -> None:
    daemon = start(idle_seconds=0.3)
    peer = daemon.peer()
    peer.greet()
    assert daemon.ended() == 0
    assert daemon.line() == "closed"
    assert peer.rest() == []


def test_it_is_not_idle_while_it_works_on_an_answer(start: Callable[..., Any]) -> None:
    daemon = start(idle_seconds=0.2, limits={"alive_seconds": 0.1})
    peer = daemon.peer()
    peer.socket.sendall(frames.lane_request("0.1.0", b"/", 0, "", [], [b"list", b"--state", b"wait"]))
    data = b""
    while len(data) < 6 * len(frames.encode(frames.ALIVE, b".")):  # which takes 0.6 s
        data += peer.socket.recv(100)
    assert daemon.process.poll() is None


def test_it_ends_when_its_socket_was_removed(start: Callable[..., Any]) -> None:
    daemon = start(check_seconds=0.05)
    daemon.path.unlink()
    assert daemon.ended() == 0


def test_it_ends_when_another_socket_took_the_place_of_its_own_and_leaves_that_alone(
    start: Callable[..., Any], folder: Path
) -> None:
    daemon = start(check_seconds=0.05)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "other"))
        (folder / "other").rename(daemon.path)
        assert daemon.ended() == 0
        assert stat.S_ISSOCK(daemon.path.stat().st_mode)
