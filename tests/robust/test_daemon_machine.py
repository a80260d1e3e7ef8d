"""A real daemon, killed, stopped and asked over its socket, in any order with what happens to logs and sidecars."""

from __future__ import annotations

import json
from itertools import groupby

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.robust.real_daemon import RealDaemon, cold, everything, questions, until
from tests.robust.test_state_machine import Faults


class Served(Faults):
    """The same project; in the place of the catalog that lives on is a daemon with all its background."""

    def __init__(self) -> None:
        super().__init__()
        self.daemon = RealDaemon(self.base / "d", self.root)
        self.cache = self.base / "d/cache"

    def teardown(self) -> None:
        try:
            self.settle()
            self.daemon.end()
        finally:
            self.daemon.process.kill()
            self.daemon.process.wait()
            super().teardown()

    @rule()
    def ask(self) -> None:
        self.daemon.ask_all([everything()])

    @rule()
    def save(self) -> None:
        """It does so by itself; what lives in this process has nothing to save."""

    @rule()
    def crash(self) -> None:
        self.daemon.kill()
        self.daemon.start()
        self.seen["killed"] += 1

    @rule()
    def close_and_open(self) -> None:
        self.daemon.end()
        self.daemon.start()
        self.seen["ended"] += 1

    @rule()
    def compare(self) -> None:
        """Folders where there was nothing are looked into within the sweep's time; runs that are known at once."""
        if self.daemon.process.poll() is not None:
            return
        (wanted,) = cold(self.root, [everything()])
        until(lambda: _shown(self.daemon.ask_all([everything()])[0]) == _shown(wanted))
        runs = json.loads(wanted)["runs"] if wanted.startswith("{") else []
        unsettled = {str(path.relative_to(self.root)) for path in self.unsettled}
        settled = [run["id"] for run in runs if not unsettled & {source["path"] for source in run["sources"]}]
        asked = [query for run_id in settled for query in questions(run_id)]
        for query, one, other in zip(asked, self.daemon.ask_all(asked), cold(self.root, asked), strict=True):
            assert _ordered(one) == _ordered(other), query
        self.seen["answers"] += len(asked)

    def _between(self) -> None:
        self.asks += 1
        if self.asks % 2:
            self.ask()


def _ordered(told: str) -> object:
    """The same for every order of points of one moment: a daemon meets those of one file while we write the next."""
    if not told.startswith('{"_row":'):
        return told
    rows = [json.loads(line) for line in told.splitlines()]
    numbers = [row.pop("_row") for row in rows]
    moments = groupby(rows, key=lambda row: (row["_step"], row["_time"]))
    return numbers, [(moment, sorted(map(json.dumps, found))) for moment, found in moments]


def _shown(told: str) -> object:
    """Which runs a list shows, and from which files; where there are none, what it says."""
    if not told.startswith("{"):
        return told
    return sorted((run["id"], sorted(source["path"] for source in run["sources"])) for run in json.loads(told)["runs"])


def see(examples: int, steps: int) -> None:
    Faults.seen.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Served,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert not {"killed", "ended", "answers", "harmed"} - Faults.seen.keys()


def test_a_daemon_answers_what_a_cold_parse_says_whatever_happens() -> None:
    see(examples=5, steps=25)


@pytest.mark.soak
def test_a_daemon_answers_what_a_cold_parse_says_whatever_happens_for_long() -> None:
    see(examples=400, steps=40)
