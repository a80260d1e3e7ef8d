"""What differs between runs beside their metrics: told where it does, for each run, and nothing where all agree."""

import math

import pytest

from runwised.queries.compare_facts import config_differences, options, other_differences


@pytest.fixture
def configured(run_of):
    """``configured({…}, {…})``: a run with each of these configurations."""
    return lambda *configs: [run_of(id=f"run{at:05}", config=config) for at, config in enumerate(configs)]


@pytest.fixture
def told(run_of):
    """``told({"git": …}, {…})``: a run that tells each of these facts; `host` and `packages` are told beside them."""

    def build(*each):
        for at, facts in enumerate(each):
            beside = {name: facts.get(name) for name in ("host", "packages") if facts.get(name)}
            facts = {key: value for key, value in facts.items() if key not in beside}
            yield run_of(id=f"run{at:05}", facts=facts, **{"host": None, **beside})

    return lambda *each: list(build(*each))


def test_of_nested_configurations_the_leaves_that_differ_are_told(configured):
    one = {"opt": {"name": "adam", "betas": [0.9, 0.99], "lr": {"peak": 3e-4, "floor": 0}}, "seed": 1}
    other = {"opt": {"name": "adam", "betas": [0.9, 0.95], "lr": {"peak": 1e-3, "floor": 0}}, "seed": 1}
    assert config_differences(configured(one, other, one)) == {
        "opt.betas": [[0.9, 0.99], [0.9, 0.95], [0.9, 0.99]],
        "opt.lr.peak": [3e-4, 1e-3, 3e-4],
    }


def test_a_key_that_one_run_lacks_differs_from_one_that_is_null(configured):
    found = config_differences(configured({"a": None, "b": 1}, {"b": 1, "c": {"d": 2}}))
    assert found == {"a": [None, None], "c.d": [None, 2]}


def test_a_section_that_is_a_value_elsewhere_is_told_as_both(configured):
    found = config_differences(configured({"model": "gpt"}, {"model": {"name": "gpt"}}))
    assert found == {"model": ["gpt", None], "model.name": [None, "gpt"]}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (math.nan, math.nan, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ([1], [1], True),
    ],
)
def test_values_are_the_same_by_what_they_are_worth(one, other, same, configured):
    assert (config_differences(configured({"x": one}, {"x": other})) == {}) is same


def test_secrets_that_differ_are_told_to_and_not_shown(configured):
    found = config_differences(configured({"api_key": "abcdefgh"}, {"api_key": "ijklmnop"}))
    assert list(found) == ["api_key"]
    assert not {"abcdefgh", "ijklmnop"} & set(map(str, found["api_key"]))


def test_commit_host_machine_and_packages_are_compared_among_those_that_tell(told):
    one = {
        "git": {"commit": "a" * 40, "remote": "r"},
        "host": "box1",
        "gpu": "A100",
        "packages": {"torch": "2.1", "np": "2"},
    }
    other = {
        "git": {"commit": "b" * 40, "remote": "r"},
        "host": "box2",
        "gpu": "A100",
        "packages": {"torch": "2.2", "np": "2"},
    }
    assert other_differences(told(one, other, {})) == {
        "git.commit": ["a" * 40, "b" * 40, None],
        "host": ["box1", "box2", None],
        "packages.torch": ["2.1", "2.2", None],
    }


def test_what_one_run_alone_tells_is_no_difference(told):
    assert (
        other_differences(told({"git": {"commit": "a" * 40}, "host": "box1", "packages": {"torch": "2.1"}}, {})) == {}
    )


def test_a_package_or_an_argument_that_a_run_did_without_differs(told):
    one = {"program": "t.py", "args": ["--amp"], "packages": {"torch": "2.1", "apex": "0.1"}}
    other = {"program": "t.py", "args": [], "packages": {"torch": "2.1"}}
    assert other_differences(told(one, other)) == {"args.amp": [True, None], "packages.apex": ["0.1", None]}


def test_a_run_that_tells_no_program_may_have_had_arguments(told):
    assert other_differences(told({"program": "t.py", "args": ["--lr", "3"]}, {"os": "linux"})) == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("--lr 3", {"lr": "3"}),
        ("--lr=3", {"lr": "3"}),
        ("lr=3", {"lr": "3"}),
        ("+model.lr=3 ~old=1", {"model.lr": "3", "old": "1"}),
        ("--lr -3 --b -.5", {"lr": "-3", "b": "-.5"}),
        ("--amp --lr 3", {"amp": True, "lr": "3"}),
        ("--lr 3 --amp", {"lr": "3", "amp": True}),
        ("--tag a --tag b", {"tag": ["a", "b"]}),
        ("train data --lr 3", {"*": ["train", "data"], "lr": "3"}),
        ("--eq a=b", {"eq": "a=b"}),
        ("=x", {"*": ["=x"]}),
    ],
)
def test_a_command_line_is_its_arguments_by_name(line, expected):
    assert options(line.split()) == expected
