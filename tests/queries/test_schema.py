"""`schema` tells what the runs' keys support, and nothing else."""

from __future__ import annotations

import json

import pytest
from runwise_protocol.queries.schema import LearnSchema

from runwised.formats.record import Definition
from runwised.queries.respond import needed


@pytest.fixture
def learned(run_of, project_of, ask):
    def of(*rows, **fields):
        runs = [run_of([row] if isinstance(row, dict) else row, id=f"run{at}", **fields) for at, row in enumerate(rows)]
        return json.loads(ask(LearnSchema(), project_of(*runs), form="json"))

    return of


def test_losses_groups_and_validation_sets_are_told_by_their_names(learned):
    row = {"lr": 1.0, "train/lr": 1.0, "train/loss": 1.0, "val/loss": 2.0, "val/acc": 0.5, "eval/c4/ppl": 3.0}
    found = learned(row, row)
    assert found["schema"] == {
        "loss_key": "train/loss",
        "step_key": None,
        "primary_metric": "val/loss",
        "per_step_pattern": None,
        "num_steps": 0,
        "validation_sets": {"val/": "val", "eval/c4/": "eval/c4"},
        "groups": [
            {"name": "train", "display_name": "train", "metrics": {"train/loss": {}, "train/lr": {}}},
            {
                "name": "val",
                "display_name": "val",
                "metrics": {"val/loss": {"higher_is_better": False}, "val/acc": {}},
            },
            {"name": "eval", "display_name": "eval", "metrics": {"eval/c4/ppl": {}}},
        ],
    }
    assert (found["runs"], found["left_out"]) == (2, 1)


def test_numbered_losses_are_a_pattern_only_where_they_count_from_0_without_a_gap(learned):
    row = {f"train/loss_step_{at}": 1.0 for at in range(8)}
    found = learned({**row, "train/loss": 1.0, "acc_top1": 1.0, "acc_top5": 1.0})["schema"]
    assert (found["per_step_pattern"], found["num_steps"]) == ("train/loss_step_{i}", 8)
    assert found["loss_key"] == "train/loss"
    del row["train/loss_step_3"]
    assert learned(row)["schema"]["per_step_pattern"] is None


def test_the_step_key_is_declared_or_counts_up(learned):
    growing = [{"loss": 1.0, "global_step": at} for at in range(3)]
    assert learned(growing)["schema"]["step_key"] == "global_step"
    assert learned([*growing, {"global_step": 0}])["schema"]["step_key"] is None
    declared = [Definition(key="loss", step_key="tokens")]
    assert learned({"loss": 1.0, "tokens": 5}, definitions=declared)["schema"]["step_key"] == "tokens"
    assert learned({"loss": 1.0}, definitions=declared)["schema"]["step_key"] is None


def test_what_a_run_declared_goes_before_what_names_say(learned):
    found = learned({"train/score": 1.0}, definitions=[Definition(key="train/score", goal="minimize")])["schema"]
    assert found["primary_metric"] == "train/score"
    assert found["groups"][0]["metrics"] == {"train/score": {"higher_is_better": False}}


def test_what_few_runs_have_is_left_out_and_groups_are_bounded(learned):
    common = {f"a/x{at}": 1.0 for at in range(100)} | {f"g{at}/x": 1.0 for at in range(50)}
    found = learned(*[common] * 7, {**common, "rare/loss": 1.0})
    assert [len(group["metrics"]) for group in found["schema"]["groups"]] == [40] + [1] * 11
    assert found["schema"]["loss_key"] is None
    assert found["left_out"] == 151 - 51


def test_the_text_is_a_line_a_field(run_of, project_of, ask):
    row = {f"train/loss_{at}": 1.0 for at in range(3)} | {"val/acc": 1.0, "x": 2.0}
    assert ask(LearnSchema(), project_of(run_of([row]))) == (
        "learned from 1 run\n"
        "primary_metric val/acc (higher is better)\n"
        "per_step_pattern train/loss_{i}, i from 0 to 2\n"
        "validation_sets val/\n"
        "groups train 3, val 1\n"
        "1 metric in no group\n"
        "next: init --auto\n"
    )


def test_without_runs_nothing_is_learned(project_of, ask):
    assert ask(LearnSchema(), project_of(), quiet=True) == "learned from 0 runs: nothing\n"


def test_it_waits_for_runs_that_are_soon_indexed(run_of, project_of):
    view = project_of(run_of(id="cold0000", indexed=False))
    assert needed(LearnSchema(), view) == (["cold0000"], True)


def test_hostile_names_keep_the_budget(run_of, project_of, ask):
    rows = [{f"\x1b[31m{'k' * 300}{at}/loss": 1.0 for at in range(200)}]
    text = ask(LearnSchema(), project_of(run_of(rows)), budget=50)
    assert len(text) < 400
    assert "\x1b" not in text
