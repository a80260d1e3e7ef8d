"""How many steps a run is meant to take is told by its own counters and settings, and only where that can be true."""

import math

import pytest

from runwised.queries.totals import Rate, Total, rate, total_steps


@pytest.fixture
def meant(run_of):
    """``meant({config}, {metrics of the last row}, step)``."""

    def build(config, logged=None, step=4000):
        return total_steps(run_of([(0, {"loss": 3.0}), (step, {"loss": 2.0, **(logged or {})})], config=config))

    return build


def test_the_clearest_name_wins_and_then_what_lies_least_deep(meant):
    assert meant({"max_steps": 10_000}) == Total(10_000, "max_steps")
    assert meant({"num_steps": 8000, "trainer": {"max_steps": 9000}}) == Total(9000, "trainer.max_steps")
    assert meant({"a": {"b": {"max_steps": 7000}}, "c": {"max_steps": 6000.0}}) == Total(6000, "c.max_steps")


def test_what_the_run_has_passed_or_no_number_is_no_total(meant):
    for value in (-1, 0, 128, True, "10000", None, math.inf, math.nan, [9000]):
        assert meant({"max_steps": value}) is None
    assert meant({"max_steps": 128, "total_steps": 9000}) == Total(9000, "total_steps")


def test_vague_names_count_at_the_top_or_below_the_training_only(meant):
    assert meant({"sampler": {"num_steps": 5000}}) is None
    assert meant({"train": {"steps": 5000}}) == Total(5000, "train.steps")


def test_a_counter_of_the_programs_own_is_what_the_setting_means(meant):
    assert meant({"max_steps": 10_000}, {"train/global_step": 2000}, step=40) == Total(200, "max_steps 10000")
    assert meant({"max_steps": 10_000}, {"train/global_step": math.nan}) == Total(10_000, "max_steps")


def test_epochs_are_steps_where_a_metric_tells_fractions_of_them(meant):
    assert meant({"num_train_epochs": 3}, {"train/epoch": 0.75}) == Total(16_000, "num_train_epochs 3")
    assert meant({"epochs": 3}, {"epoch": 1}) is None
    assert meant({"epochs": 3}) is None
    assert meant({"epochs": 90}, {"epoch": 12}, step=12) == Total(90, "epochs")


def test_a_run_without_a_step_has_no_total(run_of):
    assert total_steps(run_of(config={"max_steps": 5})) is None


def timed(run_of, times):
    run = run_of([{"loss": 1.0}] * len(times))
    run.history.all_rows = [row._replace(time=time) for row, time in zip(run.history.all_rows, times, strict=True)]
    return rate(run)


def test_the_recent_rate_is_that_of_the_last_rows(run_of):
    times = [*(2.0 * at for at in range(100)), *(198 + 0.5 * at for at in range(1, 201))]
    assert timed(run_of, times) == Rate(2.0, pytest.approx(299 / 298))


def test_a_pause_longer_than_all_the_rest_is_left_out_of_it(run_of):
    times = [*(1.0 * at for at in range(50)), *(100_000.0 + at for at in range(50))]
    found = timed(run_of, times)
    assert found.recent == pytest.approx(1.0)
    assert found.overall == pytest.approx(99 / 100_049)


def test_without_times_nothing_is_said(run_of):
    assert timed(run_of, [math.nan] * 5) == Rate(None, None)
    assert timed(run_of, [7.0] * 5) == Rate(None, None)
    assert timed(run_of, []) == timed(run_of, [1.0]) == Rate(None, None)
    assert timed(run_of, [math.nan, 1.0, 3.0]).recent == 0.5
