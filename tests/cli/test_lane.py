"""The lane: what it loads, what it sends, and how it ends, in processes of its own."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import frames, messages
from runwise_protocol.messages import Lane
from runwise_protocol.query import Where

PROJECT = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"
DEADLINE_SECONDS = 30
LANE = [sys.executable, "-m", "runwise_cli"]
MODULES = {
    "_socket",
    "runwise_cli",
    "runwise_cli.__main__",
    "runwise_protocol",
    "runwise_protocol.frames",
    "runwise_protocol.paths",
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Listener:
    """A daemon that takes each connection's one request and then does as it was told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.requests: list[Lane] = []
        self.asked = threading.Event()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(folder / "runwised.sock"))
        self.listening.listen()
        self.open: list[socket.socket] = []
        self.thread: threading.Thread | None = None

    def answer(self, *said: tuple[int, bytes], stay: bool = False, last: bool = False) -> None:
        """Say this to whoever asks next, and to nobody after them."""
        words = b"".join(frames.encode(*one) for one in said)
        self.thread = threading.Thread(target=self._serve, args=(words, stay, last))
        self.thread.start()

    def _serve(self, said: bytes, stay: bool, last: bool) -> None:
        connection, _ = self.listening.accept()
        if last:
            self.listening.close()
        self.open.append(connection)
        taken = frames.Frames(frames.REQUEST_CAP)
        while data := connection.recv(1 << 16):
            for _, payload in taken.feed(data):
                self.requests.append(messages.decode_lane(payload))
                connection.sendall(said)
                self.asked.set()
                if not stay:
                    connection.shutdown(socket.SHUT_RDWR)
                    return

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join(DEADLINE_SECONDS)
        for each in (*self.open, self.listening):
            each.close()


@pytest.fixture
def listener(daemon_env: dict[str, str]) -> Iterator[Listener]:
    listener = Listener(Path(daemon_env["RUNWISE_RUNTIME_DIR"]))
    yield listener
    listener.close()


def run(env: dict[str, str], *argv: str | bytes, **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": DEADLINE_SECONDS, **options}
    return subprocess.run([*LANE, *argv], env=env, check=False, **given)


def listed(daemon_env: dict[str, str]) -> tuple[str, set[str]]:
    """What `runwise list` says, and the modules it loads for that."""
    program = (
        "import os, sys; bare = set(sys.modules)\n"
        "from runwise_cli.__main__ import main\n"
        "def end(status): sys.stderr.write(f'{status} ' + ' '.join(set(sys.modules) - bare))\n"
        "os._exit = end; sys.argv[1:] = ['list']; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env=daemon_env, capture_output=True, text=True, check=True
    )
    status, *loaded = told.stderr.split()
    assert status == "0"
    return told.stdout, set(loaded)


def test_it_loads_exactly_these_modules_for_a_real_answer(runwise: Run, daemon_env: dict[str, str]) -> None:
    said = runwise("list", cwd=PROJECT).stdout  # there is a daemon from now on
    assert listed(daemon_env) == (said, MODULES)


def test_where_a_daemon_was_just_ending_the_next_is_asked_as_quickly(
    listener: Listener, runwise: Run, daemon_env: dict[str, str]
) -> None:
    listener.answer(last=True)
    said, loaded = listed(daemon_env)
    assert listener.requests
    assert said == runwise("list", cwd=PROJECT).stdout
    assert "runwise_cli.app" not in loaded


def test_it_copies_both_streams_and_the_exit_status(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer(
        (frames.ALIVE, b"."),
        (frames.OUT, b"one\n"),
        (frames.ERR, b"hm\n"),
        (frames.OUT, b"two\n"),
        (frames.EXIT, b"\4"),
    )
    told = run(daemon_env, "list")
    assert (told.stdout, told.stderr, told.returncode) == ("one\ntwo\n", "hm\n", 4)


def test_it_sends_where_it_is_and_what_it_was_told(
    listener: Listener, daemon_env: dict[str, str], tmp_path: Path
) -> None:
    listener.answer((frames.EXIT, b"\0"))
    daemon_env |= {"WANDB_DIR": "logs", "COLUMNS": "62", "HTTP_PROXY": "nobody's business"}
    run(daemon_env, "raw", "--step", "1:2", "", cwd=tmp_path)
    where = Where(cwd=str(tmp_path), environ={"WANDB_DIR": "logs"})
    assert listener.requests == [Lane(where, 62, False, False, ["raw", "--step", "1:2", ""])]


@pytest.mark.skipif(sys.platform == "darwin", reason="names must be UTF-8 there")
def test_names_that_are_not_text_arrive_unharmed(
    listener: Listener, daemon_env: dict[str, str], tmp_path: Path
) -> None:
    listener.answer((frames.EXIT, b"\0"))
    folder = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(folder)).mkdir()
    run(daemon_env | {"LC_ALL": "C"}, "run", b"\xfe", cwd=folder)
    (lane,) = listener.requests
    assert (os.fsencode(lane.where.cwd), os.fsencode(lane.argv[1])) == (folder, b"\xfe")


@pytest.mark.parametrize(
    ("environ", "color", "width"),
    [({"TERM": "xterm"}, True, 44), ({"TERM": "dumb"}, False, 44), ({"NO_COLOR": "1", "COLUMNS": "70"}, False, 70)],
)
def test_at_a_terminal_it_says_so_and_how_wide_it_is(
    listener: Listener, daemon_env: dict[str, str], environ: dict[str, str], color: bool, width: int
) -> None:
    listener.answer((frames.EXIT, b"\0"))
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (20, 44))
    run(daemon_env | environ, "list", stdout=inner)
    os.close(inner)
    os.close(outer)
    (lane,) = listener.requests
    assert (lane.terminal, lane.color, lane.width) == (True, color, width)


def test_a_line_that_the_daemon_declines_is_read_by_the_full_parser(
    listener: Listener, daemon_env: dict[str, str]
) -> None:
    listener.answer((frames.DECLINE, b"help"))
    told = run(daemon_env, "list", "--help")
    assert told.returncode == 0
    assert "--limit" in told.stdout


@pytest.mark.parametrize("argv", [["--help"], ["list", "-h"], ["--version"], ["daemon", "--help"]])
def test_what_is_no_question_starts_no_daemon(runwise: Run, daemon_env: dict[str, str], argv: list[str]) -> None:
    assert runwise(*argv).returncode == 0
    assert not Path(daemon_env["RUNWISE_RUNTIME_DIR"]).exists()


def test_completion_is_not_taken_for_a_question(listener: Listener, daemon_env: dict[str, str]) -> None:
    daemon_env |= {"_RUNWISE_COMPLETE": "complete_bash", "COMP_WORDS": "runwise la", "COMP_CWORD": "1"}
    assert run(daemon_env).stdout == "latest\n"
    assert listener.requests == []


def test_an_answer_that_breaks_off_is_an_error_after_what_came(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer((frames.OUT, b"half\n"))
    told = run(daemon_env, "list")
    assert told.stdout == "half\n"
    assert told.stderr == "error: the daemon went away in the middle of the answer\nhint: ask again\n"
    assert told.returncode == 6


def test_a_daemon_that_says_nothing_is_given_up(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer(stay=True)
    told = run(daemon_env | {"RUNWISE_TIMEOUT_SECONDS": "1"}, "list")
    assert told.returncode == 6
    assert told.stderr.startswith("error: the daemon is not responding (pid ?)\n")


def test_a_reader_that_leaves_ends_it_quietly(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer((frames.OUT, b"line\n" * 50_000), (frames.EXIT, b"\0"))
    reading, writing = os.pipe()
    os.close(reading)
    told = run(daemon_env, "list", stdout=writing)
    os.close(writing)
    assert (told.stderr, told.returncode) == ("", 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_cannot_be_written_is_an_error(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer((frames.OUT, b"line\n"), (frames.EXIT, b"\0"))
    with Path("/dev/full").open("w") as full:
        told = run(daemon_env, "list", stdout=full)
    assert (told.stderr, told.returncode) == ("error: cannot write the answer: No space left on device\n", 74)


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_is_an_error_and_never_the_socket(
    listener: Listener, daemon_env: dict[str, str], closed: str
) -> None:
    listener.answer((frames.OUT, b"line\n"), (frames.EXIT, b"\0"))
    told = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m runwise_cli list {closed}"],
        env=daemon_env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert told.returncode == 74
    assert told.stderr == ("" if "2>&-" in closed else "error: cannot write the answer: Bad file descriptor\n")
    assert [lane.argv for lane in listener.requests] == [["list"]]


def test_a_closed_stdout_is_an_error_to_the_full_parser_too(daemon_env: dict[str, str]) -> None:
    told = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m runwise_cli list >&-"],
        cwd=PROJECT,
        env=daemon_env | {"RUNWISE_NO_DAEMON": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (told.stderr, told.returncode) == ("error: cannot write the answer: Bad file descriptor\n", 74)


def test_an_interrupt_ends_it_without_a_traceback(listener: Listener, daemon_env: dict[str, str]) -> None:
    listener.answer(stay=True)
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in a shell's background inherit SIG_IGN
    command = [*LANE, "list"]
    with subprocess.Popen(command, env=daemon_env, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        assert listener.asked.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (err, process.returncode) == ("", 130)


def test_a_working_directory_that_is_gone_is_named(daemon_env: dict[str, str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; {sys.executable} -m runwise_cli list"
    told = subprocess.run(["sh", "-c", command], cwd=gone, env=daemon_env, capture_output=True, text=True, check=False)
    assert (told.stderr, told.returncode) == (
        "error: the working directory is gone\nhint: cd to a folder that exists\n",
        3,
    )


@pytest.mark.skipif(os.getuid() != 0 or sys.platform != "linux", reason="only root can become somebody else")
def test_nothing_is_sent_to_a_server_of_somebody_elses(daemon_env: dict[str, str]) -> None:
    folder = Path(daemon_env["RUNWISE_RUNTIME_DIR"])
    folder.mkdir(mode=0o700)
    squatter = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.setuid(65534); s.listen()\n"
        "print('ready', flush=True)\n"
        "c, _ = s.accept(); print(c.recv(99), flush=True); c, _ = s.accept(); print(c.recv(99), flush=True)"
    )
    command = [sys.executable, "-c", squatter, f"{folder}/runwised.sock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = run(daemon_env, "list")
        assert f"{folder}/runwised.sock is served by uid 65534, not by you (0)" in told.stderr
        assert told.returncode == 6
        assert process.stdout.read() == "b''\nb''\n"


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind to count instructions")
def test_a_warm_answer_executes_hardly_more_than_a_python_that_does_nothing(
    daemon_env: dict[str, str], tmp_path: Path
) -> None:
    daemon_env |= {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    daemon_env.pop("PYTHONDONTWRITEBYTECODE", None)
    script = Path(__file__).parents[2] / "runwise_cli" / "bin" / "runwise"
    ours, bare = [sys.executable, str(script), "list"], [sys.executable, "-c", "pass"]

    def instructions(command: list[str]) -> int:
        counting = ["valgrind", "--tool=cachegrind", "--cachegrind-out-file=/dev/null", *command]
        told = subprocess.run(counting, cwd=PROJECT, env=daemon_env, capture_output=True, text=True, check=True)
        found = re.search(r"I\s+refs:\s+([\d,]+)", told.stderr)
        assert found, told.stderr
        return int(found[1].replace(",", ""))

    for _ in range(2):  # from the second time on everything is compiled, and the daemon is there
        assert subprocess.run(ours, cwd=PROJECT, env=daemon_env, capture_output=True, check=False).returncode == 0
    assert instructions(ours) <= 1.1 * instructions(bare)
