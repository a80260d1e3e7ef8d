"""A run as it was at a moment is judged as one that really ended there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runwised.formats.record import Column, Rows
from runwised.index.kept import Mark
from runwised.index.run_index import RunIndex
from runwised.queries.as_it_was import AsItWas
from runwised.queries.checkup import checkup
from runwised.settings import RunwiseConfig
from tests.bench.bench_diagnose import Remembering

CONFIG = RunwiseConfig()
N = 900


def mark_of(records, step, segments=1):
    return Mark(records, step, "running", None, segments, 0)


def curves():
    at, noise = np.arange(N), np.random.default_rng(3).normal(size=(2, N))
    loss = 2 + 2 * (1 + at / 20) ** -0.5 + 0.02 * noise[0]
    loss[300:306] += 5
    loss[700:] = math.nan
    gradient = np.exp(0.3 * noise[1])
    gradient[500:520] *= 1000
    return {"loss": loss, "val_loss": 1 + np.abs(at - 400) / 200, "grad_norm": gradient, "late": np.ones(N)}


ROWS_OF = {"loss": np.arange(N), "val_loss": np.arange(0, N, 10), "grad_norm": np.arange(N), "late": np.arange(600, N)}
TIMES = 1.7e9 + np.arange(N) + 5000.0 * (np.arange(N) >= 650)
"""A long silence before the record 650."""


def run_of(records, steps=None, by_key=False):
    """An indexed run of the first records, with a sample of its host's memory after every fifth."""
    run = Remembering(RunIndex())
    run.index.start_source("log")
    steps = np.arange(N) if steps is None else steps
    columns = [
        Column(key, rows[rows < records], values[rows[rows < records]])
        for key, values in curves().items()
        for rows in [ROWS_OF[key]]
        if (rows < records).any()
    ]
    at = np.arange(records)
    run.index.fold(Rows("history", at, steps[:records], TIMES[:records], tuple(columns), by_key=by_key))
    at = np.arange(0, records, 5)
    filling = (Column("proc.memory.percent", None, 20 + at / 12.0),)
    run.index.fold(Rows("system", at, np.arange(len(at)), TIMES[at], filling))
    return run


@pytest.fixture(scope="module")
def whole():
    return run_of(N)


def test_the_whole_run_has_something_to_be_found_of_each_kind(whole):
    kinds = {event.kind for event in checkup(whole, CONFIG).events}
    assert kinds >= {"spike", "nonfinite", "gradient_explosion", "overfitting", "stalled"}


@settings(deadline=None, max_examples=60)
@given(records=st.integers(1, N))
@example(records=1)
@example(records=303)
@example(records=510)
@example(records=651)
@example(records=N)
def test_a_checkup_of_any_beginning_says_what_it_says_of_a_run_that_ended_there(records):
    ended = run_of(records)
    assert repr(checkup(AsItWas(run_of(N), mark_of(records, records - 1)), CONFIG)) == repr(checkup(ended, CONFIG))


@settings(deadline=None, max_examples=40)
@given(back=st.integers(50, 400), at=st.integers(410, 800), after=st.integers(1, 90))
def test_what_was_taken_back_before_the_moment_was_no_more_there_then(back, at, after):
    steps = np.concatenate([np.arange(at), np.arange(at - back, N - back)])
    records = at + after
    then, now = run_of(records, steps), run_of(N, steps)
    assert then.index.rewinds
    moment = AsItWas(now, mark_of(records, int(steps[records - 1])))
    assert repr(checkup(moment, CONFIG)) == repr(checkup(then, CONFIG))


def test_what_was_taken_back_since_is_not_there():
    steps = np.concatenate([np.arange(500), np.arange(250, 650)])
    moment = AsItWas(run_of(N, steps), mark_of(500, 499))
    assert (moment.history.row_count, int(moment.history.steps(249, 250)[0])) == (250, 249)


def test_of_rows_known_by_their_steps_those_up_to_the_step_it_had_reached_were_there():
    steps = np.concatenate([np.arange(0, 400), np.arange(390, 890)])
    moment = AsItWas(run_of(N, steps, by_key=True), mark_of(405, 399))
    assert moment.history.by_step
    assert (moment.history.row_count, int(moment.history.steps(399, 400)[0])) == (400, 399)


def test_only_metrics_logged_by_then_have_names_and_statistics(whole):
    history = AsItWas(whole, mark_of(600, 599)).history
    assert list(history.names) == ["loss", "val_loss", "grad_norm"]
    for name in ("late", "never"):
        with pytest.raises(KeyError):
            history.stats(name)
    stats = history.stats("val_loss")
    assert (stats.count, stats.first_step, stats.last_step, stats.last_row) == (60, 0, 590, 590)
    assert history.stats("loss").nonfinite == 0
    history = AsItWas(whole, mark_of(702, 701)).history
    assert (history.stats("loss").nonfinite, history.stats("loss").first_nonfinite_step) == (2, 700)


def test_statistics_of_what_has_not_gone_on_are_whole(whole):
    everything = AsItWas(whole, mark_of(N, N - 1)).history
    assert everything.stats("loss") == whole.history.stats("loss")
    assert AsItWas(whole, mark_of(895, 894)).history.stats("val_loss") == whole.history.stats("val_loss")


def test_rows_beyond_the_moment_are_out_of_reach(whole):
    history = AsItWas(whole, mark_of(100, 99)).history
    assert (history.row_count, history.total_rows, history.position(5000), history.position(40)) == (100, 100, 100, 40)
    assert len(history.series("loss", 90, 5000).values) == len(history.series("loss", 90).values) == 10
    assert len(history.series("loss", 200, 300).values) == 0


def test_samples_taken_after_the_last_row_are_not_there(whole):
    assert AsItWas(whole, mark_of(101, 100)).system.row_count == 21
    assert AsItWas(whole, mark_of(100, 99)).system.row_count == 20


def test_before_the_first_record_there_is_nothing(whole):
    moment = AsItWas(whole, mark_of(0, None))
    assert (moment.history.row_count, list(moment.history.names)) == (0, [])
    assert checkup(moment, CONFIG).events == []


def test_looking_back_leaves_what_is_kept_with_the_run_alone(whole):
    found = checkup(whole, CONFIG)
    note, folds = whole.memory.note, dict(whole.memory.folds)
    checkup(AsItWas(whole, mark_of(400, 399)), CONFIG)
    assert (whole.memory.note, whole.memory.folds) == (note, folds)
    assert checkup(whole, CONFIG) is found


def test_all_else_is_as_it_is_now(whole):
    moment = AsItWas(whole, mark_of(400, 399, segments=3))
    assert (moment.id, moment.condition, moment.segments) == (whole.id, whole.condition, 3)
