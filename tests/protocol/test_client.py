"""The typed client against the real daemon, and against one that goes away."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runwise_protocol import __version__, frames
from runwise_protocol.channel import NotRunning
from runwise_protocol.client import Client, here
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import Latest, ListRuns, ShowRun
from runwise_protocol.queries.run import RunSummary
from runwise_protocol.query import Look, Where

PROJECT = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"
DEADLINE_SECONDS = 30

Script = list[list[tuple[int, bytes]] | None]


@pytest.fixture
def where() -> Where:
    return Where(cwd=str(PROJECT))


@pytest.fixture(autouse=True)
def environment(daemon_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in os.environ.keys() - daemon_env.keys():
        monkeypatch.delenv(name)
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)
    return daemon_env


@pytest.fixture
def scripted(environment: dict[str, str]) -> Iterator[Callable[[Script], None]]:
    """A daemon that says hello, then answers each request by the script; at None it closes the connection."""
    folder = Path(environment["RUNWISE_RUNTIME_DIR"])
    folder.mkdir(mode=0o700)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "runwised.sock"))
    listening.listen()
    threads = []

    def serve(script: Script) -> None:
        script = list(script)
        while script:
            connection, _ = listening.accept()
            with connection:
                taken = frames.Frames(frames.REQUEST_CAP)
                open_ = True
                while open_ and (data := connection.recv(1 << 16)):
                    for kind, _ in taken.feed(data):
                        if kind == frames.HELLO:
                            connection.sendall(frames.encode(frames.HELLO, __version__.encode()))
                        elif (said := script.pop(0)) is None:
                            open_ = False
                        else:
                            connection.sendall(b"".join(frames.encode(*frame) for frame in said))

    def run(script: Script) -> None:
        threads.append(threading.Thread(target=serve, args=(script,)))
        threads[-1].start()

    yield run
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    listening.close()


def test_a_typed_question_gets_a_typed_answer_whose_str_is_the_text(where: Where) -> None:
    with Client.connect() as client:
        summary = client.ask(ShowRun(), where=where)
        assert isinstance(summary, RunSummary)
        assert summary.run.id
        out = io.BytesIO()
        assert client.write(ShowRun(), None, where, out) == 0
        assert str(summary) == out.getvalue().decode()
        assert str(client.ask(ShowRun(), look=Look(form="json"), where=where)).startswith('{"run":')


def test_an_error_is_raised_with_its_kind_and_hint_and_the_next_question_is_answered(where: Where) -> None:
    with Client.connect() as client:
        for ask in (client.ask, lambda query, where: client.write(query, None, where, io.BytesIO())):
            with pytest.raises(RunwiseError, match="no run 'nobody'") as caught:
                ask(ShowRun(run="nobody"), where=where)
            assert caught.value.kind is Kind.NOT_FOUND
        assert client.ask(ListRuns(), where=where)


def test_a_client_outlives_the_daemon_between_two_questions(
    where: Where, environment: dict[str, str], wait_until_ended: Callable[[Path], None]
) -> None:
    with Client.connect() as client, Client.connect() as other:
        pid = client.control("ping")["pid"]
        other.control("stop")
        wait_until_ended(Path(environment["RUNWISE_RUNTIME_DIR"]))
        assert client.control("ping")["pid"] != pid
        assert client.ask(Latest(), where=where)


def test_without_a_daemon_and_without_leave_to_start_one_it_says_so(environment: dict[str, str]) -> None:
    with pytest.raises(NotRunning) as caught:
        Client.connect(start=False)
    assert (caught.value.kind, caught.value.hint) == (Kind.UNREACHABLE, "runwise daemon start")
    assert not Path(environment["RUNWISE_RUNTIME_DIR"]).exists()


def test_a_question_that_was_not_answered_is_asked_once_more(scripted: Callable[[Script], None]) -> None:
    scripted([None, [(frames.STATE, b'{"pid":7}')]])
    with Client.connect() as client:
        assert client.control("ping") == {"pid": 7}


def test_a_question_is_not_asked_for_ever(scripted: Callable[[Script], None]) -> None:
    scripted([None, None])
    with Client.connect() as client, pytest.raises(RunwiseError, match="ended twice without an answer"):
        client.control("ping")


def test_an_answer_that_breaks_off_is_an_error_and_not_asked_again(
    scripted: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted([[(frames.OUT, b"half")], [(frames.STATE, b"{}")]])
    monkeypatch.setenv("RUNWISE_TIMEOUT_SECONDS", "1")
    out = io.BytesIO()
    with Client.connect() as client:
        with pytest.raises(RunwiseError, match="not responding"):
            client.write(ListRuns(), None, Where(cwd="/"), out)
        assert out.getvalue() == b"half"
        assert client.control("ping") == {}


def test_what_is_left_of_an_answer_is_never_taken_for_the_next(scripted: Callable[[Script], None]) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    scripted([[(frames.OUT, b"first"), (frames.OUT, b"rest"), (frames.EXIT, b"\0")], [(frames.STATE, b'{"pid":7}')]])
    with Client.connect() as client:
        with pytest.raises(OSError, match="No space left"):
            client.write(ListRuns(), None, Where(cwd="/"), Full())
        assert client.control("ping") == {"pid": 7}


@pytest.mark.parametrize("said", [(frames.STATE, b"[]"), (frames.EXIT, b"\0"), (frames.FAILURE, b"\xc1"), (0x7A, b"?")])
def test_an_answer_that_makes_no_sense_is_an_internal_error(
    scripted: Callable[[Script], None], said: tuple[int, bytes]
) -> None:
    scripted([[said]])
    with Client.connect() as client, pytest.raises(RunwiseError, match="makes no sense") as caught:
        client.control("ping")
    assert caught.value.kind is Kind.INTERNAL


def test_signs_of_life_are_no_answer(scripted: Callable[[Script], None]) -> None:
    scripted([[(frames.ALIVE, b"."), (frames.ALIVE, b"."), (frames.STATE, b'{"pid":7}')]])
    with Client.connect() as client:
        assert client.control("ping") == {"pid": 7}


def test_a_question_over_the_cap_is_refused_before_it_is_sent(scripted: Callable[[Script], None]) -> None:
    scripted([])
    where = Where(cwd="/", environ={"WANDB_DIR": "x" * (frames.REQUEST_CAP + 1)})
    client = Client()
    with pytest.raises(RunwiseError, match="1048576 are allowed"):
        client.ask(ListRuns(), where=where)


def test_it_asks_from_the_working_directory_with_the_variables_that_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    assert here() == Where(cwd=str(tmp_path), environ={"WANDB_DIR": "elsewhere"})


def test_a_working_directory_that_is_gone_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RunwiseError, match="the working directory is gone"):
        here()
