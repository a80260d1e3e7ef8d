from __future__ import annotations

import numpy as np
import pytest

T = np.arange(1000) / 1000
COSINE = 1e-3 * np.minimum((np.arange(1000) + 1) / 50, 0.5 + 0.5 * np.cos(np.pi * T))

SCHEDULES = {
    "cosine with a warm-up": COSINE,
    "warm restarts": 1e-3 * (0.5 + 0.5 * np.cos(np.pi * ((T * 4) % 1))),
    "restarts that get lower": 1e-3 * 0.7 ** np.floor(T * 4) * (1 - ((T * 4) % 1)),
    "restarts that get rarer": 1e-3 * (0.51 + 0.49 * np.cos(np.pi * (np.log2(1 + 7 * T) % 1))),
    "restarts, each with a warm-up": 1e-3 * np.minimum(1, ((T * 4) % 1) / 0.02) * (1 - ((T * 4) % 1)),
    "milestones": 1e-2 * 0.1 ** np.floor(T * 3),
    "triangles": 1e-3 * (1 - np.abs(2 * ((T * 5) % 1) - 1)),
    "a saw above half": 1e-3 * (1 - 0.5 * ((T * 6) % 1)),
    "constant": np.full(1000, 1e-4),
    "a warm-up by epochs": 1e-3 * np.minimum(1, np.ceil(T * 100) / 8),
    "down to nothing in the last row": np.append(np.full(999, 1e-3), 0.0),
    "seldom logged": COSINE[::40],
    "none at all": np.zeros(1000),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_no_anomaly(find, name: str) -> None:
    assert find({"lr": SCHEDULES[name]}) == []


def test_a_jump_up_in_the_middle_of_a_decay_is_one(find) -> None:
    rate = COSINE.copy()
    rate[400:] *= 4
    (event,) = find({"lr": rate})
    assert (event.kind, event.step, event.end_step) == ("learning_rate", 400, None)
    assert (event.value, event.normal) == (rate[400], rate[399])


def test_a_schedule_that_begins_anew_before_it_had_come_down_is_one(find) -> None:
    rate = np.concatenate((COSINE[:500], COSINE[50:550]))
    assert [event.step for event in find({"lr": rate})] == [500]


@pytest.mark.parametrize("factor", [0.0, 1e-3, 30.0])
def test_rows_off_the_schedule_are_one_event_that_ends(find, factor: float) -> None:
    rate = COSINE.copy()
    rate[300:310] *= factor
    assert [(event.step, event.end_step) for event in find({"lr": rate})] == [(300, 310)]


def test_a_rate_that_falls_to_nothing_long_before_the_end_is_one(find) -> None:
    rate = COSINE.copy()
    rate[500:] = 0.0
    assert [(event.step, event.end_step) for event in find({"lr": rate})] == [(500, None)]
