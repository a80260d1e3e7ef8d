"""Detectors on runs whose troubles are known: recall, precision and onset error by kind; what a long curve costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from runwised.analysis.curve import Curve, Event
from runwised.analysis.detect import detect
from runwised.analysis.roles import recognise, system_roles
from runwised.analysis.stalls import Stalls
from runwised.analysis.usage import machine
from runwised.settings import AnomalyDetection
from tests.bench import ancestor, planted_curves, planted_machines
from tests.bench.harness import Report, calls
from tests.bench.planted_curves import Planted, Training, made

CLEAN = (*planted_curves.CLEAN, *planted_machines.CLEAN)
TROUBLED = (*planted_curves.TROUBLED, *planted_machines.TROUBLED)
TUNED = range(50)
"""Seeds the detectors were made with, as were 100 to 249,"""
BESIDE = 6
"""Runs of each kind that the ancestor is asked about."""
HELD_OUT = range(4000, 4050)
"""and seeds they were not."""
TOLERANCE = 0.02
"""Share of a run's length that an onset may be off by, and the event still is the planted one; on a curve whose points
lie further apart, one point: nobody knows better."""


class Score(NamedTuple):
    """Of one kind of event: planted and found, planted and missed, found and not planted, and onset errors."""

    hits: int
    missed: list[str]
    false: list[str]
    errors: list[float]


def run(report: Report) -> None:
    """First the seeds that were tuned on, then the held-out ones; then seconds for a million points of each role."""
    for name, seeds in (("tuned", TUNED), ("held out", HELD_OUT)):
        _by_kind(report, name, seeds)
        _by_clean_run(report, name, seeds)
    _against_ancestor(report)
    _cost(report)


def _against_ancestor(report: Report) -> None:
    """By kind and run, wherever in the run: the ancestor often names the last step. Recall, then precision."""
    if not ancestor.is_there():
        report.row("the ancestor is not installed, skipped", ancestor.INSTALL)
        return
    makes = (*planted_curves.CLEAN, *planted_curves.TROUBLED)
    runs = [made(make, seed) for make in makes for seed in HELD_OUT[:BESIDE]]
    truth = [{planted.kind for planted in training.troubles} for training in runs]
    ours: list[set[str]] = [{event.kind for event in found(training)} for training in runs]
    for how, theirs in (
        ("all rows", ancestor.answers(runs, sampled=False)),
        ("its 200 rows", ancestor.answers(runs, sampled=True)),
    ):
        for kind in sorted(set().union(*truth)):
            mine, its = (_recall_and_precision(kind, truth, told) for told in (ours, theirs))
            report.row(f"ancestor, {how}: {kind}", mine, its)
        clean = [at for at, kinds in enumerate(truth) if not kinds]
        alarms = (sum(bool(told[at]) for at in clean) / len(clean) for told in (ours, theirs))
        report.row(f"ancestor, {how}: false alarms of {len(clean)} clean runs", *alarms)


def _recall_and_precision(kind: str, truth: Sequence[set[str]], told: Sequence[set[str]]) -> str:
    hits = sum(kind in planted and kind in said for planted, said in zip(truth, told, strict=True))
    planted, said = (sum(kind in kinds for kinds in each) for each in (truth, told))
    return f"{hits / planted:.2f} {hits / said:.2f}" if said else f"{hits / planted:.2f} -"


def _by_kind(report: Report, name: str, seeds: Iterable[int]) -> None:
    for kind, score in sorted(scores(seeds).items()):
        planted = score.hits + len(score.missed)
        recall = score.hits / max(1, planted)
        precision = score.hits / max(1, score.hits + len(score.false))
        told = f"onset off {100 * statistics.mean(score.errors or [0]):.2f} %"
        report.row(
            f"{name}: {kind} ({planted}), {told}",
            f"recall {recall:.3f}",
            f"prec. {precision:.3f}",
            None,
            ">= 0.95",
        )


def _by_clean_run(report: Report, name: str, seeds: Iterable[int]) -> None:
    alarmed = []
    for make in CLEAN:
        runs = [found(made(make, seed)) for seed in seeds]
        alarmed += [bool(events) for events in runs]
        report.row(f"{name}: false alarms, {make.__name__}", sum(map(bool, runs)) / len(runs))
    report.row(f"{name}: false alarms, all {len(alarmed)} clean runs", sum(alarmed) / len(alarmed), "", None, "<= 0.02")


def found(training: Training) -> list[Event]:
    """What the detectors say of a run, with the thresholds everyone gets."""
    events = detect(training.curves, recognise(training.curves), AnomalyDetection())
    events += machine(training.samples, system_roles(training.samples))
    if training.rows is not None:
        steps, times, now = training.rows
        stalls = Stalls().fed(steps.astype(np.int64), times)
        events += [*stalls.events(), *stalls.lasting(now)]
    return events


def scores(seeds: Iterable[int], makes: Iterable[Callable[..., Training]] = (*CLEAN, *TROUBLED)) -> dict[str, Score]:
    """By kind of event, over all kinds of runs; what was missed or false is named ``maker/seed``."""
    told: dict[str, Score] = {}
    for make in makes:
        for seed in seeds:
            training = made(make, seed)
            events = found(training)
            for planted in training.troubles:
                score = told.setdefault(planted.kind, Score(0, [], [], []))
                fits = [event for event in events if (event.kind, event.key) == (planted.kind, planted.key)]
                nearest = min(fits, key=lambda event: abs(event.step - planted.step), default=None)
                off = abs(nearest.step - planted.step) / training.length if nearest else 1.0
                if nearest is None or off > max(TOLERANCE, gap(training, planted)):
                    score.missed.append(f"{make.__name__}/{seed}")
                    continue
                events.remove(nearest)
                score.errors.append(off)
                told[planted.kind] = score._replace(hits=score.hits + 1)
            for event in events:
                told.setdefault(event.kind, Score(0, [], [], [])).false.append(f"{make.__name__}/{seed}")
    return told


def gap(training: Training, planted: Planted) -> float:
    """Between the points of the planted trouble's curve, as a share of the run's length."""
    curve = {**training.curves, **training.samples}.get(planted.key)
    return 0.0 if curve is None else float(np.median(np.diff(curve.steps)) / training.length)


def _cost(report: Report) -> None:
    rng = np.random.default_rng(7)
    n = 1_000_000
    steps = np.arange(n, dtype=np.float64)
    loss = 2 + (1 + steps / 1e4) ** -0.5 + 0.05 * rng.normal(size=n)
    values = {"train/loss": loss, "grad_norm": np.exp(rng.normal(0, 0.3, n)), "tokens_per_s": 1e5 + rng.normal(size=n)}
    values["lr"] = 1e-3 * (1 + np.cos(np.pi * steps / n))
    for key, value in values.items():
        curves = {key: Curve(steps, value)}
        roles = recognise(curves)
        cost = calls(lambda curves=curves, roles=roles: detect(curves, roles, AnomalyDetection()), rounds=3)  # type: ignore[misc]
        report.row(f"a million points, {key}, CPU seconds", cost.cpu, "", None, "< 1")
