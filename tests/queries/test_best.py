"""`best` ranks runs by exact best values over their whole history, and says what cannot be trusted about them."""

import json
import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.best import RankRuns

from runwised.formats.record import Definition
from runwised.index.view import Condition
from runwised.queries.respond import needed
from runwised.settings import RunwiseConfig


def falling(floor, count=40, swings=0.0):
    return [{"loss": floor + 3 * 0.8**step + swings * (step % 2)} for step in range(count)]


@pytest.fixture
def ranked(ask):
    def of(view, key="loss", **fields):
        return json.loads(ask(RankRuns(key=key, **fields), view, form="json"))

    return of


def values(found):
    return [(run["name"], run["value"], run["step"]) for run in found["runs"]]


@pytest.fixture
def view(run_of, project_of):
    diverged = [{"loss": 2.0}, {"loss": 1.25}, {"loss": math.inf}, {"loss": math.nan}]
    some = [{"loss": 1.5}, {"loss": math.nan}, {"loss": 1.75}]
    return project_of(
        run_of([{"loss": 3.0}, {"loss": 1.0}, {"loss": 2.0}], id="a1fe0000", name="good"),
        run_of([{"acc": 0.5}], id="b2fe0000", name="without"),
        run_of(diverged, id="c3fe0000", name="diverged"),
        run_of([{"loss": math.nan}], id="d4fe0000", name="never"),
        run_of(some, id="e5fe0000", name="live", condition=Condition("running", "pid 7", None, 7)),
        run_of(id="f6fe0000", name="cold", indexed=False, summary={"loss": 0.1}),
    )


def test_the_best_of_the_whole_history_decides_and_what_is_not_finite_is_told(view, ask, ranked):
    assert ask(RankRuns(key="loss"), view) == (
        "lowest loss of those indexed so far: 6 runs, 3 ranked\n"
        "run min@step last state note\n"
        "good 1@1 2 finished -\n"
        "diverged 1.25@1 nan finished 2 nan or inf, to the end\n"
        "live 1.5@0 1.75 running 1 nan or inf\n"
        "! 1 run never had a finite value\n"
        "! 1 of 6 runs not indexed yet, and not ranked\n"
        "@1\n"
        "next: history good -k loss\n"
    )
    found = ranked(view)
    assert (found["key"], found["direction"], found["guessed"]) == ("loss", "min", True)
    assert values(found) == [("good", 1.0, 1), ("diverged", 1.25, 1), ("live", 1.5, 0)]
    assert [run["nonfinite"] for run in found["runs"]] == [0, 2, 1]
    assert (found["ranked"], found["total"], found["never_finite"], found["unindexed"]) == (3, 6, ["d4fe0000"], 1)


def test_the_side_can_be_said(view, ranked):
    assert values(ranked(view, max=True)) == [("good", 3.0, 0), ("diverged", 2.0, 0), ("live", 1.75, 2)]
    assert ranked(view, min=True)["guessed"] is False


def test_only_some_are_shown_and_only_some_are_ranked(view, ask, ranked):
    assert values(ranked(view, top=1)) == [("good", 1.0, 1)]
    assert "\n2 more: runwise best loss -n 3\n" in ask(RankRuns(key="loss", top=1), view)
    found = ranked(view, where="loss > 1.8 or running")
    assert values(found) == [("good", 1.0, 1), ("live", 1.5, 0)]
    assert (found["total"], found["filtered"], found["undecided"]) == (2, 4, 1)
    text = ask(RankRuns(key="loss", where="loss > 1.8", top=1), view)
    assert text.startswith(
        "lowest loss of those indexed so far: 1 of 6 runs where loss > 1.8 (1 without such a value)\n"
    )


def test_it_is_called_best_where_one_run_declared_what_is(run_of, project_of, ask):
    declared = run_of([{"x": 2.0}], id="aafe0000", name="a", definitions=[Definition(key="x", goal="maximize")])
    view = project_of(run_of([{"x": 1.0}], id="bbfe0000", name="b"), declared)
    assert ask(RankRuns(key="x"), view).startswith("best x: 2 runs\nrun max@step last state\na 2@0 same finished\n")
    assert ask(RankRuns(key="x", min=True), view).startswith("lowest x: 2 runs\nrun min@step last state\nb ")


def test_a_schema_says_which_side_and_how_values_are_shown(run_of, project_of, ask):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"loss": {"format": ".1%", "higher_is_better": true}}}]}}'
    runs = [run_of([{"loss": value}], id=f"run{at}") for at, value in enumerate((0.50011, 0.50012))]
    assert ask(RankRuns(key="loss"), project_of(*runs, config=RunwiseConfig.parse(schema))).startswith(
        "best loss: 2 runs\nrun max@step last state\nrun1 50.0%@0 same finished\nrun0 50.0%@0 same finished\n"
    )


def test_exact_values_decide_and_stay_distinguishable(run_of, project_of, ask):
    runs = [run_of([{"loss": 0.2 + at * 1e-9}], id=f"run{at}") for at in (2, 0, 1)]
    lines = [line.split() for line in ask(RankRuns(key="loss"), project_of(*runs)).splitlines()[2:5]]
    assert [line[0] for line in lines] == ["run0", "run1", "run2"]
    assert len({line[1] for line in lines}) == 3


def test_equal_values_are_tied_and_the_newest_run_is_first(run_of, project_of, ranked):
    runs = [run_of([{"loss": value}], id=f"run{at}") for at, value in enumerate((2.0, 1.0, 1.0))]
    found = ranked(project_of(*runs))
    assert [(run["id"], run["near"]) for run in found["runs"]] == [("run1", None), ("run2", "tied"), ("run0", None)]


def test_a_difference_smaller_than_both_curves_swing_is_within_noise(run_of, project_of, ranked, ask):
    noisy = [falling(floor, swings=0.2) for floor in (1.0, 1.05, 1.15)]
    runs = [run_of(rows, id=f"run{at}") for at, rows in enumerate([*noisy, falling(1.02)])]
    found = ranked(project_of(*runs))
    assert [(run["id"], run["near"]) for run in found["runs"]] == [
        ("run0", None),
        ("run3", None),
        ("run1", "within noise"),
        ("run2", None),
    ]
    assert "\nrun1 1.051@38 1.25 finished within noise\n" in ask(RankRuns(key="loss"), project_of(*runs))


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (RankRuns(key="los"), Kind.NOT_FOUND, "no metric 'los'; nearest: loss"),
        (RankRuns(key="lr"), Kind.USAGE, "nothing says which way lr is better"),
        (RankRuns(key="loss", max=True, min=True), Kind.USAGE, "--max and --min are contrary"),
        (RankRuns(key="loss", where="x"), Kind.USAGE, "at character 2: expected a comparison such as < 2 after 'x'"),
    ],
)
def test_what_cannot_be_ranked_is_an_error(run_of, project_of, ask, query, kind, message):
    view = project_of(run_of([{"loss": 1.0, "lr": 2.0}]))
    with pytest.raises(RunwiseError) as caught:
        ask(query, view)
    assert caught.value.kind is kind
    assert caught.value.message.startswith(message)


def test_no_runs_at_all_is_an_error(project_of, ask):
    with pytest.raises(RunwiseError, match="no runs under /data/proj"):
        ask(RankRuns(key="loss"), project_of())


def test_it_waits_for_runs_without_an_index_where_that_is_soon_made(view):
    assert needed(RankRuns(key="loss"), view) == (["f6fe0000"], True)
