"""A run's checkup: every point of its metrics is looked at; what was found, and what could not be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event
from runwised.analysis.detect import detect
from runwised.analysis.ending import ends_high
from runwised.analysis.roles import Roles, recognise
from runwised.index.view import RunView
from runwised.queries.keysel import main_metrics
from runwised.settings import RunwiseConfig

_LEAST_POINTS = {"loss": 12, "validation": 12, "gradient": 16, "throughput": 24, "duration": 24, "learning_rate": 5}
"""Finite points from which on the detectors of a role say something."""
_KINDS = {
    "loss": ("divergence", "spike", "frozen", "plateau"),
    "validation": ("divergence", "overfitting", "spike", "frozen"),
    "gradient": ("gradient_explosion", "gradient_vanishing", "spike"),
    "throughput": ("throughput_drop",),
    "duration": ("throughput_drop",),
    "learning_rate": ("learning_rate",),
}
_NO_DAMAGE = frozenset({"plateau", "throughput_drop"})
"""Kinds that leave a run's weights as good as they were."""
_DOUBTFUL = 0.5
"""Confidence up to which values that are not finite may be a metric that was never computed."""
_MAIN = 6


class Checkup(NamedTuple):
    """What was found on a run's curves."""

    events: list[Event]
    """By onset."""
    bad: list[Event]
    """Of these, for each metric the first that did damage, by onset."""
    last_good: int | None
    keys: int
    points: int
    kinds: list[str]
    finite_only: list[str]
    too_short: list[str]
    judged: bool
    """Whether the course of a loss could be judged."""


def checkup(run: RunView, config: RunwiseConfig) -> Checkup:
    """Look at every served point. Curves are read whole where their role, or a value that is not finite, asks for it;
    of all other metrics the exact statistics say that every value is finite.
    """
    names = list(run.history.names)
    roles = recognise(names, loss_key=config.schema.loss_key)
    parts = _parts(roles)
    counts = {name: run.history.stats(name) for name in names}
    read = [name for name in names if name in parts or counts[name].nonfinite]
    curves = {name: Curve.of_series(run.history.series(name)) for name in read}
    events = detect(curves, roles, config.anomaly_detection)
    events = _with_ends(events, curves, roles)
    main = [name for name in main_metrics(run, config, _MAIN) if name in counts]
    bad = _bad(events, {*main, *roles.losses})
    enough = {
        name
        for name, role in parts.items()
        if name in counts and counts[name].count - counts[name].nonfinite >= _LEAST_POINTS[role]
    }
    kinds = [kind for role in _KINDS for kind in _KINDS[role] if any(parts[name] == role for name in enough)]
    return Checkup(
        events=events,
        bad=bad,
        last_good=_last_good(run, bad, {name: curves[name] for name in (*main, *roles.losses) if name in curves}),
        keys=len(names),
        points=sum(found.count for found in counts.values()),
        kinds=list(dict.fromkeys((["nonfinite"] if names else []) + kinds)),
        finite_only=[name for name in names if name not in parts],
        too_short=[name for name in names if name in parts and name not in enough],
        judged=any(parts[name] in ("loss", "validation") for name in enough),
    )


def _parts(roles: Roles) -> dict[str, str]:
    """Each metric that has a role, and which."""
    lists: Mapping[str, Sequence[str]] = {
        "loss": roles.losses,
        "validation": list(roles.validation),
        "gradient": roles.gradients,
        "throughput": roles.throughputs,
        "duration": roles.durations,
        "learning_rate": roles.learning_rates,
    }
    return {name: role for role, names in lists.items() for name in names}


def _with_ends(events: list[Event], curves: Mapping[str, Curve], roles: Roles) -> list[Event]:
    """The events, and losses that end far off where no event says that something lasts to their end."""
    lasting = {found.key for found in events if found.end_step is None and found.kind != "spike"}
    losses = [key for key in (*roles.losses, *roles.validation) if key not in lasting]
    late = [found for key in losses for found in ends_high(key, curves[key].finite())]
    known = {found.key: found.step for found in late}
    kept = [found for found in events if found.kind != "spike" or found.step < known.get(found.key, found.step + 1)]
    return sorted([*kept, *late], key=lambda found: found.step)


def _bad(events: Sequence[Event], main: set[str]) -> list[Event]:
    """The first damage to each metric; what a run came back from counts only where nothing lasts."""
    harm = [found for found in events if found.kind not in _NO_DAMAGE and not _is_doubtful(found, main)]
    lasting = [found for found in harm if found.end_step is None]
    chosen = lasting if any(found.kind != "learning_rate" for found in lasting) else harm
    first: dict[str, Event] = {}
    for found in chosen:
        first.setdefault(found.key, found)
    return list(first.values())


def _is_doubtful(found: Event, main: set[str]) -> bool:
    return found.kind == "nonfinite" and found.confidence <= _DOUBTFUL and found.key not in main


def _last_good(run: RunView, bad: Sequence[Event], main: Mapping[str, Curve]) -> int | None:
    """The last row before the first damage; if a main metric was not finite then, the last before that."""
    limit = float(bad[0].step) if bad else np.inf
    before = None
    while limit != before:
        before = limit
        for curve in main.values():
            count = int(np.searchsorted(curve.steps, limit))
            fine = np.flatnonzero(np.isfinite(curve.values[:count]))
            at = int(fine[-1]) + 1 if len(fine) else 0
            if at < count:
                limit = min(limit, float(curve.steps[at]))
    table = run.history
    stop = table.row_count if limit == np.inf else table.position(int(limit))
    return int(table.steps(stop - 1, stop)[0]) if stop else None
