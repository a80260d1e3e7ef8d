"""How far a run is meant to go, and how fast it goes: what an estimate of its end stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from runwised.index.view import RunView
from runwised.queries.glance import Moment, stats_of
from runwised.queries.keysel import words
from runwised.queries.tabular import flat

_STEPS = (
    *("max_steps", "total_steps", "num_train_steps", "num_training_steps", "train_steps", "training_steps"),
    *("max_train_steps", "max_iters", "max_iterations", "total_iters", "num_iterations", "num_iters", "train_iters"),
    *("total_timesteps", "num_steps", "steps", "iterations", "iters"),
)
"""What a configuration calls the number of steps, the clearest first."""
_EPOCHS = ("num_train_epochs", "max_epochs", "num_epochs", "total_epochs", "n_epochs", "epochs")
_VAGUE = {"num_steps", "steps", "iterations", "iters"}
_TRAINING = {"train", "training", "trainer"}
"""Vague names count only at the top of the configuration, or directly below one of these."""
_HUGE = 2.0**53
_RECENT = 100
"""Rows over which the recent rate is taken at least; of a long run a tenth, …"""
_MOST = 2000
"""… but no more than these."""


class Total(NamedTuple):
    """How many steps a run is meant to take, as its own steps count."""

    steps: int
    source: str
    """What says so: ``max_steps``, ``num_train_epochs 3``; keys dotted."""


class Rate(NamedTuple):
    """Steps per second; None where the log does not tell."""

    recent: float | None
    """Over the last tenth of the rows, of 100 to 2,000; a pause longer than all the rest of them is left out."""
    overall: float | None
    """From the first row to the last, pauses too."""


def total_steps(run: RunView) -> Total | None:
    """What the configuration says of a run's length; None where it says nothing that can be true.

    Where the program counts its steps in a metric of its own (``train/global_step``), that is what the setting means;
    epochs are turned into steps by a metric that tells how many are done. What the run has passed already is no total.
    """
    if not run.step or run.step < 0:
        return None
    settings = list(_settings(run))
    plain = Moment(float(run.step), run.step)
    steps = _meant(settings, _STEPS, _counted(run, ("global", "step")) or plain)
    if steps or not (epochs := _counted(run, ("epoch",))):
        return steps
    return _meant(settings, _EPOCHS, epochs)


def _settings(run: RunView) -> Iterator[tuple[str, float]]:
    """The positive numbers of a configuration, those that lie least deep first."""
    for key, value in sorted(flat(run.config), key=lambda leaf: leaf[0].count(".")):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _HUGE:
            yield key, float(value)


def _meant(settings: Sequence[tuple[str, float]], names: Sequence[str], done: Moment) -> Total | None:
    """The first setting of one of these names; `done`: how far what it counts has come, and at which step."""
    for name in names:
        for key, value in settings:
            above, _, leaf = key.lower().rpartition(".")
            if leaf == name and value >= done.value and (name not in _VAGUE or above in {"", *_TRAINING}):
                same = done.value == done.step
                return Total(round(value * (done.step or 0) / done.value), key if same else f"{key} {value:.15g}")
    return None


def _counted(run: RunView, ending: tuple[str, ...]) -> Moment | None:
    """The last value of the first metric whose name ends in these words, and counts; epochs only where they are told in
    fractions, or a step is an epoch: whole ones do not say how far the one at hand has come.
    """
    for name in run.history.names:
        found = stats_of(run, name) if words(name)[-len(ending) :] == ending else None
        if found is None or not 0 < found.last < _HUGE:
            continue
        if ending != ("epoch",) or not found.last.is_integer() or found.last == found.last_step:
            return Moment(found.last, found.last_step)
    return None


def rate(run: RunView) -> Rate:
    """How fast the run goes, by its history's rows and their times."""
    table = run.history
    rows = table.row_count
    start = max(0, rows - min(max(_RECENT, rows // 10), _MOST))
    steps, times = table.steps(start, rows), table.times(start, rows)
    timed = np.isfinite(times)
    steps, times = steps[timed], times[timed]
    if len(times) < 2:
        return Rate(None, None)
    pauses = np.diff(times)
    seconds, pause, at = float(times[-1] - times[0]), float(pauses.max()), int(pauses.argmax())
    taken = int(steps[-1] - steps[0])
    recent = _per_second(taken, seconds)
    if len(pauses) > 1 and pause > seconds - pause:
        recent = _per_second(taken - int(steps[at + 1] - steps[at]), seconds - pause) or recent
    begun, first = table.times(0, 1).item(), table.steps(0, 1).item()
    return Rate(recent, _per_second(int(steps[-1]) - first, float(times[-1]) - begun))


def _per_second(steps: int, seconds: float) -> float | None:
    """None where no time has passed, or it is not known how much."""
    return steps / seconds if seconds > 0 and steps > 0 else None
