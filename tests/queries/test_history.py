import json
import math
from itertools import pairwise

import numpy as np
import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import History

from runwised.formats.record import Column, Definition, Rows
from runwised.index.run_index import RunIndex
from runwised.queries.history import answer

NAN, INF = math.nan, math.inf


@pytest.fixture
def decay(run_of, project_of):
    """``decay(n, spike=…)``: a run of n rows, ten steps apart, whose loss falls from 10 to 2, with one row off."""

    def build(n, spike=None, **fields):
        losses = [2 + 8 * 0.99**row + (30 if row == spike else 0) for row in range(n)]
        rows = [(10 * row, {"loss": loss}) for row, loss in enumerate(losses)]
        return project_of(run_of(rows, name="gpt", **fields))

    return build


@pytest.fixture
def indexed(run_of, project_of):
    """``indexed(values)``: a run whose metric x is kept as a real index keeps it."""

    def build(values):
        rows = np.arange(len(values))
        run, index = run_of(name="gpt"), RunIndex()
        index.start_source("log")
        index.fold(Rows("history", rows, rows, rows * 1.0, (Column("x", None, values),)))
        run.history = index.history
        return project_of(run)

    return build


@pytest.fixture
def three(run_of, project_of):
    """Forty rows of loss, lr and epoch, val/loss in every fifth."""
    rows = [{"loss": 2 + 8 * 0.9**n, "lr": 3e-4 * (1 - n / 40), "epoch": n // 10} for n in range(40)]
    for n in range(0, 40, 5):
        rows[n]["val/loss"] = 3 + 8 * 0.9**n
    goal = Definition(key="val/*", glob=True, step_key="epoch")
    return project_of(run_of([(10 * n, row) for n, row in enumerate(rows)], name="gpt", definitions=[goal]))


def test_every_point_is_in_exactly_one_bucket_and_steps_are_those_of_points(decay):
    found = answer(History(samples=7), decay(100)).series["loss"]
    assert len(found) == 7
    assert sum(bucket.n for bucket in found) == 100
    assert [found[0].start, found[-1].end] == [0, 990]
    assert all(before.end + 10 == after.start for before, after in pairwise(found))


def test_a_spike_of_one_row_is_its_buckets_maximum(decay):
    found = answer(History(samples=5), decay(400, spike=333)).series["loss"]
    assert [round(bucket.max, 1) for bucket in found] == [10.0, 5.6, 3.6, 2.7, 32.3]


def test_a_spike_is_in_the_curve_of_a_run_too_long_to_look_at_every_point(indexed, ask):
    values = np.sin(np.arange(300_000) / 1000)
    values[123_456] = 50.0
    view = indexed(values)
    found = answer(History(keys=("x",)), view).series["x"]
    assert [bucket.start <= 123_456 <= bucket.end for bucket in found if bucket.max == 50.0] == [True]
    assert "~50]" in ask(History(keys=("x",)), view)


def test_values_at_the_ends_of_what_a_number_can_be_are_drawn(indexed, ask):
    huge, tiny = 1.7e308, 5e-324
    view = indexed(np.tile([huge, -huge, tiny, 0.0], 100))
    assert ask(History(keys=("x",)), view).startswith("gpt 76 of 400 points")
    assert ask(History(keys=("x",), samples=2), indexed(np.array([0.0, tiny, 0.0, 0.0]))).startswith(
        "gpt 2 of 4 points"
    )


def test_the_main_metrics_are_shown_unless_keys_are_named(three):
    assert list(answer(History(), three).series) == ["val/loss", "loss"]
    assert list(answer(History(keys=("l*",)), three).series) == ["loss", "lr"]


def test_from_and_to_are_inclusive(decay):
    found = answer(History(start=20, end=40), decay(10)).series["loss"]
    assert [(bucket.start, bucket.n) for bucket in found] == [(20, 1), (30, 1), (40, 1)]


def test_a_window_reaches_so_far_on_either_side(decay):
    found = answer(History(around=50, window=10), decay(10)).series["loss"]
    assert [bucket.start for bucket in found] == [40, 50, 60]


def test_a_range_without_points_gives_an_empty_series(decay, ask):
    assert answer(History(start=10**30), decay(3)).series == {"loss": []}
    assert ask(History(start=1000), decay(3)) == "gpt has no points of loss there\n"


def test_a_bucket_without_a_finite_point_has_no_mean(run_of, project_of):
    (found,) = answer(History(samples=1), project_of(run_of([{"loss": NAN}, {"loss": INF}]))).series["loss"]
    assert (found.n, found.nonfinite, found.min, found.mean, found.max, found.last) == (2, 2, None, None, None, INF)


def test_time_counts_from_the_start_of_the_run(three):
    found = answer(History(keys=("loss",), x="time", samples=4), three).series["loss"]
    assert [(bucket.start, bucket.end) for bucket in found] == [(0, 9), (10, 19), (20, 29), (30, 39)]


def test_a_metric_as_axis_is_taken_where_it_was_last_logged(run_of, project_of):
    rows = [{"loss": 9.0}, {"loss": 8.0, "epoch": 1}, *({"loss": 7.0 - n} for n in range(3)), {"epoch": 2, "loss": 1.0}]
    reply = answer(History(keys=("loss",), x="epoch"), project_of(run_of(rows)))
    assert reply.x == "epoch"
    assert [(bucket.start, bucket.first) for bucket in reply.series["loss"]] == [
        (1.0, 8.0),
        (1.0, 7.0),
        (1.0, 6.0),
        (1.0, 5.0),
        (2.0, 1.0),
    ]


def test_text_leaves_out_what_lies_nowhere_on_the_axis(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 9.0}, {"loss": 8.0}, {"epoch": 1, "loss": 7.0}], name="gpt"))
    assert ask(History(keys=("loss",), x="epoch"), view) == "gpt 1 point\nepoch loss\n1 7\n"
    assert ask(History(keys=("loss",), x="epoch", end=1), view) == "gpt has no points of loss there\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"around": 5, "start": 1}, "--around excludes"),
        ({"start": 5, "end": 1}, "--from 5 is after --to 1"),
        ({"x": "loss*"}, r"no axis 'loss\*'"),
        ({"keys": ("los",)}, "no metric 'los'; nearest: loss"),
    ],
)
def test_a_question_that_makes_no_sense_is_an_error(decay, fields, message):
    with pytest.raises(RunwiseError, match=message):
        answer(History(**fields), decay(3))


def test_json_names_the_steps_from_and_to(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 3.0}, {"loss": NAN}]))
    assert json.loads(ask(History(samples=1), view, form="json")) == {
        "run": "3be9c0de",
        "x": "step",
        "series": {
            "loss": [
                {"from": 0, "to": 1, "n": 2, "nonfinite": 1, "min": 3.0, "mean": 3.0, "max": 3.0, "first": 3.0,
                 "last": "NaN"}
            ]
        },
        "omitted": 0,
    }  # fmt: skip


def test_what_was_not_asked_for_is_counted(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 3.0 - row, "a": row, "b": row} for row in range(3)]))
    assert json.loads(ask(History(), view, form="json"))["omitted"] == 2
    assert ask(History(), view).splitlines()[-1].startswith("2 more metrics: ")
    assert json.loads(ask(History(keys=("loss",)), view, form="json"))["omitted"] == 0


def test_csv_has_a_line_for_each_key_and_bucket(three, ask):
    assert ask(History(keys=("epoch", "val/loss"), samples=2), three, form="csv").splitlines()[:3] == [
        "key,from,to,n,nonfinite,min,mean,max,first,last",
        "epoch,0,190,20,0,0.0,0.5,1.0,0.0,1.0",
        "epoch,200,390,20,0,2.0,2.5,3.0,2.0,3.0",
    ]


def test_text_of_one_curve_has_ten_points_a_line_and_shows_the_spike(decay, ask):
    assert ask(History(), decay(400, spike=333)) == (
        "gpt 64 of 400 points, each the mean of up to 7; extremes further off the line than ± as [min~max]\n"
        "step loss±.32 every ~60\n"
        "0 9.76 9.27 8.85 8.45 8.04 7.66 7.33 7.01 6.7 6.4\n"
        "630 6.14 5.9 5.65 5.42 5.22 5.03 4.84 4.66 4.51 4.36\n"
        "1250 4.21 4.07 3.95 3.84 3.72 3.61 3.52 3.43 3.34 3.25\n"
        "1880 3.18 3.11 3.04 2.97 2.92 2.86 2.81 2.76 2.71 2.67\n"
        "2500 2.63 2.59 2.56 2.52 2.49 2.46 2.43 2.41 2.38 2.36\n"
        "3130 2.34 2.32 2.3 7.28[2.27~32.3] 2.26 2.25 2.23 2.22 2.2 2.19\n"
        "3750 2.18 2.17 2.16 2.15\n"
        "next: history gpt -k loss --from 3320 --to 3370\n"
    )


def test_text_of_one_curve_for_a_person_is_a_table_under_a_sparkline(decay, ask):
    assert ask(History(samples=4), decay(400, spike=333), dress="human") == (
        "gpt 4 of 400 points, each the mean of up to 100; extremes further off the line than ± as [min~max]\n"
        "loss 7.072 → 2.549 █▃▁▁\n"
        "step  loss±0.94\n"
        "   0  7.07[~10]\n"
        "1000  3.86\n"
        "2000  2.68\n"
        "3000  2.55[~32.3]\n"
        "next: runwise history gpt -k loss --from 3000 --to 3990\n"
    )


def test_text_of_several_curves_shares_the_step_column(three, ask):
    assert ask(History(keys=("loss", "val/loss", "lr"), samples=8), three) == (
        "gpt 40 and 8 points in 8 rows, each the mean of up to 5; extremes further off the line than ± as [min~max]\n"
        "step loss±.28 val/loss lr_e-6±12\n"
        "0 8.55[~10] 11 285[~300]\n"
        "50 5.87 7.72 248\n"
        "100 4.28 5.79 210\n"
        "150 3.35 4.65 172\n"
        "200 2.8 3.97 135\n"
        "250 2.47 3.57 97.5\n"
        "300 2.28 3.34 60.0\n"
        "350 2.16 3.2 22.5[7.5~]\n"
        "defined over epoch: --x epoch\n"
    )


def test_points_that_fit_are_shown_as_they_are(decay, ask):
    assert ask(History(around=100, window=20), decay(400)) == (
        "gpt all 5 points\nstep loss\n80 9.38\n90 9.31\n100 9.24\n110 9.16\n120 9.09\n"
    )


def test_every_extreme_that_is_not_shown_is_within_the_tolerance_of_the_line(run_of, project_of, ask):
    rng = np.random.default_rng(3)
    values = np.cumsum(rng.standard_normal(2000)) + 30 * (rng.random(2000) < 0.002)
    view = project_of(run_of([{"x": value} for value in values.tolist()]))
    lines = ask(History(keys=("x",)), view).splitlines()
    tolerance = float(lines[1].split("±")[1].split()[0])
    cells = [cell for line in lines[2:] if not line.startswith("next") for cell in line.split()[1:]]
    found = answer(History(keys=("x",), samples=len(cells)), view).series["x"]
    plain = [bucket for bucket, cell in zip(found, cells, strict=True) if "[" not in cell]
    means = [bucket.mean for bucket in found]
    assert 0 < len(plain) < len(cells)
    for bucket in plain:
        at = found.index(bucket)
        near = means[max(0, at - 1) : at + 2]
        assert min(near) - tolerance <= bucket.min <= bucket.max <= max(near) + tolerance


def test_points_that_are_not_finite_are_counted_where_they_are(run_of, project_of, ask):
    rows = [{"loss": float(n)} for n in range(10)]
    rows[3]["loss"], rows[8]["loss"], rows[9]["loss"] = NAN, INF, -INF
    view = project_of(run_of(rows, name="gpt"))
    assert ask(History(samples=5), view) == (
        "gpt 5 of 10 points, each the mean of up to 2; extremes further off the line than ± as [min~max];"
        " !n not finite\n"
        "step loss±.28\n"
        "0 .5[0~]\n"
        "2 2!1\n"
        "4 4.5\n"
        "6 6.5[~7]\n"
        "8 inf!2\n"
    )


def test_a_metric_without_points_in_the_range_is_named(three, ask):
    text = ask(History(keys=("loss", "val/loss"), start=10, end=40), three)
    assert text.endswith("no points there: val/loss\ndefined over epoch: --x epoch\n")


def test_many_curves_are_shown_at_a_glance(run_of, project_of, ask):
    rows = [{f"w/{key:04}": float(n + key) for key in range(3000)} for n in range(5)]
    lines = ask(History(keys=("w/*",)), project_of(run_of(rows, name="gpt"))).splitlines()
    assert lines[:3] == [
        "gpt 3000 metrics, each at a glance",
        "metric points first last trend",
        "w/0000 5 0 4 02579",
    ]
    shown = len(lines) - 3
    assert lines[-1] == f"cut: {3000 - shown} of 3000 metrics; runwise history gpt -k GLOB"


def test_a_run_without_numbers_says_so(run_of, project_of, ask):
    assert ask(History(), project_of(run_of(name="gpt"))) == "gpt has logged no numbers\n"
