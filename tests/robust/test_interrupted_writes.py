"""Whatever ends or refuses a write, at whichever call: what is on disk is the old or the new, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.robust.children import PATIENCE, SYSTEM_CALLS, Plan
from tests.robust.victims import VICTIMS, Outcome, Victim

ROOT = Path(__file__).resolve().parents[2]
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
KILL = 9
EVERY_CALL = "all"
REFUSED = "openat,write,pwrite64,fsync,rename,mkdir,unlink,ftruncate,fallocate"


class Nursery:
    """A process that prepares a victim and forks children; see `tests.robust.children`."""

    def __init__(self, name: str, home: Path) -> None:
        self.victim: Victim = VICTIMS[name](home)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.robust.children", name, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"},
        )
        assert self._heard() == {"prepared": True}
        plain = self.run(Plan())
        self.check(plain)
        self.calls = plain.calls
        """How many calls it makes when nothing goes wrong."""

    def run(self, plan: Plan, trace: str = "", out: str = os.devnull) -> Outcome:
        """One child. `trace`: an expression for strace, which writes its record to `out`."""
        self._say(msgspec.json.encode(plan) + b"\n")
        pid = self._heard()["pid"]
        if not trace:
            return self._ended()
        with subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", out, "-e", trace], stderr=subprocess.PIPE
        ) as tracer:
            assert tracer.stderr is not None
            attached = tracer.stderr.readline()
            assert b"attached" in attached, attached
            self._say(b".")
            outcome = self._ended()
            tracer.stderr.read()
        return outcome

    def system_calls(self, which: str) -> Counter[str]:
        """How often each is called when nothing goes wrong."""
        out = self.victim.prepared.with_name("trace")
        self.check(self.run(Plan(waits=True), f"trace={which}", str(out)))
        return Counter(re.findall(r"^\d+ +(\w+)\(", out.read_text(), re.MULTILINE))

    def check(self, outcome: Outcome) -> None:
        self.victim.check(outcome)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def _ended(self) -> Outcome:
        said = {}
        while "exit" not in (heard := self._heard()):
            said = heard
        return msgspec.convert({**said, **heard}, Outcome)

    def _say(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        heard: dict[str, Any] = json.loads(self._process.stdout.readline())
        return heard


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Callable[[str], Nursery]]:
    """Start one for a victim."""
    started: list[Nursery] = []

    def start(name: str, home: Path = tmp_path) -> Nursery:
        started.append(Nursery(name, home))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="session")
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no strace is, or it may not attach to a process of ours."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    out = tmp_path_factory.mktemp("strace") / "out"
    asleep = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    traced = subprocess.Popen(["strace", "-p", str(asleep.pid), "-o", str(out)], stderr=subprocess.PIPE)
    assert traced.stderr is not None
    told = traced.stderr.readline().decode()
    asleep.communicate()
    traced.communicate()
    if "attached" not in told:
        pytest.skip(f"ptrace is not permitted: {told.strip()}")


@pytest.mark.parametrize("name", VICTIMS)
def test_killed_before_any_call_that_changes_files_the_old_or_the_new_is_there(
    name: str, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    assert child.calls >= 5
    for at in range(1, child.calls + 1):
        outcome = child.run(Plan(at=at))
        assert outcome.signal == KILL
        child.check(outcome)
    assert child.run(Plan(at=at + 1)).signal == 0


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("name", VICTIMS)
def test_killed_at_any_system_call_on_files_the_old_or_the_new_is_there(
    name: str, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    calls = child.system_calls(SYSTEM_CALLS)
    assert calls.total() >= child.calls
    for call, times in calls.items():
        for at in range(1, times + 1):
            outcome = child.run(Plan(waits=True), f"inject={call}:signal=KILL:when={at}")
            assert outcome.signal == KILL, (call, at)
            child.check(outcome)


@pytest.mark.soak
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("name", VICTIMS)
def test_killed_at_any_system_call_at_all_the_old_or_the_new_is_there(
    name: str, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    killed = 0
    for call, times in child.system_calls(EVERY_CALL).items():
        for at in range(1, times + 1):
            outcome = child.run(Plan(waits=True), f"inject={call}:signal=KILL:when={at}")
            child.check(outcome)
            killed += outcome.signal == KILL
    assert killed > child.calls


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", VICTIMS)
def test_refused_at_any_call_nothing_is_lost_and_it_is_said(
    name: str, error: int, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    said = []
    for at in range(1, child.calls + 1):
        outcome = child.run(Plan(at=at, error=error))
        assert outcome.said is not None, f"an error got out: {outcome}"
        child.check(outcome)
        said.append(outcome.said["note"])
    assert any(os.strerror(error) in note for note in said)
    after = child.run(Plan())
    child.check(after)
    assert after.said is not None
    assert after.said["done"]


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("name", VICTIMS)
def test_refused_by_the_system_nothing_is_lost_and_it_is_said(
    name: str, error: str, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    said = []
    for call, times in child.system_calls(REFUSED).items():
        for at in range(1, times + 1):
            outcome = child.run(Plan(waits=True), f"inject={call}:error={error}:when={at}")
            assert outcome.said is not None, f"an error got out: {call} {at}"
            child.check(outcome)
            said.append(outcome.said["note"])
    assert any(os.strerror(getattr(errno, error)) in note for note in said)


@pytest.mark.parametrize("limit", [1, 100, 1000, 4096])
@pytest.mark.parametrize("name", VICTIMS)
def test_where_files_may_not_be_long_nothing_is_lost_and_it_is_said(
    name: str, limit: int, nursery: Callable[[str], Nursery]
) -> None:
    child = nursery(name)
    outcome = child.run(Plan(limit=limit))
    assert outcome.said is not None, f"an error got out: {outcome}"
    child.check(outcome)
    assert outcome.said["done"] or os.strerror(errno.EFBIG) in outcome.said["note"]
    after = child.run(Plan())
    child.check(after)
    assert after.said is not None
    assert after.said["done"]


@pytest.mark.parametrize("name", VICTIMS)
def test_writes_that_take_less_than_asked_go_on(name: str, nursery: Callable[[str], Nursery]) -> None:
    child = nursery(name)
    outcome = child.run(Plan(short=7))
    child.check(outcome)
    assert outcome.said is not None
    assert outcome.said["done"]
