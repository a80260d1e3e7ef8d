from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve
from runwised.settings import AnomalyDetection


def both(falling, n: int = 3000, turn: int | None = 1800, slope: float = 2.0, checks: int = 60):
    loss = falling(n)
    steps = np.linspace(n // checks, n - 1, checks).astype(int)
    validation = falling(n, 0.002, seed=9) + 0.1
    if turn is not None:
        validation += slope * np.maximum(0, np.arange(n) - turn) / n
    return {"train/loss": loss, "val/loss": Curve.of(steps, validation[steps])}


def test_a_validation_loss_that_turns_while_training_falls_overfits_from_the_turn(find, falling) -> None:
    (event,) = find(both(falling))
    assert (event.kind, event.key, event.end_step) == ("overfitting", "val/loss", None)
    assert abs(event.step - 1800) <= 60
    assert event.value > event.normal


def test_a_gap_that_stays_is_no_overfitting(find, falling) -> None:
    assert find(both(falling, turn=None)) == []


def test_it_is_surer_the_more_the_ratio_of_the_losses_has_grown(find, falling) -> None:
    curves = both(falling)
    (mild,) = find(curves)
    (strong,) = find(both(falling, slope=8.0))
    (strict,) = find(curves, AnomalyDetection(overfit_ratio_threshold=3.0))
    assert strict.confidence < mild.confidence < strong.confidence


def test_when_training_rises_too_it_is_no_overfitting(find, falling) -> None:
    curves = both(falling)
    curves["train/loss"] = curves["train/loss"] + 2 * np.maximum(0, np.arange(3000) - 1800) / 1200
    kinds = {(event.kind, event.key) for event in find(curves)}
    assert kinds == {("divergence", "train/loss"), ("divergence", "val/loss")}


def test_eight_validations_are_enough_and_three_are_not(find, falling) -> None:
    assert [event.kind for event in find(both(falling, checks=10, turn=1200, slope=4))] == ["overfitting"]
    assert find(both(falling, checks=3, turn=1200, slope=4)) == []


def test_losses_below_zero_are_judged_by_the_turn_alone(find, falling) -> None:
    curves = both(falling)
    curves["train/loss"] = curves["train/loss"] - 10
    curves["val/loss"] = curves["val/loss"]._replace(values=curves["val/loss"].values - 10)
    (event,) = find(curves)
    assert (event.kind, event.confidence) == ("overfitting", 0.5)
