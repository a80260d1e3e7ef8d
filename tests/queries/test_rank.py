"""`rank` places a run among the earlier ones, all at the same step, and says who could not be compared and why."""

import json
import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import Rank

from runwised.index.view import Condition, Source
from runwised.queries.respond import needed

START = 1_700_000_000.0
RUNNING = Condition("running", "pid 7", None, 7)


def falling(floor, count, every=10):
    return [(every * at, {"val/loss": floor + 3 * 0.9**at}) for at in range(count)]


@pytest.fixture
def runs(run_of):
    """``runs(…)``: the youngest, which goes on at step 200, behind a later one, then earlier ones of all kinds."""

    def build(*more, **fields):
        fields = {"condition": RUNNING, "config": {"max_steps": 1200}, **fields}
        return [
            run_of(falling(0.1, 50), id="l1fe0000", name="later"),
            run_of(falling(1.0, 21), id="n2fe0000", name="new", **fields),
            run_of(falling(0.8, 41), id="b3fe0000", name="better"),
            run_of(falling(1.2, 41), id="w4fe0000", name="worse"),
            run_of(falling(1.1, 31), id="c5fe0000", name="close", condition=Condition("failed", "exit code 1", 1)),
            *more,
        ]

    return build


@pytest.fixture
def view(run_of, project_of, runs):
    odd = falling(1.0, 41)
    odd[20] = (200, {"val/loss": math.nan})
    return project_of(
        *runs(
            run_of(falling(0.5, 11), id="s6fe0000", name="short"),
            run_of([(400, {"acc": 0.5})], id="o7fe0000", name="other"),
            run_of(odd, id="d8fe0000", name="diverged"),
            run_of(id="u9fe0000", name="cold", indexed=False, summary={"val/loss": 0.1}),
            run_of(falling(0.4, 41), id="p0fe0000", name="elsewhere", project="another"),
        )
    )


def placed(ask, view, **fields):
    return json.loads(ask(Rank(**fields), view, form="json"))


def names(found):
    return [run["name"] for run in found["runs"]]


def test_the_place_is_told_with_the_runs_around_it_and_what_may_come(view, ask):
    assert ask(Rank(run="new"), view) == (
        "new at step 200: val/loss 1.365, 2nd of 4 (lowest at that step 1.165 better; median 1.415)\n"
        "place run there min@step state\n"
        "1 better 1.165 .8443@400 finished\n"
        "2 new 1.365 1.365@200 running\n"
        "3 close 1.465 1.227@300 failed(1)\n"
        "4 worse 1.565 1.244@400 finished\n"
        "the 3 nearest here, now over: best .8443 to 1.244, median 1.227\n"
        "about 1m left to step 1200 (max_steps) at 10 steps/s, the rate of the last rows\n"
        "not compared: 1 started later, 1 of another project, 1 not indexed yet, 1 without the metric, "
        "1 not at that step, 1 nan or inf there\n"
        "@1\n"
        "next: compare new@200 better@200\n"
    )


def test_every_run_is_in_the_order_or_counted_once(view, ask):
    found = placed(ask, view, run="new")
    assert names(found) == ["better", "new", "close", "worse"]
    assert (found["rank"], found["of"], found["tied"], found["step"], found["value_step"]) == (2, 4, 0, 200, 200)
    assert [run["value"] for run in found["runs"]] == [pytest.approx(x + 3 * 0.9**20) for x in (0.8, 1.0, 1.1, 1.2)]
    assert found["median"] == pytest.approx(1.05 + 3 * 0.9**20)
    assert found["left_out"] == {
        "later": 1,
        "other_project": 1,
        "filtered": 0,
        "unindexed": 1,
        "no_key": 1,
        "not_reached": 1,
        "nonfinite": 1,
    }
    assert found["of"] + sum(found["left_out"].values()) == len(view.runs)


def test_endings_are_those_of_the_nearest_runs_that_are_over(project_of, runs, run_of, ask):
    more = [run_of(falling(2 + at, 41), id=f"m{at}fe0000") for at in range(9)]
    more[0].condition = RUNNING
    endings = placed(ask, project_of(*runs(*more)), run="new")["endings"]
    assert endings["runs"] == ["c5fe0000", "b3fe0000", "w4fe0000", "m1fe0000", "m2fe0000"]
    floors = sorted((0.8 + 3 * 0.9**40, 1.1 + 3 * 0.9**30, 1.2 + 3 * 0.9**40, 3 + 3 * 0.9**40, 4 + 3 * 0.9**40))
    assert [endings[part] for part in ("low", "median", "high")] == pytest.approx([floors[0], floors[2], floors[4]])


def test_what_is_left_is_told_by_the_runs_own_plan_and_else_by_the_others(project_of, runs, ask):
    assert placed(ask, project_of(*runs()), run="new")["ahead"] == {
        "total_steps": 1200,
        "source": "max_steps",
        "left": 1000,
        "steps_per_second": 10.0,
        "seconds": 100.0,
    }
    ahead = placed(ask, project_of(*runs(config={})), run="new")["ahead"]
    assert (ahead["total_steps"], ahead["source"], ahead["seconds"]) == (400, "median of 2 finished runs", 20.0)
    for fields in ({"condition": Condition("crashed", "", None)}, {"config": {}, "step": 5000}):
        assert placed(ask, project_of(*runs(**fields)), run="new")["ahead"] is None
    assert placed(ask, project_of(*runs()), run="new", at="step=100")["ahead"] is None


def test_another_step_and_the_best_so_far(run_of, project_of, ask):
    mine = [(0, {"loss": 1.0}), (10, {"loss": 5.0}), (20, {"loss": 3.0})]
    view = project_of(
        run_of(mine, id="aafe0000", name="mine"),
        run_of([(0, {"loss": 4.0}), (15, {"loss": 2.0}), (40, {"loss": 0.1})], id="bbfe0000", name="theirs"),
    )
    assert placed(ask, view, run="mine")["rank"] == 2
    at_ten = placed(ask, view, run="mine", at="step=12")
    assert [(run["value"], run["step"]) for run in at_ten["runs"]] == [(4.0, 0), (5.0, 10)]
    best = placed(ask, view, run="mine", best=True)
    assert (best["rank"], best["value"], best["value_step"]) == (1, 1.0, 0)
    assert placed(ask, view, run="mine", max=True, best=True)["runs"][0]["value"] == 5.0
    assert ask(Rank(run="mine", best=True), view).startswith(
        "mine at step 20: lowest so far loss 1@0, 1st of 2 (then comes 2 theirs; median 1.5)\n"
    )


def test_ties_share_the_better_place(run_of, project_of, ask):
    view = project_of(*(run_of([{"loss": value}], id=f"{at}afe0000") for at, value in enumerate((2.0, 2.0, 1.0, 2.0))))
    found = placed(ask, view)
    assert (found["rank"], found["tied"], found["of"]) == (2, 2, 4)
    assert ", 2nd of 4, like 2 others (" in ask(Rank(), view)


def test_a_value_that_is_not_finite_is_not_ranked(run_of, project_of, ask):
    view = project_of(run_of([{"loss": math.nan}], id="aafe0000"), run_of([{"loss": 1.0}], id="bbfe0000"))
    found = placed(ask, view)
    assert (found["rank"], found["value"], names(found), found["endings"]) == (None, "NaN", ["bbfe0000"], None)
    assert ask(Rank(), view).startswith("aafe at step 0: loss nan, not ranked among 1 run\n")


def test_a_run_without_others_says_so(run_of, project_of, ask):
    view = project_of(run_of([{"loss": 1.5}], name="gpt"))
    assert ask(Rank(), view) == "gpt at step 0: loss 1.5; no earlier run to compare with\n"


def test_a_condition_chooses_among_the_others(view, ask):
    found = placed(ask, view, run="new", where="name != worse and name != cold")
    assert names(found) == ["better", "new", "close"]
    assert (found["left_out"]["filtered"], found["left_out"]["later"]) == (2, 1)


def test_a_resumed_run_counts_from_its_first_start(run_of, project_of, ask):
    rows = [{"loss": 1.0}]
    mine = run_of(rows, id="aafe0000", created=START + 50)
    for segments, created, others in ((1, START, 0), (2, START, 1), (2, START + 90, 0)):
        resumed = run_of(rows, id="bbfe0000", created=created, segments=segments)
        assert placed(ask, project_of(resumed, mine), run="aafe")["of"] == 1 + others
    old = run_of(rows, id="aafe0000", created=START + 50, segments=2)
    between = run_of(rows, id="bbfe0000", created=START + 70)
    assert placed(ask, project_of(old, between), run="aafe")["left_out"]["later"] == 1


def test_logs_without_projects_are_all_of_one(run_of, project_of, ask):
    csv = [Source("logs/a.csv", "csv", 1, 0)]
    view = project_of(
        *(run_of([{"loss": 1.0}], id=f"r{at}", project=f"r{at}", sources=csv) for at in range(3)),
        run_of([{"loss": 1.0}], id="wwfe0000", project="w"),
    )
    assert placed(ask, view)["of"] == 4


def test_a_run_that_is_not_indexed_stands_by_its_summary(run_of, project_of, ask):
    cold = run_of(id="aafe0000", indexed=False, step=3, summary={"loss": 1.5})
    view = project_of(cold, run_of([{"loss": 2.0}] * 9, id="bbfe0000"))
    assert (placed(ask, view)["rank"], placed(ask, view)["step"]) == (1, 3)
    assert needed(Rank(), view) == (["aafe0000"], True)


def refused(ask, view, **fields):
    with pytest.raises(RunwiseError) as caught:
        ask(Rank(**fields), view)
    return caught.value.kind, caught.value.message, caught.value.hint


def test_what_cannot_be_ranked_is_told_with_what_can(view, run_of, project_of, ask):
    assert refused(ask, view, run="new", max=True, min=True)[::2] == (Kind.USAGE, "runwise rank new --min")
    assert refused(ask, view, run="other", at="step=5") == (
        *(Kind.NOT_FOUND, "other has no acc up to step 5"),
        "runwise rank other -k acc --at step=400",
    )
    assert refused(ask, view, run="new", key="val/los")[:2] == (
        *(Kind.NOT_FOUND, "no metric 'val/los'; nearest: val/loss"),
    )
    odd = project_of(run_of([{"a/x": 1.0, "b/x": 2.0}], name="gpt"), run_of(name="empty"))
    assert refused(ask, odd, run="gpt", key="*/x") == (
        *(Kind.AMBIGUOUS, "*/x fits 2 metrics: a/x, b/x"),
        "runwise rank gpt -k a/x",
    )
    assert refused(ask, odd, run="gpt", key="a/x") == (
        *(Kind.USAGE, "nothing says which way a/x is better"),
        "runwise rank gpt -k a/x --max, or --min",
    )
    assert refused(ask, odd, run="empty")[:2] == (Kind.NOT_FOUND, "empty has logged no numbers")
