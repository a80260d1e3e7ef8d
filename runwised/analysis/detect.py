"""Puts together what the metrics of one run tell: its events, in the order of their onset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from runwised.analysis.curve import Curve, Event
from runwised.analysis.divergence import divergence
from runwised.analysis.ending import ends_high
from runwised.analysis.fold import Fold, Seen, outside, seen
from runwised.analysis.overfitting import overfitting
from runwised.analysis.plateau import plateau
from runwised.analysis.roles import Roles
from runwised.analysis.scores import as_errors, as_scores, is_solved
from runwised.settings import AnomalyDetection


def detect(curves: Mapping[str, Curve], roles: Roles, config: AnomalyDetection) -> list[Event]:
    """All events on these curves, by step; at the same step in the order of the curves.

    `curves` are whole, not sampled. A role whose curve is not given is passed over.
    """
    parts = roles.parts
    return findings({key: Fold.of(parts.get(key)).fed(curve, config) for key, curve in curves.items()}, roles, config)


def findings(folds: Mapping[str, Fold], roles: Roles, config: AnomalyDetection) -> list[Event]:
    """The same of what is kept of the curves; the cost does not depend on how long they are."""
    events = [found for key, fold in folds.items() for found in fold.nonfinite.events(key)]
    told = {key: seen(key, fold, config) for key, fold in folds.items()}
    gone: list[Event] = []
    for losses, validation in ((roles.losses, roles.validation), (roles.scores, roles.validation_scores)):
        judged = {key: as_errors(told[key], folds[key]) for key in (*losses, *validation) if key in folds}
        found = [
            each for each in _of_losses(losses, validation, judged, config) if not is_solved(each, folds[each.key])
        ]
        gone += [each for each in found if each.kind == "divergence" and each.key in losses]
        events += as_scores(found, folds)
    events = outside(events, gone)
    for key in (*roles.gradients, *roles.throughputs, *roles.durations):
        if key in told:
            events += outside(told[key].local, [*gone, *(each for each in told[key].local if each.kind != "spike")])
    for key in roles.learning_rates:
        if key in folds and (rates := folds[key].rates) is not None:
            events += rates.events(key)
    return ordered(events, folds)


def ordered(events: Iterable[Event], keys: Iterable[str]) -> list[Event]:
    """By onset; at the same step in the order of the keys."""
    order = {key: at for at, key in enumerate(keys)}
    return sorted(events, key=lambda found: (found.step, order[found.key]))


def late(folds: Mapping[str, Fold], roles: Roles, events: Sequence[Event]) -> list[Event]:
    """Losses that end far off, where none of the events says that something lasts to their end."""
    lasting = {found.key for found in events if found.end_step is None and found.kind != "spike"}
    keys = [key for key in (*roles.losses, *roles.validation) if key in folds and key not in lasting]
    return [found for key in keys for found in ends_high(key, folds[key].end)]


def _of_losses(
    losses: Sequence[str], validation: Mapping[str, str | None], told: Mapping[str, Seen], config: AnomalyDetection
) -> Iterator[Event]:
    diverged = set()
    for key in losses:
        if key in told:
            found = list(_of_loss(key, told[key], config))
            diverged |= {event.key for event in found if event.kind == "divergence"}
            yield from found
    for key, partner in validation.items():
        if key in told:
            training = told.get(partner) if partner is not None and partner not in diverged else None
            yield from _of_validation(key, told[key], training, config)


def _of_loss(key: str, told: Seen, config: AnomalyDetection) -> Iterator[Event]:
    gone = divergence(key, told.views)
    yield from told.still
    yield from gone
    yield from outside(told.local, gone)
    if not told.still and not gone:
        yield from plateau(key, told.whole, config)


def _of_validation(key: str, told: Seen, training: Seen | None, config: AnomalyDetection) -> Iterator[Event]:
    turned = overfitting(key, told.whole, training.whole, config) if training is not None else []
    gone = [] if turned else divergence(key, told.views)
    yield from told.still
    yield from turned
    yield from gone
    yield from outside(told.local, [*turned, *gone])
