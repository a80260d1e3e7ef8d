"""The runs of several projects are listed as those of one, and no two of them are taken for each other."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from runwise_protocol.errors import Kind
from runwise_protocol.queries.runs import ListRuns

from runwised.queries.everywhere import Everywhere, no_such_project, several_projects

ALL = ListRuns(all=True)


class Views(NamedTuple):
    """What the catalog gives."""

    projects: tuple
    late: int = 0
    unseen: int = 0
    now: float = 1_700_003_600.0

    @property
    def runs(self):
        return [(run, view) for view in self.projects for run in view.runs]


@pytest.fixture
def views(run_of, project_of):
    def some(loss, name):
        return run_of([{"loss": loss + 1}, {"loss": loss}, {"loss": loss + 0.5}], id="3be9c0de", name=name)

    first = project_of(some(3.0, "base"), run_of(id="77fe0000", name="77fe0000"), root="/data/a/gpt")
    second = project_of(some(1.0, "base"), root="/data/b/gpt", notes=["runwise.json: not JSON"])
    return Views((first, second, project_of(some(2.0, "small"), root="/data/vit")))


def test_rows_name_their_project_and_the_next_command_can_be_asked_from_anywhere(views, ask):
    trend = ask(ListRuns(), views.projects[2]).splitlines()[2].split()[-1]  # the curves differ by a constant
    assert ask(ALL, Everywhere(views)) == (
        "4 runs in 3 projects; lowest loss 1@1 base in b/gpt\n"
        "run project state step age loss min trend\n"
        f"base a/gpt finished 2 59m 3.5 3@1 {trend}\n"
        "77fe a/gpt finished - - - - -\n"
        f"base b/gpt finished 2 59m 1.5 1@1 {trend}\n"
        f"small vit finished 2 59m 2.5 2@1 {trend}\n"
        "! b/gpt: runwise.json: not JSON\n"
        "next: run base -C /data/a/gpt\n"
    )


def test_json_has_the_ids_as_they_are_and_the_roots(views, ask):
    found = json.loads(ask(ALL, Everywhere(views), form="json"))
    assert [(run["id"], run["root"]) for run in found["runs"]] == [
        ("3be9c0de", "/data/a/gpt"),
        ("77fe0000", "/data/a/gpt"),
        ("3be9c0de", "/data/b/gpt"),
        ("3be9c0de", "/data/vit"),
    ]


def test_conditions_and_order_are_of_all_runs_together(views, ask):
    query = ListRuns(all=True, where="id == 3be9c0de and min(loss) < 2.5", sort="min(loss)", limit=1)
    lines = ask(query, Everywhere(views)).splitlines()
    assert lines[0].startswith("2 of 4 runs where ")
    assert lines[2].startswith("base b/gpt ")
    assert "1 more: runwise list -n 2 -w 'id == 3be9c0de and min(loss) < 2.5' --sort 'min(loss)' -a" in lines


def test_what_is_not_in_it_is_said(views, ask):
    text = ask(ALL, Everywhere(views._replace(late=1, unseen=240)))
    assert "\n! 240 projects not looked at yet: ask again\n! 1 project as last looked at, not as of now\n" in text
    assert ask(ALL, Everywhere(Views(()))) == "no runs under all known projects\n"


def test_many_projects_with_long_names_keep_the_budget(run_of, project_of, ask):
    views = Views(
        tuple(
            project_of(
                *(run_of([{"loss": 1.0 * at}], id=f"{at:04}{run:04}", name="n" * 400) for run in range(30)),
                root=f"/data/{'deep/' * 40}{at}" + "\x1b[31m" + "p" * 300,
                notes=["x" * 500],
            )
            for at in range(40)
        ),
        unseen=7,
    )
    for budget in (20, 60, 300):
        assert len(ask(ALL, Everywhere(views), budget=budget)) < 8 * budget
    assert "\x1b" not in ask(ALL, Everywhere(views))


def test_a_name_that_is_no_project_or_several_is_an_error_with_the_known_ones():
    error = no_such_project("no folder 'x', and no known project's path ends so", ["/a/gpt", "/b/gpt"])
    assert error.message == "no folder 'x', and no known project's path ends so; known: a/gpt, b/gpt"
    assert error.kind is Kind.NOT_FOUND
    error = several_projects("gpt", ["/a/gpt", "/b/gpt"])
    assert (error.kind, error.message) == (Kind.AMBIGUOUS, "'gpt' is ambiguous: a/gpt, b/gpt")
