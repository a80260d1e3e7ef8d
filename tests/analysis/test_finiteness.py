from __future__ import annotations

import math

import numpy as np


def test_nan_to_the_end_is_one_event_without_an_end(find, falling) -> None:
    loss = falling(300)
    loss[200:] = math.nan
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.end_step, event.confidence) == ("nonfinite", 200, None, 1.0)
    assert math.isnan(event.value)
    assert abs(event.normal - loss[190:200].mean()) < 0.1


def test_nan_now_and_then_is_one_event_from_the_first_to_behind_the_last(find, falling) -> None:
    loss = falling(300)
    loss[[100, 150, 151]] = [math.inf, math.nan, math.nan]
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.end_step, event.value) == ("nonfinite", 100, 152, math.inf)


def test_a_metric_of_any_name_is_looked_at_for_nan(find) -> None:
    assert [event.key for event in find({"whatever": np.array([1.0, math.nan]), "fine": np.array([1.0, 2.0])})] == [
        "whatever"
    ]


def test_overflows_of_a_loss_scale_that_finds_its_size_are_less_sure(find, steady) -> None:
    norm = steady(500)
    norm[:3] = math.inf
    (event,) = find({"grad_norm": norm})
    assert (event.step, event.end_step, event.confidence) == (0, 3, 0.5)


def test_an_average_that_repeats_exactly_is_frozen_from_its_first_row(find, falling) -> None:
    loss = falling(400)
    loss[250:] = loss[250]
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.end_step) == ("frozen", 250, None)


def test_a_frozen_average_that_moves_again_has_an_end(find, falling) -> None:
    loss = falling(400)
    loss[250:280] = 0.0
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.end_step, event.value) == ("frozen", 250, 280, 0.0)
    assert abs(event.normal - loss[240:250].mean()) < 0.1


def test_two_decimals_that_repeat_as_they_do_all_along_are_not_frozen(find, falling) -> None:
    assert find({"loss": np.round(falling(2000, 0.004), 2)}) == []


def test_a_loss_that_falls_to_zero_by_itself_may_stay_there(find) -> None:
    hinge = np.maximum(0.0, 1 - np.arange(400) / 200)
    assert [event for event in find({"hinge_loss": hinge}) if event.kind == "frozen"] == []


def test_a_loss_of_one_value_from_begin_to_end_is_frozen_but_not_surely_unless_it_is_zero(find) -> None:
    (event,) = find({"loss": np.full(100, math.log(2))})
    assert (event.kind, event.step, event.end_step, event.confidence) == ("frozen", 0, None, 0.5)
    assert find({"loss": np.zeros(100)}) == []
    assert find({"loss": np.full(20, math.log(2))}) == []


def test_a_validation_that_repeats_five_times_is_frozen(find, falling) -> None:
    validation = falling(20)
    validation[12:17] = validation[12]
    (event,) = find({"val/loss": validation})
    assert (event.kind, event.step, event.end_step) == ("frozen", 12, 17)


def test_many_stretches_in_a_long_curve_take_no_longer_than_a_few(find) -> None:
    loss = np.repeat(np.random.default_rng(1).normal(10, 1, 20_000), 20)
    assert len(find({"loss": loss})) <= 20
