"""Findings on a run's curves that nobody could have made at an earlier moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runwise_protocol.queries.diagnose import CurveEvent

from runwised.analysis.curve import Event
from runwised.index.kept import Mark
from runwised.index.view import RunView
from runwised.queries.as_it_was import AsItWas
from runwised.queries.checkup import checkup
from runwised.queries.moments import comparable
from runwised.settings import RunwiseConfig

_MOST_MOMENTS = 8

_KEY = "lately"


class _Found(NamedTuple):
    """What was found, by the number of records there were: whoever asks again asks from there. Newest asked last."""

    config: RunwiseConfig
    moments: dict[int, list[Event]]


def new_events(run: RunView, config: RunwiseConfig, mark: Mark) -> list[Event]:
    """The events there are now, by onset, without those that were there at the moment (even if they are not over)."""
    total, mark = run.history.total_rows, comparable(run, mark)
    if total == mark.records or not run.indexed:
        return []
    known = _moments(run, config)
    now, before = checkup(run, config).events, known.get(mark.records)
    if before is None:
        before = checkup(AsItWas(run, mark), config).events if 0 < mark.records < total else []
    for records, events in ((mark.records, before), (total, now)):
        known.pop(records, None)
        known[records] = events
    for old in list(known)[:-_MOST_MOMENTS]:
        del known[old]
    return [event for event in now if not _is_among(event, before, mark.step)]


def curve_event(event: Event) -> CurveEvent:
    """The same as part of an answer."""
    return CurveEvent(**event._asdict())


def _moments(run: RunView, config: RunwiseConfig) -> dict[int, list[Event]]:
    kept = run.memory.folds.get(_KEY)
    if kept is None or kept.config != config:
        kept = run.memory.folds[_KEY] = _Found(config, {})
    moments: dict[int, list[Event]] = kept.moments
    return moments


def _is_among(event: Event, others: Sequence[Event], then: int | None) -> bool:
    """Whether one of the others, found when the run was at the step `then`, is the same event.

    It is of its kind and metric, not over before this one began, and not over then where this one is not.
    """
    return any(
        (other.kind, other.key) == (event.kind, event.key)
        and (other.end_step is None or (other.end_step >= event.step and not _lasts_beyond(event, then)))
        and (event.end_step is None or other.step <= event.end_step)
        for other in others
    )


def _lasts_beyond(event: Event, step: int | None) -> bool:
    return event.end_step is None or (step is not None and event.end_step > step)
