import json
import math

import numpy as np
import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import CheckHealth, Diagnose

from runwised.index.view import Condition
from runwised.settings import AnomalyDetection, RunwiseConfig

CRASHED = Condition("crashed", "pid 4711 is gone", None)


def loss_of(n, seed=1):
    return 2 + 2 * (1 + np.arange(n) / (0.02 * n)) ** -0.5 + 0.02 * np.random.default_rng(seed).normal(size=n)


def rows_of(**curves):
    return [dict(zip(curves, map(float, values), strict=True)) for values in zip(*curves.values(), strict=True)]


@pytest.fixture
def diagnosed(project_of, ask):
    def of(run, **fields):
        return json.loads(ask(Diagnose(), project_of(run, **fields), form="json"))

    return of


def test_a_healthy_run_is_one_line_that_says_what_was_checked(run_of, project_of, ask, diagnosed):
    run = run_of(rows_of(loss=loss_of(200)), name="fine")
    assert ask(Diagnose(), project_of(run)) == (
        "fine finished (exit code 0), step 199: healthy; checked 1 key, 200 points for nan, divergence, spike,"
        " frozen values, plateau, stall\n"
    )
    found = diagnosed(run)
    assert found["verdict"] == "healthy"
    assert (found["cause"], found["events"], found["first_bad"], found["last_good_step"]) == (None, [], [], 199)


@pytest.mark.parametrize("at", [3000, 10_001, 19_990])
def test_a_spike_of_one_row_among_twenty_thousand_is_found(run_of, diagnosed, at):
    values = loss_of(20_000)
    values[at] = 9.0
    found = diagnosed(run_of(rows_of(loss=values)))
    assert found["verdict"] == "trouble"
    assert [(e["kind"], e["step"], e["end_step"], e["value"]) for e in found["events"]] == [("spike", at, at + 1, 9.0)]
    assert (found["last_good_step"], found["cause"]) == (at - 1, None)


@pytest.mark.parametrize("points", [4, 6, 12, 40])
@pytest.mark.parametrize("high", [1, 3])
def test_a_validation_loss_that_ends_at_13_5_is_not_healthy(run_of, project_of, ask, diagnosed, points, high):
    rows = rows_of(loss=loss_of(points * 20))
    values = loss_of(points, seed=4)
    values[points - high :] = 13.5
    for at, value in enumerate(values):
        rows[at * 20 + 19]["val/loss"] = float(value)
    run = run_of(rows)
    found = diagnosed(run)
    assert found["verdict"] == "trouble"
    (first,) = (point["step"] for point in found["first_bad"] if point["key"] == "val/loss")
    assert (points - high - 3) * 20 <= first <= (points - high) * 20 + 19
    assert found["last_good_step"] < (points - high) * 20 + 19
    assert "13.5" in ask(Diagnose(), project_of(run))
    assert "0 of 1 run healthy" in ask(CheckHealth(), project_of(run))


def test_where_no_loss_is_recognised_nobody_is_told_that_all_is_well(run_of, project_of, ask, diagnosed):
    run = run_of([{"reward": float(n)} for n in range(100)])
    assert diagnosed(run)["verdict"] == "unsure"
    text = ask(Diagnose(), project_of(run))
    assert (
        "nothing found, but no loss could be judged; checked 1 key, 100 points for nan, stall; for nan alone reward"
        in text
    )
    assert "0 of 1 run healthy; 1 with no loss that could be judged" in ask(CheckHealth(), project_of(run))


def test_a_loss_of_few_points_is_not_called_healthy(run_of, diagnosed):
    found = diagnosed(run_of(rows_of(loss=[3.0, 2.0, 1.5])))
    assert (found["verdict"], found["checked"]["too_short"]) == ("unsure", ["loss"])


def test_a_run_not_indexed_yet_is_not_called_healthy(run_of, project_of, ask, diagnosed):
    run = run_of(indexed=False, summary={"loss": 1.0})
    assert diagnosed(run)["verdict"] == "unsure"
    assert "healthy" not in ask(Diagnose(), project_of(run))
    assert "1 not indexed yet, not checked" in ask(CheckHealth(), project_of(run))


def test_damage_is_told_beside_a_healthy_verdict(run_of, project_of, ask):
    run = run_of(rows_of(loss=loss_of(200)), name="fine", damage={"checksum": 900})
    assert ask(Diagnose(), project_of(run)).endswith("! fine: damaged bytes passed over: checksum 900 B\n")


def test_what_went_bad_first_comes_first_and_the_last_good_step_is_before_it(run_of, project_of, ask, diagnosed):
    loss, norm = loss_of(1000), 1 + 0.05 * np.random.default_rng(2).normal(size=1000)
    norm[900:] *= 1.3 ** np.arange(100)
    loss[920:] += 0.05 * np.arange(80) ** 1.5
    loss[980:] = math.nan
    run = run_of(rows_of(loss=loss, grad_norm=norm), name="hot")
    found = diagnosed(run)
    assert [point["key"] for point in found["first_bad"]] == ["grad_norm", "loss"]
    first, then = (point["step"] for point in found["first_bad"])
    assert 895 <= first <= 912
    assert first < then <= 960
    assert found["last_good_step"] == first - 1
    assert found["cause"] == "gradient_explosion"
    assert {"kind": "nonfinite", "step": 980, "end_step": None, "value": "NaN"}.items() <= next(
        event for event in found["events"] if event["kind"] == "nonfinite"
    ).items()
    text = ask(Diagnose(), project_of(run))
    assert f"last good step {first - 1}; first bad: grad_norm {first} → loss {then}\n" in text
    around = then - first
    assert f"next: history hot -k grad_norm,loss --from {first - around} --to {then + around}\n" in text


def test_a_spike_it_came_back_from_does_not_hide_the_last_good_step(run_of, diagnosed):
    values = loss_of(2000)
    values[500] = 9.0
    values[1500:] += np.linspace(3, 9, 500)
    found = diagnosed(run_of(rows_of(loss=values)))
    assert [event["kind"] for event in found["events"]] == ["spike", "divergence"]
    assert found["cause"] == "divergence"
    assert found["last_good_step"] == found["first_bad"][0]["step"] - 1 >= 1490


def test_a_metric_that_was_never_computed_does_not_make_every_step_bad(run_of, project_of, ask, diagnosed):
    run = run_of([{"loss": float(v), "extra": math.nan} for v in loss_of(200)])
    assert "finished: nan on extra; last good step 199\n" in ask(CheckHealth(), project_of(run))
    found = diagnosed(run)
    assert [event["key"] for event in found["events"]] == ["extra"]
    assert (found["first_bad"], found["last_good_step"]) == ([], 199)


def test_a_loss_that_never_was_finite_has_no_good_step(run_of, diagnosed):
    found = diagnosed(run_of([{"loss": math.nan}] * 50))
    assert (found["first_bad"], found["last_good_step"]) == ([{"key": "loss", "step": 0}], None)


def test_why_it_died_is_told_in_words_of_ours_and_quoted_last(run_of, project_of, ask, diagnosed):
    lines = [
        "Saving checkpoint to out/step_100.pt",
        "Traceback (most recent call last):",
        '  File "train.py", line 3, in <module>',
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB, token=hf_abcdefghijklmnopqrstuv",
    ]
    ended = Condition("failed", "exit code 1", 1)
    system = [{"gpu.0.memoryAllocated": 81.5, "cpu": 3.0}, {"gpu.0.memoryAllocated": 97.5, "cpu": 3.0}]
    run = run_of(rows_of(loss=loss_of(200)), name="big", lines=lines, condition=ended, system=system)
    assert ask(Diagnose(), project_of(run)) == (
        "big failed(1), step 199\n"
        "cause: GPU out of memory\n"
        "last good step 199; no metric went bad\n"
        "memory at the end: gpu.0.memoryAllocated 97.5%, max 97.5%\n"
        "checked 1 key, 200 points for nan, divergence, spike, frozen values, plateau, stall;"
        " too few points to judge gpu.0.memoryAllocated\n"
        "what ended it, then last checkpoint saved (quoted output):\n"
        '| File "train.py", line 3, in <module>\n'
        "| torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB, token=‹hidden›\n"
        "| out/step_100.pt\n"
        "next: log big --errors\n"
    )
    found = diagnosed(run)
    assert found["checkpoint"] == "out/step_100.pt"
    assert found["memory"] == [{"key": "gpu.0.memoryAllocated", "last": 97.5, "max": 97.5}]
    assert "hf_" not in json.dumps(found)


def test_a_run_that_vanished_without_a_word_is_no_healthy_one(run_of, project_of, ask):
    run = run_of(rows_of(loss=loss_of(200)), name="gone", condition=CRASHED)
    assert "no cause: neither its console, its exit code nor its curves tell one" in ask(Diagnose(), project_of(run))


def test_a_log_that_cannot_say_how_it_ended_is_judged_by_its_console(run_of, diagnosed):
    ended = Condition("ended", "", None)
    fine = run_of(rows_of(loss=loss_of(200)), lines=["epoch 3"], condition=ended)
    full = run_of(rows_of(loss=loss_of(200)), lines=["OSError: [Errno 28] No space left on device"], condition=ended)
    assert diagnosed(fine)["verdict"] == "healthy"
    assert (diagnosed(full)["verdict"], diagnosed(full)["cause"]) == ("trouble", "disk full")


def test_thresholds_are_those_of_the_project(run_of, diagnosed):
    values = loss_of(2000)
    values[1200] += 0.4
    assert len(diagnosed(run_of(rows_of(loss=values)))["events"]) == 1
    config = RunwiseConfig(anomaly_detection=AnomalyDetection(spike_threshold=100.0))
    assert diagnosed(run_of(rows_of(loss=values)), config=config)["events"] == []


def test_many_events_are_grouped_by_metric_and_kind(run_of, project_of, ask):
    values = loss_of(5000)
    values[200::400] += 5
    text = ask(Diagnose(), project_of(run_of(rows_of(loss=values))))
    assert "12 spikes from step 200, most: step" in text


def test_health_counts_the_healthy_and_has_a_line_for_each_of_the_others(run_of, project_of, ask):
    hot = loss_of(200)
    hot[150:] = math.nan
    runs = [
        run_of(rows_of(loss=loss_of(200)), id="aaaa0000", name="fine"),
        run_of(rows_of(loss=hot), id="bbbb0000", name="hot"),
        run_of(id="cccc0000", name="new", condition=Condition("empty", "no data yet", None)),
        run_of(rows_of(loss=loss_of(200)), id="dddd0000", name="dead", lines=["Killed"], condition=CRASHED),
    ]
    view = project_of(*runs)
    assert ask(CheckHealth(), view) == (
        "1 of 4 runs healthy; 2 with trouble; 1 without data\n"
        "hot finished: nan; first bad loss 150; last good step 149\n"
        "dead crashed: killed by a signal; last good step 199\n"
        "next: diagnose hot\n"
    )
    assert ask(CheckHealth(run="hot"), view).startswith("hot finished: nan; first bad loss 150; last good step 149; ")
    assert ask(CheckHealth(run="fine"), view).startswith("fine finished: healthy; checked 1 key, 200 points")


def test_health_looks_at_the_newest_fifty_and_says_so(run_of, project_of, ask):
    runs = [run_of(rows_of(loss=loss_of(50)), id=f"run{at}") for at in range(53)]
    assert ask(CheckHealth(), project_of(*runs)).startswith("50 of 50 runs healthy; 3 older not looked at\n")


def test_health_of_no_runs_at_all(project_of, ask):
    assert ask(CheckHealth(), project_of()) == "0 of 0 runs healthy\n"


@pytest.mark.parametrize("query", [Diagnose(run="none"), CheckHealth(run="none")], ids=lambda query: query.command)
def test_an_unknown_run_is_an_error(run_of, project_of, ask, query):
    with pytest.raises(RunwiseError, match="no run 'none'"):
        ask(query, project_of(run_of([{"loss": 1.0}])))
