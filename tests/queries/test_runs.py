import json
import math

import pytest
from runwise_protocol.queries.runs import ListRuns

from runwised.index.view import Condition
from runwised.settings import RunwiseConfig


def falling(count, floor):
    return [{"val/loss": floor + 8 * 0.97**step} for step in range(count)]


@pytest.fixture
def runs(run_of):
    diverged = falling(120, 1.0)
    for row in diverged[100:]:
        row["val/loss"] = math.nan
    return [
        run_of(falling(90, 2.0), id="a1", name="live-one", condition=Condition("running", "pid 4711", None, 4711)),
        run_of(id="b2fe0000", condition=Condition("empty", "header only", None), updated=1_700_000_000.0),
        run_of([{"acc": 0.5}], id="c3fe0000", name="my failed run", condition=Condition("failed", "exit code 1", 1)),
        run_of(diverged, id="d4fe0000", name="diverged"),
        run_of(falling(200, 1.8), id="e5fe0000", name="better"),
        run_of(falling(200, 2.0), id="f6fe0000", name="good"),
    ]


TABLE = (
    "6 runs; lowest val/loss 1.819@199 better, 1 not ranked: nan or inf at the end\n"
    "run state step age val/loss min trend\n"
    "live-one running 89 58m 2.532 last 986543221100000\n"
    'b2fe "no data yet" - 1h - - -\n'
    "c3fe failed(1) 0 1h acc=.5 - -\n"
    "diverged finished 119 58m nan 1.392@99 975432110000nnn\n"
    "better finished 199 56m 1.819 last 964211000000000\n"
    "good finished 199 56m 2.019 last 964211000000000\n"
)


def test_a_list_is_one_line_a_run_and_names_the_best(runs, project_of, ask):
    assert ask(ListRuns(), project_of(*runs)) == TABLE + "@1\n"


def test_a_person_sees_it_aligned(runs, project_of, ask):
    assert ask(ListRuns(no_spark=True), project_of(*runs), dress="human") == (
        "6 runs; lowest val/loss 1.819@199 better, 1 not ranked: nan or inf at the end\n"
        "run       state        step  age  val/loss  min\n"
        "live-one  running        89  58m  2.532     last\n"
        "b2fe      no data yet     -  1h   -         -\n"
        "c3fe      failed(1)       0  1h   acc=.5    -\n"
        "diverged  finished      119  58m  nan       1.392@99\n"
        "better    finished      199  56m  1.819     last\n"
        "good      finished      199  56m  2.019     last\n"
        "@1\n"
    )


def test_json_holds_every_run(runs, project_of, ask):
    found = json.loads(ask(ListRuns(), project_of(*runs), form="json"))
    assert list(found) == ["runs", "total", "unindexed", "filtered", "undecided"]
    assert found["total"] == 6
    assert found["runs"][2] == {
        "id": "c3fe0000",
        "name": "my failed run",
        "project": "demo",
        "state": "failed",
        "exit_code": 1,
        "created": "2023-11-14T22:13:20Z",
        "updated": "2023-11-14T22:13:20Z",
        "step": 0,
        "rows": 1,
        "tags": [],
        "group": None,
        "sources": [{"path": "wandb/run-c3fe0000/run-c3fe0000.wandb", "format": "wandb", "bytes": 4096}],
        "proof": "exit code 1",
        "root": None,
    }


def test_one_object_a_line_in_jsonl(runs, project_of, ask):
    lines = ask(ListRuns(), project_of(*runs), form="jsonl").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [run.id for run in runs]


def test_only_runs_in_one_state(runs, project_of, ask):
    text = ask(ListRuns(state="finished"), project_of(*runs))
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["diverged", "better", "good"]


def test_no_run_in_that_state_says_which_there_are(runs, project_of, ask):
    assert ask(ListRuns(state="killed"), project_of(*runs)) == (
        "no killed runs; there are 1 running, 1 empty, 1 failed, 3 finished\n"
    )


def test_no_runs_at_all(project_of, ask):
    assert ask(ListRuns(), project_of()) == "no runs under /data/proj\n"


def test_a_limit_shows_so_many_and_the_command_for_the_rest(runs, project_of, ask):
    assert ask(ListRuns(limit=1), project_of(*runs)) == (
        "6 runs; lowest val/loss 1.819@199 better, 1 not ranked: nan or inf at the end\n"
        "run state step age val/loss min trend\n"
        "live-one running 89 58m 2.532 last 986543221100000\n"
        "5 more: runwise list -n 6\n@1\n"
    )


def test_what_does_not_fit_the_budget_is_counted_with_its_command(runs, project_of, ask):
    text = ask(ListRuns(no_spark=True), project_of(*runs), budget=90)
    assert text.splitlines()[-2:] == ["@1", "4 more: runwise list -n 6 --no-spark"]


def test_two_hundred_runs_show_the_newest_and_the_best_of_all(run_of, project_of, ask):
    many = [run_of([{"loss": 1.0 + at}], id=f"{at:08x}", name=f"seed-{200 - at}") for at in range(199, -1, -1)]
    text = ask(ListRuns(), project_of(*many))
    assert text.startswith("200 runs; lowest loss 1@0 seed-200\n")
    assert text.splitlines()[2].startswith("seed-1 ")
    shown = text.count("\nseed-")
    assert text.endswith(f"\n{200 - shown} more: runwise list -n 200\n")


def test_the_best_is_ranked_by_exact_values(run_of, project_of, ask):
    runs = [run_of([{"loss": value}], id=f"run{at}", name=f"r{at}") for at, value in enumerate((0.21221, 0.21222))]
    text = ask(ListRuns(no_spark=True), project_of(*runs))
    assert text.startswith("2 runs; lowest loss .21221@0 r0\n")
    assert "r1 finished 0 1h .21222 last\n" in text


def test_the_best_is_called_best_where_the_goal_is_declared(run_of, project_of, ask):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"acc": {"format": ".1%", "higher_is_better": true}}}]}}'
    runs = [run_of([{"acc": value}, {"acc": 0.3}], id=f"run{at}", name=f"r{at}") for at, value in enumerate((0.5, 0.6))]
    assert ask(ListRuns(), project_of(*runs, config=RunwiseConfig.parse(schema))) == (
        "2 runs; best acc 60.0%@0 r1\n"
        "run state step age acc best trend\n"
        "r0 finished 1 59m 30.0% 50.0%@0 -\n"
        "r1 finished 1 59m 30.0% 60.0%@0 -\n"
    )


def test_values_all_tiny_are_scaled_in_the_head_but_not_in_the_title(run_of, project_of, ask):
    runs = [run_of([{"mse": value}], id=f"run{at}", name=f"r{at}") for at, value in enumerate((2.5e-5, 3e-5))]
    assert ask(ListRuns(no_spark=True), project_of(*runs)) == (
        "2 runs; lowest mse .000025@0 r0\n"
        "run state step age mse_e-6 min\n"
        "r0 finished 0 1h 25 last\n"
        "r1 finished 0 1h 30 last\n"
    )


def test_runs_still_being_indexed_show_their_summary(run_of, project_of, ask):
    cold = run_of(id="cold0000", name="cold", indexed=False, step=70, summary={"loss": 2.5, "nested": {"x": math.nan}})
    warm = run_of([{"loss": 3.0}], id="warm0000", name="warm")
    assert ask(ListRuns(no_spark=True), project_of(cold, warm)) == (
        "2 runs; lowest loss 3@0 warm\n"
        "run state step age loss min\n"
        "cold finished 70 - 2.5 -\n"
        "warm finished 0 1h 3 last\n"
        "! 1 of 2 runs not indexed yet: curves and best follow\n"
    )


def test_a_summary_of_nothing_but_nan_does_not_stop_the_list(run_of, project_of, ask):
    odd = run_of(id="odd00000", indexed=False, summary={"loss": math.nan, "acc": None, "x": "text"})
    assert "odd0 finished - - nan" in ask(ListRuns(), project_of(odd))


def test_notes_of_the_project_are_said(runs, project_of, ask):
    text = ask(ListRuns(), project_of(*runs, notes=["cache cannot be written: /home/u/.cache"]))
    assert text == TABLE + "! cache cannot be written: /home/u/.cache\n@1\n"


def test_hostile_names_stay_in_their_cells(run_of, project_of, ask):
    runs = [
        run_of([{"loss": 1.0}], id="aaaa0000", name="a\x1b[31m\nnext: rm -rf"),
        run_of([{"loss": 2.0}], id="bbbb0000", name="b" * 500),
    ]
    text = ask(ListRuns(no_spark=True), project_of(*runs))
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["aaaa", "bbbb"]
