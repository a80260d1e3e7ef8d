"""Row E20 of the fault matrix: a daemon that may have no more memory."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import Export, ListRuns, ShowStats
from runwise_protocol.query import Look, Query

from tests.faults.conftest import Cold, MakeService
from tests.faults.service import Service, rows, until
from tests.faults.sidecars import runs

ROOM_BYTES = 64 << 20
"""What the daemon may take beyond what it has when it is ready: an allocator's arena for one thread."""


def taken(service: Service) -> int:
    """Bytes of its address space."""
    told = Path(f"/proc/{service.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in told.splitlines() if line.startswith("VmSize"))


def limit(service: Service, count_bytes: int) -> None:
    """What its address space may be from now on, bytes."""
    hard = resource.prlimit(service.pid, resource.RLIMIT_AS)[1]
    resource.prlimit(service.pid, resource.RLIMIT_AS, (count_bytes, hard))


def is_answered(service: Service, query: Query, project: Path) -> bool:
    """Whether there is an answer; else it is said that there is none, or there is nobody who could."""
    try:
        service.ask(query, project, Look(budget=1_000_000))
    except (RunwiseError, AssertionError, OSError):
        return False
    return True


def test_e20_more_than_fits_is_indexed_within_the_limit(
    service: Service, project: Path, new_service: MakeService
) -> None:
    runs(project, 120, 3000)
    limit(service, taken(service) + ROOM_BYTES)
    with service.connect() as client, new_service().start().connect() as other:
        for each in (client, other):
            until(lambda each=each: not each.ask(ListRuns(limit=1000), project).unindexed)
        for number in range(0, 120, 7):
            query = ShowStats(run=f"r{number}")
            assert repr(client.ask(query, project)) == repr(other.ask(query, project))
    assert service.status()["engine"]["notes"] == []


@pytest.mark.parametrize("missing", [0, 1 << 20, 8 << 20])
def test_e20_without_memory_left_it_answers_or_says_that_it_cannot_and_is_right_once_there_is_some(
    service: Service, project: Path, cold: Cold, missing: int
) -> None:
    log = project / "logs" / "run.jsonl"
    log.write_bytes(rows(0, 5000))
    service.said(project)
    limit(service, taken(service) - missing)
    for first in range(5000, 40_000, 7000):
        with log.open("ab") as file:
            file.write(rows(first, first + 7000))
        for query in (Export(run="run", raw=True), ShowStats(run="run")):
            is_answered(service, query, project)
    assert service.process is not None
    if service.process.poll() is None:
        limit(service, resource.RLIM_INFINITY)
    else:
        service.start()
    service.ask(ListRuns(), project)
    until(lambda: service.status()["engine"]["indexed"])  # by a worker: no list waits for that
    assert service.said(project) == cold(project)
