"""A thousand clients at once, beside some that never read and some that never end what they say: all are answered."""

from __future__ import annotations

import json
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runwise_protocol import frames
from runwise_protocol.query import Query

from tests.robust.real_daemon import Asker, RealDaemon, cold, encoded, everything, questions, until

CLIENTS = 1000
STUCK = 30
RUNS, ROWS = 6, 400
PILE = 20
"""Long answers that each of the stuck clients asks for."""
ROOM = 24 << 20
"""Bytes that the daemon may hold for good of what a crowd needed."""
DESCRIPTORS = CLIENTS + STUCK + 300


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "proj"
    for number in range(RUNS):
        log = root / f"logs/run{number}/metrics.jsonl"
        log.parent.mkdir(parents=True)
        rows = ({"step": step, "loss": number + 1 / (step + 1), "lr": 0.1} for step in range(ROWS))
        log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return root


@pytest.fixture
def daemon(short_path: Path, project: Path) -> Iterator[RealDaemon]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"only {hard} descriptors may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    running = RealDaemon(Path(tempfile.mkdtemp(dir=short_path)), project)
    try:
        yield running
        running.end()
    finally:
        running.process.kill()
        running.process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def wanted(project: Path) -> dict[Query, str]:
    """Each question that the crowd asks, with its answer."""
    asked = [query for number in range(RUNS) for query in questions(f"run{number}")]
    return dict(zip(asked, cold(project, asked), strict=True))


def crowd(daemon: RealDaemon, answers: dict[Query, str], count: int) -> None:
    """So many connect and ask before the first one listens; each must get its own answer, whole and right."""
    queries = list(answers)
    askers = [Asker(daemon.path, daemon.where) for _ in range(count)]
    for number, asker in enumerate(askers):
        asker.put(queries[number % len(queries)])
    for number, asker in enumerate(askers):
        assert asker.text() == answers[queries[number % len(queries)]], queries[number % len(queries)]
        asker.close()


def test_a_thousand_clients_at_once_are_all_answered_right(daemon: RealDaemon, project: Path) -> None:
    answers = wanted(project)
    crowd(daemon, answers, 50)
    until(lambda: daemon.status()["clients"] == 1)
    before, open_before = daemon.resident, daemon.descriptors
    for _ in range(2):
        crowd(daemon, answers, CLIENTS)
    until(lambda: daemon.status()["clients"] == 1)
    until(lambda: daemon.descriptors <= open_before + 2)
    assert daemon.resident - before < ROOM


def stuck(daemon: RealDaemon) -> None:
    """Asks for much and never listens."""
    asker = daemon.asker()
    asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(PILE):
        for number in range(RUNS):
            asker.put(questions(f"run{number}")[0])


def half_a_frame(daemon: RealDaemon) -> None:
    """Begins a question and does not go on."""
    asker = daemon.asker()
    asker.socket.sendall(frames.encode(frames.WRITE, encoded(everything(), daemon.where))[:-3])


def nothing(daemon: RealDaemon) -> None:
    """Connects and is silent."""
    silent = daemon.asker()
    silent.socket.setblocking(False)


def closed_for_writing(daemon: RealDaemon) -> None:
    """Asks, and says that nothing more will come."""
    asker = daemon.asker()
    asker.put(everything())
    asker.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("kind", [stuck, half_a_frame, nothing, closed_for_writing])
def test_clients_that_are_stuck_hold_up_nobody_and_cost_little(
    kind: Callable[[RealDaemon], None], daemon: RealDaemon, project: Path
) -> None:
    answers = wanted(project)
    crowd(daemon, answers, 50)
    before = daemon.resident
    for _ in range(STUCK):
        kind(daemon)
    crowd(daemon, answers, 200)
    assert daemon.resident - before < ROOM
    for asker in daemon.askers:
        asker.close()
    until(lambda: daemon.status()["clients"] == 1)
