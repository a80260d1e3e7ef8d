from __future__ import annotations

import math

import numpy as np
import pytest


def diverged(events):
    return [event for event in events if event.kind == "divergence"]


@pytest.mark.parametrize(("n", "rows"), [(60, 15), (1000, 100), (5000, 2000), (300_000, 60)])
def test_a_loss_that_grows_to_the_end_diverges_where_it_began_to(find, falling, n: int, rows: int) -> None:
    loss = falling(n)
    loss[-rows:] += np.expm1(4 * np.arange(rows) / rows)
    (event,) = diverged(find({"loss": loss}))
    assert abs(event.step - (n - rows)) <= max(0.02 * n, 6)
    assert event.end_step is None
    assert event.value > event.normal + 5


def test_growth_that_ends_in_nan_is_a_divergence_and_then_nan(find, falling) -> None:
    loss = falling(400)
    loss[300:340] += 0.01 * np.arange(40) ** 2
    loss[340:] = math.nan
    first, second = find({"loss": loss})
    assert (first.kind, second.kind, second.step) == ("divergence", "nonfinite", 340)
    assert 295 <= first.step <= 312


def test_a_loss_that_jumps_to_its_first_level_and_stays_diverges(find, falling) -> None:
    loss = falling(2000)
    loss[1400:] = 4.1 + 0.05 * np.random.default_rng(3).normal(size=600)
    (event,) = find({"loss": loss})
    assert event.kind == "divergence"
    assert abs(event.step - 1400) <= 16


def test_a_loss_that_jumps_and_learns_its_way_back_does_not_diverge(find, falling) -> None:
    loss = falling(4000)
    loss[2000:] += 1.2 * np.exp(-np.arange(2000) / 300)
    assert diverged(find({"loss": loss})) == []


def test_a_loss_that_wanders_as_it_always_did_does_not_diverge(find) -> None:
    rng = np.random.default_rng(5)
    wander = np.convolve(rng.normal(size=3400), np.ones(400) / 20, "valid")
    assert diverged(find({"loss": 5 + wander + rng.normal(size=len(wander))})) == []


def test_a_validation_loss_that_ends_at_several_times_its_best_is_not_called_healthy(find, falling) -> None:
    validation = falling(40)
    validation[25:] += np.linspace(0.5, 11.5, 15)
    assert [event.kind for event in find({"val/loss": validation})] == ["divergence"]


def test_of_two_departures_the_first_is_told(find, falling) -> None:
    loss = falling(4000)
    loss[2000:] = 4.0 + 0.02 * np.random.default_rng(8).normal(size=2000)
    loss[3500:] += np.expm1(6 * np.arange(500) / 500)
    (event,) = diverged(find({"loss": loss}))
    assert abs(event.step - 2000) <= 1


def test_a_step_up_is_told_to_the_row_however_wild_the_rows_after_it(find, falling) -> None:
    loss = falling(4000)
    loss[2001:] = 4.3 + np.abs(np.random.default_rng(8).standard_cauchy(1999))
    (event,) = diverged(find({"loss": loss}))
    assert event.step == 2001


def test_spikes_of_gradients_after_the_loss_has_diverged_are_not_told(find, falling, steady) -> None:
    loss, norm = falling(2000), steady(2000)
    loss[1000:] = 4.2
    loss += 0.02 * np.random.default_rng(8).normal(size=2000)
    norm[[500, 1200, 1500]] = 40.0
    events = find({"loss": loss, "grad_norm": norm})
    assert [event.kind for event in events] == ["spike", "divergence"]
