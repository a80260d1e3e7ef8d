"""Row D19 of the fault matrix: a wall clock that is set while the daemon runs, and before it starts."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from runwise_protocol.queries import ListRuns, ShowRun, WaitFor

from runwised.catalog.pruning import LIMITS, MARKER
from tests.faults.conftest import Cold, MakeService
from tests.faults.logs import append
from tests.faults.service import rows, until
from tests.faults.sidecars import runs

CLOCK = str(Path(__file__).with_name("stepped_clock.py"))
DAY, YEAR = 86_400.0, 365 * 86_400.0


@pytest.fixture
def ahead(tmp_path: Path) -> Path:
    """How many seconds the clock of a daemon that is started with it is ahead."""
    path = tmp_path / "ahead"
    path.write_text("0")
    return path


def set_to(ahead: Path, seconds: float) -> None:
    beside = ahead.with_suffix(".new")
    beside.write_text(str(seconds))
    beside.replace(ahead)


def test_d19_a_clock_that_steps_changes_no_answer_and_no_wait(
    new_service: MakeService, project: Path, log: Path, cold: Cold, ahead: Path
) -> None:
    service = new_service([sys.executable, CLOCK, str(ahead)]).start()
    service.said(project)
    for number, seconds in enumerate((-DAY, YEAR, 0.0)):
        with service.connect() as client:
            client.put(WaitFor(runs=("run",), until="step>999", timeout="1s"), project)
            set_to(ahead, seconds)
            reply = client.answer(WaitFor(runs=("run",), until="step>999", timeout="1s"))
            assert isinstance(reply, WaitFor.reply)
            assert not reply.fired
        append(log, rows(10 + number, 11 + number))
        assert service.said(project) == cold(project)
        told = [str(service.ask(query, project)) for query in (ListRuns(), ShowRun(run="run"))]
        assert [re.findall(r"-\d+(?:s|m|h|d)\b", text) for text in told] == [[], []]
        assert service.status()["engine"]["notes"] == []


@pytest.mark.parametrize("seconds", [YEAR, -YEAR])
def test_d19_a_clock_that_was_set_does_not_empty_the_cache_of_logs_that_are_away(
    new_service: MakeService, project: Path, ahead: Path, seconds: float
) -> None:
    runs(project, 3)
    first = new_service().start()
    first.said(project)
    cache = first.cache
    marker = cache / "runs" / MARKER
    until(marker.exists)
    assert first.stop() == 0
    kept = sorted(cache.rglob("*.rw?"))
    assert len(kept) == 3
    (project / "logs").rename(project.parent / "away")
    set_to(ahead, seconds)
    service = new_service([sys.executable, CLOCK, str(ahead)], home=cache.parent).start()
    until(lambda: abs(marker.stat().st_mtime - time.time()) > YEAR - DAY)
    assert abs(seconds) > LIMITS.grace_seconds
    assert service.stop() == 0
    assert sorted(cache.rglob("*.rw?")) == kept
