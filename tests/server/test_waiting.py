"""Who waits outlives the daemon, is answered when it happens, and can leave: real daemons, writers and clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol.client import Client
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.wait import Waited, WaitFor
from runwise_protocol.query import Where

from tests.server.writer import Writer

DEADLINE_SECONDS = 30

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """One run, `mine`, with one row, in `tmp_path`."""
    writer = Writer(tmp_path / "wandb")
    yield writer
    writer.close()


@pytest.fixture(autouse=True)
def as_here(daemon_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process asks the test's own daemon too."""
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)


class Waiting:
    """`runwise` as a process that is not waited for."""

    def __init__(self, *argv: str, cwd: Path) -> None:
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        command = [sys.executable, "-m", "runwise_cli", *argv]
        self.process = subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
        )

    def ended(self) -> tuple[str, str, int]:
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        return out, err, self.process.returncode


def status() -> dict[str, Any]:
    """How the daemon is; empty while there is none."""
    with contextlib.suppress(RunwiseError), Client(start=False) as client:
        return client.control("status")
    return {}


def until(so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The daemon's status once it is so."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not so(found := status()):
        assert time.monotonic() < deadline, found
    return found


def until_asked(count: int, but: int = 0) -> int:
    """The daemon's pid, once so many questions wait there; `but`: of another daemon than this."""
    return int(until(lambda found: found.get("answering") == count and found["pid"] != but)["pid"])


def cursor(runwise: Run) -> str:
    return str(json.loads(runwise("since", "--format", "json").stdout)["cursor"])


def test_a_row_that_is_logged_ends_the_waiting(runwise: Run, writer: Writer, tmp_path: Path) -> None:
    began = cursor(runwise)
    waiting = Waiting("wait", "mine", "--until", "new(loss)", "--since", began, "-t", "30s", cwd=tmp_path)
    until_asked(1)
    writer.tell("append", "mine")
    out, err, exit_status = waiting.ended()
    assert out.startswith("new(loss): mine loss .5 at step 1 @")
    assert (err, exit_status) == ("", 0)


def test_who_names_no_run_hears_of_one_that_begins(runwise: Run, writer: Writer, tmp_path: Path) -> None:
    runwise("list")
    waiting = Waiting("wait", "--until", "id==later and step>=0", "-t", "30s", cwd=tmp_path)
    until_asked(1)
    writer.tell("new", "later")
    out, err, exit_status = waiting.ended()
    assert out.startswith("id == later and step >= 0: later id later at step 0 @")
    assert (err, exit_status) == ("", 0)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("verb", ["new", "silent"])
def test_the_death_of_a_training_ends_the_waiting_also_before_it_logged(
    runwise: Run, writer: Writer, tmp_path: Path, verb: str
) -> None:
    writer.tell(verb, "dying")
    runwise("list")
    waiting = Waiting("wait", "dying", "-t", "30s", cwd=tmp_path)
    until_asked(1)
    writer.close()
    out, err, exit_status = waiting.ended()
    state = {"new": "crashed", "silent": "empty"}[verb]
    assert out.startswith(f"state != running: dying state {state}")
    assert (err, exit_status) == ("", 0)


def test_where_nothing_comes_the_end_of_the_time_is_told(runwise: Run, writer: Writer) -> None:
    del writer
    told = runwise("wait", "mine", "--until", "loss<0", "-t", "1s")
    assert told.stdout.startswith("not within 1s: loss<0 @")
    assert told.stdout.endswith("\nmine step 0 loss 1\n")
    assert (told.stderr, told.returncode) == ("", 1)


@pytest.mark.parametrize(
    ("argv", "exit_status"), [(("mine", "--until", "loss<"), 2), (("nobody", "--until", "loss<1"), 3)]
)
def test_what_cannot_be_waited_for_is_refused_at_once(
    runwise: Run, writer: Writer, argv: tuple[str, ...], exit_status: int
) -> None:
    del writer
    told = runwise("wait", *argv, "-t", "30s")
    assert (told.stdout, told.returncode) == ("", exit_status)
    assert told.stderr.startswith("error: ")
    assert "\nhint: " in told.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_who_waits_outlives_the_daemon(runwise: Run, writer: Writer, tmp_path: Path, how: signal.Signals) -> None:
    began = cursor(runwise)
    query = WaitFor(runs=("mine",), until="new(loss)", timeout="30s", since=began)
    replies: list[Any] = []

    def ask() -> None:
        with Client() as client:
            replies.append(client.ask(query, where=Where(cwd=str(tmp_path))))

    thread = threading.Thread(target=ask)
    thread.start()
    lane = Waiting("wait", "mine", "--until", "new(loss)", "--since", began, "-t", "30s", cwd=tmp_path)
    pid = until_asked(2)
    os.kill(pid, how)
    until_asked(2, but=pid)
    writer.tell("append", "mine")
    thread.join(DEADLINE_SECONDS)
    out, err, exit_status = lane.ended()
    assert out.startswith("new(loss): mine loss .5 at step 1 @")
    assert (err, exit_status) == ("", 0)
    (reply,) = replies
    assert isinstance(reply, Waited)
    assert (reply.fired, reply.key, reply.step, reply.value) == (True, "loss", 1, 0.5)


def test_an_interrupted_wait_is_forgotten(runwise: Run, writer: Writer, tmp_path: Path) -> None:
    del writer
    runwise("list")
    waiting = Waiting("wait", "mine", "--until", "loss<0", "-t", "30s", cwd=tmp_path)
    until_asked(1)
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.ended() == ("", "", 130)
    until(lambda found: found.get("answering") == 0 and found["clients"] == 1)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("ends", [False, True])
def test_who_waits_for_news_of_all_projects_hears_of_each_from_anywhere(
    runwise: Run, writer: Writer, tmp_path: Path, ends: bool
) -> None:
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    other = Writer(elsewhere / "wandb")
    try:
        began = [cursor(lambda *argv, cwd=cwd: runwise(*argv, cwd=cwd)) for cwd in (tmp_path, elsewhere)][-1]
        assert runwise("since", began, "--all", cwd=tmp_path.parent).stdout == ""
        waiting = Waiting("since", began, "--all", "--wait", "30s", cwd=tmp_path.parent)
        pid = until_asked(1)
        if ends:
            os.kill(pid, signal.SIGTERM)
            until_asked(1, but=pid)
        other.tell("append", "mine")
        out, err, exit_status = waiting.ended()
    finally:
        other.close()
    assert out.startswith(f"mine in {elsewhere.name} step 0→1 loss .5 (best .5@1, was 1)\n@")
    assert (err, exit_status) == ("", 0)
    writer.tell("append", "mine")
    later = runwise("since", out.splitlines()[-1], "--all", cwd=tmp_path.parent).stdout.splitlines()
    assert later[0].startswith(f"mine in {elsewhere.name} running→crashed (pid {other.process.pid} is gone) step 1")
    assert later[1].startswith(f"mine in {tmp_path.name} step 0→1")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_an_error_that_only_the_console_has_is_news_to_one_who_waits(
    runwise: Run, writer: Writer, tmp_path: Path
) -> None:
    del writer
    console = next((tmp_path / "wandb").glob("*-mine")) / "files/output.log"
    console.parent.mkdir()
    console.write_text("begun\n")
    began = cursor(runwise)
    waiting = Waiting("since", began, "--wait", "30s", cwd=tmp_path)
    until_asked(1)
    with console.open("a") as file:
        file.write("RuntimeError: CUDA out of memory\n")
    out, err, exit_status = waiting.ended()
    assert out.splitlines()[-2:] == ["mine: 1 new line of error (quoted output)", "| RuntimeError: CUDA out of memory"]
    assert (err, exit_status) == ("", 0)


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_cursor_outlives_the_daemon_and_its_cache(
    runwise: Run, writer: Writer, daemon_env: dict[str, str], is_forgotten: bool
) -> None:
    began = cursor(runwise)
    writer.tell("append", "mine")
    assert runwise("daemon", "stop").returncode == 0
    if is_forgotten:
        shutil.rmtree(daemon_env["RUNWISE_CACHE_DIR"])
    writer.tell("append", "mine")
    told = json.loads(runwise("since", began, "--format", "json").stdout)
    assert (told["full"], told["unknown"]) == (False, False)
    (change,) = told["runs"]
    found = {name: change[name] for name in ("id", "change", "was", "step", "from_step", "records", "restarts")}
    expected = {"id": "mine", "change": "went on", "was": None, "step": 2, "from_step": 0, "records": 2, "restarts": 0}
    assert found == expected


def test_a_watch_in_a_pipe_prints_a_line_a_change_until_the_run_ends(writer: Writer, tmp_path: Path) -> None:
    watching = Waiting("watch", "mine", cwd=tmp_path)
    assert watching.process.stdout is not None
    line = watching.process.stdout.readline
    lines = [line(), line()]
    writer.tell("append", "mine")
    lines.append(line())
    writer.tell("finish", "mine")
    rest, err, exit_status = watching.ended()
    assert [*lines, *rest.splitlines(keepends=True)] == [
        "1 running\n",
        "mine running step 0 loss 1\n",
        "mine step 0→1 loss .5 (best .5@1, was 1)\n",
        "mine running→finished (exit code 0) step 1\n",
    ]
    assert (err, exit_status) == ("", 0)


def test_a_slip_of_the_pen_is_refused_at_once_and_not_when_the_time_is_over(runwise: Run, writer: Writer) -> None:
    del writer
    told = runwise("wait", "mine", "--until", "Loss < 0", "-t", "1h")
    assert told.stderr.startswith("error: no metric 'Loss'; nearest: loss")
    assert (told.stdout, told.returncode) == ("", 3)
