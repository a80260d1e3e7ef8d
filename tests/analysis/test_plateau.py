from __future__ import annotations

import numpy as np
import pytest

from runwised.analysis.curve import Curve
from runwised.settings import AnomalyDetection


def plateaus(events):
    return [event for event in events if event.kind == "plateau"]


def stops(n: int, at: int, noise: float = 0.02) -> np.ndarray:
    fall = 3 * np.maximum(0, 1 - np.arange(n) / at)
    return 2 + fall + noise * np.random.default_rng(6).normal(size=n)


@pytest.mark.parametrize(("n", "at"), [(1000, 450), (20_000, 9000)])
def test_a_loss_that_stops_falling_has_a_plateau_from_there(find, n: int, at: int) -> None:
    (event,) = find({"loss": stops(n, at)})
    assert event.kind == "plateau"
    assert abs(event.step - at) <= 0.02 * n
    assert event.value == pytest.approx(2, abs=0.01)


def test_a_loss_that_still_improves_a_little_has_none(find, falling) -> None:
    assert plateaus(find({"loss": falling(5000)})) == []


def test_steps_count_not_rows(find) -> None:
    assert plateaus(find({"loss": stops(300, 120)})) == []
    curve = Curve.of(np.arange(300) * 10, stops(300, 120))
    (event,) = plateaus(find({"loss": curve}))
    assert abs(event.step - 1200) <= 60


def test_the_settings_say_how_long_it_must_last_and_what_an_improvement_is(find) -> None:
    loss = stops(1000, 450) - 0.06 * np.arange(1000) / 1000
    assert plateaus(find({"loss": loss})) == []
    assert plateaus(find({"loss": loss}, AnomalyDetection(plateau_improvement_threshold=0.05)))
    assert plateaus(find({"loss": stops(1000, 450)}, AnomalyDetection(plateau_min_steps=800))) == []


def test_a_loss_that_never_fell_is_one_from_its_first_step_but_not_surely(find) -> None:
    loss = 4.17 + 0.01 * np.random.default_rng(1).normal(size=2000)
    (event,) = find({"loss": loss})
    assert (event.kind, event.step, event.confidence) == ("plateau", 0, 0.5)


def test_what_goes_through_zero_is_no_loss_that_should_have_fallen(find) -> None:
    assert find({"loss": 0.01 * np.random.default_rng(1).normal(size=2000)}) == []
