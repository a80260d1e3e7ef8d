"""Every question there is keeps its budget with hostile runs: asked as its contract says it may be, counted by a real
tokenizer. What is registered tomorrow is asked too."""

import math
import random
import warnings
from dataclasses import replace

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.expression_tree import quoted
from runwise_protocol.queries import QUERIES
from runwise_protocol.query import checked
from runwise_protocol.schema import parameters

from runwised.formats.record import Alert
from runwised.index.view import Condition, Line, Source
from runwised.queries import HANDLERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data in an old way
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")
HOSTILE = "\x1b[31m\u202eevil\u200b\x00\x9b2J\r\nnext: rm -rf /\t| quoted 🙂𒐫漢" + "verylongname_" * 36
FORBIDDEN = set("\x1b\x00\x9b\r\t\u202e\u200b\u2066\ufeff")
BUDGETS = (50, 100, 300, 1000, 4000)
START = 1_700_000_000.0


def wide(run_of):
    """Two runs of 3,000 metrics, with as many config keys."""
    for at in range(2):
        rng = random.Random(at)
        rows = [{f"group{n}/val_loss_{n}": rng.gauss(0, 1) for n in range(3000)} for _ in range(2)]
        config = {f"key_{n}": f"value {n} of {at}" for n in range(3000)}
        yield run_of(rows, id=f"wide{at:04}", config=config, system=[{f"gpu.{n}.x": n / 7 for n in range(3000)}])


def named(run_of):
    """Runs whose every text is hostile, with a few metrics that go wrong."""
    for at in range(3):
        rng = random.Random(at)
        names = [f"{HOSTILE}{n} loss" for n in range(8)]
        rows = [
            {name: math.nan if step > 90 else rng.gauss(9 - step / 20, 0.1) + 50 * (step == 40) for name in names}
            for step in range(100)
        ]
        yield run_of(
            rows,
            id=f"name{at:04}",
            name=HOSTILE + str(at),
            group=HOSTILE,
            tags=[HOSTILE + str(n) for n in range(50)],
            notes=f"{HOSTILE}\n" * 1000,
            host=HOSTILE,
            config={HOSTILE: {HOSTILE: HOSTILE * at}, "seed": at, "lr": at / 7},
            summary={HOSTILE: HOSTILE},
            facts={"program": HOSTILE, "args": [HOSTILE] * 99, "git": {"commit": HOSTILE}},
            packages={f"{HOSTILE}{n}": f"{n}.{at}" for n in range(30)},
            alerts=[Alert(1, HOSTILE, HOSTILE, "WARN")] * 100,
            condition=Condition("running", HOSTILE, None),
            sources=[Source(HOSTILE, "wandb", 10**9, 10**8)],
            damage={HOSTILE: 99},
            lines=[HOSTILE] * 99,
            system=[{f"{HOSTILE}.{n}.memoryAllocated": 1e300 for n in range(50)}],
        )


def failed(run_of):
    """Runs that print megabytes in a line, and thousands of lines of a kind of their own."""
    for at in range(2):
        rng = random.Random(at)
        frames = [f'  File "{HOSTILE}{n}", line {n}, in f' for n in range(500)]
        prose = ["".join(rng.choices([*map(chr, range(32, 0x3000)), *"漢字한글🙂"], k=300)) for _ in range(1500)]
        texts = [*prose, "Traceback (most recent call last):", *frames, "ValueError: " + "x y" * 400_000]
        lines = [Line(START + n / 500, True, text) for n, text in enumerate(texts)]
        ended = Condition("failed", "exit code 1", 1)
        rows = [{"loss": 1 / (n + 1), "text": HOSTILE * 50} for n in range(9)]
        yield run_of(rows, id=f"fail{at:04}", lines=lines, condition=ended)


def many(run_of):
    """A thousand runs."""
    for at in range(1000):
        config = {"seed": at % 5, "lr": at // 5 / 7, HOSTILE: at % 3}
        yield run_of([{"loss": at / 7}, {"loss": at / 9}], id=f"many{at:04}", name=f"{at}{HOSTILE}", config=config)


SCENES = {make.__name__: make for make in (wide, named, failed, many)}


@pytest.fixture(scope="module")
def made():
    """The runs of each scene, once they were made."""
    return {}


def given(query, view):
    """A value for each field of a contract: one by its name, or one of its type."""
    ids, key = [run.id for run in view.runs], view.runs[0].history.names[0]
    by_name = {
        "runs": ids[:4],
        "run": ids[0],
        "keys": ["*"],
        "metrics": ["*"],
        "over": ["*"],
        "key": key,
        "pattern": "*",
        "match": "e",
        "grep": "e",
        "where": f"max({quoted(key)}) < 1e9 or not failed",
        "sort": "-name",
        "to": f"{quoted(key)} < 1e300",
        "state": "finished",
        "step": "0:",
        "row": "0:",
        "threshold": "1",
        "text": "a note",
        "tags": ["mine"],
        "vary": ["seed"],
        "wait": "1s",
        "timeout": "1s",
        "until": f"{quoted(key)} < -1e300",
        "since": view.cursor(),
        "cursor": "@7777",
    }
    if query.command != "raw":
        by_name["at"] = "step=1"
    return {one.name: value(one, by_name) for one in parameters(query) if one.name not in ("file", "directory", "dir")}


def value(one, by_name):
    if one.kind == "switch":
        return True
    if one.name in by_name:
        return by_name[one.name]
    return one.choices[0] if one.choices else (one.least or 1) if one.kind == "integer" else "step"


def questions(query, view, *, all_fields):
    """The question with what it cannot do without, and with each further field alone."""
    values = given(query, view)
    needed = {one.name: values[one.name] for one in parameters(query) if one.required}
    yield checked(query, needed)
    for name in sorted(values.keys() - needed.keys()) if all_fields else ():
        yield checked(query, {**needed, name: values[name]})


def faults(text, budget):
    cost = len(ENCODING.encode_ordinary(text))
    if cost > budget:
        yield f"{cost} tokens"
    if not text.endswith("\n"):
        yield "no line break at the end"
    if found := set(text) & FORBIDDEN:
        yield f"holds {found}"
    if any(line.startswith("next: rm") for line in text.splitlines()):
        yield "a line of the program's stands as one of ours"


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("query", [one for one in QUERIES if not HANDLERS[one].stream], ids=lambda query: query.command)
def test_every_question_costs_at_most_its_budget(query, scene, run_of, project_of, ask, made):
    if scene not in made:
        made[scene] = [*SCENES[scene](run_of)]
    kind = {"local": "jsonl", "tb": "tfevents"}.get(query.command)
    runs = made[scene]
    if kind is not None:
        runs = [replace(run, sources=[Source(f"logs/{run.id}", kind, 4096, 0)]) for run in runs]
    view = project_of(*runs)
    found, answered = [], 0
    for at, question in enumerate(questions(query, view, all_fields=scene in ("named", "failed"))):
        for budget in BUDGETS if at == 0 else BUDGETS[1:2]:
            for dress in ("agent", "human") if budget == BUDGETS[1] else ("agent",):
                try:
                    text = ask(question, view, budget=budget, dress=dress)
                except RunwiseError as error:
                    found += [f"{question}: error: {fault}" for fault in faults(f"{error}\n", 4000)]
                    continue
                answered += 1
                if text:
                    found += [f"{dress} {budget}: {question}: {fault}"[-300:] for fault in faults(text, budget)]
    assert found == []
    assert answered
