import os
from pathlib import Path

import pytest

from runwised.catalog.companions import (
    DebugLog,
    ends_in_traceback,
    oldest_file_at,
    parse_debug_log,
    read_debug_log,
    read_event_name,
    read_last_words,
)

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"


@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        ("0.12.21-finished", DebugLog(5, 0)),
        ("0.16.6-failed", DebugLog(5, None)),
        ("0.19.11-killself", DebugLog(5, None)),
        ("0.31.0-online", DebugLog(5, 0)),
    ],
)
def test_the_pid_and_the_exit_code_of_every_generation_are_read(fixture: str, expected: DebugLog) -> None:
    folder = next((FIXTURES / fixture / "wandb").glob("*run-2*"))
    assert read_debug_log(str(folder)) == expected


def test_a_threads_name_and_a_lookalike_in_a_message_do_not_mislead() -> None:
    line = b"2026-01-02 03:04:05,678 INFO    Thread-3 (run):321 [a.py:f():1] config: {'x': 'MainThread:5 [y'}\n"
    assert parse_debug_log(b"config: got exitcode: 3\n" + line, line) == DebugLog(321, None)


def test_nothing_is_known_of_a_folder_without_a_debug_log_or_with_something_else_there(tmp_path: Path) -> None:
    assert read_debug_log(str(tmp_path)) == DebugLog(None, None)
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs/debug.log")
    assert read_debug_log(str(tmp_path)) == DebugLog(None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("step 3\nslurmstepd: error: *** JOB 12 CANCELLED AT 2026 DUE TO TIME LIMIT ***\n", "DUE TO TIME LIMIT"),
        ("step 3\nReceived SIGTERM, leaving\n", "SIGTERM"),
        ("step 3\nKilled\n", "Killed"),
        ("Killed time reading a book\nloss 3\n", ""),
        ("SIGTERM\n" + "step\n" * 1000, ""),
    ],
)
def test_a_console_may_tell_at_its_end_what_ended_the_run(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/output.log").write_text(text)
    assert read_last_words(str(tmp_path)) == words


def test_the_oldest_file_is_the_oldest_of_those_made_at_the_start(tmp_path: Path) -> None:
    assert oldest_file_at(str(tmp_path)) is None
    for name, moment in (("files/requirements.txt", 300), ("logs/debug.log", 200), ("files/output.log", 100)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    assert oldest_file_at(str(tmp_path)) == 200


TRACE = 'Traceback (most recent call last):\n  File "a.py", line 1\n'


@pytest.mark.parametrize(
    ("tail", "ends"),
    [
        (f"{TRACE}    x\nValueError: no\n", True),
        (f"step 1 loss 2\n{TRACE}KeyError: 'x'\nsrun: error: node 3\n", True),
        (f"{TRACE}KeyError: 'x'\nretrying\n" + "step 1 loss 2\n" * 9, False),
        (TRACE, False),
        ("step 1 loss 2\n", False),
    ],
)
def test_a_console_ends_in_a_traceback_when_hardly_anything_follows(tmp_path: Path, tail: str, ends: bool) -> None:
    console = tmp_path / "train.log"
    console.write_text("step 0 loss 3\n" * 2000 + tail)
    assert ends_in_traceback(str(console)) is ends
    assert not ends_in_traceback(str(tmp_path / "none"))


def test_the_name_of_an_event_file_says_who_writes_it() -> None:
    assert read_event_name("/logs/events.out.tfevents.1795442254.node-3.lab.27929.12") == (
        "node-3.lab",
        27929,
        1795442254,
    )
    assert read_event_name("events.out.tfevents.1795442254.vm") == (None, None, None)
    assert read_event_name("/logs/metrics.jsonl") == (None, None, None)
