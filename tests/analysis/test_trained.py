"""Detectors on curves nobody drew: a small network trained for real, well and badly."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from runwised.analysis.curve import Curve

STEPS = 2400
Batch = tuple[np.ndarray, np.ndarray]


class Recipe(NamedTuple):
    """How to train: examples, rate by step, and what becomes of a batch."""

    examples: int = 10_000
    rate: Callable[[int], float] = lambda _: 0.1
    batch: Callable[[int, Batch], Batch] = lambda _, batch: batch
    wrong: float = 0.05
    """Share of labels that are wrong."""


def train(recipe: Recipe, seed: int = 0) -> dict[str, Curve]:
    """Two hidden layers of 48 units, momentum 0.9, batches of 64, on labels that another network gives."""
    rng = np.random.default_rng(seed)
    teacher, votes = rng.normal(size=(20, 8)), rng.normal(size=8)

    def examples(count: int) -> Batch:
        x = rng.normal(size=(count, 20))
        return x, (np.tanh(x @ teacher / 3) @ votes > 0) ^ (rng.random(count) < recipe.wrong)

    seen, unseen = examples(recipe.examples), examples(1000)
    first, second = rng.normal(size=(20, 48)) / 4.5, rng.normal(size=(48, 48)) / 7
    weights = [first, np.zeros(48), second, np.zeros(48), rng.normal(size=48) / 70]
    moving = [np.zeros_like(weight) for weight in weights]
    loss, norm, checked = np.empty(STEPS), np.empty(STEPS), []

    def forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        low = np.maximum(0, x @ weights[0] + weights[1])
        high = np.maximum(0, low @ weights[2] + weights[3])
        return low, high, high @ weights[4]

    for step in range(STEPS):
        pick = rng.integers(0, recipe.examples, 64)
        x, y = recipe.batch(step, (seen[0][pick], seen[1][pick]))
        low, high, out = forward(x)
        loss[step] = np.mean(np.logaddexp(0, out) - y * out)
        back = (0.5 + 0.5 * np.tanh(out / 2) - y) / len(y)
        at_high = np.outer(back, weights[4]) * (high > 0)
        at_low = at_high @ weights[2].T * (low > 0)
        slopes = [x.T @ at_low, at_low.sum(0), low.T @ at_high, at_high.sum(0), high.T @ back]
        norm[step] = np.sqrt(sum(np.sum(slope**2) for slope in slopes))
        for weight, moved, slope in zip(weights, moving, slopes, strict=True):
            moved += 0.1 * (slope - moved)
            weight -= recipe.rate(step) * moved
        if step % 40 == 39:
            out = forward(unseen[0])[2]
            checked.append(np.mean(np.logaddexp(0, out) - unseen[1] * out))
    steps = np.arange(STEPS)
    rates = np.array([recipe.rate(step) for step in range(STEPS)])
    curves = {"train/loss": loss, "grad_norm": norm, "lr": rates}
    return {key: Curve.of(steps, values) for key, values in curves.items()} | {
        "val/loss": Curve.of(steps[39::40], checked)
    }


def cosine(step: int) -> float:
    return 0.3 * min(1, step / 100) * (0.5 + 0.5 * np.cos(np.pi * step / STEPS))


@pytest.mark.parametrize("rate", [lambda _: 0.1, lambda _: 0.02, cosine], ids=["steady", "small", "cosine"])
def test_a_training_that_goes_well_is_clean(find, rate) -> None:
    assert find(train(Recipe(rate=rate))) == []


def test_a_bad_batch_is_a_spike_of_loss_and_gradient_at_its_step(find) -> None:
    def batch(step: int, given: Batch) -> Batch:
        return (given[0] * 30, ~given[1]) if step == 1200 else given

    events = find(train(Recipe(batch=batch)))
    assert {("spike", "train/loss", 1200), ("spike", "grad_norm", 1200)} <= {
        (event.kind, event.key, event.step) for event in events
    }
    assert {event.kind for event in events} == {"spike"}


def test_few_examples_seen_often_are_overfitting(find) -> None:
    (event,) = find(train(Recipe(examples=300, wrong=0.1, rate=lambda _: 0.2)))
    assert (event.kind, event.key, event.end_step) == ("overfitting", "val/loss", None)
    assert event.step < 300


def test_a_rate_that_jumps_too_high_is_found_and_then_what_it_does(find) -> None:
    events = find(train(Recipe(rate=lambda step: 0.1 if step < 1500 else 60.0)))
    assert [(event.kind, event.key) for event in events][:2] == [("learning_rate", "lr"), ("divergence", "train/loss")]
    assert [events[0].step, 1500 < events[1].step <= 1520] == [1500, True]


def test_a_rate_of_zero_freezes_the_validation(find) -> None:
    events = find(train(Recipe(rate=lambda step: 0.1 if step < 1000 else 0.0)))
    assert {("learning_rate", "lr", 1000), ("frozen", "val/loss", 999)} <= {
        (event.kind, event.key, event.step) for event in events
    }
