import json
import math

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.since import Since

from runwised.index.view import Condition, Line

RUNNING = Condition("running", "pid 4711 is writing", None, 4711)
DEAD = Condition("crashed", "pid 4711 is gone", None, 4711)


def rows(start, stop):
    return [(step, {"loss": 4.0 - step / 100, "lr": 0.1}) for step in range(start, stop)]


def grown(view, run_of, items, **fields):
    """The first run of a view, with other rows."""
    run = run_of(items, **{"id": "11fe0000", "name": "gpt", "condition": RUNNING, **fields})
    view.runs = [run, *view.runs[1:]]
    return run


@pytest.fixture
def view(run_of, project_of):
    live = run_of(rows(0, 20), id="11fe0000", name="gpt", condition=RUNNING)
    done = run_of(rows(0, 5), id="d0fe0000", name="done")
    return project_of(live, done)


def test_without_a_cursor_all_that_goes_on_is_told(view, ask):
    assert ask(Since(), view) == "1 running, 1 finished\ngpt running step 19 loss 3.81\n@1\n"


def test_nothing_new_is_no_output_at_all(view, ask):
    cursor = view.cursor()
    assert ask(Since(cursor=cursor), view) == ""
    assert json.loads(ask(Since(cursor=cursor), view, form="json")) == {
        "cursor": "@1",
        "full": False,
        "unknown": False,
        "runs": [],
        "states": {},
    }


def test_progress_is_told_with_the_new_best(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, rows(0, 25))
    assert ask(Since(cursor=cursor), view) == "gpt step 19→24 loss 3.76 (best 3.76@24, was 3.81)\n@2\n"


def test_a_best_that_was_there_before_is_not_new(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, [*rows(0, 20), (20, {"loss": 3.9})])
    assert ask(Since(cursor=cursor), view) == "gpt step 19→20 loss 3.9\n@2\n"


def test_the_step_may_stand_still_while_rows_are_rewound(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, [*rows(0, 20), *rows(10, 20)])
    (change,) = json.loads(ask(Since(cursor=cursor), view, form="json"))["runs"]
    assert (change["records"], change["step"], change["from_step"]) == (10, 19, 19)


def test_a_state_change_comes_first_with_its_proof(view, ask, run_of):
    cursor = view.cursor()
    fresh = run_of(rows(0, 2), id="22fe0000", name="next", condition=RUNNING)
    grown(view, run_of, rows(0, 20), condition=DEAD)
    view.runs = [fresh, *view.runs]
    assert ask(Since(cursor=cursor), view) == (
        "gpt running→crashed (pid 4711 is gone) step 19\nnext new, running step 1 loss 3.99\n@2\n"
    )


def test_a_run_whose_log_is_gone_is_told(view, ask):
    cursor = view.cursor()
    view.runs = view.runs[:1]
    assert ask(Since(cursor=cursor), view) == "d0fe0000 is gone (was finished)\n@2\n"


@pytest.mark.parametrize(("count", "beginning"), [(5, 7), (5, 8), (30, 8)])
def test_a_log_that_another_took_the_place_of_is_told_as_what_it_is_now(view, ask, run_of, count, beginning):
    grown(view, run_of, rows(0, 20), beginning=7)
    cursor = view.cursor()
    new = [(step, {"loss": 9.0 - step}) for step in range(count)]
    lines = [Line(math.nan, True, "RuntimeError: on fire")]
    grown(view, run_of, new, beginning=beginning, lines=lines)
    (change,) = json.loads(ask(Since(cursor=cursor), view, form="json"))["runs"]
    assert (change["anew"], change["records"], change["from_step"], change["bests"]) == (True, count, None, [])
    assert change["errors"] == ["RuntimeError: on fire"]
    head = f"gpt its log was begun anew: step {count - 1} loss {10 - count}\n"
    assert ask(Since(cursor=cursor), view).startswith(head)


def test_a_log_that_goes_on_though_its_origin_was_not_known_is_the_same(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, rows(0, 25), beginning=7)
    (change,) = json.loads(ask(Since(cursor=cursor), view, form="json"))["runs"]
    assert (change["anew"], change["records"]) == (False, 5)


def test_a_log_that_was_emptied_is_news(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, [])
    assert ask(Since(cursor=cursor), view) == "gpt its log was begun anew\n@2\n"


def test_a_console_that_cannot_be_read_keeps_nothing_else_from_being_told(view, ask, run_of):
    fresh = run_of(rows(0, 20), id="22fe0000", name="next", condition=RUNNING)
    view.runs = [view.runs[0], fresh]
    cursor = view.cursor()
    grown(view, run_of, rows(0, 25), lines=[Line(math.nan, True, "x")], unreadable="Permission denied")
    view.runs = [view.runs[0], run_of(rows(0, 22), id="22fe0000", name="next", condition=RUNNING)]
    assert ask(Since(cursor=cursor), view) == (
        "gpt step 19→24 loss 3.76 (best 3.76@24, was 3.81)\n"
        "! gpt what it printed cannot be read: /data/proj/output.log: Permission denied\n"
        "next step 19→21 loss 3.79 (best 3.79@21, was 3.81)\n@2\n"
    )


def test_only_the_runs_asked_about_are_told(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, rows(0, 25))
    assert ask(Since(cursor=cursor, runs=("done",)), view) == ""
    assert ask(Since(cursor=cursor, runs=("gpt",)), view).startswith("gpt step 19→24")


def test_new_findings_are_told_once(view, ask, run_of):
    first = view.cursor()
    bad = [*rows(0, 25), (25, {"loss": math.nan, "lr": 0.1})]
    grown(view, run_of, bad)
    (change,) = json.loads(ask(Since(cursor=first), view, form="json"))["runs"]
    assert [(event["kind"], event["key"], event["step"]) for event in change["events"]] == [("nonfinite", "loss", 25)]
    second = view.cursor()
    grown(view, run_of, [*bad, (26, {"loss": math.nan, "lr": 0.1})])
    (change,) = json.loads(ask(Since(cursor=second), view, form="json"))["runs"]
    assert change["events"] == []


def test_new_lines_of_error_are_quoted_and_old_ones_are_not(view, ask, run_of):
    old = Line(math.nan, True, "ValueError: an old one")
    grown(view, run_of, rows(0, 20), lines=[old])
    cursor = view.cursor()
    lines = [old, Line(math.nan, False, "step 20"), Line(math.nan, True, "RuntimeError: CUDA out of memory")]
    grown(view, run_of, rows(0, 20), lines=lines)
    assert ask(Since(cursor=cursor), view) == (
        "gpt step 19\n@2\ngpt: 1 new line of error (quoted output)\n| RuntimeError: CUDA out of memory\n"
    )


def test_a_line_of_error_that_is_not_at_its_end_is_told_when_it_is_once_and_whole(view, ask, run_of):
    def printing(*texts, unended=False):
        grown(view, run_of, rows(0, 20), lines=[Line(math.nan, True, text) for text in texts], unended=unended)

    printing("RuntimeErr", unended=True)
    first = view.cursor()
    printing("RuntimeError: on f", unended=True)
    assert ask(Since(cursor=first), view) == ""
    printing("RuntimeError: on fire")
    told = "gpt step 19\n@2\ngpt: 1 new line of error (quoted output)\n| RuntimeError: on fire\n"
    assert ask(Since(cursor=first), view) == told
    second = view.cursor()
    printing("RuntimeError: on fire", "bye")
    assert ask(Since(cursor=second), view) == ""


def test_the_last_line_of_one_that_died_has_its_end_though_none_was_printed(view, ask, run_of):
    lines = [Line(math.nan, True, "RuntimeError: on fire")]
    grown(view, run_of, rows(0, 20), lines=lines, unended=True)
    first = view.cursor()
    grown(view, run_of, rows(0, 20), lines=lines, unended=True, condition=DEAD)
    assert ask(Since(cursor=first), view).endswith("| RuntimeError: on fire\n")
    second = view.cursor()
    grown(view, run_of, rows(0, 20), lines=lines, unended=True, condition=DEAD._replace(state="failed"))
    assert "RuntimeError" not in ask(Since(cursor=second), view)


def test_lines_without_an_error_are_no_news(view, ask, run_of):
    cursor = view.cursor()
    grown(view, run_of, rows(0, 20), lines=[Line(math.nan, False, "step 20")])
    assert ask(Since(cursor=cursor), view) == ""


def test_a_cursor_that_is_not_known_is_said_and_all_is_told(view, ask):
    assert ask(Since(cursor="@77zz"), view) == (
        "! cursor @77zz is not known (any more): this is all there is\n"
        "1 running, 1 finished\ngpt running step 19 loss 3.81\n@1\n"
    )


def test_a_run_that_was_not_indexed_yet_has_made_its_steps(view, ask, run_of):
    grown(view, run_of, [], indexed=False, step=19, summary={"loss": 3.81})
    cursor = view.cursor()
    grown(view, run_of, rows(0, 25))
    assert ask(Since(cursor=cursor), view) == "gpt step 19→24 loss 3.76\n@2\n"


def test_no_such_run_is_an_error(view, ask):
    with pytest.raises(RunwiseError, match="no run 'nope'"):
        ask(Since(runs=("nope",)), view)


def test_a_hundred_runs_stay_within_the_budget(run_of, project_of, ask):
    made = [run_of(rows(0, 9), id=f"{n:04d}0000", name=f"run-{n}", condition=RUNNING) for n in range(100)]
    view = project_of(*made)
    cursor = view.cursor()
    view.runs = [run_of(rows(0, 12), id=f"{n:04d}0000", name=f"run-{n}", condition=RUNNING) for n in range(100)]
    text = ask(Since(cursor=cursor), view)
    assert text.count("\n") < 25
    assert "@2" in text
    assert "cut: 91 lines; runwise since @1 --budget" in text
