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
        "gpt (pid 4711) step 1196 4 steps/s last row 3s ago; loss 2.5 acc .5\n"
    )


def test_json_holds_rate_silence_and_values(live, project_of, ask):
    assert json.loads(ask(Live(), project_of(live, now=1_700_000_302.0), form="json")) == {
        "runs": [
            {
                "id": "11fe0000",
                "name": "gpt",
                "state": "running",
                "proof": "pid 4711",
                "step": 1196,
                "steps_per_second": 4.0,
                "silent_seconds": 3.0,
                "metrics": {"loss": 2.5, "acc": 0.5},
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
        "f0fe (pid 4711) no step yet last row 10s ago\nf1fe (pid 4711) step 0 last row 1h ago; loss nan\n"
    )


def test_a_run_not_indexed_yet_shows_its_summary(run_of, project_of, ask):
    cold = run_of(id="c0fe0000", condition=RUNNING, indexed=False, step=70, summary={"loss": 2.5})
    assert ask(Live(), project_of(cold)) == (
        "c0fe (pid 4711) step 70; loss 2.5\n! c0fe: not indexed yet: last values only; statistics and curves follow\n"
    )


def test_a_schema_gives_the_format(live, project_of, ask):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"acc": {"format": ".0%"}}}]}}'
    text = ask(Live(), project_of(live, config=RunwiseConfig.parse(schema)))
    assert text.endswith("; acc 50% loss 2.5\n")


def test_a_writer_that_has_not_written_yet_is_shown(run_of, project_of, ask):
    waiting = run_of([], id="11fe0000", name="new", condition=Condition("empty", "no data yet, pid 9 lives", None, 9))
    gone = run_of([], id="22fe0000", name="old", condition=Condition("empty", "no data yet, pid 8 is gone", None))
    found = json.loads(ask(Live(), project_of(waiting, gone), form="json"))["runs"]
    assert [run["id"] for run in found] == ["11fe0000"]
