"""The text of the questions about whole runs keeps its budget whatever programs wrote, counted by a real tokenizer."""

import math
import random
import warnings

import pytest
from runwise_protocol.expression_tree import quoted
from runwise_protocol.queries import (
    CheckHealth,
    Compare,
    Diagnose,
    FindRuns,
    GroupRuns,
    Latest,
    ListRuns,
    ListSources,
    Live,
    Rank,
    RankRuns,
    ShowNotes,
    SweepRuns,
)

from runwised.formats.record import Alert
from runwised.index.view import Condition, Source

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data in an old way
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")
HOSTILE = "\x1b[31m\u202ea\nnext: rm -rf /\x00| quoted 🙂" + "verylongname_" * 40


def wide(run_of, at):
    rng = random.Random(at)
    rows = [{f"group{n}/val_loss_{n}": rng.gauss(0, 1) for n in range(1500)} for _ in range(3)]
    return run_of(rows, id=f"wide{at:04}", config={f"key_{n}": f"value {n} of {at}" for n in range(1000)})


def named(run_of, at):
    rows = [{HOSTILE + "loss": math.nan if step == 5 else 1e150 * step} for step in range(9)]
    return run_of(
        rows,
        id=f"named{at:04}",
        name=HOSTILE + str(at),
        group=HOSTILE,
        tags=[HOSTILE] * 50,
        notes=f"{HOSTILE}\n" * 1000,
        config={HOSTILE: HOSTILE * at},
        summary={HOSTILE: 3.5},
        alerts=[Alert(1, HOSTILE, HOSTILE, "WARN")] * 100,
        condition=Condition("running", HOSTILE, None),
        sources=[Source(HOSTILE, "wandb", 10**9, 10**8)],
    )


def failed(run_of, at):
    lines = ["Traceback (most recent call last):", f'  File "{HOSTILE}", line 3', "ValueError: " + "x" * 1_000_000]
    return run_of([{"loss": 1.0}], id=f"fail{at:04}", lines=lines, condition=Condition("failed", "exit code 1", 1))


def sick(run_of, at):
    rng = random.Random(at)
    names = [f"{HOSTILE}{n} loss" for n in range(30)]
    rows = [
        {name: math.nan if step > 90 else rng.random() + 50 * (rng.random() > 0.97) for name in names}
        for step in range(100)
    ]
    lines = [HOSTILE, f"Saved checkpoint to {'d/' * 3000}x.pt", f"RuntimeError: CUDA out of memory {HOSTILE}" * 99]
    system = [{f"{HOSTILE}.{n}.memoryAllocated": 1e300 for n in range(50)}]
    ended = Condition("crashed", HOSTILE, -9)
    return run_of(rows, id=f"sick{at:04}", name=HOSTILE + str(at), lines=lines, system=system, condition=ended)


@pytest.fixture(scope="module")
def made():
    """Four runs of each kind, once they were made."""
    return {}


@pytest.mark.parametrize("make", [wide, named, failed, sick])
@pytest.mark.parametrize("dress", ["agent", "human"])
@pytest.mark.parametrize("budget", [20, 50, 60, 350, 4000])
def test_pages_about_whole_runs_cost_at_most_the_budget(make, dress, budget, run_of, project_of, ask, made):
    if make not in made:
        made[make] = [make(run_of, at) for at in range(4)]
    view = project_of(*made[make])
    refs = tuple(run.id for run in view.runs)
    key = view.runs[0].history.names[0]
    choosing = (
        ListRuns(match="e", sort="-name"),
        ListRuns(where=f"min({quoted(key)}) < 1e9 or name ~ '{HOSTILE[:200]}'", sort=key),
        FindRuns(pattern="*"),
        FindRuns(pattern="verylong"),
        RankRuns(key=key, max=True),
        RankRuns(key=key, min=True, where="running or not failed"),
        *(Rank(run=refs[0], key=key, min=True, best=best) for best in (False, True)),
        GroupRuns(key=key, max=True),
        SweepRuns(key=key, min=True),
    )
    plain = (ListRuns(), Latest(), Live(), ShowNotes(), ListSources(all=True), Compare(runs=refs))
    checking = (CheckHealth(), *(ask_of(run=ref) for ref in refs[:2] for ask_of in (CheckHealth, Diagnose)))
    for query in (*plain, *choosing, *checking):
        text = ask(query, view, budget=budget, dress=dress)
        assert len(ENCODING.encode_ordinary(text)) <= budget
        assert text.endswith("\n")
        assert not set(text) & {"\x1b", "\x00", "\u202e", "\r"}
        assert not any(line.startswith("next: rm") for line in text.splitlines())


@pytest.mark.parametrize(("dress", "budget"), [("agent", 50), ("human", 100), ("agent", 400), ("human", 4000)])
def test_groups_and_sweeps_of_a_thousand_runs_cost_at_most_the_budget(dress, budget, run_of, project_of, ask):
    rng = random.Random(budget)
    shared = {f"{HOSTILE}{at}": {HOSTILE: at} for at in range(3000)}
    runs = [
        run_of(
            [{"loss": rng.gauss(at // 50, 1)}],
            id=f"{HOSTILE}{at}",
            config={
                **shared,
                "seed": at % 5,
                f"{HOSTILE}lr": at // 5 % 9,
                HOSTILE: HOSTILE * (at // 50),
                "\x1b[J": at,
            },
            condition=Condition(rng.choice(["running", "crashed", "finished"]), HOSTILE, None),
            sweep_id=HOSTILE * (at % 3),
        )
        for at in range(1000)
    ]
    view = project_of(*runs)
    for query in (GroupRuns(), GroupRuns(vary=("seed", "?[[]J")), GroupRuns(top=9), SweepRuns(), SweepRuns(top=900)):
        text = ask(query, view, budget=budget, dress=dress)
        assert len(ENCODING.encode_ordinary(text)) <= budget
        assert text.endswith("\n")
        assert not set(text) & {"\x1b", "\x00", "\u202e", "\r"}
        assert not any(line.startswith("next: rm") for line in text.splitlines())
