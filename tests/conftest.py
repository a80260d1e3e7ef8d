"""A daemon of the test's own, and the command as a user runs it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 30


@pytest.fixture(scope="session")
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="rw", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def private_daemon(short_path: Path) -> Callable[[], AbstractContextManager[dict[str, str]]]:
    """Gives environments whose daemon, cache and log are their own; the daemon is ended afterwards."""

    @contextmanager
    def private() -> Iterator[dict[str, str]]:
        home = Path(tempfile.mkdtemp(dir=short_path))
        ours = ("RUNWISE_", "WANDB_", "COLUMNS", "NO_COLOR")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env |= {f"RUNWISE_{name}_DIR": f"{home}/{name.lower()}" for name in ("RUNTIME", "CACHE", "STATE", "CONFIG")}
        env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"
        yield env
        end_daemon(Path(env["RUNWISE_RUNTIME_DIR"]))

    return private


@pytest.fixture
def daemon_env(private_daemon: Callable[[], AbstractContextManager[dict[str, str]]]) -> Iterator[dict[str, str]]:
    """An environment whose daemon, cache and log are private to the test; its daemon is ended afterwards."""
    with private_daemon() as env:
        yield env


@pytest.fixture
def runwise(daemon_env: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command, in `tmp_path` unless told otherwise: ``runwise("list", cwd=project)``."""

    def run(*argv: str, cwd: Path = tmp_path, **options: object) -> subprocess.CompletedProcess[str]:
        given = {"env": daemon_env, "capture_output": True, "text": True, "timeout": DEADLINE_SECONDS, **options}
        return subprocess.run([sys.executable, "-m", "runwise_cli", *argv], cwd=cwd, check=False, **given)  # type: ignore[call-overload]

    return run


@pytest.fixture
def wait_until_ended() -> Callable[[Path], None]:
    """Wait until no daemon holds the lock in a runtime folder."""
    return until_unlocked


def end_daemon(folder: Path) -> None:
    """End whichever daemon holds the lock in a runtime folder, even a stopped one."""
    try:
        lock = os.open(folder / "daemon.lock", os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = int(os.read(lock, 20))  # its holder's: the lock is held
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        until_unlocked(folder)
    finally:
        os.close(lock)


def until_unlocked(folder: Path) -> None:
    lock = os.open(folder / "daemon.lock", os.O_RDWR)
    waiting = threading.Thread(target=fcntl.flock, args=(lock, fcntl.LOCK_EX), daemon=True)
    waiting.start()
    waiting.join(DEADLINE_SECONDS)
    alive = waiting.is_alive()
    if not alive:
        os.close(lock)
    assert not alive, "the daemon did not end"
