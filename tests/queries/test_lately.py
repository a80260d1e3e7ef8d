"""Findings are news where nobody could have made them at the moment that is asked from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from runwised.formats.record import Column, Rows
from runwised.index.kept import Mark
from runwised.index.run_index import RunIndex
from runwised.queries import lately
from runwised.queries.lately import curve_event, new_events
from runwised.settings import AnomalyDetection, RunwiseConfig
from tests.bench.bench_diagnose import Remembering

CONFIG = RunwiseConfig()
N = 1000


def loss_of(n=N):
    return 2 + 2 * (1 + np.arange(n) / 20) ** -0.5 + 0.02 * np.random.default_rng(1).normal(size=n)


@pytest.fixture
def run():
    made = Remembering(RunIndex())
    made.index.start_source("log")
    return made


def logged(run, values, first=0):
    steps = np.arange(first, first + len(values))
    at = run.history.total_rows + np.arange(len(values))
    run.index.fold(Rows("history", at, steps, 1.7e9 + at, (Column("loss", None, np.asarray(values, float)),)))
    return mark(run)


def mark(run):
    return Mark(
        run.history.total_rows,
        int(run.history.steps(*[run.history.row_count - 1, run.history.row_count])[0]),
        "running",
        None,
        1,
        0,
    )


def found(run, since, config=CONFIG):
    return [(event.kind, event.step, event.end_step) for event in new_events(run, config, since)]


def test_what_came_after_the_moment_is_news_and_what_came_before_is_not(run):
    values = loss_of()
    values[300:304] += 5
    values[700:704] += 5
    then = logged(run, values[:500])
    logged(run, values[500:], 500)
    assert found(run, then) == [("spike", 700, 704)]
    assert found(run, Mark(0, None, "", None, 0, 0)) == [("spike", 300, 304), ("spike", 700, 704)]
    assert found(run, replace(then, records=-1)) == [("spike", 300, 304), ("spike", 700, 704)]


def test_what_was_under_way_at_the_moment_is_no_news_when_it_ends(run):
    values = loss_of()
    values[490:520] = math.nan
    then = logged(run, values[:500])
    logged(run, values[500:], 500)
    assert found(run, Mark(400, 399, "running", None, 1, 0)) == [("nonfinite", 490, 520)]
    assert found(run, then) == []


def test_the_same_again_after_it_was_over_is_news(run):
    values = loss_of()
    values[400:404] = values[800:804] = math.nan
    then = logged(run, values[:600])
    logged(run, values[600:], 600)
    assert [(kind, end) for kind, _, end in found(run, then)] == [("nonfinite", 804)]
    assert found(run, replace(then, records=900, step=899)) == []


def test_a_run_that_did_not_go_on_has_no_news(run):
    values = loss_of()
    values[300:] = math.nan
    assert found(run, logged(run, values)) == []


def test_a_run_whose_log_was_not_read_yet_has_none(run):
    then = logged(run, loss_of(100))
    logged(run, [math.nan] * 100, 100)
    run.indexed = False
    assert found(run, then) == []


def test_what_comes_again_after_a_rewind_is_news(run):
    values = loss_of()
    values[700:704] += 5
    then = logged(run, values[:800])
    assert found(run, Mark(500, 499, "running", None, 1, 0)) == [("spike", 700, 704)]
    run.memory.folds.clear()
    logged(run, values[600:], 600)
    assert ("spike", 700, 704) in found(run, then)


def test_a_log_that_began_anew_with_fewer_rows_has_all_its_findings_still_to_tell(run):
    values = loss_of(300)
    values[250:254] += 5
    logged(run, values)
    assert found(run, Mark(5000, 4999, "running", None, 1, 0)) == [("spike", 250, 254)]


def test_asking_from_any_moment_in_any_order_says_the_same_each_time(run):
    values = loss_of()
    for at in range(150, 1000, 150):
        values[at : at + 3] += 5
    logged(run, values)
    moments = [Mark(records, records - 1, "running", None, 1, 0) for records in range(40, 1000, 40)]
    first = {moment.records: found(run, moment) for moment in moments}
    assert first[40] == [("spike", at, at + 3) for at in range(150, 1000, 150)]
    assert first[960] == []
    for moment in [*reversed(moments), *moments[::3], moments[-1], moments[0]]:
        assert found(run, moment) == first[moment.records]


def test_no_more_moments_are_kept_than_a_few(run):
    logged(run, loss_of())
    for records in range(20, 1000, 20):
        found(run, Mark(records, records - 1, "running", None, 1, 0))
    kept = run.memory.folds["lately"].moments
    assert len(kept) == lately._MOST_MOMENTS
    assert N in kept
    assert 980 in kept


def test_a_moment_somebody_asks_from_again_and_again_is_looked_at_once(run, monkeypatch):
    looked = []
    plain = lately.AsItWas
    monkeypatch.setattr(lately, "AsItWas", lambda run, mark: looked.append(mark.records) or plain(run, mark))
    values = loss_of()
    then = logged(run, values[:500])
    for at in range(500, 1000, 50):
        since = mark(run)
        logged(run, values[at : at + 50], at)
        found(run, since)
        found(run, then)
    assert looked == [500]


def test_other_settings_are_other_findings_at_every_moment(run):
    values = loss_of(2000)
    values[1200] += 0.4
    then = logged(run, values[:1000])
    logged(run, values[1000:], 1000)
    assert [kind for kind, *_ in found(run, then)] == ["spike"]
    blunt = RunwiseConfig(anomaly_detection=AnomalyDetection(spike_threshold=50.0))
    assert found(run, then, blunt) == []
    assert [kind for kind, *_ in found(run, then)] == ["spike"]


def test_a_log_that_was_replaced_by_one_as_long_is_judged_anew(run):
    then = logged(run, loss_of()[:500])
    logged(run, loss_of()[500:], 500)
    assert found(run, then) == []
    values = loss_of()
    values[700:704] += 5
    run.memory.forget()
    run.index = RunIndex()
    run.index.start_source("log")
    logged(run, values)
    assert found(run, then) == [("spike", 700, 704)]


def test_an_event_of_an_answer_says_all_that_was_found(run):
    values = loss_of()
    values[700:704] += 5
    logged(run, values)
    (event,) = new_events(run, CONFIG, Mark(0, None, "", None, 0, 0))
    told = curve_event(event)
    assert {name: getattr(told, name) for name in event._fields} == event._asdict()
