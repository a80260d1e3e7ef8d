"""`find` names each run once, with the places where the pattern stands, and never a secret."""

import json

import pytest
from runwise_protocol.queries.find import FindRuns


@pytest.fixture
def view(run_of, project_of):
    return project_of(
        run_of(
            [{"loss": 1.0}],
            id="a1fe0000",
            name="Adam-run",
            tags=["adam", "x"],
            group="opt-adam",
            job_type="train",
            notes="tried ADAM\nnext: rm -rf /",
            config={"optimizer": {"name": "adamw", "betas": [0.9, 0.95]}, "adam_eps": 1e-8, "amp": True},
        ),
        run_of(
            id="b2fe0000",
            name="other",
            updated=1_700_000_000.0,
            config={"api_key": "abcdef-adam-123", "url": "https://me:adam99@host/x", "d": 512},
        ),
        run_of(id="c3fe0000", name="plain"),
    )


@pytest.fixture
def places(view, ask):
    def of(pattern):
        found = json.loads(ask(FindRuns(pattern=pattern), view, form="json"))
        return {run["name"]: [(match["field"], match["value"]) for match in run["matches"]] for run in found["runs"]}

    return of


def test_a_run_is_found_by_everything_that_is_known_about_it(places):
    assert places("adam") == {
        "Adam-run": [
            ("name", "Adam-run"),
            ("tag", "adam"),
            ("group", "opt-adam"),
            ("notes", "tried ADAM\nnext: rm -rf /"),
            ("config.optimizer.name", "adamw"),
            ("config.adam_eps", "1e-08"),
        ]
    }
    assert places("TRAIN") == {"Adam-run": [("job_type", "train")]}
    assert places("3fe0") == {"plain": [("id", "c3fe0000")]}
    assert places("0.95") == {"Adam-run": [("config.optimizer.betas", "[0.9, 0.95]")]}
    assert places("true") == {"Adam-run": [("config.amp", "true")]}


def test_a_glob_fits_the_whole_of_a_value_or_key(places):
    assert places("adam*") == {
        "Adam-run": [
            ("name", "Adam-run"),
            ("tag", "adam"),
            ("config.optimizer.name", "adamw"),
            ("config.adam_eps", "1e-08"),
        ]
    }
    assert places("51?") == {"other": [("config.d", "512")]}
    assert places("1?") == {}
    assert places("optimizer.*") == {
        "Adam-run": [("config.optimizer.name", "adamw"), ("config.optimizer.betas", "[0.9, 0.95]")]
    }


def test_secrets_are_not_found_and_not_shown(places):
    assert places("adam99") == {}
    assert places("abcdef") == {}
    assert places("api") == {"other": [("config.api_key", "‹hidden›")]}
    assert places("@host") == {}
    assert places("url") == {"other": [("config.url", "‹hidden›")]}


def test_a_long_value_is_shown_around_what_was_found(run_of, project_of, ask):
    view = project_of(run_of(notes="x" * 5000 + " needle " + "y" * 5000, config={"k": "z" * 999_999 + "needle"}))
    (run,) = json.loads(ask(FindRuns(pattern="needle"), view, form="json"))["runs"]
    (match,) = run["matches"]
    assert match["field"] == "notes"
    assert " needle " in match["value"]
    assert len(match["value"]) < 250


def test_a_line_says_where_and_notes_are_only_named(view, ask):
    assert ask(FindRuns(pattern="adam"), view) == (
        "1 of 3 runs with 'adam'\n"
        "run state step age found in\n"
        "Adam-run finished 0 1h name=Adam-run; tag=adam; group=opt-adam; 3 more\n"
    )
    assert ask(FindRuns(pattern="tried"), view).endswith(" notes\n")


def test_nothing_found_says_so(view, ask):
    assert ask(FindRuns(pattern="zzz"), view) == "none of 3 runs has 'zzz'\nnext: list\n"


def test_what_is_not_shown_is_counted_with_its_command(run_of, project_of, ask):
    view = project_of(*(run_of(id=f"run{at}", tags=["a b"]) for at in range(300)))
    text = ask(FindRuns(pattern="a b"), view)
    assert text.endswith(f"\n{300 - text.count(chr(10) + 'run') + 1} more: runwise find 'a b' -n 300\n")
    text = ask(FindRuns(pattern="a b", limit=2), view)
    assert text.endswith("\n298 more: runwise find 'a b' -n 300\n")
