import json
import math

import pytest
from runwise_protocol.queries.live import Live

from runwised.index.view import Condition
from runwised.settings import RunwiseConfig

RUNNING = Condition("running", "pid 4711", None, 4711)


@pytest.fixture
def live(run_of):
    rows = [(step * 4, {"loss": 2.5, "acc": 0.5}) for step in range(300)]
    return run_of(rows, id="11fe0000", name="gpt", condition=RUNNING)


def test_a_running_run_is_one_line(live, run_of, project_of, ask):
    done = run_of([{"loss": 1.0}], id="d0fe0000", name="done")
    assert ask(Live(), project_of(live, done, now=1_700_000_302.0)) == (
        "gpt (pid 4711) step 1196 4 steps/s last row 3s ago; loss 2.5 acc .5\n@1\n"
    )


def test_json_holds_rate_silence_and_values(live, project_of, ask):
    assert json.loads(ask(Live(), project_of(live, now=1_700_000_302.0), form="json")) == {
        "runs": [
            {
                "id": "11fe0000",
                "name": "gpt",
                "state": "running",
                "proof": "pid 4711",
                "pid": 4711,
                "step": 1196,
                "steps_per_second": 4.0,
                "overall_steps_per_second": 4.0,
                "total_steps": None,
                "total_source": None,
                "eta_seconds": None,
                "silent_seconds": 3.0,
                "usual_seconds": 1.0,
                "stalled": None,
                "heard_seconds": 3.0,
                "metrics": {"loss": 2.5, "acc": 0.5},
                "best": {"loss": {"value": 2.5, "step": 0}, "acc": {"value": 0.5, "step": 0}},
            }
        ]
    }


def test_nothing_running_names_the_latest_run(run_of, project_of, ask):
    done = run_of([{"loss": 1.0}], id="d0fe0000", name="done")
    assert ask(Live(), project_of(done)) == "nothing is running\nlatest: done finished 1h ago\nnext: run done\n"


def test_no_runs_at_all(project_of, ask):
    assert ask(Live(), project_of()) == "nothing is running\n"


def test_a_run_that_has_only_started_has_no_rate(run_of, project_of, ask):
    fresh = run_of(id="f0fe0000", condition=RUNNING, updated=1_700_003_590.0)
    one = run_of([{"loss": math.nan}], id="f1fe0000", condition=RUNNING)
    assert ask(Live(), project_of(fresh, one)) == (
        "f0fe (pid 4711) no step yet last row 10s ago\nf1fe (pid 4711) step 0 last row 1h ago; loss nan\n@1\n"
    )


def test_a_run_not_indexed_yet_shows_its_summary(run_of, project_of, ask):
    cold = run_of(id="c0fe0000", condition=RUNNING, indexed=False, step=70, summary={"loss": 2.5})
    assert ask(Live(), project_of(cold)) == (
        "c0fe (pid 4711) step 70; loss 2.5\n"
        "! c0fe: not indexed yet: last values only; statistics and curves follow\n@1\n"
    )


def test_a_schema_gives_the_format(live, project_of, ask):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"acc": {"format": ".0%"}}}]}}'
    text = ask(Live(), project_of(live, config=RunwiseConfig.parse(schema), now=1_700_000_302.0))
    assert text.endswith("; acc 50% loss 2.5\n@1\n")


def test_a_writer_that_has_not_written_yet_is_shown(run_of, project_of, ask):
    waiting = run_of([], id="11fe0000", name="new", condition=Condition("empty", "no data yet, pid 9 lives", None, 9))
    gone = run_of([], id="22fe0000", name="old", condition=Condition("empty", "no data yet, pid 8 is gone", None))
    found = json.loads(ask(Live(), project_of(waiting, gone), form="json"))["runs"]
    assert [run["id"] for run in found] == ["11fe0000"]


def test_a_run_that_is_silent_for_many_of_its_pauses_has_stalled(live, project_of, ask):
    assert ask(Live(), project_of(live, now=1_700_000_345.0)).splitlines()[1] == (
        "! gpt stalled 46×: no row for 46s, usually every 1s"
    )


def test_what_it_prints_meanwhile_is_told(run_of, project_of, ask):
    rows = [{"loss": 2.0}] * 20
    busy = run_of(rows, id="11fe0000", name="gpt", condition=RUNNING, printed_at=1_700_000_060.0)
    assert ask(Live(), project_of(busy, now=1_700_000_065.0)).splitlines()[1] == (
        "! gpt stalled 46×: no row for 46s, usually every 1s; it printed something 5s ago"
    )


def test_pauses_it_takes_now_and_then_are_no_stall(project_of, run_of, ask):
    rows = [(step, {"loss": 2.0}) for step in range(40)]
    run = run_of(rows, id="11fe0000", condition=RUNNING)
    late = [row._replace(time=row.time + (60 if row.step >= 20 else 0)) for row in run.history.all_rows]
    run.history.all_rows[:] = late
    now = late[-1].time
    assert "stalled" not in ask(Live(), project_of(run, now=now + 80))
    assert "stalled" in ask(Live(), project_of(run, now=now + 100))


def test_the_configuration_tells_when_it_will_be_through(run_of, project_of, ask):
    rows = [(step * 4, {"loss": 3.0 - step / 300}) for step in range(300)]
    run = run_of(rows, id="11fe0000", name="gpt", condition=RUNNING, config={"max_steps": 2396})
    assert ask(Live(), project_of(run, now=1_700_000_299.0)) == (
        "gpt (pid 4711) step 1196 of 2396 4 steps/s eta 5m last row now; loss 2.003\n@1\n"
    )


def test_of_another_host_only_growth_tells(run_of, project_of, ask):
    far = run_of([{"loss": 1.0}], id="11fe0000", condition=Condition("running", "grew 5 s ago, host box", None))
    assert "(grew 5 s ago, host box, by silence)" in ask(Live(), project_of(far))


def test_the_best_value_stands_beside_the_latest(run_of, project_of, ask):
    run = run_of([{"loss": 2.0}, {"loss": 1.0}, {"loss": 1.5}], id="11fe0000", condition=RUNNING)
    assert "; loss 1.5 (best 1@1)\n" in ask(Live(), project_of(run))
