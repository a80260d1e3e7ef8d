import pytest
from runwise_protocol.errors import Kind, RunwiseError

from runwised.formats.record import Definition
from runwised.queries.keysel import direction, main_metric, main_metrics, select, words
from runwised.settings import RunwiseConfig

NAMES = ["train/loss", "val/loss", "val/acc/top1", "lr", "a*b", "opt\\.lr"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ((), NAMES),
        (("lr", "train/loss"), ["lr", "train/loss"]),
        (("val/*",), ["val/loss", "val/acc/top1"]),
        (("*loss", "val/*"), ["train/loss", "val/loss", "val/acc/top1"]),
        (("l?",), ["lr"]),
        (("a*b",), ["a*b"]),
        (("opt\\.lr",), ["opt\\.lr"]),
    ],
)
def test_names_and_globs_select(patterns, found):
    assert select(patterns, NAMES) == found


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("val/los", "; nearest: val/loss, train/loss, val/acc/top1"),
        ("acc", "; nearest: val/acc/top1"),
        ("zz*", ""),
        ("", ""),
    ],
)
def test_what_selects_nothing_names_the_nearest(pattern, nearest):
    with pytest.raises(RunwiseError) as caught:
        select((pattern,), NAMES, hint="runwise keys gpt")
    assert caught.value.kind is Kind.NOT_FOUND
    assert str(caught.value) == f"error: no metric '{pattern}'{nearest}\nhint: runwise keys gpt"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("valLoss/top1_acc", ["val", "loss", "top", "1", "acc"]),
        ("mAP50", ["m", "AP".lower(), "50"]),
        ("train.BCELoss", ["train", "bce", "loss"]),
    ],
)
def test_a_key_is_cut_into_words(key, found):
    assert words(key) == tuple(found)


@pytest.mark.parametrize(
    ("key", "side"),
    [
        ("train/loss", "min"),
        ("val_loss_epoch", "min"),
        ("train_loss_step", "min"),
        ("cross_entropy", "min"),
        ("eval/perplexity", "min"),
        ("wer", "min"),
        ("val/acc", "max"),
        ("Accuracy/top1", "max"),
        ("hellaswag_acc_norm", "max"),
        ("rollout/ep_reward_mean", "max"),
        ("f1_macro", "max"),
        ("F1", "max"),
        ("lr", None),
        ("grad_norm", None),
        ("loss_scale", None),
        ("weight_norm", None),
        ("epoch", None),
        ("tokens_per_sec", None),
        ("gpu_memory", None),
    ],
)
def test_which_way_is_better_is_guessed_from_the_name(key, side, run_of):
    assert direction(key, run_of(), RunwiseConfig()) == (side, side is not None)


def test_a_declared_goal_is_no_guess(run_of):
    definitions = [
        Definition(key="loss", goal="maximize"),
        Definition(key="val/*", glob=True, goal="minimize"),
        Definition(key="val/x*", glob=True, goal="maximize"),
        Definition(key="speed", summary=("max",)),
        Definition(key="both", summary=("min", "max")),
        Definition(key="opt\\.score", goal="minimize"),
    ]
    run = run_of(definitions=definitions)
    sides = {key: direction(key, run, RunwiseConfig()) for key in ("loss", "val/a", "val/xy", "speed", "both")}
    assert sides == {
        "loss": ("max", False),
        "val/a": ("min", False),
        "val/xy": ("max", False),
        "speed": ("max", False),
        "both": (None, False),
    }
    assert direction("opt.score", run, RunwiseConfig()) == ("min", False)


def test_the_schema_goes_before_all(run_of):
    schema = b'{"schema_inline": {"groups": [{"metrics": {"loss": {"higher_is_better": true}, "acc": {}}}]}}'
    run = run_of(definitions=[Definition(key="loss", goal="minimize")])
    config = RunwiseConfig.parse(schema)
    assert direction("loss", run, config) == ("max", False)
    assert direction("acc", run, config) == ("max", True)


def rows(*names):
    return [dict.fromkeys(names, 1.0)]


def test_losses_and_validation_come_first(run_of):
    run = run_of(rows("lr", "train/acc", "train/loss", "a/b/loss", "val/acc", "val/loss", "epoch"))
    assert main_metrics(run, RunwiseConfig()) == [
        "val/loss",
        "train/loss",
        "val/acc",
        "train/acc",
        "a/b/loss",
    ]
    assert main_metric(run, RunwiseConfig()) == "val/loss"


def test_the_schema_s_metrics_come_before_all_where_the_run_has_them(run_of):
    schema = b"""{"schema_inline": {"primary_metric": "speed", "loss_key": "absent", "num_steps": 2,
        "per_step_pattern": "step_{i}", "groups": [{"metrics": {"aux": {}}}]}}"""
    run = run_of(rows("loss", "step_1", "aux", "step_0", "speed"))
    assert main_metrics(run, RunwiseConfig.parse(schema)) == ["speed", "aux", "step_0", "step_1", "loss"]


def test_a_validation_set_of_the_schema_counts_as_validation(run_of):
    config = RunwiseConfig.parse(b'{"schema_inline": {"validation_sets": {"wiki": "Wikipedia"}}}')
    assert main_metrics(run_of(rows("loss", "wiki/loss")), config) == ["wiki/loss", "loss"]


def test_metrics_with_a_declared_goal_come_before_those_known_by_name(run_of):
    definitions = [Definition(key="quality", goal="maximize"), Definition(key="loss", hidden=True)]
    run = run_of(rows("loss", "acc", "quality"), definitions=definitions)
    assert main_metrics(run, RunwiseConfig()) == ["quality", "acc"]


def test_without_any_known_the_first_that_are_no_clock_are_shown(run_of):
    run = run_of(rows("epoch", "global_step", "a", "b", "c", "d", "e"))
    assert main_metrics(run, RunwiseConfig()) == ["a", "b", "c", "d"]
    assert main_metrics(run_of(rows("epoch")), RunwiseConfig()) == ["epoch"]
    assert main_metric(run_of(), RunwiseConfig()) is None
