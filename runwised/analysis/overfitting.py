"""Finds overfitting: a validation loss that turns up while the training loss still falls."""

from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve, Event, Floats, event
from runwised.analysis.kink import kink
from runwised.analysis.rolling import Blocks, blocks, smooth
from runwised.settings import AnomalyDetection

_LEAST_POINTS = 8
_NOISE = 4.0
_EARLIER = 2.0
_LEAST_RISE = 0.03
"""Share of the validation loss's best level that it must rise by,"""
_LEAST_LOSS = 0.08
"""and share of what it had gained."""


def overfitting(key: str, curve: Curve, training: Curve, config: AnomalyDetection) -> list[Event]:
    """Of two finite curves: at most one event, on the validation loss.

    What makes the event is the turn. How sure it is goes by the ratio of the two losses, set against the ratio over
    the steps `overfit_baseline_steps`: 0.75 where it has grown by `overfit_ratio_threshold`.
    """
    if len(curve.values) < _LEAST_POINTS or len(training.values) < _LEAST_POINTS:
        return []
    cut = blocks(curve)
    turn = _turn(cut)
    if turn is None:
        return []
    at = float(cut.steps[turn])
    if not _still_falls(training, at):
        return []
    best = float(smooth(cut.levels, 3)[turn])
    start = int(np.searchsorted(curve.steps, _corner(cut, turn)))
    end = _end_of(cut.levels)
    grown = _ratio_growth(curve, training, config.overfit_baseline_steps)
    sure = 0.5 + 0.25 * max(0.0, grown - 1) / max(1e-9, config.overfit_ratio_threshold - 1)
    return [event("overfitting", key, curve, start, None, end, best, min(sure, 0.99))]


def _end_of(levels: Floats) -> float:
    return float(np.median(levels[-max(2, len(levels) // 10) :]))


def _turn(cut: Blocks) -> int | None:
    """The block where the levels were best, when they rose from there to the end."""
    even = smooth(cut.levels, 5 if len(cut.levels) >= 20 else 3)
    turn = int(np.argmin(even))
    after = even[turn:]
    if len(after) < max(4, len(even) // 10):
        return None
    rise = _end_of(cut.levels) - float(even[turn])
    before = even[: turn + 1]
    earlier = float(np.max(before - np.minimum.accumulate(before)))
    gained = max(0.0, float(np.median(even[:2]) - even[turn]))
    least = max(_NOISE * cut.noise, _EARLIER * earlier, _LEAST_RISE * abs(float(even[turn])), _LEAST_LOSS * gained)
    half = len(after) // 2
    goes_on = float(np.median(after[half:])) > float(np.median(after[:half]))
    return turn if rise > least and goes_on else None


def _still_falls(training: Curve, step: float) -> bool:
    """Whether the training loss ends no higher than where it was at this step: it falls, or has done so."""
    cut = blocks(training)
    even = smooth(cut.levels, 3)
    then = float(np.interp(step, cut.steps, even))
    return float(np.median(even[-max(2, len(even) // 10) :])) < then + cut.noise


def _corner(cut: Blocks, turn: int) -> float:
    """The step of the turn, from lines along both of its sides."""
    width = max(4, min(turn, len(cut.levels) - 1 - turn) // 2)
    part = slice(max(0, turn - width), turn + width + 1)
    bend = kink(cut.steps[part], cut.levels[part])
    return float(cut.steps[turn]) if bend is None or not bend.before < 0 < bend.after else bend.step


def _ratio_growth(curve: Curve, training: Curve, baseline: tuple[int, int]) -> float:
    """By what factor validation loss over training loss grew; 1 where losses are not positive."""
    trained = np.interp(curve.steps, training.steps, training.values)
    if np.min(trained) <= 0 or np.min(curve.values) <= 0:
        return 1.0
    ratio = curve.values / trained
    early = (curve.steps >= baseline[0]) & (curve.steps <= baseline[1])
    if not early.any():
        early = np.arange(len(ratio)) < max(2, len(ratio) // 8)
    return float(np.median(ratio[-max(2, len(ratio) // 10) :]) / np.median(ratio[early]))
