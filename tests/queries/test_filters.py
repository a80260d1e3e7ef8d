"""A list shows the runs that were asked for, in the order that was asked for, and counts the others."""

import json
import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.runs import ListRuns

from runwised.index.view import Condition
from runwised.queries.respond import needed


@pytest.fixture
def view(run_of, project_of):
    failed = Condition("failed", "exit code 1", 1)
    return project_of(
        run_of([{"loss": 0.5}], id="a1fe0000", name="Zeta", tags=["base"], config={"lr": 0.1}, notes="a Longer text"),
        run_of([{"loss": math.nan}], id="b2fe0000", name="beta", group="sweep", config={"lr": 0.3}, condition=failed),
        run_of([{"loss": 2.0}], id="c3fe0000", name="eta", tags=["base", "x"], created=1_600_000_000.0),
        run_of([{"acc": 0.9}], id="d4fe0000", name="alpha", config={"lr": "auto"}, updated=1_700_001_000.0),
    )


@pytest.fixture
def names(view, ask):
    def of(**fields):
        return [run["name"] for run in json.loads(ask(ListRuns(**fields), view, form="json"))["runs"]]

    return of


def test_the_runs_that_fit_are_listed_and_the_others_counted(view, ask):
    assert ask(ListRuns(where="loss<1", no_spark=True), view) == (
        "1 of 4 runs where loss < 1 (1 without such a value)\nrun state step age loss min\nZeta finished 0 1h .5 last\n"
    )
    found = json.loads(ask(ListRuns(where="loss < 1"), view, form="json"))
    assert (found["total"], found["filtered"], found["undecided"]) == (1, 3, 1)


def test_every_filter_must_fit(names):
    assert names(tag="base") == ["Zeta", "eta"]
    assert names(group="sweep") == ["beta"]
    assert names(tag="base", where="loss > 1") == ["eta"]
    assert names(state="failed", where="loss == nan or loss > 1") == ["beta"]
    assert names(match="LONGER") == names(match="a1fe") == ["Zeta"]
    assert names(match="eta") == ["Zeta", "beta", "eta"]
    assert names(match="sweep", tag="base") == []


def test_the_first_line_says_what_was_asked_for(view, ask):
    text = ask(ListRuns(state="finished", tag="base", match="e", where="loss > 1 and step == 0"), view)
    said = "1 of 4 runs with 'e' where state == finished and tag == base and loss > 1 and step == 0"
    assert text.splitlines()[0] == said
    text = ask(ListRuns(where="loss > 1 or step == 3", tag="x y"), view)
    assert text == '0 of 4 runs where tag == "x y" and (loss > 1 or step == 3); there are 3 finished, 1 failed\n'


def test_runs_are_sorted_least_first_and_those_without_a_value_last(names):
    assert names(sort="loss") == ["Zeta", "eta", "beta", "alpha"]
    assert names(sort="-loss") == names(sort="loss", reverse=True) == ["eta", "Zeta", "beta", "alpha"]
    assert names(sort="-loss", reverse=True) == names(sort="loss")
    assert names(sort="name") == ["alpha", "beta", "eta", "Zeta"]
    assert names(sort="created") == ["eta", "Zeta", "beta", "alpha"]
    assert names(sort="age") == ["alpha", "Zeta", "beta", "eta"]
    assert names(sort="-config.lr") == ["beta", "Zeta", "alpha", "eta"]
    assert names(sort="min(loss)", limit=1) == ["Zeta"]
    assert names(reverse=True) == ["alpha", "eta", "beta", "Zeta"]


def test_a_sorted_list_shows_the_metric_it_is_sorted_by(run_of, project_of, ask):
    runs = [run_of([{"val/loss": 1.0, "odd (key)": at}], id=f"run{at}", name=f"r{at}") for at in (1, 2)]
    assert ask(ListRuns(sort="-odd (key)", no_spark=True), project_of(*runs)) == (
        "2 runs\nrun state step age odd (key)\nr2 finished 0 1h 2\nr1 finished 0 1h 1\n"
    )


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (ListRuns(sort="los"), Kind.NOT_FOUND, "no metric 'los'; nearest: loss"),
        (ListRuns(where="lss < 1"), Kind.NOT_FOUND, "no metric 'lss'; nearest: loss"),
        (ListRuns(sort="loss <"), Kind.USAGE, "--sort at character 6: expected the end, found '<'"),
        (
            ListRuns(where="loss <"),
            Kind.USAGE,
            "at character 7: expected a metric, a property or a number, found the end",
        ),
        (
            ListRuns(where="anomaly"),
            Kind.USAGE,
            "anomaly is something to wait for: it does not tell one run from another",
        ),
    ],
)
def test_what_cannot_be_asked_is_an_error(view, ask, query, kind, message):
    with pytest.raises(RunwiseError) as caught:
        ask(query, view)
    assert (caught.value.kind, caught.value.message) == (kind, message)


def test_without_runs_any_condition_finds_none(project_of, ask):
    assert ask(ListRuns(where="loss < 1", sort="loss"), project_of()) == "no runs under /data/proj\n"


def test_values_are_waited_for_only_where_they_decide(run_of, project_of):
    view = project_of(run_of([{"loss": 1.0}], id="aafe0000"), run_of(id="bbfe0000", indexed=False))
    assert needed(ListRuns(state="running"), view) == ([], False)
    assert needed(ListRuns(where="loss < 1"), view) == (["bbfe0000"], True)
    assert needed(ListRuns(sort="loss"), view) == (["bbfe0000"], True)


def test_what_does_not_fit_is_named_with_the_whole_question(run_of, project_of, ask):
    view = project_of(*(run_of([{"loss": at}], id=f"run{at}") for at in range(40)))
    text = ask(ListRuns(where="loss > 9", sort="-loss", limit=2, no_spark=True), view)
    assert text.endswith("\n28 more: runwise list -n 30 -w 'loss > 9' --sort -loss --no-spark\n")
