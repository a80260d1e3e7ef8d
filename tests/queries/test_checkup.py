"""A checkup goes on with what it knows, says the same as one made anew, and is made anew where points went back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex
from runwised.index.view import Condition
from runwised.queries.checkup import checkup
from runwised.settings import AnomalyDetection, RunwiseConfig
from tests.bench.bench_diagnose import Remembering

CONFIG = RunwiseConfig()


def loss_of(n):
    return 2 + 2 * (1 + np.arange(n) / (0.02 * n)) ** -0.5 + 0.02 * np.random.default_rng(1).normal(size=n)


class Counting:
    """A table that notes how many points it gave at a time."""

    def __init__(self, table):
        self._table = table
        self.given = []

    def __getattr__(self, name):
        return getattr(self._table, name)

    def series(self, *asked):
        points = self._table.series(*asked)
        self.given.append(len(points.steps))
        return points


class Watched(Remembering):
    """A run that can tell what was read of it."""

    def __init__(self, index):
        super().__init__(index)
        self.read = Counting(index.history)

    @property
    def history(self):
        return self.read


@pytest.fixture
def run():
    index = RunIndex()
    index.start_source("log")
    return Watched(index)


def logged(run, values, first=0, key="loss", table="history", times=None):
    steps = np.arange(first, first + len(values))
    times = 1.7e9 + steps if times is None else times
    run.index.fold(Rows(table, steps, steps, times, (Column(key, None, np.asarray(values, float)),)))


def test_a_run_that_grew_costs_its_new_points_and_says_what_one_looked_at_anew_says(run):
    values = loss_of(9000)
    values[8500:8510] += 40.0
    logged(run, values[:8000])
    assert checkup(run, CONFIG).events == []
    logged(run, values[8000:], 8000)
    grown = checkup(run, CONFIG)
    assert run.read.given == [8000, 1001]
    run.memory.folds.clear()
    run.memory.note = b""
    assert checkup(run, CONFIG) == grown
    assert [(event.kind, event.step, event.end_step) for event in grown.events] == [("spike", 8500, 8510)]


def test_a_run_that_did_not_change_is_not_looked_at_again(run):
    logged(run, loss_of(500))
    assert checkup(run, CONFIG) == checkup(run, CONFIG)
    assert run.read.given == [500]


def test_what_is_kept_on_disk_is_enough_as_long_as_nothing_changed(run):
    values = loss_of(500)
    values[400:] = math.nan
    logged(run, values)
    first, read = checkup(run, CONFIG), list(run.read.given)
    run.memory.folds.clear()
    assert str(checkup(run, CONFIG)) == str(first)
    assert run.read.given == read
    logged(run, [1.0], 500)
    assert [event.end_step for event in checkup(run, CONFIG).events] == [500]


@pytest.mark.parametrize("harm", [lambda note: note[:-1], lambda note: note[:20] + b"?" + note[21:], lambda _: b"no"])
def test_a_note_that_was_harmed_is_none(run, harm):
    logged(run, loss_of(300))
    first = checkup(run, CONFIG)
    run.memory.folds.clear()
    run.memory.note = harm(run.memory.note)
    assert checkup(run, CONFIG) == first


def test_other_thresholds_are_other_findings(run):
    values = loss_of(2000)
    values[1200] += 0.4
    logged(run, values)
    assert len(checkup(run, CONFIG).events) == 1
    assert checkup(run, RunwiseConfig(anomaly_detection=AnomalyDetection(spike_threshold=100.0))).events == []


def test_points_that_were_taken_back_are_forgotten(run):
    values = loss_of(1200)
    values[1000:] = math.nan
    logged(run, values)
    assert [event.kind for event in checkup(run, CONFIG).events] == ["nonfinite"]
    logged(run, loss_of(1300)[990:], 990)
    assert checkup(run, CONFIG).events == []


def test_as_many_points_taken_back_as_came_are_noticed(run):
    logged(run, loss_of(1000))
    assert checkup(run, CONFIG).events == []
    worse = loss_of(1000)[900:]
    worse[30] = 50.0
    logged(run, worse, 900)
    assert [(event.kind, event.step) for event in checkup(run, CONFIG).events] == [("spike", 930)]


def test_a_running_run_that_is_silent_is_stalled_and_no_damage(run):
    logged(run, loss_of(200))
    run.condition = Condition("running", "pid 4711", None)
    at = 1.7e9 + 199
    assert checkup(run, CONFIG, at + 50).events == []
    found = checkup(run, CONFIG, at + 5000)
    assert [(event.kind, event.key, event.step, event.end_step, event.value) for event in found.events] == [
        ("stalled", "_timestamp", 199, None, 5000)
    ]
    assert (found.bad, found.last_good) == ([], 199)
    assert checkup(run, CONFIG).events == []


def test_a_run_that_went_back_has_not_stalled(run):
    logged(run, loss_of(1000))
    logged(run, loss_of(1000)[100:], 100, times=1.7e9 + np.arange(1000, 1900))
    run.rewinds = run.index.rewinds
    assert len(run.rewinds) == 1
    assert checkup(run, CONFIG).events == []
    logged(run, loss_of(1100)[1000:], 1000, times=1.7e9 + np.arange(2900, 3000))
    assert [(found.kind, found.step, found.end_step) for found in checkup(run, CONFIG).events] == [
        ("stalled", 999, 1000)
    ]


def test_what_the_machine_suffers_from_is_told_at_the_step_nearest_in_time(run):
    logged(run, loss_of(1000))
    gpu = np.full(100, 90.0)
    gpu[40:70] = 3.0
    samples = 1.7e9 + 10.2 * np.arange(100)
    logged(run, np.full(100, 50.0), key="gpu.0.memoryAllocated", table="system", times=samples)
    assert checkup(run, CONFIG).events == []
    logged(run, gpu, 100, key="gpu.0.gpu", table="system", times=samples)
    found = checkup(run, CONFIG)
    assert [(event.kind, event.key, event.step, event.end_step) for event in found.events] == [
        ("low_utilisation", "gpu.0.gpu", 408, 714)
    ]
    assert {"memory", "low_utilisation", "stalled"} <= set(found.kinds)


def test_system_metrics_of_few_samples_are_named_as_not_judged(run):
    logged(run, loss_of(100))
    logged(run, np.full(5, 99.0), key="memory_percent", table="system")
    assert checkup(run, CONFIG).too_short == ["memory_percent"]


def test_the_last_good_step_is_before_a_loss_was_not_finite_however_long_ago(run):
    values = loss_of(20_000)
    values[3000:] = math.nan
    logged(run, values)
    assert checkup(run, CONFIG).last_good == 2999
