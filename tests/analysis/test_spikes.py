from __future__ import annotations

import numpy as np
import pytest

from runwised.analysis.curve import Curve
from runwised.analysis.lens import WIDTH
from runwised.settings import AnomalyDetection


def kinds(events) -> list[tuple[str, int, int | None]]:
    return [(event.kind, event.step, event.end_step) for event in events]


@pytest.mark.parametrize("at", [40, 700, 1985])
def test_one_row_is_a_spike_that_ends_at_the_next(find, falling, at: int) -> None:
    loss = falling(2000)
    loss[at] += 2
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.end_step, event.value) == ("spike", at, at + 1, loss[at])
    assert abs(event.normal - np.median(loss[at - 20 : at])) < 0.3
    assert event.confidence > 0.6


def test_a_spike_in_the_last_row_has_no_end_yet(find, falling) -> None:
    loss = falling(500)
    loss[-1] += 2
    assert kinds(find({"loss": loss})) == [("spike", 499, None)]


def test_a_rise_of_thirty_rows_is_one_spike(find, falling) -> None:
    loss = falling(3000)
    loss[1000:1030] += 1.5
    assert kinds(find({"loss": loss})) == [("spike", 1000, 1030)]


def test_a_rise_of_a_thousand_rows_in_a_long_run_is_one_spike_with_its_rows(find, falling) -> None:
    loss = falling(100_000)
    loss[40_000:41_000] += 1.5
    ((kind, start, end),) = kinds(find({"loss": loss}))
    assert (kind, start) == ("spike", 40_000)
    assert end is not None
    assert abs(end - 41_000) <= WIDTH


def test_every_spike_is_found_not_a_sample(find, falling) -> None:
    loss = falling(20_000)
    places = np.arange(977, 20_000, 977)
    loss[places] += 3
    assert [event.step for event in find({"loss": loss})] == places.tolist()


def test_a_steep_fall_and_a_step_up_are_no_spikes(find) -> None:
    fall = 10 * np.exp(-np.arange(500) / 20) + 1
    step = np.where(np.arange(500) < 250, 1.0, 1.6) - np.arange(500) / 2000
    assert not [event for event in find({"loss": fall, "other_loss": step}) if event.kind == "spike"]


def test_noise_with_a_long_tail_has_no_spikes_of_its_own(find) -> None:
    rng = np.random.default_rng(4)
    assert find({"loss": 3 + rng.exponential(1, 5000)}) == []
    assert find({"grad_norm": np.exp(rng.normal(0, 1, 5000))}) == []


def test_a_rise_that_does_not_matter_is_no_spike_however_quiet_the_curve(find) -> None:
    loss = 2 + 1e-6 * np.random.default_rng(1).normal(size=400)
    loss[200] += 0.05
    assert [event for event in find({"loss": loss}) if event.kind == "spike"] == []


def test_a_spike_on_a_constant_curve_is_one(find) -> None:
    norm = np.full(200, 3.0)
    norm[100] = 30.0
    assert kinds(find({"grad_norm": norm})) == [("spike", 100, 101)]


def test_steps_need_not_be_evenly_spaced(find, falling) -> None:
    steps = np.cumsum(np.where(np.arange(1000) < 500, 1, 100))
    loss = falling(1000)
    loss[700] += 2
    assert kinds(find({"loss": Curve.of(steps, loss)})) == [("spike", int(steps[700]), int(steps[701]))]


def test_a_higher_threshold_lets_smaller_spikes_pass(find, falling) -> None:
    loss = falling(1000)
    loss[500] += 0.6
    assert kinds(find({"loss": loss})) == [("spike", 500, 501)]
    assert find({"loss": loss}, AnomalyDetection(spike_threshold=20)) == []


def test_a_validation_loss_and_a_gradient_norm_have_spikes_too(find, falling, steady) -> None:
    validation, norm = falling(60), steady(600)
    validation[40] += 2
    norm[300] = 25
    found = find({"val/loss": validation, "grad_norm": norm})
    assert [(event.key, event.step) for event in found] == [("val/loss", 40), ("grad_norm", 300)]
