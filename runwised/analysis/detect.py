"""Asks every detector about the curves it is made for; gives one run's events in the order of their onset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from runwised.analysis.curve import Curve, Event
from runwised.analysis.divergence import divergence
from runwised.analysis.finiteness import frozen, nonfinite
from runwised.analysis.gradients import explosion, vanishing
from runwised.analysis.learning_rate import jumps
from runwised.analysis.overfitting import overfitting
from runwised.analysis.plateau import plateau
from runwised.analysis.roles import Roles
from runwised.analysis.spikes import spikes
from runwised.analysis.throughput import drops, slowdowns
from runwised.settings import AnomalyDetection


def detect(curves: Mapping[str, Curve], roles: Roles, config: AnomalyDetection) -> list[Event]:
    """All events on these curves, by step; at the same step in the order of the curves. Linear in the points.

    `curves` are whole, not sampled. A role whose curve is not given is passed over.
    """
    events = [found for key, curve in curves.items() for found in nonfinite(key, curve)]
    fine = {key: curve.finite() for key, curve in curves.items()}
    for key in roles.losses:
        if key in curves:
            events += _of_loss(key, curves[key], fine[key], config)
    gone = [found for found in events if found.kind == "divergence"]
    diverged = {found.key for found in gone}
    for key, partner in roles.validation.items():
        if key in curves:
            training = fine.get(partner) if partner is not None and partner not in diverged else None
            found = _of_validation(key, curves[key], fine[key], training, config)
            events += _outside(found, gone)
    for key in roles.gradients:
        if key in curves:
            events += _outside(_of_gradient(key, fine[key], config), gone)
    events += _of_pace(fine, roles, config)
    order = {key: at for at, key in enumerate(curves)}
    return sorted(events, key=lambda found: (found.step, order[found.key]))


def _of_loss(key: str, curve: Curve, fine: Curve, config: AnomalyDetection) -> Iterator[Event]:
    still = frozen(key, curve)
    for stretch in still:
        fine = _without(fine, stretch)
    gone = divergence(key, fine)
    yield from still
    yield from gone
    yield from _outside(spikes(key, fine, config), gone)
    if not still and not gone:
        yield from plateau(key, fine, config)


def _of_validation(
    key: str, curve: Curve, fine: Curve, training: Curve | None, config: AnomalyDetection
) -> Iterator[Event]:
    turned = overfitting(key, fine, training, config) if training is not None else []
    gone = [] if turned else divergence(key, fine)
    yield from frozen(key, curve, validation=True)
    yield from turned
    yield from gone
    yield from _outside(spikes(key, fine, config), [*turned, *gone])


def _of_gradient(key: str, fine: Curve, config: AnomalyDetection) -> Iterator[Event]:
    small = vanishing(key, fine, config)
    # That they are back is no explosion.
    for stretch in small:
        fine = _without(fine, stretch)
    large = explosion(key, fine, config)
    yield from small
    yield from large
    yield from _outside(spikes(key, fine, config), large)


def _of_pace(fine: Mapping[str, Curve], roles: Roles, config: AnomalyDetection) -> Iterator[Event]:
    for key in roles.throughputs:
        if key in fine:
            yield from drops(key, fine[key], config)
    for key in roles.durations:
        if key in fine:
            yield from slowdowns(key, fine[key], config)
    for key in roles.learning_rates:
        if key in fine:
            yield from jumps(key, fine[key])


def _without(curve: Curve, stretch: Event) -> Curve:
    """The curve without the points of a stretch, which say nothing of the run."""
    kept = curve.steps < stretch.step
    if stretch.end_step is not None:
        kept |= curve.steps >= stretch.end_step
    return Curve(curve.steps[kept], curve.values[kept])


def _outside(found: Iterable[Event], larger: list[Event]) -> list[Event]:
    """The events, without spikes that are part of what a larger one tells already."""
    return [event for event in found if event.kind != "spike" or not any(_within(event, other) for other in larger)]


def _within(spike: Event, event: Event) -> bool:
    ends = spike.step if spike.end_step is None else spike.end_step
    return ends >= event.step and (event.end_step is None or spike.step < event.end_step)
