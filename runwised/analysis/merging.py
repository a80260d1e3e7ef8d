"""Makes one list of what several lenses saw of a curve: a long event shows in more than one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runwised.analysis.curve import Event
from runwised.analysis.lens import Sighting

_MOST_SPIKES = 50
_LIKE = 0.5
"""Share of an event's length from which on what a finer lens saw within it is the event itself."""


def merged(lenses: Iterable[Sequence[Sighting]], last: float) -> list[Event]:
    """The events seen through the lenses, finest first, of a curve that ends at the step `last`; by onset.

    What lasts beyond the segment of one lens is told by a coarser one, which sees more of it, with the onset that the
    finer one saw. Where no coarser one does, it is over by the end of its segment.
    """
    kept: list[Sighting] = []
    for seen in lenses:
        for sighting in seen:
            kept = _joined(kept, sighting, last)
    events = [sighting.event for sighting in kept]
    spikes = sorted((event for event in events if event.kind == "spike"), key=lambda event: -event.confidence)
    others = [event for event in events if event.kind != "spike"]
    return sorted([*spikes[:_MOST_SPIKES], *others], key=lambda event: event.step)


def _joined(kept: list[Sighting], sighting: Sighting, last: float) -> list[Sighting]:
    event = sighting.event
    same = [other for other in kept if other.event.kind == event.kind and _meet(other.event, event)]
    known = (other for other in same if other.is_over)
    if same and event.kind == "spike":
        return kept
    if any(_length(other.event, last) >= _LIKE * _length(event, last) for other in known):
        return kept
    begun = [
        other.event for other in same if not other.is_over and other.event.step >= event.step - _length(event, last)
    ]
    if begun:
        first = min(begun, key=lambda other: other.step)
        event = event._replace(step=first.step, normal=first.normal)
    return [*(other for other in kept if other not in same), sighting._replace(event=event)]


def _length(event: Event, last: float) -> float:
    return (last if event.end_step is None else event.end_step) - event.step


def _meet(one: Event, other: Event) -> bool:
    begins_in_time = other.end_step is None or one.step < other.end_step
    return begins_in_time and (one.end_step is None or other.step < one.end_step)
