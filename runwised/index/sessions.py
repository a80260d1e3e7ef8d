"""Which sources of a run were written by the same start of its program, and which by a later one.

A program that starts again opens a new file and takes back what it logs anew; several that write at the same time take
nothing back of each other. No file says which it is: sources whose rows overlap in time were written together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runwised.formats.record import Rows
from runwised.index.growing_table import Origin
from runwised.index.metadata import SourceState


class SourcesOverlap(Exception):  # noqa: N818 - a finding, worded as one
    """A source goes on although a later one was taken for the restart that ended it: fold all of them anew."""


def origin_of(sources: Sequence[SourceState], number: int, batch: Rows) -> Origin:
    """What a table must know of the source of a batch. Sources are compared with those of their own rank.

    Raises SourcesOverlap; nothing is to be folded then.
    """
    source = sources[number]
    _widen(source, batch)
    others = [each for each in sources if each is not source and each.rank == source.rank and each.session >= 0]
    if source.session < 0:
        latest = max((each.session for each in others), default=-1)
        together = any(each.session == latest and _reaches(each, source.first_time) for each in others)
        source.session = latest if together else latest + 1
    elif any(each.session > source.session and _reaches(source, each.first_time) for each in others):
        raise SourcesOverlap(source.key)
    return origin_beside(sources, number)


def origin_beside(sources: Sequence[SourceState], number: int) -> Origin:
    """The same for a source whose session is known."""
    source = sources[number]
    others = (each for each in sources if each is not source and each.rank == source.rank)
    return Origin(number, source.rank, source.session, any(each.session == source.session for each in others))


def last_step(sources: Sequence[SourceState]) -> int | None:
    """The step the newest start of the program has reached; None when no source has rows by key."""
    known = [source for source in sources if source.last_step is not None]
    newest = max((source.session for source in known), default=0)
    return max((source.last_step or 0 for source in known if source.session == newest), default=None)


def _widen(source: SourceState, batch: Rows) -> None:
    times = batch.times[np.isfinite(batch.times)]
    if len(times):
        first, last = float(times.min()), float(times.max())
        source.first_time = first if source.first_time is None else min(source.first_time, first)
        source.last_time = last if source.last_time is None else max(source.last_time, last)


def _reaches(source: SourceState, time: float | None) -> bool:
    """Whether a source has rows as late as that."""
    return time is not None and source.last_time is not None and source.last_time >= time
