"""Stands in for a service manager: it holds the socket, and starts the daemon when somebody knocks."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

FIRST = 3
"""The number of the first descriptor that is handed over."""
DEADLINE_SECONDS = 30


WRAPPER = f"""
import os, sys
numbers = [int(number) for number in sys.argv[1].split(",")]
for at, number in enumerate(numbers):
    os.dup2(number, {FIRST} + at)
for number in numbers:
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


def hand_over(descriptors: list[int], names: str) -> dict[str, Any]:
    """`wrapper` and `pass_fds`: what puts the descriptors where they belong, and says so with its own pid."""
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, FIRST + len(descriptors)) for each in descriptors]
    return {"wrapper": [sys.executable, "-S", "-c", WRAPPER, ",".join(map(str, high)), names], "pass_fds": high}


class ServiceManager:
    """Listens in a runtime folder as ``runwised.socket`` would; the daemon it starts is ended with it."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        folder = Path(environ["RUNWISE_RUNTIME_DIR"])
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / "runwised.sock"
        self.pids: list[int] = []
        """Of all daemons that were started."""
        self.command = [sys.executable, "-P", "-m", "runwised"]
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        self._stop, self._stopped = os.pipe()
        self._daemon: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._serve)

    def use(self, environ: dict[str, str]) -> None:
        """From the next start on, in this environment."""
        self._environ = environ

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stopped)
        self._thread.join(DEADLINE_SECONDS)
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(DEADLINE_SECONDS)
        os.close(self._stop)
        self._listening.close()
        self.path.unlink()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._listening, self._stop], [], [])
            if self._stop in ready:
                return
            options = hand_over([self._listening.fileno()], "runwised")
            self._daemon = subprocess.Popen(
                [*options["wrapper"], *self.command], env=self._environ, pass_fds=options["pass_fds"]
            )
            for number in options["pass_fds"]:
                os.close(number)
            self.pids.append(self._daemon.pid)
            ended = threading.Event()
            threading.Thread(target=self._bury, args=(self._daemon, ended)).start()
            if not self._until(ended):
                return

    def _until(self, ended: threading.Event) -> bool:
        """Wait for the daemon's end; False when it is our own first."""
        while not ended.wait(0.01):
            if select.select([self._stop], [], [], 0)[0]:
                return False
        return True

    @staticmethod
    def _bury(daemon: subprocess.Popen[bytes], ended: threading.Event) -> None:
        daemon.wait()
        ended.set()
