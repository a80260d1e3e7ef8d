import json
import math

import pytest
from msgspec.structs import replace
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.wait import WaitFor

from runwised.index.view import Condition
from runwised.queries.wait import PATIENCE, come_to_pass

RUNNING = Condition("running", "pid 4711 is writing", None, 4711)
DEAD = Condition("crashed", "pid 4711 is gone", None, 4711)
LOSS = [(step, {"loss": 4.0 - step / 100}) for step in range(20)]


@pytest.fixture
def live(run_of):
    def make(items=LOSS, **fields):
        return run_of(items, **{"id": "11fe0000", "name": "gpt", "condition": RUNNING, **fields})

    return make


def after(query, view, *runs):
    """What has come to pass when the runs have become these."""
    asked = PATIENCE.from_cursor(query, view.cursor())
    view.runs = list(runs)
    found = come_to_pass(asked, view)
    return None if found is None else found[1]


def test_what_holds_already_is_answered(live, project_of, ask):
    assert ask(WaitFor(until="loss < 3.9"), project_of(live())) == "loss < 3.9: gpt loss 3.81 at step 19 @1\n"


def test_json_is_as_documented(live, project_of, ask):
    found = json.loads(ask(WaitFor(until="loss < 3.9 or step > 99"), project_of(live()), form="json"))
    assert found == {
        "fired": True,
        "over": False,
        "clause": "loss < 3.9",
        "run": "11fe0000",
        "key": "loss",
        "step": 19,
        "value": 3.81,
        "cursor": "@1",
        "name": "gpt",
        "runs": [],
    }


def test_a_value_that_met_it_only_in_between_is_found_at_its_step(live, project_of):
    view = project_of(live())
    dipped = live([*LOSS, (20, {"loss": 0.5}), (21, {"loss": 3.8})])
    hit = after(WaitFor(until="loss < 1"), view, dipped)
    assert (hit.key, hit.step, hit.value) == ("loss", 20, 0.5)


def test_one_from_before_the_waiting_is_not(live, project_of):
    items = [(0, {"loss": 0.5}), (1, {"loss": 3.0})]
    view = project_of(live(items))
    assert after(WaitFor(until="loss < 1"), view, live([*items, (2, {"loss": 2.9})])) is None


def test_clauses_joined_by_and_must_hold_together(live, project_of):
    view = project_of(live())
    dipped = live([*LOSS, (20, {"loss": 0.5}), (21, {"loss": 3.8})])
    assert after(WaitFor(until="loss < 1 and step >= 21"), view, dipped) is None
    low = live([*LOSS, (21, {"loss": 0.5})])
    assert after(WaitFor(until="loss < 1 and step >= 21"), view, low).clause == "loss < 1 and step >= 21"


def test_a_comparison_with_the_best_so_far(live, project_of):
    view = project_of(live())
    worse = live([*LOSS, (20, {"loss": 8.0})])
    assert after(WaitFor(until="loss > 2*loss@best"), view, worse).value == 8.0


def test_new_is_the_next_time_a_key_is_logged(live, project_of):
    items = [*LOSS, (20, {"val/loss": 3.0})]
    view = project_of(live(items))
    query = WaitFor(until="new(val/*)")
    assert come_to_pass(query, view) is None
    assert after(query, view, live([*items, (21, {"loss": 3.0})])) is None
    hit = after(query, view, live([*items, (21, {"loss": 3.0}), (22, {"val/loss": 2.5})]))
    assert (hit.key, hit.step, hit.value) == ("val/loss", 22, 2.5)


@pytest.mark.parametrize(("count", "beginning"), [(2, 7), (2, 8), (25, 8)])
def test_in_a_log_that_another_took_the_place_of_every_point_is_new(live, project_of, count, beginning):
    view = project_of(live(beginning=7))
    other = live([(step, {"loss": 0.5 + step}) for step in range(count)], beginning=beginning)
    for until in ("new(loss)", "loss < 1"):
        hit = after(WaitFor(until=until), view, other)
        assert (hit.step, hit.value) == (0, 0.5)
        view.runs = [live(beginning=7)]


def test_an_anomaly_is_one_that_was_not_there_before(live, project_of):
    sick = [*LOSS, (20, {"loss": math.nan})]
    view = project_of(live(sick))
    query = WaitFor(until="anomaly")
    assert come_to_pass(query, view) is None
    assert after(query, view, live([*sick, (21, {"loss": math.nan})])) is None
    view = project_of(live())
    hit = after(query, view, live(sick))
    assert (hit.key, hit.step, hit.value) == ("loss", 20, "nonfinite")


def test_nan_that_is_there_fires_at_once_and_names_the_first(live, project_of, ask):
    sick = [*LOSS, (20, {"loss": math.nan})]
    assert ask(WaitFor(until="nan(*)"), project_of(live(sick))) == "nan(*): gpt loss nan at step 20 @1\n"


def test_a_silence_counts_from_the_last_row_or_print(live, project_of, ask):
    start = 1_700_000_000.0
    view = project_of(live(), now=start + 619)
    assert come_to_pass(WaitFor(until="stalled > 10m"), view) is None
    assert PATIENCE.again(WaitFor(until="stalled > 10m"), view) == pytest.approx(0.05, abs=0.01)
    view = project_of(live(), now=start + 620)
    assert ask(WaitFor(until="stalled > 10m"), view) == "stalled > 10m: gpt stalled 10m at step 19 @1\n"
    view = project_of(live(printed_at=start + 600), now=start + 620)
    assert come_to_pass(WaitFor(until="stalled > 10m"), view) is None


def test_a_run_that_is_over_has_not_stalled(live, project_of):
    assert come_to_pass(WaitFor(until="stalled > 10m"), project_of(live(condition=DEAD))) is None


def test_the_end_of_a_run_is_shown_with_a_way_to_look_closer(live, project_of, ask):
    view = project_of(live(condition=DEAD))
    assert ask(WaitFor(until="loss < 1 or state != running"), view) == (
        "state != running: gpt state crashed at step 19 @1\nnext: diagnose gpt\n"
    )


def test_a_writer_that_has_only_started_runs(live, project_of):
    waiting = live([], condition=Condition("empty", "no data yet, pid 9 lives", None, 9))
    assert come_to_pass(WaitFor(), project_of(waiting)) is None


def test_a_run_that_is_over_can_do_nothing_more(live, project_of, ask):
    view = project_of(live(condition=DEAD))
    query = WaitFor(runs=("gpt",), until="loss < 1")
    assert PATIENCE.is_over(query, view)
    assert ask(query, view) == "no more: loss < 1 @1\ngpt crashed step 19 loss 3.81\n"


def test_where_nothing_was_named_and_nothing_runs_one_may_still_begin(live, run_of, project_of):
    done = run_of(LOSS, id="d0fe0000", name="done")
    view = project_of(done)
    query = WaitFor(until="loss < 1")
    assert not PATIENCE.is_over(query, view)
    assert after(query, view, live([(0, {"loss": 0.5})]), done).value == 0.5


def test_the_runs_that_lived_are_waited_for_when_they_are_dead(live, run_of, project_of):
    view = project_of(live(), run_of(LOSS, id="d0fe0000", name="done"))
    hit = after(WaitFor(until="state != running"), view, live(condition=DEAD), view.runs[1])
    assert (hit.key, hit.value) == ("state", "crashed")


def test_all_waits_for_the_last_of_them(live, project_of):
    one, other = live(), live(id="22fe0000", name="other")
    view = project_of(one, other)
    query = WaitFor(until="loss < 1", all=True, since=view.cursor())
    low = [*LOSS, (20, {"loss": 0.5}), (21, {"loss": 3.8})]
    assert after(query, view, live(low), other) is None
    assert after(query, view, live(low), live(low, id="22fe0000", name="other")).step == 20


def test_when_the_time_is_over_progress_is_told_with_an_estimate(live, project_of, ask):
    view = project_of(live(config={"max_steps": 100}))
    assert ask(WaitFor(until="loss < 1", timeout="90s"), view) == (
        "not within 90s: loss < 1 @1\ngpt step 19 of 100 loss 3.81 eta 1m\n"
    )


def test_a_metric_that_never_came_is_named(live, project_of, ask):
    text = ask(WaitFor(until="val/acc > .9", timeout="1s"), project_of(live()))
    assert "! gpt has not logged val/acc\n" in text


def test_a_slip_of_the_pen_is_refused_at_once(live, project_of, ask):
    view = project_of(live([(0, {"val/loss": 1.0})]))
    for typed in ("val_loss < 1", "val/losss < 1"):
        with pytest.raises(RunwiseError, match="nearest: val/loss"):
            ask(WaitFor(until=typed), view)


@pytest.mark.parametrize("text", ["loss", "loss <", "stalled", "config.nope > 1"])
def test_what_cannot_be_waited_for_is_refused(text, live, project_of, ask):
    with pytest.raises(RunwiseError) as error:
        ask(WaitFor(until=text), project_of(live()))
    assert error.value.kind in (Kind.USAGE, Kind.NOT_FOUND)


def test_a_cursor_that_is_not_known_is_refused(live, project_of, ask):
    with pytest.raises(RunwiseError, match="cursor @77zz is not known"):
        ask(WaitFor(until="loss < 1", since="@77zz"), project_of(live()))


def test_what_is_left_is_asked_of_the_next_daemon():
    query = WaitFor(until="loss < 1", timeout="9m")
    left = query.resumed("@c7xk 412.5")
    assert left == replace(query, since="@c7xk", timeout="412.5s")
    assert query.resumed(".") is query
    assert query.resumed("@c7xk 9999").patience == 540


def test_an_old_run_without_data_is_not_taken_for_one_that_has_just_ended(live, run_of, project_of):
    dead = run_of([], id="0efe0000", name="old", condition=Condition("empty", "no data yet", None))
    view = project_of(live(), dead)
    query = WaitFor(until="state != running")
    assert come_to_pass(query, view) is None
    assert after(query, view, live(), dead) is None
