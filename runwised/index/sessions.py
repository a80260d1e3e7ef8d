"""Which sources of a run were written by the same start of its program, and which by a later one.

A program that starts again opens a new file and takes back what it logs anew; several that write at the same time take
nothing back of each other. No file says which it is: sources whose rows overlap in time were written together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from runwised.formats.record import Rows
from runwised.index.growing_table import Origin, SourcesOverlap
from runwised.index.metadata import SourceState


def origin_of(sources: Sequence[SourceState], number: int, batch: Rows) -> Origin:
    """What a table must know of the source of a batch. Sources are compared with those of their own rank.

    Which start of the program a source is of is decided when it begins, by all that was said before: raises
    SourcesOverlap where there is more of that by now; nothing is to be folded then.
    """
    source = sources[number]
    begun = [(at, each) for at, each in enumerate(sources) if each.rank == source.rank and each.session >= 0]
    if source.session < 0:
        if any(at > number for at, _ in begun):
            raise SourcesOverlap(source.key)
        time = float(batch.times[0])
        source.first_time = time if math.isfinite(time) else None
        latest = max((each.session for _, each in begun), default=-1)
        together = any(each.session == latest and _reaches(each, source.first_time) for _, each in begun)
        source.session = latest if together else latest + 1
    elif any(each.session > source.session for _, each in begun):
        raise SourcesOverlap(source.key)
    _widen(source, batch)
    return origin_beside(sources, number)


def origin_beside(sources: Sequence[SourceState], number: int) -> Origin:
    """The same for a source whose session is known."""
    source = sources[number]
    alike = (at for at, each in enumerate(sources) if (each.rank, each.session) == (source.rank, source.session))
    return Origin(number, source.rank, tuple(at for at in alike if at != number))


def last_step(sources: Sequence[SourceState]) -> int | None:
    """The step the newest start of the program has reached; None when no source has rows by key."""
    known = [source for source in sources if source.last_step is not None]
    newest = max((source.session for source in known), default=0)
    return max((source.last_step or 0 for source in known if source.session == newest), default=None)


def _widen(source: SourceState, batch: Rows) -> None:
    times = batch.times[np.isfinite(batch.times)]
    if len(times):
        last = float(times.max())
        source.last_time = last if source.last_time is None else max(source.last_time, last)


def _reaches(source: SourceState, time: float | None) -> bool:
    """Whether a source has rows as late as that."""
    return time is not None and source.last_time is not None and source.last_time >= time
