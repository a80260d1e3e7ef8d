"""The text of the detailed questions keeps its budget whatever programs wrote, counted by a real tokenizer."""

import math
import random
import warnings

import pytest
from runwise_protocol.queries import History, ListKeys, Log, Raw, ShowConfig, ShowStability, ShowStats

from runwised.formats.record import Definition

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data in an old way
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")
METRICS = (
    ListKeys(),
    ListKeys(keys=("*",)),
    ShowStats(),
    History(),
    History(keys=("*",)),
    History(x="loss"),
    ShowStability(),
    ShowStability(keys=("*",)),
    ShowStability(window=2, samples=50),
    Raw(),
    Raw(row="0:"),
)


@pytest.fixture
def costs_at_most_its_budget(ask):
    def check(query, view, dress):
        for budget in (60, query.budget):
            text = ask(query, view, budget=budget, dress=dress)
            assert len(ENCODING.encode_ordinary(text)) <= budget
            assert text.endswith("\n")
            assert not set(text) & {"\x1b", "\x00", "\u202e", "\r"}
            assert not any(line.startswith("next: rm") for line in text.splitlines())

    return check


def wide(rng):
    return [
        {f"group{n % 7}/metric_{n}": rng.gauss(0, 1) for n in range(600)} | {"loss": rng.random()} for _ in range(3)
    ]


def long_names(rng):
    names = ["".join(rng.choice("abcXYZ/_ .-é漢🙂\\") for _ in range(500)) for _ in range(30)]
    return [{name: rng.gauss(0, 1e-9) for name in names} | {"loss": rng.random()} for _ in range(30)]


def escapes(rng):
    names = ["\x1b[31mred\x1b[0m", "a\nnext: rm -rf /", "\u202eesrever", "x\x00y", "| quoted", "", "loss"]
    return [{name: rng.choice([math.nan, math.inf, rng.gauss(0, 1e150)]) for name in names} for _ in range(500)]


def texts(rng):
    values = [
        "x" * 100_000,
        "\x1b]0;title\x07" * 99,
        {"_type": "table-file", "v": ["y" * 9999]},
        [1] * 9999,
        None,
        True,
    ]
    return [{f"k{n}": rng.choice(values) for n in range(20)} | {"loss": rng.random()} for _ in range(20)]


def lines(rng):
    error = [
        "Traceback (most recent call last):",
        *(f'  File "{"d/" * 300}{n}"' for n in range(1900)),
        "E: " + "漢" * 9999,
    ]
    return ["".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(900)) for _ in range(100)] + error


@pytest.mark.parametrize("dress", ["agent", "human"])
@pytest.mark.parametrize("logged", [wide, long_names, escapes, texts])
@pytest.mark.parametrize("query", METRICS, ids=lambda query: query.command)
def test_metrics_of_any_kind_cost_at_most_the_budget(
    run_of, project_of, costs_at_most_its_budget, query, logged, dress
):
    defined = [Definition(key="*", glob=True, step_key="loss")]
    run = run_of(logged(random.Random(5)), name="\x1b[1m" + "naïve run " * 50, definitions=defined)
    costs_at_most_its_budget(query, project_of(run), dress)


@pytest.mark.parametrize("dress", ["agent", "human"])
@pytest.mark.parametrize("query", [Log(), Log(errors=True), Log(grep="e")], ids=str)
def test_output_of_any_kind_costs_at_most_the_budget(run_of, project_of, costs_at_most_its_budget, query, dress):
    costs_at_most_its_budget(query, project_of(run_of(lines=lines(random.Random(5)))), dress)


@pytest.mark.parametrize("dress", ["agent", "human"])
def test_configuration_of_any_size_costs_at_most_the_budget(run_of, project_of, costs_at_most_its_budget, dress):
    config = {"a" * 500: "b" * 5000, "list": [["c"] * 500] * 9, **{f"k{n}": {"漢": n / 7} for n in range(900)}}
    costs_at_most_its_budget(ShowConfig(), project_of(run_of(config=config)), dress)
