"""Which key tells the step, what counts as one, and a step that never moves."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.record import NO_STEP
from runwised.formats.step_keys import STEP_KEYS, TIME_KEYS, Steps, as_step, choose, choose_time, rank, time_rank


@pytest.mark.parametrize(
    ("keys", "hint", "chosen"),
    [
        (("loss", "epoch", "step"), "", "step"),
        (("epoch", "trainer/global_step"), "", "trainer/global_step"),
        (("Epoch", "loss"), "", "Epoch"),
        (("STEP", "global_step"), "", "STEP"),
        (("STEP", "step"), "", "step"),
        (("step", "samples"), "samples", "samples"),
        (("step", "n\\.seen"), "n.seen", "n\\.seen"),
        (("step", "n.seen"), "n.seen", "n.seen"),
        (("epoch", "loss"), "samples", "epoch"),
        (("loss", "steps", "train/step"), "", None),
        ((), "step", None),
    ],
)
def test_the_best_known_key_is_chosen_unless_another_is_named(
    keys: tuple[str, ...], hint: str, chosen: str | None
) -> None:
    assert choose(keys, hint) == chosen
    assert choose(iter(keys[::-1]), hint) == chosen


def test_the_best_known_time_key_is_chosen() -> None:
    assert choose_time(["wall_time", "loss", "Timestamp"]) == "Timestamp"
    assert choose_time(["time_total_s", "loss"]) is None


def test_keys_rank_as_they_are_listed() -> None:
    assert sorted(STEP_KEYS, key=lambda key: rank(key) or 0) == list(STEP_KEYS)
    assert sorted(TIME_KEYS, key=lambda key: time_rank(key) or 0) == list(TIME_KEYS)
    assert rank("loss", "loss") == -1
    assert rank("loss") is None


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (7, 7),
        (-7, -7),
        (43.0, 43),
        (-0.0, 0),
        ("12", 12),
        (" 12.0 ", 12),
        ("-3", -3),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63), None),
        (2.0**63, None),
        ("9" * 19, None),
        ("9" * 30, None),
        (1e300, None),
        (43.5, None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e3", None),
        ("x1", None),
        ("١", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_whole_numbers_are_steps_and_nothing_else(value: Any, step: int | None) -> None:
    assert as_step(value) == step


def taken(key: str, rows: list[tuple[int | None, str]]) -> list[int]:
    steps = Steps(key)
    return [steps.take(step, metrics.split()) for step, metrics in rows]


def test_steps_pass_through_when_they_move_or_the_second_row_logs_other_metrics() -> None:
    assert taken("step", [(0, "loss"), (1, "loss"), (1, "loss"), (0, "loss")]) == [0, 1, 1, 0]
    assert taken("epoch", [(0, "loss"), (0, "val"), (0, "loss"), (1, "loss")]) == [0, 0, 0, 1]
    assert taken("step", [(0, "epoch time loss"), (0, "epoch time val")]) == [0, 0]


def test_a_step_that_stands_still_counts_again_when_it_moves() -> None:
    rows: list[tuple[int | None, str]] = [
        (0, "loss"),
        (None, "loss"),
        (0, "loss"),
        (0, "val"),
        (5, "loss"),
        (0, "loss"),
    ]
    assert taken("step", rows) == [0, NO_STEP, NO_STEP, NO_STEP, 5, 0]


@pytest.mark.parametrize("key", ["epoch", "Epoch", "train/epoch", "n_epochs", "meta.epoch"])
def test_an_epoch_that_stands_still_is_dropped_for_ever(key: str) -> None:
    steps = Steps(key)
    assert steps.take(0, ["loss"]) == 0
    assert not steps.dropped
    assert [steps.take(epoch, ["loss"]) for epoch in (0, 1, 2)] == [NO_STEP] * 3
    assert steps.dropped


@given(
    key=st.sampled_from(["step", "epoch"]),
    rows=st.lists(st.tuples(st.none() | st.integers(0, 2), st.sampled_from([("loss",), ("val",)])), max_size=30),
    cut=st.integers(0, 30),
)
def test_many_steps_at_once_are_taken_as_one_by_one_and_from_a_saved_state(
    key: str, rows: list[tuple[int | None, tuple[str, ...]]], cut: int
) -> None:
    single, many = Steps(key), Steps(key)
    one_by_one = [single.take(step, metrics) for step, metrics in rows]
    at_once = []
    for number, (step, metrics) in enumerate(rows):
        many = msgspec.msgpack.decode(msgspec.msgpack.encode(many), type=Steps)
        if many.settled:
            stops = (max(cut, number), len(rows))
            for start, stop in zip((number, stops[0]), stops, strict=True):
                said = [NO_STEP if step is None else step for step, _ in rows[start:stop]]
                at_once += many.take_each(np.array(said, np.int64)).tolist()
            break
        at_once.append(many.take(step, metrics))
    assert at_once == one_by_one
    assert many == single
