"""Config keys that vary among runs, and which of them tell one kind of run from another."""

import math

import pytest
from runwise_protocol.errors import RunwiseError

from runwised.queries.varied import MISSING, Setting, cells_of, telling, told, varying


def values(configs):
    return {one.key: one.values for one in varying(configs)}


def test_only_keys_that_are_not_the_same_in_all_vary_nested_ones_too():
    configs = [
        {"lr": 0.1, "wd": 0, "model": {"d": 8, "deep": {"n": 1}}, "list": [1, {"a": 2}]},
        {"lr": 0.1, "wd": 0.0, "model": {"d": 9, "deep": {"n": 1}}, "list": [1, {"a": 3}]},
        {"lr": 0.2, "wd": 0, "model": {"d": 8, "deep": {"n": 1}}, "list": [1, {"a": 2}]},
    ]
    assert values(configs) == {
        "lr": [0.1, 0.1, 0.2],
        "model.d": [8, 9, 8],
        "list": [[1, {"a": 2}], [1, {"a": 3}], [1, {"a": 2}]],
    }


def test_a_key_that_some_lack_or_that_is_nested_in_some_varies():
    configs = [{"a": 1}, {"a": 1, "b": {"c": 2}}, {"a": {"x": 3}, "b": None}]
    assert values(configs) == {
        "a.x": [MISSING, MISSING, 3],
        "a": [1, 1, MISSING],
        "b.c": [MISSING, 2, MISSING],
        "b": [MISSING, MISSING, None],
    }


def test_nan_is_the_same_as_nan_and_an_empty_object_is_a_value():
    assert values([{"a": math.nan, "b": {}}, {"a": float("nan")}]) == {"b": [{}, MISSING]}
    assert values([]) == values([{"a": 1}]) == {}


def test_more_keys_than_can_be_looked_at_are_an_error():
    with pytest.raises(RunwiseError, match="more than 2 config keys vary among 2000001 runs"):
        varying([{"a": 1, "b": 1, "c": 1}, *[{}] * 2_000_000])


@pytest.mark.parametrize(
    ("found", "numbers"),
    [
        ([1, 0.5, "3e-4"], [1.0, 0.5, 3e-4]),
        ([1, True], None),
        ([1, "adam"], None),
        ([1, math.inf], None),
        ([1, 10**400], None),
    ],
)
def test_numbers_are_finite_ones_and_texts_of_such(found, numbers):
    assert Setting("k", found).numbers == numbers


def test_a_missing_value_among_numbers_is_nan():
    numbers = Setting("k", [2, MISSING]).numbers
    assert numbers[0] == 2
    assert math.isnan(numbers[1])


@pytest.mark.parametrize("key", ["seed", "random_seed", "train.rngSeed", "random_state", "run_idx", "trial_number"])
def test_seeds_are_known_by_their_names(key):
    assert Setting(key, [1, 2]).is_seed


@pytest.mark.parametrize("key", ["lr", "state", "seedling", "num_runs_per_job", "task_id", "index", "batch"])
def test_other_names_are_no_seeds(key):
    assert not Setting(key, [1, 2]).is_seed


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("output_dir", ["out/1", "out/2"]),
        ("args.run_name", ["a", "b"]),
        ("hydra.run.dir", ["a", "b"]),
        ("name", ["a", "b"]),
        ("job_id", [17, 18]),
        ("master_port", [2001, 2002]),
        ("start_time", [1700000000.5, 1700000001.5]),
        ("comment", [f"text {at}" for at in range(9)]),
    ],
)
def test_identifiers_are_names_and_places_of_the_runs_own(key, found):
    assert Setting(key, found).is_identifier


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("optim.name", ["adam", "sgd"]),
        ("env_id", ["CartPole-v1", "Pong-v5"]),
        ("model_name", ["small", "large"]),
        ("data.path", ["a.bin", "b.bin"]),
        ("exp_name", ["ppo", "ppo", "dqn", "dqn"]),
        ("log_every", [10, 20]),
        ("max_time", [10, 20]),
        ("lr", [at / 7 for at in range(9)]),
        ("lr", [f"{at}e-4" for at in range(9)]),
    ],
)
def test_what_a_run_is_made_of_or_shares_with_others_is_no_identifier(key, found):
    assert not Setting(key, found).is_identifier


def test_twins_seeds_and_identifiers_are_left_out_and_told():
    settings = varying([{"lr": at / 2, "opt": {"lr": at / 2}, "seed": at, "out_dir": f"o{at}"} for at in range(4)])
    kept, seeds, left = telling(settings)
    assert ([one.key for one in kept], [one.key for one in seeds]) == (["lr"], ["seed"])
    assert told(left) == "opt.lr (same as lr), out_dir (identifier)"
    assert told([]) == ""


def test_secrets_are_never_shown():
    one = Setting("api_key", ["sk-abcdefghijklmnopqrst1", "sk-abcdefghijklmnopqrst2"])
    assert {one.of(0), one.of(1)} == {"‹hidden›"}


def test_values_that_differ_look_different_and_long_ones_are_cut():
    assert cells_of([0.1, 0.10000001, True, None, MISSING, "", "x" * 99], "agent") == [
        ".1",
        ".10000001",
        "true",
        "null",
        "-",
        '""',
        "x" * 39 + "…",
    ]
