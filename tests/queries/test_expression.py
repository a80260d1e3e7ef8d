"""A condition holds for the runs it is true of, and for no run without a value it asks about."""

import math

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression import parse

from runwised.formats.record import Definition
from runwised.index.view import Condition
from runwised.queries.expression import check, holds


@pytest.fixture
def run(run_of):
    rows = [{"loss": value, "acc": 1 - value} for value in (0.9, 0.25, 0.5)]
    rows[2]["grad/a"] = math.nan
    rows[0]["grad/b"] = 1.0
    return run_of(
        rows,
        id="3be9c0de",
        name="Baseline-1",
        tags=["base", "v2"],
        updated=1_700_000_600.0,
        condition=Condition("failed", "exit code 1", 1),
        config={
            "lr": 3e-4,
            "text_lr": "3e-4",
            "model": {"d": 512, "a.b": 1},
            "opt": "adamw",
            "amp": True,
            "none": None,
            "sizes": [64, 128],
            "api_key": "abcdef123",
            "token": ["abcdef123", "defabc456"],
            "huge": 10**400,
        },
        summary={"acc": {"last": 0.5, "max": 0.75}, "note": "ok"},
    )


@pytest.fixture
def said(run, project_of):
    def of(text):
        return holds(parse(text), run, project_of(run))

    return of


@pytest.mark.parametrize(
    "text",
    [
        "loss == .5",
        "min(loss) = .25 and max(loss) == .9 and first(loss) > .8 and last(loss) < .6",
        "mean(loss) > .549 and mean(loss) < .551",
        "loss >= 2*min(loss)",
        "loss@best < loss and best(loss) == .25 and best(acc) == .75",
        "loss - .5 == 0 and loss / min(loss) == 2 and loss + loss == 1",
        "loss / 0 == inf and 0 * loss / 0 == nan",
        "step == 2 and exit_code == 1 and failed and not finished",
        "age == 50m and runtime == 10m and runtime / age < 1",
        "name ~ BASE and name != other and id == 3be9c0de and project == demo",
        "tag == base and tag != other and tag ~ V",
        "config.lr == 3e-4 and config.text_lr == 3e-4 and config.text_lr < 1e-3",
        "config.model.d > 500 and config.model.a.b == 1",
        "config.opt == adamw and config.opt ~ ADAM and config.opt != sgd",
        "config.amp == True and config.none == null and config.sizes ~ 128",
        "config.huge > 1e300",
        "config.lr < config.model.d",
        "summary.note == ok",
        "nan(grad/a) and nan(grad/*) == 1 and nan(*) == 1 and not nan(loss)",
        "grad/a == nan and grad/a != 1 and not grad/a < 1",
        "loss > 1 or loss < 1",
    ],
)
def test_what_is_true_of_the_run_holds(said, text):
    assert said(text) is True


@pytest.mark.parametrize(
    "text",
    ["loss > 1", "not loss < 1", "tag != base", "loss < 1 and loss > 1", "config.opt == ADAMW", "config.opt == 3"],
)
def test_what_is_false_of_the_run_does_not_hold(said, text):
    assert said(text) is False


@pytest.mark.parametrize(
    "missing",
    [
        "other < 1",
        "group == a",
        "group != a",
        "config.nothing == 1",
        "config.model.d.e == 1",
        "config.opt < 3",
        "config.api_key == abcdef123",
        "config.token ~ abc",
        "2 * other > 1",
        "nan(other)",
        "nan(other/*)",
    ],
)
def test_a_missing_value_neither_holds_nor_contradicts(said, missing):
    assert said(missing) is None
    assert said(f"not ({missing})") is None
    assert said(f"{missing} and loss == .5") is None
    assert said(f"{missing} and loss == 9") is False
    assert said(f"{missing} or loss == .5") is True


def test_best_follows_what_was_declared(run_of, project_of):
    run = run_of([{"x": 1.0}, {"x": 3.0}], definitions=[Definition(key="x", goal="maximize")])
    assert holds(parse("best(x) == 3"), run, project_of(run))


def test_no_curve_is_read(run, project_of, monkeypatch):
    for name in ("series", "sample", "steps", "times"):
        monkeypatch.setattr(type(run.history), name, None)
    assert holds(parse("min(loss) < mean(loss) and nan(*) and loss@best < loss and age > 1m"), run, project_of(run))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("los < 1", "no metric 'los'; nearest: loss", "runwise keys"),
        ("nan(gard/*)", "no metric 'gard/*'", "runwise keys"),
        ("config.op == a", "no config key 'op'; nearest: opt", "runwise config"),
        ("best(grad/b) < 1", "best(grad/b): nothing says which way is better", "for example: min(grad/b) < 2"),
    ],
)
def test_what_no_run_has_is_an_error_with_the_nearest(run, project_of, text, message, hint):
    with pytest.raises(RunwiseError) as caught:
        check(parse(text), [run], project_of(run))
    assert caught.value.message.startswith(message)
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["new(loss)", "loss < 1 or stalled > 10m", "not anomaly"])
def test_what_can_only_be_waited_for_is_an_error(run, project_of, text):
    with pytest.raises(RunwiseError, match="something to wait for") as caught:
        check(parse(text), [run], project_of(run))
    assert caught.value.kind is Kind.USAGE


def test_what_runs_not_indexed_yet_may_have_is_no_error(run, run_of, project_of):
    cold = run_of(id="cold0000", indexed=False, summary={"other": 3.0})
    check(parse("other > 1 and elsewhere < 1"), [run, cold], project_of(run, cold))
    assert holds(parse("other > 1"), cold, project_of(cold)) is True
