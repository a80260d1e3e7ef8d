"""What a client gets, and what it cannot do to the others: a real daemon, real sockets."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from runwise_protocol import __version__, frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import Latest, ListRuns

DEADLINE_SECONDS = 30


def lane(*argv: str, version: str = __version__, flags: str = "") -> bytes:
    return frames.lane_request(version, b"/here", 77, flags, [], [word.encode() for word in argv])


def failure(frame: tuple[int, bytes] | None) -> RunwiseError:
    assert frame is not None
    assert frame[0] == frames.FAILURE
    return messages.decode_failure(frame[1])


def until(condition: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline


def test_a_command_line_gets_its_text_and_its_exit_status(daemon: Any) -> None:
    peer = daemon.peer()
    peer.socket.sendall(lane("latest"))
    assert peer.next() == (frames.OUT, b"latest /here agent 77\n")
    assert peer.next() == (frames.EXIT, b"\3")


def test_a_terminal_gets_the_human_dress(daemon: Any) -> None:
    peer = daemon.peer()
    peer.socket.sendall(lane("latest", flags="t"))
    assert peer.next() == (frames.OUT, b"latest /here human 77\n")


@pytest.mark.parametrize("argv", [("--help",), ("lisst",), ("list", "--limit", "0"), ("demo",)])
def test_a_command_line_that_is_not_plain_is_declined(daemon: Any, argv: tuple[str, ...]) -> None:
    peer = daemon.peer()
    peer.socket.sendall(lane(*argv))
    assert peer.next() == (frames.DECLINE, b"not a plain command line")


def test_a_command_line_gets_its_error_as_text(daemon: Any) -> None:
    peer = daemon.peer()
    peer.socket.sendall(lane("list", "--state", "refuse"))
    assert peer.next() == (frames.ERR, b"error: two runs are called so\nhint: runwise list\n")
    assert peer.next() == (frames.EXIT, b"\4")


def test_a_command_line_of_another_version_gets_the_daemons_version(daemon: Any) -> None:
    peer = daemon.peer()
    peer.socket.sendall(lane("list", version="0.0.0"))
    assert peer.next() == (frames.HELLO, __version__.encode())


def test_a_typed_question_gets_reply_text_and_exit_status(daemon: Any) -> None:
    peer = daemon.peer()
    peer.greet()
    peer.ask(ListRuns(limit=7))
    kind, payload = peer.next()
    assert kind == frames.ANSWER
    reply, status = messages.decode_answer(payload, ListRuns())
    assert (reply.total, str(reply), status) == (7, "list /here agent 100\n", 3)


def test_an_answer_over_the_cap_is_refused_and_never_cut(daemon: Any) -> None:
    peer = daemon.peer()
    peer.greet()
    peer.ask(ListRuns(state="long", limit=20_000))
    error = failure(peer.next())
    assert error.kind is Kind.USAGE
    assert str(frames.REPLY_CAP) in error.message


def test_a_long_stream_comes_whole_in_frames_under_the_cap(daemon: Any) -> None:
    peer = daemon.peer()
    peer.greet()
    peer.ask(ListRuns(state="long", limit=40_000), frames.WRITE)
    total = 0
    while (frame := peer.next())[0] == frames.OUT:
        total += len(frame[1])
    assert total == 40_000 * 1024
    assert frame == (frames.EXIT, b"\0")


def test_a_stream_that_breaks_ends_with_the_reason(daemon: Any) -> None:
    peer = daemon.peer()
    peer.greet()
    peer.ask(ListRuns(state="break"), frames.WRITE)
    assert peer.next()[0] == frames.OUT
    assert failure(peer.next()).kind is Kind.UNREADABLE


def test_an_unforeseen_exception_gets_a_mark_that_is_in_the_log_and_harms_nobody(daemon: Any) -> None:
    peer = daemon.peer()
    peer.greet()
    peer.ask(ListRuns(state="raise"))
    error = failure(peer.next())
    assert error.kind is Kind.INTERNAL
    mark = re.fullmatch(r"internal error (\w+): ZeroDivisionError", error.message)
    assert mark
    peer.ask(Latest())
    assert peer.next()[0] == frames.ANSWER
    daemon.process.terminate()
    _, log = daemon.process.communicate(timeout=DEADLINE_SECONDS)
    assert f"internal error {mark[1]} in Question" in log
    assert "ZeroDivisionError: on purpose" in log


def test_a_verb_gets_its_state(daemon: Any) -> None:
    peer = daemon.peer()
    for verb, expected in [(b"ping", {"version", "pid"}), (b"demo", {"path"})]:
        peer.send(frames.CONTROL, verb)
        kind, payload = peer.next()
        assert kind == frames.STATE
        assert set(messages.decode_state(payload)) == expected
    status = peer.status()
    assert status["pid"] == daemon.process.pid
    assert (status["answered"], status["clients"], status["engine"]) == (2, 1, {"abandoned": 0})
    peer.send(frames.CONTROL, b"dance")
    assert failure(peer.next()).message == "no verb 'dance'; ping, status, stop, demo"


def test_many_requests_in_one_write_are_answered_in_order(daemon: Any) -> None:
    peer = daemon.peer()
    ping, question = frames.encode(frames.CONTROL, b"ping"), lane("list")
    peer.socket.sendall((ping + question) * 300)
    kinds = [peer.next()[0] for _ in range(900)]
    assert kinds == [frames.STATE, frames.OUT, frames.EXIT] * 300


def test_one_request_in_many_writes_is_answered(daemon: Any) -> None:
    peer = daemon.peer()
    for byte in lane("list"):
        peer.socket.sendall(bytes((byte,)))
    assert [peer.next()[0], peer.next()[0]] == [frames.OUT, frames.EXIT]


@pytest.mark.parametrize("head", [b"\0\0\0\0Q", b"\1\0\x10\0Q", b"\xff\xff\xff\xffQ", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_malformed_frame_ends_its_own_connection_with_the_reason(daemon: Any, head: bytes) -> None:
    other = daemon.peer()
    other.greet()
    peer = daemon.peer()
    peer.socket.sendall(frames.encode(frames.CONTROL, b"ping") + head)
    state, refusal = peer.rest()
    assert state[0] == frames.STATE
    assert failure(refusal).kind is Kind.USAGE
    other.ask(Latest())
    assert other.next()[0] == frames.ANSWER


def test_a_request_that_never_ends_is_cut_off(start: Callable[..., Any]) -> None:
    daemon = start(limits={"request_seconds": 0.2})
    peer = daemon.peer()
    peer.socket.sendall(lane("list")[:-1])
    (refusal,) = peer.rest()
    assert failure(refusal).message == "the request was not finished within 0.2 s"


def test_a_request_that_comes_too_slowly_is_cut_off_though_it_never_pauses_long(start: Callable[..., Any]) -> None:
    daemon = start(limits={"request_seconds": 0.5})
    peer = daemon.peer()
    peer.socket.settimeout(0.05)
    told = b""
    for byte in lane("list", *["x" * 100] * 10):
        peer.socket.sendall(bytes((byte,)))
        with contextlib.suppress(TimeoutError):
            told = peer.socket.recv(1 << 16)
            break
    ((kind, payload),) = frames.Frames(frames.REPLY_CAP).feed(told)
    assert failure((kind, payload)).message == "the request was not finished within 0.5 s"


def test_a_connection_without_requests_is_closed(start: Callable[..., Any]) -> None:
    daemon = start(limits={"quiet_seconds": 0.2})
    peer = daemon.peer()
    peer.greet()
    assert peer.rest() == []


def test_whoever_waits_gets_signs_of_life(start: Callable[..., Any]) -> None:
    daemon = start(limits={"alive_seconds": 0.05})
    peer = daemon.peer()
    peer.socket.sendall(lane("list", "--state", "wait"))
    sign = frames.encode(frames.ALIVE, b".")
    data = b""
    while len(data) < 3 * len(sign):
        data += peer.socket.recv(100)
    assert data.startswith(sign * 3)


def test_one_who_waits_for_something_is_told_at_once_from_where(start: Callable[..., Any]) -> None:
    daemon = start(limits={"alive_seconds": 10 * DEADLINE_SECONDS})
    peer = daemon.peer()
    peer.socket.sendall(lane("list", "--state", "say"))
    sign = frames.encode(frames.ALIVE, b"@1 30.0")
    data = b""
    while len(data) < len(sign):
        data += peer.socket.recv(100)
    assert data == sign


def test_one_who_waits_and_takes_no_sign_of_life_is_cut_off(start: Callable[..., Any]) -> None:
    daemon = start(limits={"alive_seconds": 0.002, "stall_seconds": 0.1})
    watching, peer = daemon.peer(), daemon.peer()
    peer.socket.sendall(lane("list", "--state", "wait"))
    until(lambda: watching.status()["answering"] == 1)
    until(lambda: watching.status()["engine"]["abandoned"] == 1)
    until(lambda: watching.status()["clients"] == 1)


@pytest.mark.parametrize("behind", [b"", frames.encode(frames.CONTROL, b"ping")])
def test_the_work_for_a_client_that_leaves_is_abandoned(daemon: Any, behind: bytes) -> None:
    watching = daemon.peer()
    peer = daemon.peer()
    peer.socket.sendall(lane("list", "--state", "wait") + behind)
    until(lambda: watching.status()["answering"] == 1)
    peer.socket.close()
    until(lambda: watching.status()["engine"]["abandoned"] == 1)
    until(lambda: watching.status()["clients"] == 1)


def test_clients_that_never_read_hold_up_nobody_and_are_cut_off(start: Callable[..., Any]) -> None:
    daemon = start(limits={"stall_seconds": 0.5})
    stuck = [daemon.peer() for _ in range(20)]
    for peer in stuck:
        peer.socket.sendall(lane("list", "--state", "long", "-n", "100000") * 20)
    healthy = daemon.peer()
    healthy.socket.sendall(lane("latest"))
    assert healthy.next() == (frames.OUT, b"latest /here agent 77\n")
    assert healthy.next() == (frames.EXIT, b"\3")
    until(lambda: healthy.status()["clients"] == 1)
    assert (frames.EXIT, b"\0") not in stuck[0].rest()


def test_clients_over_the_cap_are_told_so_at_once(start: Callable[..., Any]) -> None:
    daemon = start(limits={"clients": 2})
    for _ in range(2):
        daemon.peer().greet()
    (refusal,) = daemon.peer().rest()
    error = failure(refusal)
    assert (error.message, error.hint) == ("the daemon is busy with 2 clients", "ask again")
    daemon.peers[0].socket.close()
    until(lambda: daemon.peers[1].status()["clients"] == 1)
    daemon.peer().greet()


def test_out_of_descriptors_the_daemon_says_so_serves_on_and_recovers(start: Callable[..., Any]) -> None:
    most = 40
    daemon = start(options={"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))})
    first = daemon.peer()
    first.greet()
    crowd = [daemon.peer() for _ in range(most)]
    refused = failure(crowd[-1].rest()[0])
    assert (refused.kind, refused.message) == (Kind.UNREACHABLE, "the daemon is busy: Too many open files")
    first.ask(Latest())
    assert first.next()[0] == frames.ANSWER
    for peer in crowd:
        peer.socket.close()
    daemon.peer().greet()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_refused_though_the_files_let_them_in(daemon: Any) -> None:
    for folder in (daemon.folder.parent, daemon.folder):
        folder.chmod(0o755)
    daemon.path.chmod(0o666)
    program = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
        "s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(9999))"
    )
    told = subprocess.run([sys.executable, "-c", program, daemon.path], capture_output=True, check=True).stdout
    ((kind, payload),) = frames.Frames(frames.REPLY_CAP).feed(told)
    assert kind == frames.FAILURE
    assert messages.decode_failure(payload).message == f"this daemon serves uid {os.getuid()} alone, you are 65534"
