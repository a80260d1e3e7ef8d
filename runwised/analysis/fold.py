"""Owns what is kept of one metric as its points arrive, so that its events are known without looking back at them.

Folding the points in any pieces gives the same state, and so the same events, as folding them in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event, Flags
from runwised.analysis.finiteness import Nonfinite
from runwised.analysis.gradients import explosion, vanishing
from runwised.analysis.learning_rate import Rates
from runwised.analysis.lens import Lens, Look, Usable, completed, grown, room, sightings
from runwised.analysis.merging import merged
from runwised.analysis.repeats import Repeats
from runwised.analysis.roles import Role
from runwised.analysis.spikes import spikes
from runwised.analysis.throughput import drops, slowdowns
from runwised.settings import AnomalyDetection

_LEAST_REPEATS = {"loss": 10, "validation": 5}
_POINTWISE = (None, "learning_rate")
"""Roles whose curves are not looked at through lenses."""


class Fold(NamedTuple):
    """What is kept of one metric."""

    role: Role | None
    """What its name says it is; None: it is only looked at for what is not finite."""
    nonfinite: Nonfinite = Nonfinite()
    last_step: float = -np.inf
    lowest: float = np.inf
    highest: float = -np.inf
    """Of the finite values."""
    repeats: Repeats | None = None
    rates: Rates | None = None
    lenses: tuple[Lens, ...] = ()

    @classmethod
    def of(cls, role: Role | None) -> Fold:
        """Of no points yet."""
        least = _LEAST_REPEATS.get(role or "")
        return cls(
            role,
            repeats=None if least is None else Repeats(least),
            rates=Rates() if role == "learning_rate" else None,
        )

    @property
    def total(self) -> int:
        """Points folded."""
        return self.nonfinite.total

    @property
    def end(self) -> Curve:
        """Its last finite points; all of a curve that fits into a segment."""
        return self.lenses[0].view.finite() if self.lenses else Curve(np.empty(0), np.empty(0))

    def fed(self, points: Curve, config: AnomalyDetection) -> Fold:
        """The same after more points, which come after those it knows."""
        if not len(points.steps):
            return self
        fine = points.finite()
        low, high = (float(fine.values.min()), float(fine.values.max())) if len(fine.steps) else (np.inf, -np.inf)
        known = self._replace(
            nonfinite=self.nonfinite.fed(points),
            last_step=float(points.steps[-1]),
            lowest=min(self.lowest, low),
            highest=max(self.highest, high),
            rates=None if self.rates is None else self.rates.fed(fine),
        )
        return known if self.role in _POINTWISE else known._seen(points, self.total, config)

    def _seen(self, points: Curve, before: int, config: AnomalyDetection) -> Fold:
        """A segment is let go where it is full, whatever comes with the points that fill it; `before`: points that
        were folded before these.
        """
        lenses, repeats, at = self.lenses, self.repeats, 0
        while at < len(points.steps):
            piece = points.part(at, at + room(lenses))
            lenses = grown(lenses, piece, *_sight(self.role, repeats, before + at, config))
            repeats = repeats.fed(piece) if repeats is not None else None
            at += len(piece.steps)
        return self._replace(lenses=lenses, repeats=repeats)


class Seen(NamedTuple):
    """What a fold tells at some moment."""

    still: Sequence[Event]
    """Stretches of one value, which say nothing of the run."""
    local: Sequence[Event]
    """Events that a part of the curve shows, by onset: spikes, changes of gradients and of pace."""
    views: Sequence[Curve]
    """Finite points: of the whole curve, then ever finer of its end. A curve that fits into a segment has one."""

    @property
    def whole(self) -> Curve:
        """The whole curve, its points or means of them."""
        return self.views[0]


def seen(key: str, fold: Fold, config: AnomalyDetection) -> Seen:
    """What the points folded so far say; of one metric, by its parts."""
    still = fold.repeats.events(key) if fold.repeats is not None else []
    look, usable = _sight(fold.role, fold.repeats, fold.total, config)
    lenses = completed(fold.lenses, look, usable)
    events = merged([sightings(lens, look) for lens in lenses], fold.last_step)
    views = [_without(lens.view.finite(), still) for lens in reversed(lenses)]
    empty = Curve(np.empty(0), np.empty(0))
    return Seen(still, [found._replace(key=key) for found in events], views or [empty])


def _sight(role: Role | None, repeats: Repeats | None, count: int, config: AnomalyDetection) -> tuple[Look, Usable]:
    """What a view of a curve of so many points shows by itself, and which of its points say something."""

    def still() -> list[Event]:
        return repeats.events("") if repeats is not None else []

    def look(view: Curve) -> list[Event]:
        fine = view.finite()
        if role in ("loss", "validation"):
            return spikes("", _without(fine, still()), config, count)
        if role == "gradient":
            return _of_gradient(fine, config, count)
        if role == "throughput":
            return drops("", fine, config)
        return slowdowns("", fine, config) if role == "duration" else []

    return look, lambda view: ~_within(view, still())


def _of_gradient(fine: Curve, config: AnomalyDetection, among: int) -> list[Event]:
    small = vanishing("", fine, config)
    # That they are back is no explosion.
    fine = _without(fine, small)
    large = explosion("", fine, config)
    return [*small, *large, *outside(spikes("", fine, config, among), large)]


def outside(found: Sequence[Event], larger: Sequence[Event]) -> list[Event]:
    """The events, without spikes that are part of what a larger one tells already."""
    return [event for event in found if event.kind != "spike" or not any(_is_part(event, other) for other in larger)]


def _is_part(spike: Event, event: Event) -> bool:
    ends = spike.step if spike.end_step is None else spike.end_step
    return ends >= event.step and (event.end_step is None or spike.step < event.end_step)


def _within(curve: Curve, events: Sequence[Event]) -> Flags:
    """Which points lie within an event."""
    inside = np.zeros(len(curve.steps), np.bool_)
    for found in events:
        stop = np.inf if found.end_step is None else found.end_step
        inside[np.searchsorted(curve.steps, found.step) : np.searchsorted(curve.steps, stop)] = True
    return inside


def _without(curve: Curve, events: Sequence[Event]) -> Curve:
    """The curve without the points of these events, which say nothing of the run."""
    if not events:
        return curve
    kept = ~_within(curve, events)
    return Curve(curve.steps[kept], curve.values[kept])
