"""What is folded point by point says the same as what is looked at whole, however the points come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runwised.analysis.curve import Curve, Event
from runwised.analysis.detect import detect, findings
from runwised.analysis.fold import Fold
from runwised.analysis.lens import SEGMENT
from runwised.analysis.roles import recognise
from runwised.analysis.stalls import Stalls
from runwised.settings import AnomalyDetection

CONFIG = AnomalyDetection()
KEYS = ("loss", "val/loss", "accuracy", "val/accuracy", "grad_norm", "tokens_per_s", "step_time", "lr", "other")


def folded(curves: dict[str, Curve], cuts: list[int]) -> list[Event]:
    roles = recognise(curves)
    folds = {key: Fold.of(roles.parts.get(key)) for key in curves}
    for key, curve in curves.items():
        for start, stop in zip([0, *cuts], [*cuts, len(curve.steps)], strict=True):
            folds[key] = folds[key].fed(curve.part(start, stop), CONFIG)
    return findings(folds, roles, CONFIG)


def troubled(n: int, seed: int) -> np.ndarray:
    """A curve with something of everything at places that the seed says: spikes, changes of level, NaN, stillness."""
    rng = np.random.default_rng(seed)
    values = 2 + 2 * (1 + np.arange(n) / (0.02 * n)) ** -0.5 + 0.02 * rng.normal(size=n)
    for _ in range(int(rng.integers(1, 6))):
        at, rows = int(rng.integers(n)), int(n ** rng.uniform(0, 1))
        part = slice(at, at + rows)
        values[part] = rng.choice(
            [values[part] * 3, values[part] * 0.2, np.full(len(values[part]), rng.choice([math.nan, 0, 1.5]))]
            if len(values[part])
            else [values[part]]
        )
    return np.round(values, 2) if rng.random() < 0.3 else values


@settings(max_examples=60, deadline=None)
@example(n=SEGMENT + 84, seed=0, shares=[0.5])
@given(
    n=st.one_of(st.integers(2, 400), st.integers(2, 6 * SEGMENT)),
    seed=st.integers(0, 10_000),
    shares=st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.001, 0.999])), max_size=12),
)
def test_a_curve_in_any_pieces_says_what_it_says_whole(n: int, seed: int, shares: list[float]) -> None:
    steps = np.cumsum(np.random.default_rng(seed).integers(1, 9, n)).astype(float)
    curves = {key: Curve(steps, troubled(n, seed + at)) for at, key in enumerate(KEYS)}
    assert str(folded(curves, sorted(int(share * n) for share in shares))) == str(
        detect(curves, recognise(curves), CONFIG)
    )


@pytest.mark.parametrize("n", [3000, SEGMENT + 700])
def test_points_that_come_one_by_one_say_the_same_at_every_moment(n: int) -> None:
    values = troubled(n, 5)
    values[n - 300 : n - 280] = 40.0
    curve, fold = Curve(np.arange(n, dtype=float), values), Fold.of("loss").fed(Curve.of([], []), CONFIG)
    fold = fold.fed(curve.part(0, n - 400), CONFIG)
    for at in range(n - 400, n):
        fold = fold.fed(curve.part(at, at + 1), CONFIG)
        if at % 37 == 0 or at > n - 3:
            roles = recognise(["loss"])
            whole = detect({"loss": curve.part(0, at + 1)}, roles, CONFIG)
            assert str(findings({"loss": fold}, roles, CONFIG)) == str(whole), at


def test_what_is_kept_does_not_grow_with_the_curve() -> None:
    def kept(n: int) -> int:
        fold = Fold.of("loss").fed(Curve(np.arange(n, dtype=float), np.sin(np.arange(n))), CONFIG)
        return sum(len(lens.values) for lens in fold.lenses) + len(fold.repeats.recent.steps)

    assert kept(40 * SEGMENT) <= 4 * SEGMENT


def loss_of(n: int) -> np.ndarray:
    return 2 + 2 * (1 + np.arange(n) / (0.02 * n)) ** -0.5 + 0.02 * np.random.default_rng(3).normal(size=n)


def found(**curves: np.ndarray) -> list[tuple[str, str, int, int | None]]:
    whole = {key: Curve.of(np.arange(len(values)), values) for key, values in curves.items()}
    events = detect(whole, recognise(whole), CONFIG)
    return [(event.kind, event.key, event.step, event.end_step) for event in events]


def near(event: tuple[str, str, int, int | None], kind: str, start: int, stop: int | None, off: int) -> bool:
    same_end = event[3] is None if stop is None else event[3] is not None and abs(event[3] - stop) <= off
    return event[0] == kind and abs(event[2] - start) <= off and same_end


@pytest.mark.parametrize("rows", [1, 30, 400, 3000])
def test_a_spike_of_any_length_in_a_long_curve_is_one_event_with_its_place(rows: int) -> None:
    loss = loss_of(300_000)
    loss[123_456 : 123_456 + rows] += 2
    (event,) = found(loss=loss)
    assert near(event, "spike", 123_456, 123_456 + rows, 0 if rows < 50 else 256)


@pytest.mark.parametrize("rows", [15, 700, 9000, 60_000])
def test_gradients_that_explode_for_any_time_in_a_long_curve_are_one_event(rows: int) -> None:
    norm = np.exp(np.random.default_rng(3).normal(0, 0.2, 200_000))
    norm[77_777 : 77_777 + rows] *= 300
    (event,) = found(grad_norm=norm)
    assert near(event, "gradient_explosion", 77_777, 77_777 + rows, 256)


def test_stillness_that_lasts_over_many_segments_is_one_event_and_no_new_best() -> None:
    loss = loss_of(120_000)
    loss[30_011:70_022] = 0.0
    assert found(loss=loss) == [("frozen", "loss", 30_011, 70_022)]


def test_a_loss_that_diverges_and_then_stands_still_to_the_end_is_told_as_both() -> None:
    loss = loss_of(40_000)
    loss[12_000:] += 3
    loss[20_000:] = 5.125
    frozen, diverged = sorted(found(loss=loss))[::-1]
    assert frozen == ("frozen", "loss", 20_000, None)
    assert near(diverged, "divergence", 12_000, None, 256)


def test_a_pace_that_halves_for_good_in_a_long_curve_is_one_event() -> None:
    pace = 1e5 + 1e3 * np.random.default_rng(3).normal(size=150_000)
    pace[60_000:] *= 0.4
    (event,) = found(tokens_per_s=pace)
    assert near(event, "throughput_drop", 60_000, None, 256)


def test_a_long_curve_without_trouble_says_nothing() -> None:
    rng = np.random.default_rng(5)
    n = 250_000
    rate = 1e-3 * (1 + np.cos(np.pi * np.arange(n) / n))
    assert (
        found(loss=loss_of(n), grad_norm=np.exp(rng.normal(0, 0.6, n)), lr=rate, tokens_per_s=1e5 + rng.normal(size=n))
        == []
    )


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.one_of(st.floats(0, 5), st.sampled_from([0.5, 300.0, 9000.0, math.nan])), max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
def test_rows_in_any_pieces_say_the_same_of_the_time_between_them(gaps: list[float], cuts: list[int]) -> None:
    times = 1e9 + np.cumsum([0.0 if math.isnan(gap) else gap for gap in gaps])
    times[np.isnan(gaps)] = math.nan
    steps = np.arange(len(gaps)) * 10
    stalls = Stalls()
    edges = sorted(min(cut, len(gaps)) for cut in cuts)
    for start, stop in zip([0, *edges], [*edges, len(gaps)], strict=True):
        stalls = stalls.fed(steps[start:stop], times[start:stop])
    assert str(stalls) == str(Stalls().fed(steps, times))


def owned(kept: Any) -> Iterator[np.ndarray]:
    """The arrays whose memory something holds, those its views look into."""
    if isinstance(kept, np.ndarray):
        while isinstance(kept.base, np.ndarray):
            kept = kept.base
        yield kept
    elif isinstance(kept, tuple | list):
        for part in kept:
            yield from owned(part)


def test_what_is_kept_of_a_curve_does_not_depend_on_how_much_of_it_came_at_once() -> None:
    values = np.random.default_rng(1).normal(size=400_000)
    values[np.arange(400_000) % 5000 < 20] = 1.5
    curve = Curve(np.arange(400_000.0), values)
    fold = Fold.of("loss").fed(curve, CONFIG)
    held = {id(array): array.nbytes for array in owned(fold)}
    assert fold.repeats is not None
    assert fold.repeats.over
    assert sum(held.values()) < 3 * 16 * SEGMENT
    assert sum({id(array): array.nbytes for array in owned(fold.repeats)}.values()) < 64 * 1024
