import json
import math

import numpy as np
import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.compare import Compare

from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex
from runwised.render.tokens import estimate
from runwised.settings import RunwiseConfig

START = 1_700_000_000.0
"""When the runs of the fixtures start."""


def losses(floor, **others):
    return [{"val/loss": floor + abs(6 - step), "lr": 1e-3, **others} for step in range(10)]


@pytest.fixture
def view(run_of, project_of):
    a = run_of(losses(2.0), id="aafe0000", name="a", config={"lr": 1e-3, "model": {"d": 512, "act": "gelu"}})
    b = run_of(losses(1.5), id="bbfe0000", name="b", config={"lr": 1.0e-3, "model": {"d": 768, "act": None}, "x": 1})
    c = run_of([{"acc": 0.5}], id="ccfe0000", name="c", config={"lr": math.nan, "hf_token": "abcdefgh"})
    return project_of(a, b, c)


def test_two_runs_side_by_side(view, ask):
    assert ask(Compare(runs=("a", "b")), view) == (
        "a finished step 9; b finished step 9\n"
        "metric a b a:min b:min\n"
        "val/loss 5 4.5 2@6 1.5@6\n"
        "lr .001 .001 - -\n"
        "config a b\n"
        "model.d 512 768\n"
        "model.act gelu null\n"
        "x - 1\n"
    )


def test_a_person_sees_them_aligned(view, ask):
    assert ask(Compare(runs=("a", "c")), view, dress="human") == (
        "a finished step 9; c finished step 0\n"
        "metric        a    c  best_is  a:best  c:best\n"
        "val/loss      5    -  min         2@6  -\n"
        "acc           -  0.5  max           -  same\n"
        "lr        0.001    -  -             -  -\n"
        "config     a      c\n"
        "lr         0.001  nan\n"
        "model.d    512    -\n"
        "model.act  gelu   -\n"
        "hf_token   -      ‹hidden›\n"
        "next: runwise compare a c --at now\n"
    )


def test_json_holds_last_and_best_values_and_what_differs(view, ask):
    found = json.loads(ask(Compare(runs=("a", "b"), filter="LOSS"), view, form="json"))
    assert list(found) == ["runs", "at", "to", "metrics", "alike", "parting", "config", "differs"]
    assert [run["id"] for run in found["runs"]] == ["aafe0000", "bbfe0000"]
    assert found["metrics"] == {
        "val/loss": [
            {"value": 5.0, "step": 9, "best": 2.0, "best_step": 6},
            {"value": 4.5, "step": 9, "best": 1.5, "best_step": 6},
        ]
    }
    assert found["config"] == {"model.d": [512, 768], "model.act": ["gelu", None], "x": [None, 1]}


def test_csv_is_one_line_a_metric_and_run(view, ask):
    assert ask(Compare(runs=("a", "c"), filter="acc"), view, form="csv") == (
        "key,run,value,step,best,best_step\nacc,aafe0000,,,,\nacc,ccfe0000,0.5,0,0.5,0\n"
    )


def test_values_are_taken_at_or_before_a_step(view, ask):
    assert ask(Compare(runs=("a@4", "b@6"), filter="val"), view).splitlines()[:3] == [
        "a finished step 9; b finished step 9",
        "metric a@4 b@6",
        "val/loss 4 1.5",
    ]


def test_a_sparse_metric_says_at_which_step_its_value_stands(run_of, project_of, ask):
    runs = [run_of([(0, {"val": 3.0}), (5, {"lr": 1.0}), (90, {"lr": 2.0})], id=f"r{at}", name=f"r{at}") for at in "ab"]
    assert "val 3@0 3@0\n" in ask(Compare(runs=("ra", "rb@7")), project_of(*runs))


def test_a_metric_before_its_first_point_has_no_value(run_of, project_of, ask):
    runs = [run_of([(0, {"lr": 3.0}), (5, {"val": 1.0})], id=f"r{at}", name=f"r{at}") for at in "ab"]
    assert "val - 1\n" in ask(Compare(runs=("ra@2", "rb")), project_of(*runs))


def test_values_that_differ_look_different(run_of, project_of, ask):
    runs = [run_of([{"m": value}], id=f"r{value}", name=name) for name, value in (("x", 0.2355001), ("y", 0.2355002))]
    assert "m .2355001 .2355002\n" in ask(Compare(runs=("x", "y")), project_of(*runs))


def test_many_runs_show_last_values_only(run_of, project_of, ask):
    runs = [run_of(losses(float(at)), id=f"r{at}fe0000", name=f"r{at}") for at in range(5)]
    text = ask(Compare(runs=tuple(run.name for run in runs)), project_of(*runs))
    assert "metric r0 r1 r2 r3 r4\nval/loss 3 4 5 6 7\n" in text
    assert text.endswith("config: no difference\n")


def test_of_many_metrics_the_main_ones_and_the_settings_come_first(run_of, project_of, ask):
    rows = [{**{f"layer_{at}": 1.0 * at for at in range(40)}, "val/loss": 2.0}]
    runs = [run_of(rows, id=f"r{at}fe0000", name=f"r{at}", config={"lr": 0.1 * at}) for at in range(2)]
    lines = ask(Compare(runs=("r0", "r1")), project_of(*runs), budget=150).splitlines()
    assert lines[1:6] == ["metric r0 r1", "val/loss 2 2", "config r0 r1", "lr 0 .1", "metric r0 r1"]
    assert lines[-1].startswith("cut: ")


def test_a_schema_gives_format_and_direction(run_of, project_of, ask):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"m": {"format": ".1%", "higher_is_better": true}}}]}}'
    runs = [run_of([{"m": 0.9}, {"m": value}], id=name, name=name) for name, value in (("x", 0.5), ("y", 0.6))]
    assert ask(Compare(runs=("x", "y")), project_of(*runs, config=RunwiseConfig.parse(schema))).splitlines()[1:3] == [
        "metric x y x:max y:max",
        "m 50.0% 60.0% 90.0%@0 90.0%@0",
    ]


def test_a_filter_that_finds_nothing_says_so(view, ask):
    assert "no metric with 'nope' in its name\n" in ask(Compare(runs=("a", "b"), filter="nope"), view)


@pytest.mark.parametrize("runs", [(), ("a",)])
def test_fewer_than_two_runs_are_an_error(runs, view, ask):
    with pytest.raises(RunwiseError, match=f"compare takes two runs or more, found {len(runs)}") as caught:
        ask(Compare(runs=runs), view)
    assert caught.value.kind is Kind.USAGE


def test_an_at_sign_in_a_name_is_part_of_the_name(run_of, project_of, ask):
    runs = [run_of([{"m": 1.0}], id="idfe0000", name="lr@3"), run_of([{"m": 2.0}], id="zzfe0000", name="z")]
    assert ask(Compare(runs=("lr@3", "z")), project_of(*runs)).startswith("lr@3 finished step 0; z")


def described(ask, view, *runs, **asked):
    return json.loads(ask(Compare(runs=runs, **asked), view, form="json"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"at": "500"}, "--at: expected step=N, time=2h, KEY=V, now or end, found '500'"),
        ({"at": "step=x"}, "--at: expected step=N, time=2h, KEY=V, now or end, found 'step=x'"),
        (
            {"at": "step=" + "9" * 30},
            "--at: expected step=N, time=2h, KEY=V, now or end, found 'step=" + "9" * 30 + "'",
        ),
        ({"at": "time=-5"}, "--at: expected step=N, time=2h, KEY=V, now or end, found 'time=-5'"),
        ({"at": "lr=nan"}, "--at: expected step=N, time=2h, KEY=V, now or end, found 'lr=nan'"),
        ({"at": "lr=2h"}, "--at: expected step=N, time=2h, KEY=V, now or end, found 'lr=2h'"),
        ({"at": "val/los=2"}, "no metric 'val/los'; nearest: val/loss"),
        ({"threshold": "-5"}, "--threshold: expected per cent, such as 5, found '-5'"),
        ({"to": "val/los<2"}, "no metric 'val/los'; nearest: val/loss"),
        ({"to": "min(val/loss)<2"}, "--to takes one metric, <, <=, > or >=, and a number"),
        ({"to": "val/loss<2 and lr<1"}, "--to takes one metric, <, <=, > or >=, and a number"),
        ({"to": "val/loss==2"}, "--to takes one metric, <, <=, > or >=, and a number"),
        ({"to": "step>2"}, "--to takes one metric, <, <=, > or >=, and a number"),
        ({"to": "val/loss<"}, "at character 10: expected a metric, a property or a number, found the end"),
        ({"diff": True, "at": "now"}, "--diff shows configurations only: no other option goes with it"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_way_out(asked, message, view, ask):
    with pytest.raises(RunwiseError) as caught:
        ask(Compare(runs=("a", "b"), **asked), view)
    assert caught.value.message == message
    assert caught.value.hint


def test_a_step_of_one_run_and_a_common_point_are_contrary(view, ask):
    with pytest.raises(RunwiseError, match="RUN@STEP and --at are contrary"):
        ask(Compare(runs=("a@3", "b"), at="now"), view)


@pytest.mark.parametrize(("threshold", "kept"), [("13", ["far", "gone"]), ("12.5%", ["near", "far", "gone"])])
def test_a_threshold_leaves_out_and_counts_what_differs_less(threshold, kept, run_of, project_of, ask):
    one, other = {"near": 1.0, "far": 5.0, "same": 0.0, "gone": 1.0}, {"near": 1.125, "far": -5.0, "same": 0.0}
    view = project_of(*(run_of([row], id=name, name=name) for name, row in (("xx", one), ("yy", other))))
    found = described(ask, view, "xx", "yy", threshold=threshold)
    assert (list(found["metrics"]), found["alike"]) == (kept, 4 - len(kept))
    said = f"{4 - len(kept)} metric{'s' * (len(kept) == 2)} left out, less than {threshold.rstrip('%')}% apart\n"
    assert said in ask(Compare(runs=("xx", "yy"), threshold=threshold), view)


def test_a_threshold_that_nothing_passes_says_so(run_of, project_of, ask):
    view = project_of(*(run_of([{"m": 1.0}], id=name, name=name) for name in ("xx", "yy")))
    said = "1 metric left out, less than 5% apart: no metric differs by more\n"
    assert said in ask(Compare(runs=("xx", "yy"), threshold="5"), view)


def test_metrics_are_grouped_by_their_prefix(run_of, project_of, ask):
    row = {"lr": 1.0, "train/loss": 2.0, "val/loss": 3.0, "train/acc": 0.5, "sys/a/b": 4.0}
    view = project_of(*(run_of([row], id=name, name=name) for name in ("xx", "yy")))
    text = ask(Compare(runs=("xx", "yy"), group=True), view)
    assert (
        "val/ xx yy\nloss 3 3\ntrain/ xx yy\nloss 2 2\nacc .5 .5\nmetric xx yy\nlr 1 1\nsys/ xx yy\na/b 4 4\n" in text
    )


def test_only_configurations_are_compared_nested_ones_too(view, ask):
    query = Compare(runs=("a", "b"), diff=True)
    head = "a finished step 9; b finished step 9\n"
    assert ask(query, view) == head + "config a b\nmodel.d 512 768\nmodel.act gelu null\nx - 1\n"
    assert ask(query, view, form="csv").splitlines()[:3] == [
        "key,run,value",
        "model.d,aafe0000,512",
        "model.d,bbfe0000,768",
    ]
    assert json.loads(ask(query, view, form="json"))["metrics"] == {}


def test_curves_that_part_say_where_from_the_first_run(run_of, project_of, ask):
    curve = [(at * 10, {"loss": 5.0 - at / 100, "lr": 1.0}) for at in range(200)]
    lower = [(step, {**row, "loss": row["loss"] - (step >= 1000)}) for step, row in curve]
    rows = {"xx": curve, "yy": lower, "zz": curve, "few": curve[:5]}
    view = project_of(*(run_of(found, id=name, name=name) for name, found in rows.items()))
    (one, other) = described(ask, view, *rows)["parting"]
    assert (one["key"], one["run"], one["until"], one["gap"]) == ("loss", "yy", None, -1.0)
    assert abs(one["step"] - 1000) <= one["within"] == 32
    whole = {"within": 32, "last_step": 1990}
    assert other == {"key": "loss", "run": "zz", "step": None, "until": None, "gap": None, **whole}
    text = ask(Compare(runs=tuple(rows)), view)
    assert f"yy parts from xx: loss at {one['step']}±32 (-1)\nzz parts from xx: loss nowhere beyond noise\n" in text
    assert "few parts" not in text


@pytest.mark.parametrize(("at", "last_step"), [("step=905", 900), ("now", 1500), ("time=1m", 600), ("tokens=70", 700)])
def test_curves_part_nowhere_behind_the_point_where_they_are_compared(at, last_step, run_of, project_of, ask):
    def curve(count, gap):
        return [(n * 10, {"loss": 5.0 - n / 100 - gap * (n >= 160), "tokens": float(n)}) for n in range(count)]

    view = project_of(run_of(curve(200, 0), id="xx"), run_of(curve(200, 1), id="yy"), run_of(curve(151, 0), id="zz"))
    runs = ("xx", "yy", "zz")
    assert [(each["run"], each["step"] is None) for each in described(ask, view, *runs)["parting"]] == [
        ("yy", False),
        ("zz", True),
    ]
    found = described(ask, view, *runs, at=at)["parting"]
    assert [(each["run"], each["step"], each["last_step"]) for each in found] == [
        ("yy", None, last_step),
        ("zz", None, last_step),
    ]
    text = ask(Compare(runs=runs, at=at), view)
    assert f"yy parts from xx up to step {last_step}: loss nowhere beyond noise\n" in text
    assert [each["run"] for each in described(ask, view, *runs, at="step=1800")["parting"]] == ["yy"]
    own = described(ask, view, "xx", "yy@1000")["parting"]
    assert [(each["step"], each["last_step"]) for each in own] == [(None, 1000)]


def test_what_else_differs_is_told_and_secrets_are_not(run_of, project_of, ask):
    def made(name, *args, **facts):
        told = {"program": "t.py", "args": list(args), "os": "linux", **facts}
        packages = {"torch": facts["python"], "numpy": "2"}
        return run_of([{"m": 1.0}], id=name, name=name, facts=told, packages=packages, host=f"box-{name}")

    one = made("xx", "--lr", "3", "--api-key=abcdefgh", "go", python="3.11", git={"commit": "a" * 40})
    other = made("yy", "--lr=4", "--api-key", "ijklmnop", "-v", python="3.12", git={"commit": "b" * 40})
    silent = run_of([{"m": 1.0}], id="zz", name="zz", host=None)
    view = project_of(one, other, silent)
    assert described(ask, view, "xx", "yy", "zz")["differs"] == {
        "git.commit": ["a" * 40, "b" * 40, None],
        "python": ["3.11", "3.12", None],
        "args.lr": ["3", "4", None],
        "args.api-key": ["‹hidden›", "‹hidden›", None],
        "args.*": [["go"], None, None],
        "args.v": [None, True, None],
        "host": ["box-xx", "box-yy", None],
        "packages.torch": ["3.11", "3.12", None],
    }
    text = ask(Compare(runs=("xx", "yy")), view)
    assert "differs xx yy\ngit.commit aaaaaaaaaa bbbbbbbbbb\npython 3.11 3.12\nargs.lr 3 4\n" in text
    assert text.endswith("package xx yy\ntorch 3.11 3.12\n")
    assert not {"abcdefgh", "ijklmnop"} & set(text.split())


def test_an_argument_that_is_in_the_configuration_is_told_once(run_of, project_of, ask):
    def made(name, lr):
        facts = {"program": "t.py", "args": [f"--base-lr={lr}"]}
        return run_of([{"m": 1.0}], id=name, name=name, facts=facts, config={"base_lr": lr})

    text = ask(Compare(runs=("xx", "yy")), project_of(made("xx", 1), made("yy", 2)))
    assert "base_lr 1 2\n" in text
    assert "differs" not in text


def test_fifty_runs_have_a_line_each_and_what_is_cut_is_named(run_of, project_of, ask):
    config = {f"key{n}": 0 for n in range(9)}
    runs = [
        run_of(losses(float(at), **{f"m{n}": 1.0 for n in range(9)}), id=f"run{at:02}", config={**config, "key0": at})
        for at in range(50)
    ]
    query = Compare(runs=tuple(run.id for run in runs), at="step=6")
    lines = ask(query, project_of(*runs), budget=4000).splitlines()
    assert lines[:5] == [
        "50 runs",
        "at step 6",
        "run state step val/loss lr m0 m1 m2 m3",
        "run00 finished 6 0 .001 1 1 1 1",
        "run01 finished 6 1 .001 1 1 1 1",
    ]
    assert "5 more metrics: -f TEXT chooses, --format csv has all" in lines
    assert "config key0" in lines
    assert ask(query, project_of(*runs), budget=400).splitlines()[-1].startswith("cut: ")


@pytest.fixture
def wide(run_of, project_of):
    """50 runs of 3,000 metrics each, over a real index: the one in memory is slow where there are many."""
    index = RunIndex()
    index.start_source("log")
    steps = np.arange(40)
    held = tuple(Column(f"g{n}/loss {n}", None, np.arange(40.0) + n) for n in range(3000))
    index.fold(Rows("history", steps, steps, START + steps, held))
    runs = [
        run_of([(39, {"m": 1.0})], id=f"run{at:02}", config={f"key{n}" * 20: at for n in range(200)})
        for at in range(50)
    ]
    for run in runs:
        run.history = index.history
    return project_of(*runs)


@pytest.mark.parametrize("asked", [{}, {"at": "step=1"}, {"group": True}, {"to": "`g0/loss 0`<1"}, {"diff": True}])
def test_many_runs_of_three_thousand_metrics_hold_the_budget(asked, wide, ask):
    for count, budget in ((50, 50), (3, 400), (8, 4000)):
        query = Compare(runs=tuple(run.id for run in wide.runs[:count]), **asked)
        text = ask(query, wide, budget=budget)
        assert estimate(text) <= budget
        assert "cut: " in text or "more" in text
