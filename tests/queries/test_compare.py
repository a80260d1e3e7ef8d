import json
import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.compare import Compare

from runwised.settings import RunwiseConfig


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
        "metric a b best?:a best?:b\n"
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
        "metric        a    c  best?:a  best?:c\n"
        "val/loss      5    -      2@6  -\n"
        "lr        0.001    -        -  -\n"
        "acc           -  0.5        -  last\n"
        "config     a      c\n"
        "lr         0.001  nan\n"
        "model.d    512    -\n"
        "model.act  gelu   -\n"
        "hf_token   -      ‹hidden›\n"
    )


def test_json_holds_last_and_best_values_and_what_differs(view, ask):
    found = json.loads(ask(Compare(runs=("a", "b"), filter="LOSS"), view, form="json"))
    assert list(found) == ["runs", "metrics", "config"]
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
        "metric a@4 b@6 best?:a best?:b",
        "val/loss 4 1.5 2@6 last",
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
        "metric x y best:x best:y",
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
