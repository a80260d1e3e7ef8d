from __future__ import annotations

import math

import numpy as np
import pytest

from runwised.analysis.stalls import Stalls


def told(gaps: np.ndarray, **ask: float) -> list[tuple[int, int | None, float]]:
    times = 1e9 + np.cumsum(gaps)
    stalls = Stalls().fed(np.arange(len(gaps)) * 10, times)
    events = stalls.events(int(ask.get("restarts", 0)))
    if "silent" in ask:
        events += stalls.lasting(times[-1] + ask["silent"], int(ask.get("restarts", 0)))
    return [(event.step, event.end_step, event.value) for event in events]


def steady(n: int = 200, seconds: float = 2.0) -> np.ndarray:
    return np.full(n, seconds)


def test_a_gap_far_above_the_cadence_is_a_stall_from_the_row_before_to_the_row_after() -> None:
    gaps = steady()
    gaps[120] = 900
    assert told(gaps) == [(1190, 1200, 900)]


def test_two_of_them_are_told_in_their_order() -> None:
    gaps = steady()
    gaps[[50, 120]] = 900, 4000
    assert [step for step, _, _ in told(gaps)] == [490, 1190]


@pytest.mark.parametrize(("silent", "stalls"), [(30, 0), (59, 0), (600, 1)])
def test_a_run_that_should_be_going_is_stalled_when_it_was_silent_for_long(silent: float, stalls: int) -> None:
    assert told(steady(), silent=silent) == [(1990, None, silent)] * stalls


def test_pauses_that_come_again_are_no_stalls_and_a_longer_one_is() -> None:
    gaps = steady()
    gaps[20::20] = 300
    assert told(gaps) == []
    gaps[111] = 2000
    assert [step for step, _, _ in told(gaps)] == [1100]


def test_a_slow_start_and_an_evaluation_at_the_end_are_none() -> None:
    gaps = steady()
    gaps[[1, 2, -1]] = 800
    assert told(gaps) == []


def test_a_restart_accounts_for_one_gap_the_longest() -> None:
    gaps = steady()
    gaps[[50, 120]] = 900, 40_000
    assert [step for step, _, _ in told(gaps, restarts=1)] == [490]


def test_the_time_of_rows_that_were_taken_back_is_no_stall_and_takes_none_from_a_restart() -> None:
    gaps = steady()
    gaps[[50, 90, 120]] = 900, 5000, 40_000
    stalls = Stalls().fed(np.arange(200) * 10, 1e9 + np.cumsum(gaps))
    assert [event.step for event in stalls.events(0, {1200})] == [490, 890]
    assert [event.step for event in stalls.events(1, {1200})] == [490, 890]
    assert [event.step for event in stalls.events(2, {1200})] == [490]
    assert [event.step for event in stalls.events(0, {700})] == [490, 890, 1190]


def test_rewinds_one_after_the_other_do_not_hide_a_stall_as_pauses() -> None:
    gaps = steady()
    gaps[20:120:10] = 900
    gaps[150] = 900
    stalls = Stalls().fed(np.arange(200) * 10, 1e9 + np.cumsum(gaps))
    assert stalls.events() == []
    assert [event.step for event in stalls.events(0, set(range(200, 1200, 100)))] == [1490]


def test_slow_runs_may_be_silent_for_longer() -> None:
    assert told(steady(60, 300.0), silent=3000) == []
    assert len(told(steady(60, 300.0), silent=9000)) == 1


def test_few_rows_and_rows_without_a_time_tell_no_cadence() -> None:
    assert told(steady(20), silent=1e6) == []
    assert Stalls().fed(np.arange(100), np.full(100, math.nan)).lasting(1e9) == []
