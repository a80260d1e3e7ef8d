"""`sweep` shows which config keys were tried, which go with the metric, and claims no more than the runs bear."""

import json
import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.sweep import SweepRuns

from runwised.queries.respond import needed


def runs_of(run_of, configs, losses, **fields):
    return [
        run_of([{"loss": 9.0}, {"loss": loss}], id=f"run{at:02}", config=config, **fields)
        for at, (config, loss) in enumerate(zip(configs, losses, strict=True))
    ]


@pytest.fixture
def grid(run_of, project_of):
    """Four learning rates, two optimizers, two seeds; the loss falls with the rate, up to .01 and no further."""
    configs = [
        {
            "lr": lr,
            "optim": {"name": name, "lr": lr},
            "warmup": lr * 1e5,
            "seed": seed,
            "run_name": f"{lr} {seed} {name}",
        }
        for lr in (1e-4, 1e-3, 1e-2, 1e-1)
        for name in ("adam", "sgd")
        for seed in (0, 1)
    ]
    floors = {1e-4: 4.0, 1e-3: 3.0, 1e-2: 1.0, 1e-1: 2.0}
    losses = [floors[one["lr"]] + 0.1 * (one["optim"]["name"] == "sgd") + 0.01 * one["seed"] for one in configs]
    return project_of(*runs_of(run_of, configs, losses))


@pytest.fixture
def swept(ask):
    def of(view, **fields):
        return json.loads(ask(SweepRuns(**fields), view, form="json"))

    return of


def test_keys_and_runs_are_shown_with_what_can_be_said_of_them(grid, ask):
    assert ask(SweepRuns(top=3), grid) == (
        "lowest loss by 3 config keys that vary: 16 runs\n"
        "key n values tried best(next) best4 effect p loss\n"
        "lr 16 4 .0001~.1 .01(.001~.1) .01 rho=-.78 .0012 falls\n"
        "warmup 16 4 10~10000 1000(100~10000) 1000 rho=-.78 .0012 falls\n"
        "optim.name 16 2 adam|sgd adam adam|sgd eta2=.047 .42 not shown\n"
        "best4: the best quarter; effects by ranks, p corrected for 3 keys; "
        "each key by itself, the others not held fixed\n"
        "vary together, not to be told apart: lr and warmup\n"
        "run min@step lr warmup optim.name state\n"
        "run08 1@1 .01 1000 adam finished\n"
        "run09 1.01@1 .01 1000 adam finished\n"
        "run10 1.1@1 .01 1000 sgd finished\n"
        "13 more runs: runwise sweep -n 16\n"
        "not looked at: optim.lr (same as lr), run_name (identifier), seed\n"
    )


def test_json_has_every_value_and_run(grid, swept):
    found = swept(grid)
    lr = found["keys"][0]
    assert (lr["key"], lr["kind"], lr["n"], lr["tried"]) == ("lr", "number", 16, [1e-4, 1e-3, 1e-2, 1e-1])
    assert (lr["best"], lr["below"], lr["above"], lr["top"], lr["verdict"]) == (1e-2, 1e-3, 1e-1, [1e-2], "falls")
    assert lr["together"] == ["warmup"]
    assert found["keys"][2]["top"] == ["adam", "sgd"]
    assert [len(found["runs"]), found["ranked"], found["top"]] == [16, 16, 4]
    assert found["runs"][0] == {
        "id": "run08",
        "name": "run08",
        "value": 1.0,
        "step": 1,
        "state": "finished",
        "config": {"lr": 0.01, "optim.name": "adam", "warmup": 1000.0},
    }


def test_the_keys_can_be_said_seeds_and_twins_too(grid, swept, ask):
    found = swept(grid, over=("seed", "optim.*"))
    assert {key["key"] for key in found["keys"]} == {"seed", "optim.name", "optim.lr"}
    assert found["left_out"] == []
    assert "\n15 more runs: runwise sweep --over 'seed,optim.*' -n 16\n" in ask(
        SweepRuns(over=("seed", "optim.*"), top=1), grid
    )


def test_a_best_value_at_the_edge_of_what_was_tried_is_called_so(run_of, project_of, ask):
    view = project_of(*runs_of(run_of, [{"lr": at} for at in (1, 2, 4, 8)], [4, 3, 2, 1]))
    assert "\nlr 4 4 1~8 8(largest) - - too few runs\n" in ask(SweepRuns(), view)
    assert "\nlr 4 4 1~8 1(smallest) - - too few runs\n" in ask(SweepRuns(max=True), view)


@pytest.mark.parametrize("runs", [4, 5])
def test_nothing_is_claimed_of_fewer_than_five_runs(runs, run_of, project_of, swept):
    view = project_of(*runs_of(run_of, [{"lr": at} for at in range(runs)], range(runs)))
    key = swept(view)["keys"][0]
    assert (key["verdict"], key["effect"]) == (("rises", pytest.approx(1)) if runs == 5 else ("too few runs", None))


def test_nothing_is_claimed_of_categories_with_hardly_a_run_each(run_of, project_of, swept):
    view = project_of(*runs_of(run_of, [{"data": name} for name in "abcdef"], range(6)))
    assert swept(view)["keys"][0]["verdict"] == "too few runs"
    view = project_of(*runs_of(run_of, [{"data": name} for name in "aaaabbbb"], range(8)))
    key = swept(view)["keys"][0]
    assert (key["kind"], key["measure"], key["verdict"], key["p"]) == ("category", "eta2", "differs", 2 / 70)


def test_many_keys_looked_at_make_a_chance_find_no_claim(run_of, project_of, swept):
    configs = [{"lr": at, **{f"k{bit}": at * (bit * 7 + 3) % 11 for bit in range(9)}} for at in range(6)]
    view = project_of(*runs_of(run_of, configs, [0, 1, 2, 3, 5, 4]))
    key = next(one for one in swept(view)["keys"] if one["key"] == "lr")
    assert key["p"] < 0.05 < key["corrected"]
    assert key["verdict"] == "not shown"
    assert swept(view, over=("lr",))["keys"][0]["verdict"] == "rises"


def test_a_value_best_in_the_middle_shows_in_the_best_quarter_not_as_a_trend(run_of, project_of, swept):
    configs = [{"lr": at} for at in range(1, 13)]
    key = swept(project_of(*runs_of(run_of, configs, [abs(at - 6.4) for at in range(1, 13)])))["keys"][0]
    assert (key["verdict"], key["top"], key["below"], key["above"]) == ("not shown", [5, 6, 7], 5, 7)


def test_runs_that_lack_a_key_are_not_counted_for_it(run_of, project_of, swept, ask):
    configs = [{"lr": at} | ({"ema": True} if at % 2 else {}) | ({"wd": at} if at else {}) for at in range(8)]
    view = project_of(*runs_of(run_of, configs, range(8)))
    found = swept(view)
    assert {key["key"]: key["n"] for key in found["keys"]} == {"lr": 8, "wd": 7}
    assert "wd" not in found["runs"][0]["config"]
    assert found["left_out"] == [{"key": "ema", "reason": "one value"}]
    assert ask(SweepRuns(), view).endswith("\nnot looked at: ema (one value where there is any)\n")


def test_numbers_written_as_texts_are_numbers(run_of, project_of, swept):
    configs = [{"lr": value} for value in ("1e-4", "3e-4", 1e-3, "1e-2", "0.1")]
    key = swept(project_of(*runs_of(run_of, configs, range(5))))["keys"][0]
    assert (key["tried"], key["verdict"]) == ([1e-4, 3e-4, 1e-3, 1e-2, 0.1], "rises")


def test_one_sweep_can_be_asked_for_and_several_are_named(run_of, project_of, swept, ask):
    runs = [
        run_of([{"loss": at}], id=f"run{at}", config={"lr": at}, sweep_id=f"sw{at % 2}" if at < 4 else None)
        for at in range(6)
    ]
    view = project_of(*runs)
    assert swept(view)["sweeps"] == ["sw0", "sw1"]
    assert "\nruns of 2 sweeps; one of them: --sweep sw0, sw1\n" in ask(SweepRuns(), view)
    found = swept(view, sweep="sw1")
    assert ([run["id"] for run in found["runs"]], found["total"], found["filtered"]) == (["run1", "run3"], 2, 4)
    assert ask(SweepRuns(sweep="sw1"), view).startswith(
        "lowest loss by 1 config key that varies: 2 of 6 runs of sweep sw1\n"
    )


def test_runs_that_cannot_be_ranked_are_counted(run_of, project_of, ask):
    never = run_of([{"loss": math.nan}], id="never", config={"lr": 9})
    bare, cold = run_of([{"loss": 0.1}], id="bare"), run_of(id="cold", indexed=False)
    view = project_of(*runs_of(run_of, [{"lr": at} for at in range(5)], range(5)), never, bare, cold)
    text = ask(SweepRuns(), view)
    assert text.startswith("lowest loss by 1 config key that varies: 8 runs, 5 ranked\n")
    for told in (
        "1 run never had a finite value",
        "1 run without a configuration",
        "1 of 8 runs not indexed yet, and not ranked",
    ):
        assert f"\n! {told}\n" in text
    assert needed(SweepRuns(), view) == (["cold"], True)


def test_runs_that_do_not_differ_have_no_keys(run_of, project_of, ask):
    view = project_of(*runs_of(run_of, [{"lr": 1}] * 2, (1, 2)))
    assert ask(SweepRuns(), view) == (
        "lowest loss, no config key varies: 2 runs\nrun min@step state\nrun00 1@1 finished\nrun01 2@1 finished\n"
    )


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (SweepRuns(over=("lrr",)), Kind.NOT_FOUND, "no config key that varies 'lrr'; nearest: lr"),
        (SweepRuns(over=("d",)), Kind.NOT_FOUND, "no config key that varies 'd'"),
        (SweepRuns(sweep="x"), Kind.NOT_FOUND, "no sweep 'x'"),
        (SweepRuns(key="y"), Kind.NOT_FOUND, "no metric 'y'"),
        (SweepRuns(max=True, min=True), Kind.USAGE, "--max and --min are contrary"),
    ],
)
def test_what_cannot_be_swept_is_an_error(run_of, project_of, ask, query, kind, message):
    view = project_of(*runs_of(run_of, [{"lr": at, "d": 4} for at in range(3)], range(3), sweep_id="sw0"))
    with pytest.raises(RunwiseError) as caught:
        ask(query, view)
    assert (caught.value.kind, caught.value.message.startswith(message)) == (kind, True)


def test_no_run_of_any_sweep_is_an_error(grid, ask):
    with pytest.raises(RunwiseError, match="no run belongs to a W&B sweep"):
        ask(SweepRuns(sweep="sw0"), grid)
