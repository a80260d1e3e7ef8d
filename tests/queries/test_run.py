import json
import math

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.diagnose import Diagnose
from runwise_protocol.queries.run import Latest, ShowRun

from runwised.formats.record import Alert, Definition
from runwised.index.view import Condition, Rewind, Source
from runwised.settings import RunwiseConfig

PERCENT = b'{"schema_inline": {"groups": [{"metrics": {"acc": {"format": ".1%", "higher_is_better": true}}}]}}'


def falling(count):
    """A training loss at every step, a validation loss at every tenth."""
    rows = [{"train/loss": 2 + 8 * 0.97**step, "lr": 0.0003} for step in range(count)]
    for row in rows[9::10]:
        row["val/loss"] = row["train/loss"] + 0.1
    return rows


@pytest.fixture
def good(run_of):
    config = {
        "lr": 3e-4,
        "batch_size": 480,
        "model": {"layers": 12, "name": "big one"},
        "hub_token": "abcdefgh",
        "sizes": [1, 2],
    }
    return run_of(falling(200), name="good", config=config)


def test_a_healthy_run_is_its_state_its_curves_and_its_settings(good, project_of, ask):
    assert ask(ShowRun(), project_of(good)) == (
        "good 3be9c0de finished step 199, ran 3m, 56m ago\n"
        "val/loss 8.182→2.119 974221000000000\n"
        "train/loss 10→2.019 964211000000000\n"
        'lr=.0003 batch_size=480 model.layers=12 model.name="big one" | 2 more: runwise config good\n'
        "1 more metric: runwise stats good\n"
    )


def test_a_person_sees_sparklines_and_the_whole_numbers(good, project_of, ask):
    assert ask(ShowRun(run="good"), project_of(good), dress="human") == (
        "good 3be9c0de finished step 199, ran 3m, 56m ago\n"
        "val/loss 8.182→2.119 █▆▄▃▂▂▁▁▁▁▁▁▁▁▁\n"
        "train/loss 10→2.019 █▆▄▃▂▂▁▁▁▁▁▁▁▁▁\n"
        'lr=0.0003 batch_size=480 model.layers=12 model.name="big one" | 2 more: runwise config good\n'
        "1 more metric: runwise stats good\n"
    )


def test_trends_can_be_left_out(good, project_of, ask):
    text = ask(ShowRun(no_spark=True), project_of(good))
    assert "val/loss 8.182→2.119\ntrain/loss 10→2.019\n" in text


def test_json_holds_every_metric_and_hides_secrets(good, project_of, ask):
    found = json.loads(ask(Latest(), project_of(good), form="json"))
    assert list(found) == ["run", "metrics", "summary"]
    assert found["run"] == {
        "id": "3be9c0de",
        "name": "good",
        "project": "demo",
        "state": "finished",
        "exit_code": 0,
        "created": "2023-11-14T22:13:20Z",
        "updated": "2023-11-14T22:16:39Z",
        "step": 199,
        "rows": 200,
        "tags": [],
        "group": None,
        "sources": [{"path": "wandb/run-3be9c0de/run-3be9c0de.wandb", "format": "wandb", "bytes": 4096}],
        "proof": "exit code 0",
        "root": None,
        "host": "trainbox",
        "config": {
            "lr": 3e-4,
            "batch_size": 480,
            "model": {"layers": 12, "name": "big one"},
            "hub_token": "‹hidden›",
            "sizes": [1, 2],
        },
        "notes": None,
        "segments": 1,
        "rewinds": 0,
        "damaged_bytes": 0,
        "indexed": True,
        "from_console": [],
    }
    assert list(found["metrics"]) == ["train/loss", "lr", "val/loss"]
    assert found["metrics"]["train/loss"]["first"] == 10.0
    assert found["metrics"]["train/loss"]["last"] == 2 + 8 * 0.97**199


def test_csv_is_one_line_a_metric(good, project_of, ask):
    lines = ask(Latest(), project_of(good), form="csv").splitlines()
    assert lines[0].startswith("key,count,nonfinite,first,last,last_finite,last_step,min,min_step")
    assert [line.split(",")[0] for line in lines[1:]] == ["train/loss", "lr", "val/loss"]


@pytest.fixture
def diverged(run_of):
    rows = falling(120)
    for row in rows[100:]:
        row.update(dict.fromkeys(row, math.nan))
    rows[98]["grad_norm"], rows[99]["grad_norm"] = 3.5, math.inf
    return run_of(rows, name="bad")


def test_a_diverged_run_says_what_turned_first_and_where(diverged, project_of, ask):
    assert ask(Latest(), project_of(diverged)) == (
        "bad 3be9c0de finished step 119, ran 1m, 58m ago\n"
        "val/loss 8.182→nan min 2.492@99 9753211000nn\n"
        "train/loss 10→nan min 2.392@99 975432110000nnn\n"
        "! grad_norm first inf@99, 1 of 2 points, last one too\n"
        "! train/loss first nan@100, 20 of 120 points, last one too\n"
        "! lr first nan@100, 20 of 120 points, last one too; 1 more metric with some\n"
        "2 more metrics: runwise stats bad\n"
        "next: history bad -k grad_norm --around 99\n"
    )


def test_oddities_can_be_left_out(diverged, project_of, ask):
    text = ask(Latest(no_anomalies=True), project_of(diverged))
    assert "!" not in text
    assert "next" not in text


def test_a_metric_that_is_finite_again_says_so(run_of, project_of, ask):
    run = run_of([{"loss": value} for value in (3.0, 2.0, math.nan, 1.0)])
    assert "! loss first nan@2, 1 of 4 points, finite at the end\n" in ask(Latest(), project_of(run))


def test_a_validation_loss_that_turned_up_says_so(run_of, project_of, ask):
    losses = [9, 6, 4, 3, 2.5, 2.4, 2.6, 2.9, 3.1, 3.4]
    accuracies = [0.1, 0.3, 0.5, 0.6, 0.7, 0.72, 0.71, 0.7, 0.69, 0.66]
    run = run_of([{"val/loss": a, "acc": b} for a, b in zip(losses, accuracies, strict=True)], name="overfit")
    assert ask(Latest(), project_of(run)) == (
        "overfit 3be9c0de finished step 9, ran 9s, 59m ago\n"
        "val/loss 9→3.4 min 2.4@5 9520000011\n"
        "acc .1→.66 max .72@5 0368999999\n"
        "! val/loss up to 3.4 from 2.4@5\n"
        "next: history overfit -k val/loss\n"
    )


def test_noise_on_a_plateau_is_nothing_odd(run_of, project_of, ask):
    noise = [0.01 * (at * 7919 % 100) / 100 for at in range(400)]
    run = run_of([{"val/loss": 0.5 + value, "acc": 0.9 - value} for value in noise])
    assert "!" not in ask(Latest(), project_of(run))


def test_a_spike_of_one_row_is_shown_where_it_leaves_the_line(run_of, project_of, ask):
    run = run_of([{"loss": 42.0 if step == 777 else 2.0} for step in range(1000)], name="spike")
    assert "loss 2→2 max 42@777 000000000009000\n" in ask(Latest(), project_of(run))


def test_a_crashed_run_names_the_proof_and_the_last_line(run_of, project_of, ask):
    run = run_of(falling(30), condition=Condition("crashed", "pid 4711 is gone", None, 4711), lines=["epoch 2", ""])
    assert ask(Latest(), project_of(run)) == (
        "3be9c0de crashed (pid 4711 is gone) step 29, ran 29s, 59m ago\n"
        "val/loss 8.182→5.407 940\n"
        "train/loss 10→5.307 988765433221000\n"
        "1 more metric: runwise stats 3be9\n"
        "last line (quoted output):\n"
        "| epoch 2\n"
        "next: log 3be9\n"
    )


TRACEBACK = [
    "epoch 1",
    "Traceback (most recent call last):",
    '  File "train.py", line 3, in main',
    "    step(model)",
    '  File "model.py", line 9, in step',
    "    raise ValueError(x)",
    "ValueError: bad batch \x1b[31m!",
    "wandb: You can sync this run",
]


def test_a_failed_run_quotes_what_was_raised_and_where(run_of, project_of, ask):
    run = run_of(falling(30), condition=Condition("failed", "exit code 1", 1), lines=TRACEBACK)
    assert ask(Latest(), project_of(run)) == (
        "3be9c0de failed(1) step 29, ran 29s, 59m ago\n"
        "val/loss 8.182→5.407 940\n"
        "train/loss 10→5.307 988765433221000\n"
        "1 more metric: runwise stats 3be9\n"
        "last error (quoted output):\n"
        '| File "model.py", line 9, in step\n'
        "| ValueError: bad batch !\n"
        "next: log 3be9 --errors\n"
    )


def test_a_rank_s_mark_before_each_line_is_left_out(run_of, project_of, ask):
    lines = [f"[rank0]: {line}" for line in TRACEBACK[1:7]]
    run = run_of(falling(3), condition=Condition("failed", "exit code 1", 1), lines=lines)
    assert '| File "model.py", line 9, in step\n| ValueError: bad batch !\n' in ask(Latest(), project_of(run))


def test_what_is_no_number_of_its_own_is_no_summary(run_of, project_of, ask):
    summary = {"img": {"_type": "image-file", "width": 8}, "_wandb": {"runtime": 3}, "opt": {"x": 0.5}, "on": True}
    assert "summary opt.x=.5\n" in ask(Latest(), project_of(run_of([{"loss": 1.0}], summary=summary)))


def test_the_state_is_coloured_at_a_terminal(run_of, project_of, ask):
    run = run_of(falling(30), condition=Condition("failed", "exit code 1", 1))
    text = ask(Latest(), project_of(run), dress="human", color=True)
    assert text.startswith("3be9c0de \x1b[31mfailed(1)\x1b[0m step 29, ran 29s, 59m ago\n")


def test_a_running_run_says_what_is_not_read_yet(run_of, project_of, ask):
    condition = Condition("running", "pid 4711", None, 4711)
    sources = [Source("wandb/x", "wandb", 10**9, 98_000_000)]
    run = run_of(falling(20), name="gpt", condition=condition, sources=sources)
    assert ask(Latest(), project_of(run)) == (
        "gpt 3be9c0de running (pid 4711) step 19, started 1h ago, updated 59m ago\n"
        "val/loss 8.182→6.585\n"
        "train/loss 10→6.485 988765443221100\n"
        "! 98 MB of its log not read yet\n"
        "1 more metric: runwise stats gpt\n"
        "@1\n"
    )


@pytest.mark.parametrize(
    ("state", "form", "is_said"), [("ended", "csv", True), ("running", "csv", False), ("ended", "text", False)]
)
def test_a_line_that_was_never_finished_is_said_of_a_run_that_goes_on_no_more(
    run_of, project_of, ask, state, form, is_said
):
    sources = [Source("logs/x", form, 1000, 0, 12)]
    run = run_of(falling(20), condition=Condition(state, "silent", None), sources=sources)
    assert ("! incomplete last line, 12 bytes: logs/x\n" in ask(Latest(), project_of(run))) == is_said


def test_a_run_not_indexed_yet_shows_what_its_log_told(run_of, project_of, ask):
    run = run_of(
        name="cold",
        indexed=False,
        step=41200,
        summary={
            "val/loss": {"min": 2.3, "last": 2.31},
            "acc": {"max": 0.5},
            "_step": 41200,
            "opt": {"lr": 3e-4},
            "note": "x",
        },
        condition=Condition("unknown", "no growth for 3h, host trainbox", None),
        updated=1_700_000_060.0,
    )
    assert ask(Latest(), project_of(run)) == (
        "cold 3be9c0de unknown (no growth for 3h, host trainbox) step 41200, ran 1m, 59m ago\n"
        "val/loss 2.31\n"
        "! not indexed yet: last values only; statistics and curves follow\n"
        "1 more metric: runwise stats cold\n"
    )


def test_an_empty_run_is_one_line(run_of, project_of, ask):
    run = run_of(condition=Condition("empty", "header only", None), updated=1_700_000_000.0)
    assert ask(Latest(), project_of(run)) == "3be9c0de no data yet, started 1h ago\n"


def test_damage_rewinds_segments_alerts_and_labels_are_said(run_of, project_of, ask):
    run = run_of(
        [(step, {"loss": 5.0 - step}) for step in (0, 1, 2, 3, 1, 2)],
        name="odd",
        segments=2,
        damage={"checksum": 12000, "torn": 3},
        group="g",
        tags=["a", "b"],
        notes="see the wiki",
        summary={"best_acc": 0.93, "loss": {"min": 2.0}},
        alerts=[Alert(1, "title", "text", "INFO")],
    )
    assert ask(Latest(), project_of(run)) == (
        "odd 3be9c0de finished step 2, started 2 times, ran 5s, 59m ago\n"
        "loss 5→3 950\n"
        "! damaged bytes passed over: checksum 12 kB, torn 3 B\n"
        "! went back once from step 3 to 1: 3 rows taken back\n"
        "1 alert: runwise notes odd\n"
        "group g, tags a,b, has notes: runwise notes odd\n"
        "summary best_acc=.93\n"
    )


def test_many_rewinds_are_counted_together(run_of, project_of, ask):
    run = run_of(falling(3), rewinds=[Rewind(4, 30, 20, 10), Rewind(9, 40, 35, 5)])
    assert "! went back 2 times, last from step 40 to 35: 15 rows taken back\n" in ask(Latest(), project_of(run))


def test_percent_is_shown_only_where_the_schema_says_so(run_of, project_of, ask):
    run = run_of([{"acc": 0.1, "loss": 0.2122}, {"acc": 0.5, "loss": 0.21}, {"acc": 0.4, "loss": 0.2}])
    view = project_of(run, config=RunwiseConfig.parse(PERCENT))
    assert ask(Latest(), view).splitlines()[1:3] == ["acc 10.0%→40.0% max 50.0%@1 097", "loss .2122→.2 980"]


def test_define_metric_decides_which_metrics_matter(run_of, project_of, ask):
    rows = [{"aux": 1.0 * step, "train/loss": 1.0, "seen": 2.0 - step} for step in range(3)]
    definitions = [Definition(key="seen", goal="minimize"), Definition(key="train/*", glob=True, hidden=True)]
    lines = ask(Latest(), project_of(run_of(rows, definitions=definitions))).splitlines()
    assert lines[1] == "seen 2→0 950"
    assert not any(line.startswith("train/loss") for line in lines)


def test_a_run_with_no_known_metric_shows_its_first_ones(run_of, project_of, ask):
    rows = [{"epoch": step, "alpha": 1.0 + step, "beta": 2.0} for step in range(3)]
    assert ask(Latest(), project_of(run_of(rows))).splitlines()[1:] == [
        "alpha 1→3 059",
        "beta 2→2 flat",
        "1 more metric: runwise stats 3be9",
    ]


@pytest.mark.parametrize("budget", [20, 40, 80, 160])
def test_a_small_budget_keeps_the_first_line_and_says_what_was_cut(budget, diverged, project_of, ask):
    text = ask(Latest(), project_of(diverged), budget=budget)
    assert text.startswith("bad 3be9c0de finished")
    assert "--budget" in text.splitlines()[-1] or budget == 160


def test_a_run_that_is_not_there_is_an_error(good, project_of, ask):
    with pytest.raises(RunwiseError, match="no run 'god'; nearest: good"):
        ask(ShowRun(run="god"), project_of(good))


def test_a_project_without_runs_is_an_error(project_of, ask):
    with pytest.raises(RunwiseError, match="no runs under /data/proj"):
        ask(Latest(), project_of())


def test_a_run_whose_writer_has_written_nothing_yet_names_the_writer(run_of, project_of, ask):
    waiting = run_of([], id="11fe0000", name="new", condition=Condition("empty", "no data yet, pid 9 lives", None, 9))
    assert ask(ShowRun(), project_of(waiting)).splitlines()[0].startswith("new 11fe0000 no data yet (pid 9 lives)")
    gone = run_of([], id="11fe0000", name="new", condition=Condition("empty", "no data yet, pid 9 is gone", None))
    assert ask(ShowRun(), project_of(gone)).splitlines()[0].startswith("new 11fe0000 no data yet (pid 9 is gone)")
    assert ask(Diagnose(), project_of(gone)).splitlines()[0].startswith("new no data yet (pid 9 is gone)")
