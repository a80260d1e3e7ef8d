"""Which segments are one run: those that say the same run id, one after the other by their starts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from runwised.catalog.run import Run
from runwised.catalog.segment import Segment
from runwised.formats import all_formats


def group(segments: Iterable[Segment]) -> list[list[Segment]]:
    """Segments by run, each run's in the order they are to be read: of W&B's by their starts, of others by format.

    Runs of different W&B folders are different runs. So is a copy: a second log with the run id and the very start
    time of the first is no resumed run. Logs outside W&B's folders were joined when they were found.
    """
    by_id: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        by_id.setdefault((_home(segment), segment.said_id), []).append(segment)
    return [run for found in by_id.values() for run in _runs(found)]


def part_linked(
    segments: Iterable[Segment], linked: Mapping[str, Segment]
) -> tuple[list[Segment], dict[Segment, list[Segment]]]:
    """Segments that stand for themselves, and those of folders that another run's log names, by that run's first."""
    own: list[Segment] = []
    others: dict[Segment, list[Segment]] = {}
    for segment in segments:
        owner = linked.get(os.path.realpath(segment.found.folder)) if linked and segment.found.format else None
        if owner is None:
            own.append(segment)
        else:
            others.setdefault(owner, []).append(segment)
    return own, others


def may_be_several(segments: Iterable[Segment]) -> list[Segment]:
    """Those that share their run id, as far as names tell, with others: to be told apart their logs must be read."""
    known = [segment for segment in segments if not segment.found.format]
    names = [(_home(segment), segment.found.run_id) for segment in known]
    counts = Counter(names)
    return [segment for segment, name in zip(known, names, strict=True) if counts[name] > 1]


def newest_first(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Runs by when they were started last."""
    return tuple(sorted(runs, key=lambda run: -run.newest.started))


def order_of(run: Run) -> list[object]:
    """What decides which segments are one run, and in what order; of a single one only its id and links do."""
    several = len(run.parts) > 1
    return [*run.links, *((part.said_id, part.started if several else 0.0) for part in run.parts)]


def _home(segment: Segment) -> str:
    return segment.found.folder.rpartition(os.sep)[0]


def _runs(segments: list[Segment]) -> list[list[Segment]]:
    """The segments of one id."""
    if len(segments) == 1:
        return [segments]
    if not segments[0].found.format:
        return _without_copies(segments)
    kinds = {form.name: place for place, form in enumerate(all_formats())}
    return [sorted(segments, key=lambda segment: (kinds.get(segment.found.format, -1), segment.path))]


def _without_copies(segments: list[Segment]) -> list[list[Segment]]:
    """The first log of each start makes one run; the second of any start is a copy's, and so on."""
    segments.sort(key=lambda segment: (segment.started, segment.path))
    runs: list[list[Segment]] = []
    met: Counter[float] = Counter()
    for segment in segments:
        number = met[segment.said_start] if segment.said_start is not None else 0
        if number >= len(runs):
            runs.append([])
        runs[number].append(segment)
        met[segment.said_start or 0.0] += 1
    return runs


def label(runs: Sequence[Run]) -> None:
    """Give runs whose id is not unique in the project one that is: the id, and where the run lies.

    A copy under another file name goes by that name.
    """
    ids = [run.own_id for run in runs]
    counts = Counter(ids)
    for run, own in zip(runs, ids, strict=True):
        if counts[own] < 2:
            run.label = ""
            continue
        named = run.parts[0].found.run_id
        run.label = named if named != own and named not in counts else f"{own}@{_where(run)}"
    again = Counter(run.label for run in runs if run.label)
    for run in runs:
        if again[run.label] > 1:
            run.label = f"{run.own_id}@{os.path.relpath(run.parts[0].found.folder, run.root)}"


def _where(run: Run) -> str:
    """The project folder the run's W&B folder is in, or the run's own name there."""
    home = os.path.relpath(os.path.dirname(os.path.dirname(run.parts[0].found.folder)), run.root)
    return home if home != "." else os.path.basename(run.parts[0].found.folder)
