"""The daemon behind a session: what it says of itself, its violent end; and a run that grows."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from runwise_protocol import frames
from runwise_protocol.paths import SOCKET_NAME

DEADLINE_SECONDS = 20


def status(env: dict[str, str]) -> dict[str, Any]:
    """What the daemon says of itself; it is started by nobody here."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_SECONDS)
        connection.connect(f"{env['RUNWISE_RUNTIME_DIR']}/{SOCKET_NAME}")
        connection.sendall(frames.encode(frames.CONTROL, b"status"))
        reader = frames.Frames(frames.REPLY_CAP)
        while not (found := reader.feed(connection.recv(1 << 16))):
            pass
    told: dict[str, Any] = json.loads(found[0][1])
    return told


def until_answering(count: int, env: dict[str, str]) -> None:
    """Wait until the daemon works on so many questions."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := status(env)["answering"]) != count:
        assert time.monotonic() < deadline, f"{found} questions are worked on"


def until_another_answers(pid: int, env: dict[str, str]) -> None:
    """Wait until a daemon that is not `pid` works on a question."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        assert time.monotonic() < deadline, "no other daemon works on a question"
        try:
            told = status(env)
        except ConnectionError:
            continue
        if told["pid"] != pid and told["answering"]:
            return


def kill(env: dict[str, str]) -> int:
    """End the daemon without a warning; its pid."""
    pid: int = status(env)["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def live_project(folder: Path) -> Path:
    """A project whose run ``grow`` has logged three rows a moment ago."""
    log = folder / "logs" / "grow.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps({"step": step, "loss": 5 - step}) + "\n" for step in range(3)))
    return folder


def grow(project: Path, loss: float, step: int = 9) -> None:
    """Log one more row."""
    with (project / "logs" / "grow.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "loss": loss}) + "\n")
