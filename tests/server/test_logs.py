"""The daemon's own log: one line an event, with the journal's priorities, sparing, and of bounded size."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runwise_protocol.errors import RunwiseError

from runwised.server import logs
from runwised.server.options import FILE_NAME, options

DEADLINE_SECONDS = 30
PROGRAM = """
import json, logging, os, sys
from runwised.server import logs

logs.begin(sys.argv[1], sys.argv[2], os.environ)
for level, message, count in json.load(sys.stdin):
    for _ in range(count):
        logging.getLogger("x").log(level, message)
try:
    {}["no such key"]
except KeyError as error:
    logging.getLogger("x").error("it broke", exc_info=error)
logs.end()
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def logged(stderr: int, events: list[tuple[int, str, int]], path: str = "", level: str = "info", **more: str) -> None:
    """Have a program log these events, and an error with a traceback."""
    command = [sys.executable, "-c", PROGRAM, level, path]
    subprocess.run(command, input=json.dumps(events), text=True, stderr=stderr, check=True, env={**os.environ, **more})


def in_file(path: Path, events: list[tuple[int, str, int]], level: str = "info") -> list[str]:
    with path.open("a") as file:
        logged(file.fileno(), events, str(path), level)
    return path.read_text().splitlines()


def test_every_event_is_one_line_whatever_is_in_it(tmp_path: Path) -> None:
    hostile = "run \x1b[31mred\x1b[0m\nERROR forged \u202e\x00line"
    first, second = in_file(tmp_path / "log", [(logging.WARNING, hostile, 1)])
    assert re.fullmatch(r"[-\d]+ [:,\d]+ \d+ WARNING run red ERROR forged line", first)
    assert re.search(r" ERROR it broke KeyError\('no such key'\) at <string>:\d+ <module>$", second)


def test_the_journal_gets_priorities_and_keeps_the_time_itself() -> None:
    ours, theirs = socket.socketpair()
    found = os.fstat(theirs.fileno())
    events = [(logging.DEBUG, "d", 1), (logging.INFO, "i", 1), (logging.WARNING, "w", 1), (logging.CRITICAL, "c", 1)]
    with ours, theirs:
        logged(theirs.fileno(), events, level="debug", JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}")
        theirs.close()
        lines = ours.makefile().read().splitlines()
    assert lines[:4] == ["<7>d", "<6>i", "<4>w", "<2>c"]
    assert lines[4].startswith("<3>it broke KeyError")


def test_another_stream_than_the_journals_gets_none(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        logged(file.fileno(), [], JOURNAL_STREAM="8:12345")
    assert (tmp_path / "log").read_text().startswith("20")


def test_of_one_cause_one_line_is_written_and_the_end_says_how_many_were_not(tmp_path: Path) -> None:
    lines = in_file(tmp_path / "log", [(logging.INFO, "the disk is full", 1000), (logging.INFO, "another", 1)])
    told = [line.partition(" INFO ")[2] for line in lines if " INFO " in line]
    assert told == ["the disk is full", "another", "999 more like it were left out: the disk is full"]


def test_after_a_minute_the_next_line_says_how_many_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sparing, form = logs.Sparing(), logs.OneLine(with_priority=True)

    def line() -> str | None:
        record = logging.LogRecord("x", logging.INFO, "", 0, "client %d is slow", (7,), None)
        return form.format(record) if sparing.filter(record) else None

    assert [line(), line(), line()] == ["<6>client 7 is slow", None, None]
    now += logs.QUIET_SECONDS
    assert [line(), line()] == ["<6>client 7 is slow (2 more like it were left out)", None]


def test_causes_without_number_do_not_take_memory_without_end() -> None:
    sparing = logs.Sparing()
    for number in range(logs.MOST_CAUSES + 10):
        assert sparing.filter(logging.LogRecord("x", logging.INFO, "", 0, f"cause {number}", (), None))
    assert len(sparing._last) == logs.MOST_CAUSES


def test_what_is_for_debugging_is_all_there_and_only_where_it_was_asked_for(tmp_path: Path) -> None:
    events = [(logging.DEBUG, "one more", 3)]
    assert len(in_file(tmp_path / "log", events)) == 1
    assert len(in_file(tmp_path / "fine", events, "debug")) == 4


def test_a_log_file_that_has_become_too_long_is_set_aside(tmp_path: Path) -> None:
    events = [(logging.INFO, f"{number} {'x' * 100_000}", 1) for number in range(25)]
    lines = in_file(tmp_path / "log", events)
    old = (tmp_path / "log.old").read_text().splitlines()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.old"]
    assert 1 << 20 < (tmp_path / "log.old").stat().st_size < (1 << 20) + 200_000
    assert (tmp_path / "log").stat().st_size < 1 << 20
    numbers = [int(found[1]) for line in [*old, *lines] if (found := re.search(r" INFO (\d+) x", line))]
    assert numbers == list(range(numbers[0], 25))
    assert "it broke" in lines[-1]


def test_another_file_than_the_daemons_own_is_left_alone(tmp_path: Path) -> None:
    events = [(logging.INFO, f"{number} {'x' * 100_000}", 1) for number in range(25)]
    with (tmp_path / "mine").open("w") as file:
        logged(file.fileno(), events, str(tmp_path / "log"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the daemon's own settings."""
    monkeypatch.setenv("RUNWISE_CONFIG_DIR", str(tmp_path))
    return tmp_path / FILE_NAME


def test_the_command_line_comes_before_the_file_and_that_before_the_environment(config: Path) -> None:
    environ = {"RUNWISE_LOG_LEVEL": "error", "RUNWISE_IDLE_SECONDS": "7"}
    assert options({}, {}) == options({}, {"RUNWISE_LOG_LEVEL": ""})
    assert (options({}, environ).log_level, options({}, environ).idle_seconds) == ("error", 7)
    config.write_text('# mine\n\nRUNWISE_LOG_LEVEL="debug"\n')
    assert (options({}, environ).log_level, options({}, environ).idle_seconds) == ("debug", 7)
    assert options({"RUNWISE_LOG_LEVEL": "info"}, environ).log_level == "info"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUNWISE_LOG_LEVEL=loud", "RUNWISE_LOG_LEVEL is 'loud', expected one of debug, info, warning, error"),
        ("RUNWISE_IDLE_SECONDS=nan", "RUNWISE_IDLE_SECONDS is 'nan', expected a number of seconds"),
        ("PATH=/bin", "environment:1: 'PATH', expected RUNWISE_LOG_LEVEL or RUNWISE_IDLE_SECONDS"),
        ("nonsense", "environment:1: 'nonsense', expected"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(RunwiseError) as caught:
        options({}, {})
    assert said in caught.value.message
    assert caught.value.hint == f"edit {config}"


def until(log: Path, said: str) -> None:
    """Wait until the log says it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while said not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()


def test_a_hangup_has_the_running_daemon_take_the_level_and_keep_it_where_the_next_is_none(
    runwise: Run, daemon_env: dict[str, str]
) -> None:
    assert runwise("daemon", "start").returncode == 0
    pid = int(Path(daemon_env["RUNWISE_RUNTIME_DIR"], "daemon.lock").read_text())
    log = Path(daemon_env["RUNWISE_STATE_DIR"], "daemon.log")
    config = Path(daemon_env["RUNWISE_CONFIG_DIR"], FILE_NAME)
    config.parent.mkdir()
    config.write_text("RUNWISE_LOG_LEVEL=debug\nRUNWISE_IDLE_SECONDS=1234\n")
    os.kill(pid, signal.SIGHUP)
    until(log, "settings were read anew")
    assert "\nidle_limit 1234.0\n" in runwise("daemon", "status").stdout
    until(log, " DEBUG answered in ")
    config.write_text("RUNWISE_LOG_LEVEL=loud\n")
    os.kill(pid, signal.SIGHUP)
    until(log, "ERROR the settings stay as they were: error: RUNWISE_LOG_LEVEL is 'loud'")
    assert "\nidle_limit 1234.0\n" in runwise("daemon", "status").stdout
    assert f"\nlog {log}\n" in runwise("daemon", "status").stdout


def test_logs_shows_the_last_lines_of_the_file_also_when_the_daemon_has_ended(
    runwise: Run, daemon_env: dict[str, str]
) -> None:
    none = runwise("daemon", "logs")
    assert none.returncode == 3
    assert f"there is no log yet: {daemon_env['RUNWISE_STATE_DIR']}/daemon.log" in none.stderr
    runwise("daemon", "start")
    assert " INFO ready on " in runwise("daemon", "logs").stdout
    runwise("daemon", "stop")
    last = runwise("daemon", "logs", "-n", "1")
    assert (last.returncode, last.stderr) == (0, "")
    assert re.fullmatch(r".* INFO ended\n", last.stdout)


def test_logs_goes_on_with_what_comes(runwise: Run, daemon_env: dict[str, str], tmp_path: Path) -> None:
    runwise("daemon", "start")
    command = [sys.executable, "-m", "runwise_cli", "daemon", "logs", "-f", "-n", "1"]
    with subprocess.Popen(
        command, env=daemon_env, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    ) as following:
        assert following.stdout is not None
        assert " INFO ready on " in following.stdout.readline()
        runwise("daemon", "stop")
        assert " INFO ended" in following.stdout.readline()
        os.killpg(following.pid, signal.SIGTERM)
