"""What the service manager hears of the daemon: real datagrams at a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import frames

from runwised.server.notify import Notifier

DEADLINE_SECONDS = 30


class Manager:
    """The other end of ``$NOTIFY_SOCKET``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.bind(address.replace("@", "\0", 1))

    def hears(self) -> dict[str, str]:
        """The next datagram."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def until(self, name: str) -> dict[str, str]:
        """The next datagram that says something of `name`."""
        while name not in (heard := self.hears()):
            pass
        return heard


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, folder: Path) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("the abstract namespace is Linux's")
    manager = Manager(f"{folder}/notify" if request.param == "path" else f"@runwise-test-{os.getpid()}")
    yield manager
    manager.socket.close()


def told(manager: Manager, **more: str) -> dict[str, Any]:
    """Options of a daemon that is to tell."""
    return {"environ": {**os.environ, "NOTIFY_SOCKET": manager.address, **more}}


def test_it_tells_when_it_is_ready_and_when_it_ends(start: Callable[..., Any], manager: Manager) -> None:
    daemon = start(options=told(manager))
    assert manager.hears() == {"READY": "1", "STATUS": "ready, 1 echoes, 0 answers"}
    daemon.process.send_signal(signal.SIGTERM)
    assert manager.hears()["STOPPING"] == "1"
    assert daemon.ended() == 0


def test_reading_settings_anew_begins_with_a_word_and_ends_with_one(
    start: Callable[..., Any], manager: Manager
) -> None:
    daemon = start(options=told(manager))
    manager.until("READY")
    daemon.process.send_signal(signal.SIGHUP)
    reloading = manager.hears()
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.hears()["READY"] == "1"


def test_signs_of_life_come_while_the_loop_turns_and_stop_when_it_hangs(
    start: Callable[..., Any], manager: Manager
) -> None:
    daemon = start(options=told(manager, WATCHDOG_USEC="60000"))
    assert [manager.until("WATCHDOG")["WATCHDOG"] for _ in range(3)] == ["1"] * 3
    peer = daemon.peer()
    peer.socket.sendall(frames.lane_request("0.1.0", b"/", 0, "", [], [b"list", b"--state", b"block"]))
    assert daemon.line() == "blocking"
    manager.socket.settimeout(0.5)  # of which it would have used a twenty-fifth
    with pytest.raises(TimeoutError):
        list(iter(manager.hears, None))


def test_no_sign_of_life_comes_while_indexing_does_not_move(start: Callable[..., Any], manager: Manager) -> None:
    daemon = start(options=told(manager, WATCHDOG_USEC="60000"))
    manager.until("WATCHDOG")
    peer = daemon.peer()
    peer.socket.sendall(frames.lane_request("0.1.0", b"/", 0, "", [], [b"list", b"--state", b"stall"]))
    assert peer.next() is not None
    manager.hears()  # which may have been under way
    assert ["WATCHDOG" in manager.hears() for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("pid", ["", "1"])
def test_signs_of_life_are_for_who_expects_them(manager: Manager, pid: str) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": pid})
    assert notifier.watchdog_seconds == (0 if pid else 3)
    notifier.status("fine", is_alive=True)
    assert manager.hears() == ({"STATUS": "fine"} if pid else {"STATUS": "fine", "WATCHDOG": "1"})


def test_its_variables_are_not_handed_on() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    assert Notifier.of(environ).is_heard
    assert environ == {"HOME": "/"}


def test_without_a_manager_nothing_is_told() -> None:
    notifier = Notifier.of({})
    assert not notifier.is_heard
    notifier.ready("fine")


def test_a_manager_that_is_gone_does_not_keep_it(start: Callable[..., Any], folder: Path) -> None:
    environ = {**os.environ, "NOTIFY_SOCKET": f"{folder}/nobody"}
    daemon = start(options={"environ": environ})
    daemon.peer().greet()


def test_the_real_daemon_tells_of_its_runs(
    daemon_env: dict[str, str], manager: Manager, runwise: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    project = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"
    environ = {**daemon_env, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"}
    with subprocess.Popen([sys.executable, "-P", "-m", "runwised"], env=environ, stderr=subprocess.DEVNULL) as daemon:
        manager.until("READY")
        assert runwise("list", cwd=project).returncode == 0
        while "1 projects, 1 runs" not in manager.until("WATCHDOG")["STATUS"]:
            pass
        daemon.terminate()
        manager.until("STOPPING")
        assert daemon.wait(DEADLINE_SECONDS) == 0
