from __future__ import annotations

import numpy as np
import pytest


def rising(n: int, top: float = 0.8) -> np.ndarray:
    noise = 0.005 * np.random.default_rng(3).normal(size=n)
    return top - (top - 0.1) * (1 + np.arange(n) / (0.05 * n)) ** -1.2 + noise


@pytest.mark.parametrize("unit", [1, 100])
def test_an_accuracy_that_falls_to_that_of_a_guess_diverges_in_its_own_unit(find, unit: int) -> None:
    values = rising(1000)
    values[600:] = 0.1
    (event,) = find({"train/accuracy": unit * values})
    assert (event.kind, event.end_step) == ("divergence", None)
    assert abs(event.step - 600) <= 6
    assert event.value == pytest.approx(0.1 * unit)
    assert event.normal > 0.7 * unit


def test_an_accuracy_that_rises_is_clean(find) -> None:
    assert find({"train/accuracy": rising(1000), "val/accuracy": rising(60, 0.7)}) == []


def test_validation_that_turns_down_while_training_rises_is_overfitting(find) -> None:
    validation = rising(60, 0.7)
    validation[30:] -= np.linspace(0, 0.25, 30)
    (event,) = find({"train/accuracy": rising(60), "val/accuracy": validation})
    assert (event.kind, event.key) == ("overfitting", "val/accuracy")
    assert event.value < event.normal


def test_an_accuracy_that_stops_rising_is_a_plateau_unless_all_is_right(find) -> None:
    share = np.minimum(1, np.arange(2000) / 900)
    noise = 0.003 * np.random.default_rng(3).normal(size=2000)
    (event,) = find({"train/accuracy": 0.1 + 0.5 * share + noise})
    assert event.kind == "plateau"
    assert abs(event.step - 900) <= 40
    assert find({"train/accuracy": np.minimum(1, 0.1 + 0.9 * share + noise / 10)}) == []


def test_what_is_called_a_score_and_is_no_share_is_not_judged(find) -> None:
    values = 900 * rising(1000)
    values[600:] = 10
    assert find({"accuracy": values, "val/f1": -values}) == []
