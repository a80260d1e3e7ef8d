import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.processes import Holder, Holders, can_see_files, process

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")

HELPER = """
import sys
log = open(sys.argv[1], "ab")
print("ready", flush=True)
sys.stdin.read()
"""


def holder_of(log: Path) -> Holder | None:
    found = log.stat()
    return Holders().of(found.st_dev, found.st_ino)


def test_a_living_process_tells_when_it_was_started_and_what_it_runs() -> None:
    found = process(os.getpid())
    assert found is not None
    assert "python" in found.command
    assert 0 <= time.time() - found.started < 3600
    assert can_see_files(os.getpid())


def test_a_process_that_ended_is_gone_even_while_nobody_has_waited_for_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process(child.pid) is None
    child.wait()
    child.stdout.close()
    assert process(child.pid) is None


def test_a_log_held_open_for_writing_has_a_holder_until_it_is_let_go(
    tmp_path: Path, writer: Callable[..., Any]
) -> None:
    log = tmp_path / "run-a.wandb"
    log.touch()
    assert holder_of(log) is None
    held = writer(log, log)
    assert holder_of(log) == Holder(held.pid, None, trainer_lives=True)
    held.kill()
    assert holder_of(log) is None


def test_reading_a_log_is_not_holding_it(tmp_path: Path) -> None:
    log = tmp_path / "run-a.wandb"
    log.touch()
    with subprocess.Popen(["tail", "-f", str(log)], stdout=subprocess.DEVNULL) as reader:
        assert holder_of(log) is None
        reader.kill()


@pytest.mark.parametrize("lives", [True, False])
def test_a_helper_works_for_the_process_its_command_line_names(tmp_path: Path, lives: bool) -> None:
    log = tmp_path / "run-a.wandb"
    trainer = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    command = [sys.executable, "-c", HELPER, str(log), "--pid", str(trainer.pid)]
    helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert helper.stdout is not None
    assert helper.stdout.readline() == b"ready\n"
    if not lives:
        trainer.kill()
        trainer.wait()
    assert holder_of(log) == Holder(helper.pid, trainer.pid, trainer_lives=lives)
    for each in (helper, trainer):
        each.kill()
        each.communicate()


def test_a_remembered_holder_is_asked_again_each_time(tmp_path: Path, writer: Callable[..., Any]) -> None:
    log = tmp_path / "run-a.wandb"
    log.touch()
    held = writer(log, log)
    holders, found = Holders(), log.stat()
    assert holders.of(found.st_dev, found.st_ino) is not None
    held.kill()
    assert holders.of(found.st_dev, found.st_ino) is None
