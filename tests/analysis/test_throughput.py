from __future__ import annotations

import numpy as np

from runwised.settings import AnomalyDetection


def test_half_the_pace_for_good_is_a_drop_without_an_end(find, steady) -> None:
    pace = steady(600, 1e5)
    pace[400:] *= 0.5
    (event,) = find({"tokens_per_s": pace})
    assert (event.kind, event.step, event.end_step) == ("throughput_drop", 400, None)
    assert 0.9e5 < event.normal < 1.1e5
    assert 0.45e5 < event.value < 0.55e5


def test_a_drop_that_is_over_has_an_end(find, steady) -> None:
    pace = steady(600, 1e5)
    pace[400:450] *= 0.3
    (event,) = find({"tokens_per_s": pace})
    assert (event.step, event.end_step) == (400, 450)


def test_slow_rows_for_checkpoints_and_a_slow_start_are_none(find, steady) -> None:
    pace = steady(2000, 1e5)
    pace[::100] *= 0.1
    pace[1::100] *= 0.4
    pace[:5] *= 0.02
    assert find({"tokens_per_s": pace}) == []


def test_less_than_the_threshold_is_none(find, steady) -> None:
    pace = steady(600, 1e5)
    pace[400:] *= 0.7
    assert find({"tokens_per_s": pace}) == []
    assert find({"tokens_per_s": pace}, AnomalyDetection(throughput_drop_threshold=0.2))


def test_steps_that_take_twice_as_long_are_a_drop_told_in_their_own_unit(find, steady) -> None:
    seconds = steady(600, 0.2)
    seconds[400:] *= 2.2
    (event,) = find({"step_time": seconds})
    assert (event.kind, event.step) == ("throughput_drop", 400)
    assert 0.4 < event.value < 0.5
    assert 0.18 < event.normal < 0.22


def test_a_pace_of_zero_is_a_drop(find) -> None:
    pace = np.full(200, 100.0)
    pace[100:] = 0.0
    (event,) = find({"it/s": pace})
    assert (event.step, event.value) == (100, 0.0)
