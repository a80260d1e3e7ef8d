"""`groups` joins runs that differ in their seed alone, and says of their differences what so few runs can say."""

import json
import math
import random
import statistics

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.groups import GroupRuns

from runwised.index.view import Condition
from runwised.queries.respond import needed

LOSSES = {0.1: (2.0, 2.1, 2.2), 0.01: (1.0, 1.1, 1.15), 0.001: (1.05, 1.2, 1.4)}


@pytest.fixture
def grid(run_of, project_of):
    """Three learning rates with three seeds each, the best value in the middle of each run."""

    def build(losses=LOSSES, config=(), **fields):
        runs = [
            run_of(
                [{"loss": 9.0}, {"loss": value}, {"loss": value + 1}],
                id=f"run{at}{seed}",
                config={"lr": lr, "seed": seed, "d": 512, **dict(config)},
                **fields,
            )
            for at, (lr, values) in enumerate(losses.items())
            for seed, value in enumerate(values)
        ]
        return project_of(*runs)

    return build


@pytest.fixture
def grouped(ask):
    def of(view, **fields):
        return json.loads(ask(GroupRuns(**fields), view, form="json"))

    return of


def test_groups_are_ranked_by_their_means_and_compared_in_words(grid, ask):
    assert ask(GroupRuns(key="loss"), grid()) == (
        "lowest loss per run: 9 runs in 3 groups over seed (guessed)\n"
        "# lr n mean std 95% min@step run\n"
        "#1 .01 3 1.083 .076 .8936~1.273 1@1 run10\n"
        "#2 .001 3 1.217 .18 .7805~1.653 1.05@1 run20\n"
        "#3 .1 3 2.1 .1 1.852~2.348 2@1 run00\n"
        "groups differ_by 95% p n by Welch's t, p corrected for 3 pairs\n"
        "#1,#2 .133 -.24~.51 .32 3,3 not shown; under .69 may be missed\n"
        "#1,#3 1.02 .81~1.2 <.001 3,3 more than chance\n"
        "#2,#3 .883 .52~1.2 .0078 3,3 more than chance\n"
    )


def test_json_has_every_run_and_exact_numbers(grid, grouped):
    found = grouped(grid(), key="loss")
    assert (found["vary"], found["vary_guessed"], found["value"], found["direction"]) == (["seed"], True, "best", "min")
    first = found["groups"][0]
    assert first["config"] == {"lr": 0.01}
    assert first["mean"] == pytest.approx(statistics.mean(LOSSES[0.01]))
    assert first["std"] == pytest.approx(statistics.stdev(LOSSES[0.01]))
    assert [(run["id"], run["value"], run["step"], run["varied"]) for run in first["runs"]] == [
        ("run10", 1.0, 1, {"seed": 0}),
        ("run11", 1.1, 1, {"seed": 1}),
        ("run12", 1.15, 1, {"seed": 2}),
    ]
    apart = found["differences"][1]
    assert (apart["first"], apart["second"], apart["verdict"]) == (0, 2, "larger than chance")
    assert apart["difference"] == pytest.approx(-1.01667, abs=1e-5)
    assert apart["low"] < apart["difference"] < apart["high"] < 0
    assert apart["corrected"] == pytest.approx(3 * apart["p"])


def test_the_metric_is_the_projects_main_one_unless_it_is_said(grid, grouped):
    found = grouped(grid())
    assert (found["key"], found["key_guessed"]) == ("loss", True)
    assert grouped(grid(), key="loss")["key_guessed"] is False


def test_the_last_value_can_count_instead_of_the_best_and_the_other_side(grid, grouped, ask):
    assert grouped(grid(), last=True)["groups"][0]["mean"] == pytest.approx(statistics.mean(LOSSES[0.01]) + 1)
    assert ask(GroupRuns(last=True), grid()).startswith("last loss per run: 9 runs in 3 groups over seed (guessed)\n")
    assert grouped(grid(), max=True)["groups"][0]["mean"] == 9


def test_two_runs_or_fewer_are_too_few_to_tell(grid, ask, grouped):
    view = grid({0.1: (2.0, 2.1), 0.2: (1.0, 1.1, 1.2), 0.3: (4.0,), 0.4: (5.0, 5.1, 5.3)})
    assert "\ntoo few runs to tell (fewer than 3): #2, #3\n" in ask(GroupRuns(), view)
    verdicts = {(one["first"], one["second"]): one["verdict"] for one in grouped(view)["differences"]}
    assert verdicts.pop((0, 3)) == "larger than chance"
    assert set(verdicts.values()) == {"too few runs"}
    assert len(verdicts) == 5
    text = ask(GroupRuns(), grid({0.1: (2.0, 2.1), 0.2: (1.0,)}))
    assert text.endswith("\nno two groups have 3 runs: too few to tell a difference from chance\n")


def test_values_that_do_not_spread_are_not_tested(grid, ask):
    text = ask(GroupRuns(), grid({0.1: (2.0, 2.0, 2.0), 0.2: (1.0, 1.0, 1.0)}))
    assert text.endswith("\nnot tested, for no value differs from another of its group: #1 and #2\n")


def test_of_many_groups_the_best_is_compared_and_corrected_for_all_pairs(grid, ask, grouped):
    view = grid({at: (at, at + 0.5, at + 0.7) for at in range(8)})
    found = grouped(view)
    assert [(one["first"], one["second"]) for one in found["differences"]] == [(0, at) for at in range(1, 8)]
    assert found["tests"] == 28
    assert all(one["corrected"] == pytest.approx(min(1, 28 * one["p"]), rel=0.3) for one in found["differences"])
    text = ask(GroupRuns(), view, budget=1000)
    assert "\n#1 differs by more than chance from #4, #5, #6, #7, #8\n#1 not shown to differ from #2, #3\n" in text


def test_only_some_groups_are_shown_and_the_rest_is_named(grid, ask, grouped):
    view = grid({at: (at, at + 0.5, at + 0.7) for at in range(8)})
    assert "\n6 more groups: runwise groups -n 8\n" in ask(GroupRuns(top=2), view)
    found = grouped(view, top=2)
    assert (len(found["groups"]), found["grouped"], len(found["differences"])) == (2, 8, 1)


def test_runs_that_go_on_crashed_or_diverged_are_counted_and_named(run_of, project_of, ask, grouped):
    ways = [
        ("a", [1.0], Condition("running", "pid 7", None, 7)),
        ("b", [1.2], Condition("crashed", "no growth", None)),
        ("c", [1.1, math.nan], Condition("finished", "exit code 0", 0)),
        ("d", [math.inf], Condition("failed", "exit code 1", 1)),
    ]
    runs = [
        run_of([{"loss": value} for value in values], id=name, config={"seed": name, "lr": 1}, condition=state)
        for name, values, state in ways
    ]
    found = grouped(project_of(*runs))
    assert (found["groups"][0]["n"], found["ranked"], found["total"]) == (3, 3, 4)
    assert [run["value"] for run in found["groups"][0]["runs"]] == [1.0, 1.1, 1.2, None]
    assert (
        ask(GroupRuns(), project_of(*runs))
        .splitlines()[2]
        .endswith(" 1@0 a 1 running, 1 crashed, 1 failed, 1 without a finite value, 1 with nan or inf")
    )
    assert grouped(project_of(*runs), last=True)["groups"][0]["n"] == 2
    assert grouped(project_of(*runs), where="finished")["groups"][0]["n"] == 1


def test_repeats_of_one_configuration_need_no_seed(ask, run_of, project_of):
    runs = [run_of([{"loss": at}], id=f"run{at}", config={"lr": at % 2}) for at in range(4)]
    title = ask(GroupRuns(), project_of(*runs)).splitlines()[0]
    assert title == "lowest loss per run: 4 runs in 2 groups of equal configuration"


def test_without_seeds_the_key_that_joins_most_is_left_out_and_called_a_guess(run_of, project_of, grouped):
    runs = [
        run_of([{"loss": at}], id=f"run{at}", config={"fold": at % 4, "lr": at // 4, "copy": {"fold": at % 4}})
        for at in range(8)
    ]
    found = grouped(project_of(*runs))
    assert (found["vary"], found["vary_guessed"]) == (["fold"], True)
    assert [group["n"] for group in found["groups"]] == [4, 4]
    assert found["left_out"] == [{"key": "copy.fold", "reason": "same as fold"}]


def test_where_nothing_joins_any_runs_each_is_a_group(run_of, project_of, grouped):
    rng = random.Random(3)
    configs = [{"seed": at, **{f"k{key}": rng.randrange(5) for key in range(300)}} for at in range(50)]
    runs = [run_of([{"loss": at}], id=f"run{at:02}", config=config) for at, config in enumerate(configs)]
    found = grouped(project_of(*runs))
    assert (found["vary"], found["grouped"], found["differences"]) == (["seed"], 50, [])


def test_the_varied_keys_can_be_said_and_their_twins_vary_with_them(run_of, project_of, grouped):
    runs = [
        run_of([{"loss": at}], id=f"run{at}", config={"seed": at % 2, "lr": at // 2, "opt": {"lr": at // 2}})
        for at in range(6)
    ]
    found = grouped(project_of(*runs), vary=("opt.*",))
    assert (found["vary"], found["vary_guessed"]) == (["opt.lr"], False)
    assert [group["config"] for group in found["groups"]] == [{"seed": 0}, {"seed": 1}]
    assert found["left_out"] == [{"key": "lr", "reason": "same as opt.lr"}]


def test_names_and_folders_of_a_run_do_not_part_it_from_its_group_and_that_is_said(run_of, project_of, ask):
    runs = [run_of([{"loss": at}], id=f"run{at}", config={"seed": at, "output_dir": f"o/{at}"}) for at in range(3)]
    text = ask(GroupRuns(), project_of(*runs))
    assert "in 1 group over seed (guessed)" in text
    assert text.endswith("\nnot told apart by output_dir (identifier)\n")


def test_runs_without_a_configuration_or_an_index_are_in_no_group_and_counted(grid, run_of, project_of, ask):
    bare = run_of([{"loss": 0.5}], id="bare")
    cold = run_of(id="cold", indexed=False)
    view = project_of(*grid().runs, bare, cold)
    text = ask(GroupRuns(), view)
    assert text.startswith("lowest loss per run: 11 runs, 9 with a value in 3 groups over seed (guessed)\n")
    assert "\n! 1 run without a configuration in no group\n" in text
    assert "\n! 1 of 11 runs not indexed yet, and in no group\n" in text
    assert needed(GroupRuns(), view) == (["cold"], True)
    alone = "lowest loss per run: 1 run, 0 with a value\n! 1 run without a configuration in no group\n"
    assert ask(GroupRuns(), project_of(bare)) == alone


@pytest.mark.parametrize(
    ("query", "kind", "message", "hint"),
    [
        (GroupRuns(key="los"), Kind.NOT_FOUND, "no metric 'los'; nearest: loss", "runwise keys"),
        (GroupRuns(key="x"), Kind.USAGE, "nothing says which way x is better", "runwise groups -k x --max, or --min"),
        (GroupRuns(max=True, min=True), Kind.USAGE, "--max and --min are contrary", "runwise groups --min"),
        (GroupRuns(vary=("sed",)), Kind.NOT_FOUND, "no config key that varies 'sed'; nearest: seed", "runwise sweep"),
    ],
)
def test_what_cannot_be_grouped_is_an_error(run_of, project_of, ask, query, kind, message, hint):
    runs = [run_of([{"loss": 1.0, "x": 2.0}], id=f"run{at}", config={"seed": at}) for at in range(2)]
    with pytest.raises(RunwiseError) as caught:
        ask(query, project_of(*runs))
    assert (caught.value.kind, caught.value.message, caught.value.hint) == (kind, message, hint)


@pytest.mark.parametrize("runs", [(), ({},)])
def test_no_runs_or_no_metrics_at_all_is_an_error(runs, run_of, project_of, ask):
    with pytest.raises(RunwiseError, match=r"no runs under /data/proj|none of the runs has a metric"):
        ask(GroupRuns(), project_of(*(run_of(**fields) for fields in runs)))
