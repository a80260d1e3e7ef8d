"""Looks at a curve that grows through lenses: its points, then means of 16 of them, of 256 and so on.

A lens keeps at most `SEGMENT` points. When more come, what it holds is looked at for the last time: the events that
begin in its middle are told, the middle goes on to the next coarser lens as cells of `WIDTH` points, and all but the
end is let go. Where that happens depends on the number of points alone, never on how many came at a time. So a curve
folded in any pieces says the same, a new point costs the same however many were before, and a curve that fits into one
segment is looked at whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from runwised.analysis.curve import LARGEST, Curve, Event, Flags, Floats

SEGMENT = 8192
MARGIN = 1024
"""Points on either side of a segment's middle: what its events are measured by."""
WIDTH = 16
"""Points that make a cell of the next lens."""
_MOST_SPIKES = 50
_MOST_OTHERS = 100

Look: TypeAlias = Callable[[Curve], Sequence[Event]]
"""The events on one view of a curve; see `Lens.view`."""
Usable: TypeAlias = Callable[[Curve], Flags]
"""Which points of a view say something of the run."""


class Sighting(NamedTuple):
    """An event as one lens saw it."""

    event: Event
    is_over: bool
    """False: it lasted to the end of the segment, which was not the end of the curve."""


class Lens(NamedTuple):
    """What is kept of a curve at one resolution."""

    start: int = 0
    """Index of the first point kept, among all of this lens."""
    steps: Floats = np.empty(0)
    """Of a cell: the step of its first usable point."""
    values: Floats = np.empty(0)
    """Of a cell: the mean of the middle half of its usable points; NaN when there is none."""
    told: tuple[Sighting, ...] = ()
    """Of what it let go."""

    @property
    def view(self) -> Curve:
        """What it holds."""
        return Curve(self.steps, self.values)

    @property
    def is_whole(self) -> bool:
        """Whether it still holds all the curve."""
        return self.start == 0

    @property
    def fresh(self) -> int:
        """Index in the view from which on nothing is told yet."""
        return 0 if self.is_whole else MARGIN


def grown(lenses: Sequence[Lens], points: Curve, look: Look, usable: Usable | None = None) -> tuple[Lens, ...]:
    """The lenses, finest first, after more points. `look` is called on each segment that is let go; `usable`, on the
    finest lens alone: what becomes part of its cells.
    """
    lens, upper = (lenses[0], lenses[1:]) if lenses else (Lens(), ())
    at, count = 0, len(points.steps)
    while at < count:
        if len(lens.steps) == SEGMENT:
            upper = grown(upper, _cells(lens, SEGMENT - MARGIN, usable), look)
            lens = _moved(lens, look)
        stop = min(count, at + SEGMENT - len(lens.steps))
        steps = np.concatenate((lens.steps, points.steps[at:stop]))
        lens = lens._replace(steps=steps, values=np.concatenate((lens.values, points.values[at:stop])))
        at = stop
    return (lens, *upper)


def room(lenses: Sequence[Lens]) -> int:
    """How many points the finest lens takes until it is full, those let go that it is full of now."""
    held = len(lenses[0].steps) if lenses else 0
    return SEGMENT - held if held < SEGMENT else SEGMENT - 2 * MARGIN


def completed(lenses: Sequence[Lens], look: Look, usable: Usable | None = None) -> list[Lens]:
    """The lenses, finest first, once every point has gone through all of them, so that the last one holds the whole
    curve.
    """
    done: list[Lens] = []
    rest = tuple(lenses)
    while rest:
        lens, rest = rest[0], rest[1:]
        done.append(lens)
        if not lens.is_whole:
            rest = grown(rest, _cells(lens, len(lens.steps), usable if len(done) == 1 else None), look)
    return done


def sightings(lens: Lens, look: Look) -> list[Sighting]:
    """All that a lens ever saw."""
    view = lens.view
    first = view.steps[lens.fresh] if lens.fresh < len(view.steps) else np.inf
    fresh = [Sighting(event, is_over=True) for event in look(view) if event.step >= first]
    return [*lens.told, *fresh]


def _moved(lens: Lens, look: Look) -> Lens:
    first, stop = lens.steps[lens.fresh], lens.steps[SEGMENT - MARGIN]
    told = [Sighting(event, event.end_step is not None) for event in look(lens.view) if first <= event.step < stop]
    kept = SEGMENT - 2 * MARGIN
    return Lens(lens.start + kept, lens.steps[kept:], lens.values[kept:], _bounded((*lens.told, *told)))


def _bounded(told: tuple[Sighting, ...]) -> tuple[Sighting, ...]:
    """Of many sightings the spikes that are surest, and the first of all others."""
    spikes = [seen for seen in told if seen.event.kind == "spike"]
    others = [seen for seen in told if seen.event.kind != "spike"]
    kept = sorted(spikes, key=lambda seen: -seen.event.confidence)[:_MOST_SPIKES] + others[:_MOST_OTHERS]
    return tuple(sorted(kept, key=lambda seen: seen.event.step))


def _cells(lens: Lens, stop: int, usable: Usable | None) -> Curve:
    """The points of the view from `fresh` to `stop` as cells; a last one with less than half of its points is left
    out.
    """
    view = lens.view
    fine = np.isfinite(view.values)
    if usable is not None:
        fine &= usable(view)
    first = lens.fresh
    missing = -(stop - first) % WIDTH
    values = np.where(fine, np.clip(view.values, -LARGEST, LARGEST), np.nan)[first:stop]
    values = np.pad(values, (0, missing), constant_values=np.nan)
    steps = np.pad(view.steps[first:stop], (0, missing), mode="edge") if stop > first else view.steps[:0]
    values, steps = values.reshape(-1, WIDTH), steps.reshape(-1, WIDTH)
    if 0 < WIDTH - missing < WIDTH / 2:
        values, steps = values[:-1], steps[:-1]
    ahead = np.argmax(~np.isnan(values), axis=1)
    return Curve(steps[np.arange(len(steps)), ahead], _midmeans(values))


def _midmeans(rows: Floats) -> Floats:
    """Of each row the mean of the middle half of what is not NaN."""
    ordered = np.sort(rows, axis=1)
    counts = np.sum(~np.isnan(rows), axis=1)
    out = np.where(counts > 3, counts // 4, np.maximum(counts - 1, 0) // 2)
    at = np.arange(rows.shape[1])
    inside = (at >= out[:, None]) & (at < (counts - out)[:, None])
    with np.errstate(invalid="ignore"):
        middle: Floats = np.where(inside, ordered, 0.0).sum(axis=1) / np.where(counts, counts - 2 * out, np.nan)
    return middle
