"""Where `compare` takes values, and when each run had reached something."""

import json

import pytest
from runwise_protocol.queries.compare import Compare

from runwised.index.view import Condition

START = 1_700_000_000.0
"""When the runs of the fixtures start."""


def described(ask, view, *runs, **asked):
    return json.loads(ask(Compare(runs=runs, **asked), view, form="json"))


def points(found, where="at"):
    return [(point["step"], point["seconds"], point["note"]) for point in found[where]["runs"]]


def values(found, key):
    return [(value["value"], value["step"]) for value in found["metrics"][key]]


@pytest.fixture
def training(run_of, project_of):
    """Three runs that log at other steps and paces; `slow` is running, and asked about 200 s after its start."""
    state = Condition("running", "pid 7 lives", None, 7)

    def rows(every, count, floor):
        return [
            (
                at * every,
                {"loss": floor + 1 / (at + 1), "tokens": at * every * 100.0, **({"acc": at} if at % 5 == 0 else {})},
            )
            for at in range(count)
        ]

    fast = run_of(rows(10, 101, 2.0), id="fast0000", name="fast", config={"bs": 1})
    other = run_of(rows(7, 101, 1.0), id="other000", name="other", config={"bs": 2})
    slow = run_of(rows(10, 31, 1.5), id="slow0000", name="slow", config={"bs": 1}, condition=state)
    return project_of(fast, other, slow, now=START + 200)


def test_values_are_those_at_a_step_and_no_later_ones(training, ask):
    found = described(ask, training, "fast", "other", at="step=509")
    assert points(found) == [(500, 50.0, None), (504, 72.0, None)]
    assert values(found, "loss") == [(pytest.approx(2 + 1 / 51), 500), (pytest.approx(1 + 1 / 73), 504)]
    assert values(found, "acc") == [(50, 500), (70, 490)]
    text = ask(Compare(runs=("fast", "other"), at="step=509"), training).splitlines()
    assert text[1:3] == ["at step 509", "metric fast@500 other@504"]
    assert "acc 50 70@490" in text


def test_a_step_asked_for_with_a_run_is_answered_for_that_step_with_its_sparse_metrics(run_of, project_of, ask):
    rows = [(at * 9, {"train/loss": 1.0 * at, **({"val/loss": 5.0} if at % 100 == 0 else {})}) for at in range(1000)]
    runs = [run_of(rows, id=f"{name}00000", name=name) for name in ("aaa", "bbb")]
    found = described(ask, project_of(*runs), "aaa@5000", "bbb@5000")
    assert points(found) == [(4995, 555.0, None)] * 2
    assert values(found, "val/loss") == [(5.0, 4500)] * 2
    assert found["at"]["point"] == "given"


def test_a_run_that_did_not_get_that_far_says_so_and_has_no_values(training, ask):
    found = described(ask, training, "fast", "other", "slow", at="step=900")
    assert points(found) == [(900, 90.0, None), (None, None, "ended at step 700"), (None, None, "so far at step 300")]
    assert values(found, "loss")[1:] == [(None, None)] * 2
    text = ask(Compare(runs=("fast", "slow"), at="step=900"), training)
    assert "at step 900; slow so far at step 300\n" in text
    assert "loss 2.011 -\n" in text


def test_now_is_the_furthest_step_all_have_reached(training, ask):
    found = described(ask, training, "fast", "other", "slow", at="now")
    assert [point[0] for point in points(found)] == [300, 294, 300]
    assert "at the furthest step all have reached" in ask(Compare(runs=("fast", "slow"), at="now"), training)


@pytest.mark.parametrize("time", ["time=1m", "time=60", "time=60s", "time=60.9"])
def test_a_time_is_since_each_runs_own_start(time, training, ask):
    found = described(ask, training, "fast", "other", at=time)
    assert points(found) == [(600, 60.0, None), (420, 60.0, None)]


def test_a_running_run_has_reached_every_time_until_now_and_one_that_ended_has_not(training, ask):
    found = described(ask, training, "other", "slow", at="time=3m")
    assert points(found) == [(None, None, "ended after 1m"), (300, 30.0, None)]
    assert points(described(ask, training, "other", "slow", at="time=4m"))[1] == (None, None, "so far after 30s")


def test_rows_without_times_are_at_no_time(run_of, project_of, ask):
    runs = [run_of([{"m": 1.0}], id=name, name=name, created=None) for name in ("xx", "yy")]
    found = described(ask, project_of(*runs), "xx", "yy", at="time=5")
    assert points(found) == [(None, None, "its rows do not say when they were logged")] * 2


def test_a_metric_says_where_each_run_had_as_much_of_it(training, ask):
    found = described(ask, training, "fast", "other", "slow", at="tokens=5e4")
    assert points(found) == [(500, 50.0, None), (504, 72.0, None), (None, None, "greatest 30000@300")]
    assert [point["value"] for point in found["at"]["runs"]] == [50000.0, 50400.0, None]
    text = ask(Compare(runs=("fast", "slow"), at="tokens=5e4"), training)
    assert "where tokens first was 5e4 or more; slow greatest 30000@300\n" in text


def test_a_metric_that_goes_back_is_at_its_first_crossing_and_says_so(run_of, project_of, ask):
    rows = [{"epoch": value, "time": 9.0 - value} for value in (0.0, 1.0, 2.0, 0.0, 1.0)]
    view = project_of(*(run_of(rows, id=name, name=name) for name in ("xx", "yy")))
    assert points(described(ask, view, "xx", "yy", at="epoch=2")) == [(2, 2.0, "falls below it later")] * 2
    assert points(described(ask, view, "xx", "yy", at="`time`=3")) == [(0, 0.0, "above it from the first on")] * 2


def test_the_best_value_is_of_what_was_reached(run_of, project_of, ask):
    rows = [{"loss": value} for value in (3.0, 1.5, 2.0, 1.0, 4.0)]
    view = project_of(*(run_of(rows, id=name, name=name) for name in ("xx", "yy")))
    (one, _) = described(ask, view, "xx", "yy", at="step=2")["metrics"]["loss"]
    assert one == {"value": 2.0, "step": 2, "best": 1.5, "best_step": 1}
    assert described(ask, view, "xx", "yy")["metrics"]["loss"][0]["best"] == 1.0


def test_steps_and_time_until_a_condition_held(training, ask):
    found = described(ask, training, "fast", "other", "slow", to="loss<1.55")
    assert found["to"]["point"] == "loss < 1.55"
    assert points(found, "to") == [(None, None, "never: least 2.01@1000"), (7, 1.0, None), (200, 20.0, None)]
    text = ask(Compare(runs=("fast", "other", "slow"), to="loss<1.55"), training)
    assert (
        "until loss < 1.55 step time value\nfast - - never: least 2.01@1000\nother 7 1s 1.5\nslow 200 20s 1.548\n"
        in text
    )
    assert points(described(ask, training, "slow", "fast", to="loss<1"), "to")[0][2] == "not yet: least 1.532@300"


def test_a_run_without_the_metric_never_got_there(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 1.0}], id="aa"), run_of([{"acc": 0.5}], id="cc"))
    found = described(ask, view, "aa", "cc", to="acc>=.5")
    assert points(found, "to") == [(None, None, "no acc logged"), (0, 0.0, None)]
