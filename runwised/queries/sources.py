"""`sources`: which files the answers stand on, and why others were not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runwise_protocol.queries.sources import (
    FoundLog,
    ListSources,
    PassedFiles,
    PassedReason,
    Sources,
    WatchedPlace,
)

from runwised.queries.freshness import unfinished
from runwised.queries.project import PassedView, PlaceView, ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.render.layout import short
from runwised.render.numbers import plural
from runwised.render.page import Page


def answer(query: ListSources, view: ProjectView) -> Sources:
    """The places watched with all their logs, or one run's logs; passed files where all are asked for.

    Raises RunwiseError.
    """
    if query.run is not None:
        run = resolve(query.run, view)
        own = [
            FoundLog(path=part.path, format=part.format, run=run.id, incomplete_bytes=part.incomplete_bytes)
            for part in run.sources
        ]
        folders = {_folder(part.path) for part in run.sources}
        passed = [found for found in _passed(view.places, view.root) if _folder(found.path) in folders]
        return Sources(places=[], sources=own, passed=passed if query.all else [])
    return Sources(
        places=[_watched(place, view.root) for place in view.places],
        sources=_logs(view),
        passed=_passed(view.places, view.root) if query.all else [],
    )


def _logs(view: ProjectView) -> list[FoundLog]:
    """Every log once, with the run it was read into; one that is in none yet goes by its name."""
    runs: dict[str, set[str]] = {}
    for run in view.runs:
        for part in run.sources:
            runs.setdefault(part.path, set()).add(run.id)
    found = []
    for place in view.places:
        for source in place.sources:
            path = _relative(source.path, view.root)
            known = runs.get(path, set())
            # A store's path is that of all its runs.
            run_id = next(iter(known)) if len(known) == 1 else source.run_id
            found.append(FoundLog(path=path, format=source.format, run=run_id))
    return found


def _watched(place: PlaceView, root: str) -> WatchedPlace:
    return WatchedPlace(
        path=_relative(place.path, root),
        exists=place.exists,
        formats=dict(Counter(source.format for source in place.sources)),
        passed=_by_reason(place.passed, root),
    )


def _by_reason(passed: Sequence[PassedView], root: str) -> list[PassedReason]:
    """What was passed over by its reason, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for found in passed:
        counts[found.reason] += found.files
        examples.setdefault(found.reason, _relative(found.path, root))
    return [PassedReason(reason=why, files=n, example=examples[why]) for why, n in counts.most_common()]


def _passed(places: Sequence[PlaceView], root: str) -> list[PassedFiles]:
    return [
        PassedFiles(path=_relative(found.path, root), reason=found.reason, files=found.files)
        for place in places
        for found in place.passed
    ]


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root.rstrip("/") + "/")


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def render(reply: Sources, page: Page, query: ListSources, view: ProjectView) -> None:
    """One line a place; with all of it, one line a log and one line for what was passed over."""
    if query.run is not None:
        _one_run(reply, page, query, view)
    else:
        _places(reply, page, is_all=query.all)
    if query.all:
        if query.run is None:
            page.table(
                ["log", "format", "run"], [[log.path, log.format, log.run] for log in reply.sources], priority=60
            )
        rows = [[_counted(found.files, found.path), found.reason] for found in reply.passed]
        page.table(["not_read", "why"], rows, priority=50)


def _one_run(reply: Sources, page: Page, query: ListSources, view: ProjectView) -> None:
    name = handle(resolve(query.run, view), view)
    page.line(f"{name} is read from {plural(len(reply.sources), 'log')}", priority=100)
    page.table(["log", "format"], [[log.path, log.format] for log in reply.sources], priority=80)
    for log in reply.sources:
        if log.incomplete_bytes:
            page.line(f"{short(log.path)}: {unfinished(log.format, log.incomplete_bytes)}", priority=75)


def _places(reply: Sources, page: Page, *, is_all: bool) -> None:
    there = [place for place in reply.places if place.exists]
    runs = len({log.run for log in reply.sources})
    said = f"{plural(len(reply.sources), 'log')} of {plural(runs, 'run')} in {plural(len(there), 'place')}"
    page.line(said if reply.sources else f"no logs in {plural(len(there), 'place')}", priority=100)
    for place in there:
        read = ", ".join(f"{count} {kind}" for kind, count in place.formats.items()) or "no logs"
        page.line(f"{short(place.path)}: {read}", priority=90)
        if place.passed:
            page.line(f"{short(place.path)} not read: {_reasons(place.passed)}", priority=70)
    missing = [place.path for place in reply.places if not place.exists]
    if missing:
        page.line(f"looked for, not there: {', '.join(short(path) for path in missing)}", priority=40)
    if not is_all and any(place.passed for place in there):
        page.next("sources --all")


def _reasons(passed: Sequence[PassedReason]) -> str:
    return "; ".join(f"{found.files} {found.reason} ({short(found.example)})" for found in passed)


def _counted(files: int, path: str) -> str:
    return path if files == 1 else f"{files:,} × {path}"
