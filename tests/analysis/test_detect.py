"""All detectors together: order, odd curves, and runs whose troubles are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runwised
from runwised.analysis.curve import Curve, Event
from runwised.analysis.detect import detect
from runwised.analysis.roles import Roles, recognise
from runwised.catalog.catalog import Catalog
from runwised.settings import AnomalyDetection
from tests.bench.bench_detectors import CLEAN, found, scores
from tests.bench.planted_curves import made

KEYS = ("loss", "val/loss", "grad_norm", "tokens_per_s", "step_time", "lr", "other")
SEEDS = range(3000, 3004)


def test_events_stand_in_the_order_of_their_onset_across_keys(find, falling, steady) -> None:
    loss, norm = falling(1000), steady(1000)
    norm[600:] *= np.minimum(1.3 ** np.arange(400), 1e5)
    loss[640:] += 0.002 * np.arange(360) ** 1.5
    loss[900:] = norm[890:] = math.nan
    events = find({"train/loss": loss, "grad_norm": norm})
    assert [(event.kind, event.key) for event in events] == [
        ("gradient_explosion", "grad_norm"),
        ("divergence", "train/loss"),
        ("nonfinite", "grad_norm"),
        ("nonfinite", "train/loss"),
    ]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [math.nan], [math.nan] * 2, [0.0, 1e308], [5.0] * 3])
def test_curves_of_no_one_or_two_points_say_no_more_than_that_they_are_not_finite(find, values: list[float]) -> None:
    events = find({key: np.array(values) for key in KEYS})
    assert [event.kind for event in events] == (["nonfinite"] * len(KEYS) if np.isnan(values).any() else [])


def test_a_curve_that_is_nan_throughout_is_one_event_from_its_first_step(find) -> None:
    (event,) = find({"loss": Curve.of(np.arange(5, 305), np.full(300, math.nan))})
    assert (event.kind, event.step, event.end_step) == ("nonfinite", 5, None)
    assert math.isnan(event.normal)


def test_constant_curves_are_at_most_frozen(find) -> None:
    for level in (0.0, 1.0, -3.0, 1e308):
        events = find({key: np.full(700, level) for key in KEYS if level or key != "grad_norm"})
        assert {event.kind for event in events} <= {"frozen"}


def test_huge_values_are_looked_at_like_others(find, falling) -> None:
    loss = falling(1000)
    loss[500] = 1.7e308
    assert [(event.kind, event.step) for event in find({"loss": loss})] == [("spike", 500)]


def test_a_loss_that_explodes_beyond_all_bounds_diverges(find, falling) -> None:
    loss = falling(1000)
    loss[700:] = np.minimum(10.0 ** np.arange(300), 1e300)
    assert [event.kind for event in find({"loss": loss})] == ["divergence"]


def test_roles_whose_curves_are_not_given_are_passed_over() -> None:
    roles = Roles(("a",), {"b": "a"}, ("c",), ("d",), ("e",), ("f",))
    assert detect({}, roles, AnomalyDetection()) == []


def test_a_curve_is_looked_at_in_its_roles_alone() -> None:
    curve = Curve.of(np.arange(100), np.where(np.arange(100) == 50, 50.0, 1 + np.arange(100) % 7 / 100))
    assert detect({"x": curve}, Roles(), AnomalyDetection()) == []
    assert [event.kind for event in detect({"x": curve}, Roles(losses=("x",)), AnomalyDetection())] == ["spike"]


VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, 5e-324, 1.7e308, -1.7e308, 1e-7]),
)
PIECES = st.lists(st.tuples(VALUES, st.integers(1, 120), st.floats(0, 1)), max_size=8)
SETTINGS = st.builds(
    AnomalyDetection,
    spike_threshold=st.floats(0, 50),
    spike_window=st.integers(0, 1000),
    plateau_min_steps=st.integers(0, 1000),
    gradient_sustained_steps=st.integers(0, 50),
    throughput_drop_threshold=st.floats(0, 1),
)


@settings(max_examples=200, deadline=None)
@given(pieces=PIECES, gap=st.integers(1, 1000), seed=st.integers(0, 99), config=SETTINGS)
def test_whatever_a_curve_holds_its_events_are_well_formed(pieces, gap, seed, config) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [level * (1 + noise * rng.normal(size=count)) for level, count, noise in pieces]
    values = np.concatenate([np.empty(0), *parts])
    steps = np.cumsum(rng.integers(1, gap + 1, len(values)))
    curves = {key: Curve.of(steps, values) for key in KEYS}
    events = detect(curves, recognise(curves), config)
    assert events == sorted(events, key=lambda event: event.step)
    logged = set(steps.tolist())
    for event in events:
        assert event.step in logged
        assert event.end_step is None or (event.end_step in logged and event.end_step > event.step)
        assert 0 <= event.confidence <= 1


def test_what_was_planted_is_found_at_its_step_and_little_else() -> None:
    told = scores(SEEDS)
    assert len(told) == 13
    hits = sum(score.hits for score in told.values())
    assert hits >= 0.95 * (hits + sum(len(score.missed) for score in told.values()))
    assert hits >= 0.95 * (hits + sum(len(score.false) for score in told.values()))
    for kind, score in told.items():
        assert score.hits > len(score.missed) + len(score.false), kind


def test_clean_runs_give_no_alarm() -> None:
    alarmed = [(make.__name__, seed) for make in CLEAN for seed in SEEDS if found(made(make, seed))]
    assert len(alarmed) <= 0.02 * len(CLEAN) * len(SEEDS), alarmed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def demo() -> dict[str, list[Event]]:
    """What is found on the runs of `runwise demo`, by their names."""
    catalog = Catalog(None)
    project = await catalog.view(str(Path(runwised.__file__).parent / "demo"), {})
    project = await catalog.indexed(project, [run.id for run in project.runs])
    events = {}
    for run in project.runs:
        curves = {key: Curve.of_series(run.history.series(key)) for key in run.history.names}
        events[run.name] = detect(curves, recognise(curves), AnomalyDetection())
    await catalog.close()
    return events


@pytest.mark.anyio
async def test_of_the_demo_the_run_that_was_too_hot_diverges_gradients_first_and_the_others_are_clean(demo) -> None:
    hot = demo.pop("gpt-hot")
    assert [(event.kind, event.key) for event in hot] == [
        ("gradient_explosion", "grad_norm"),
        ("divergence", "train/loss"),
        ("nonfinite", "train/loss"),
        ("nonfinite", "grad_norm"),
        ("nonfinite", "val/loss"),
    ]
    assert [640 <= hot[0].step <= 660, 680 <= hot[1].step <= 710, hot[2].step] == [True, True, 760]
    assert {name: events for name, events in demo.items() if events} == {}
