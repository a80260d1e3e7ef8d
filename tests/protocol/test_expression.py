"""A condition reads as the tree it states, a tree prints as a condition that reads as the same tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression import MOST_CHARACTERS, names, parse, parse_operand
from runwise_protocol.expression_tree import (
    PARTS,
    PROPERTIES,
    And,
    Arithmetic,
    Comparison,
    Duration,
    Expression,
    Field,
    Metric,
    Nonfinite,
    Not,
    Number,
    Operand,
    Operator,
    Or,
    Property,
    Text,
    Waiting,
    kind_of,
    leaves,
)

KEYS = st.sampled_from(
    ["loss", "val/loss", "opt.lr", "a b", "step", "min", "and", "3x", "x@best", 'q"`\\', "λ", "config.a"]
)
KEYS |= st.text(min_size=1, max_size=8)
WORDS = st.sampled_from(["adamw", "3", "3e-4", "10m", "a b", "", "nan", "or", "config.x", "finished", "min", "'"])
WORDS |= st.text(max_size=8)
FINITE = st.floats(allow_nan=False)
METRICS = st.builds(Metric, KEYS, st.sampled_from(PARTS))
NUMBERS = METRICS | st.builds(Property, st.sampled_from(["step", "exit_code"])) | st.builds(Nonfinite, KEYS)
TIMES = st.builds(Property, st.sampled_from(["age", "runtime"]))
LENGTHS = st.builds(Duration, st.floats(0, 1e12) | st.integers(0, 10**7).map(float))
FIELDS = st.builds(Field, st.sampled_from(["config", "summary"]), KEYS)
TEXTS = st.builds(Property, st.sampled_from([name for name, kind in PROPERTIES.items() if kind == "text"]))
ORDERS: list[Operator] = ["<", "<=", ">", ">=", "==", "!="]


@st.composite
def sums(draw: st.DrawFn, atoms: st.SearchStrategy[Operand]) -> Operand:
    """A sum of products, as deep to the left as the grammar allows."""

    def product() -> Operand:
        found = draw(atoms)
        for _ in range(draw(st.integers(0, 2))):
            found = Arithmetic(draw(st.sampled_from(["*", "/"])), found, draw(atoms))
        return found

    found = product()
    for _ in range(draw(st.integers(0, 2))):
        found = Arithmetic(draw(st.sampled_from(["+", "-"])), found, product())
    return found


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """A comparison of what can be compared."""
    order = draw(st.sampled_from(ORDERS))
    equal = draw(st.sampled_from(["==", "!=", "~"]))
    number, time = draw(sums(NUMBERS | st.builds(Number, FINITE) | FIELDS)), draw(TIMES)
    options: list[Comparison] = [
        Comparison(order, Arithmetic("+", draw(NUMBERS), draw(METRICS)), number),
        Comparison(order, time, draw(LENGTHS | TIMES)),
        Comparison(equal, draw(TEXTS), Text(draw(WORDS))),  # type: ignore[arg-type]
        Comparison(equal, draw(FIELDS), Text(draw(WORDS))),  # type: ignore[arg-type]
        Comparison(order, draw(FIELDS), Number(draw(FINITE))),
        Comparison(">", Nonfinite(draw(KEYS)), Number(0.0)),
    ]
    return draw(st.sampled_from(options))


WAITING = st.builds(lambda key: Waiting("new", key), KEYS) | st.just(Waiting("anomaly"))
WAITING |= st.builds(lambda length: Waiting("stalled", seconds=length.seconds), LENGTHS)


def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)


TREES: st.SearchStrategy[Expression] = st.recursive(comparisons() | WAITING, grown, max_leaves=5)


@settings(max_examples=600, deadline=None)
@given(TREES)
def test_a_tree_that_is_printed_reads_as_the_same_tree(tree: Expression) -> None:
    text = str(tree)
    if len(text) <= MOST_CHARACTERS:
        assert parse(text) == tree


PIECES = st.sampled_from(
    [
        *("and", "or", "not", "(", ")", "<", "<=", "==", "~", "=", "!", "*", "/", "+", "-", "loss", "val/loss", "min("),
        *(
            "nan(",
            "new(",
            "stalled",
            "anomaly",
            "age",
            "10m",
            "3",
            ".5e4",
            "nan",
            "inf",
            '"',
            "'",
            "`",
            "\\",
            "config.",
        ),
        *("config.a", "summary.", "step", "name", "state", "finished", "@best", "%", "\n", "λ", ",", "["),
    ]
)


def read(text: str) -> Expression | RunwiseError:
    try:
        return parse(text)
    except RunwiseError as error:
        return error


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map(" ".join) | st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60))
def test_any_text_is_a_condition_or_the_one_error(text: str) -> None:
    found = read(text)
    if isinstance(found, RunwiseError):
        assert found.kind is Kind.USAGE
        assert "\n" not in found.message
        assert parse(found.hint.removeprefix("for example: "))
    else:
        again = str(found)
        assert len(again) > MOST_CHARACTERS or str(parse(again)) == again
        assert all(isinstance(name, str) for name in names(found))


LOSS = Metric("loss")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("loss < 1e-4", Comparison("<", LOSS, Number(1e-4))),
        ("loss<.5", Comparison("<", LOSS, Number(0.5))),
        ("step >= 2_000", Comparison(">=", Property("step"), Number(2000))),
        ("loss = -inf", Comparison("==", LOSS, Number(float("-inf")))),
        ("loss < train-loss", Comparison("<", LOSS, Metric("train-loss"))),
        ("loss - 1 < 2", Comparison("<", Arithmetic("-", LOSS, Number(1)), Number(2))),
        ("loss > 2*loss@best", Comparison(">", LOSS, Arithmetic("*", Number(2), Metric("loss", "best")))),
        ("1 + 2 * loss > 3", Comparison(">", Arithmetic("+", Number(1), Arithmetic("*", Number(2), LOSS)), Number(3))),
        ("best(val/loss) < min( `a b` )", Comparison("<", Metric("val/loss", "best"), Metric("a b", "min"))),
        ("last(loss) != 0", Comparison("!=", LOSS, Number(0))),
        ("`step` > 3", Comparison(">", Metric("step"), Number(3))),
        ('"val loss" < 2', Comparison("<", Metric("val loss"), Number(2))),
        ("config.model.d == 512", Comparison("==", Field("config", "model.d"), Number(512))),
        ("config.opt == adamw", Comparison("==", Field("config", "opt"), Text("adamw"))),
        ("config.a > config.b", Comparison(">", Field("config", "a"), Field("config", "b"))),
        ("summary.`a b` > 1", Comparison(">", Field("summary", "a b"), Number(1))),
        ("name == 007", Comparison("==", Property("name"), Text("007"))),
        ("tag ~ 'base line'", Comparison("~", Property("tag"), Text("base line"))),
        ("age < 1h30m", Comparison("<", Property("age"), Duration(5400))),
        ("runtime > 2 * 3h", Comparison(">", Property("runtime"), Arithmetic("*", Number(2), Duration(10800)))),
        ("finished", Comparison("==", Property("state"), Text("finished"))),
        ("nan(grad/*)", Comparison(">", Nonfinite("grad/*"), Number(0))),
        ("nan(*) >= 3", Comparison(">=", Nonfinite("*"), Number(3))),
        ("new(ckpt/*)", Waiting("new", "ckpt/*")),
        ("stalled>10m", Waiting("stalled", seconds=600)),
        ("anomaly", Waiting("anomaly")),
    ],
)
def test_a_clause_reads_as_what_it_says(text: str, tree: Expression) -> None:
    assert parse(text) == tree


def test_not_binds_closer_than_and_and_and_closer_than_or() -> None:
    a, b, c = (Comparison("<", Metric(key), Number(1)) for key in "abc")
    assert parse("not a < 1 and b < 1 or c < 1") == Or((And((Not(a), b)), c))
    assert parse("not (a < 1 and (b < 1 or c < 1))") == Not(And((a, Or((b, c)))))
    assert parse("a < 1 and b < 1 and c < 1") == And((a, b, c))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at character 1: expected a metric, a property or a number, found the end"),
        ("loss", "at character 5: expected a comparison such as < 2 after 'loss', found the end"),
        ("loss <", "at character 7: expected a metric, a property or a number, found the end"),
        ("(loss < 1", "at character 10: expected ')', found the end"),
        ("0 < loss < 1", "at character 10: expected and, or or the end, found '< 1'"),
        ("acc > 50%", "at character 9: there are no percentages"),
        ("age > 5", "at character 7: a time compares with a time, such as 30s, 10m, 3h or 2d"),
        ("loss > 5m", "at character 8: a time compares with a time, such as 30s, 10m, 3h or 2d"),
        ("loss ~ a", "at character 1: ~ looks for a word in a text"),
        ("name < a", "at character 1: a text is compared with ==, != or ~"),
        ("1 < 2", "at character 1: nothing of the run is compared"),
        ("stalled", "at character 8: stalled needs a time"),
        ("age < 1e999d", "at character 7: a time without end"),
        ("new(a) > 3", "at character 8: expected and, or or the end, found '> 3'"),
        ("not " * 60 + "anomaly", "at character 164: nested more than 40 deep"),
        ("1" + "+1" * 30 + " < loss", "at character 42: more than 20 operands"),
        ("x" * 1001, "the expression has 1001 characters, at most 1000 are read"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(RunwiseError) as caught:
        parse(text)
    assert caught.value.message == message
    assert caught.value.hint.startswith("for example: ")


def test_the_metrics_it_speaks_of_are_named_once() -> None:
    tree = parse("min(a) < 2*b and (config.c > 1 or nan(grad/*) > 3) and a > 0 and not new(d)")
    assert names(tree) == ("a", "b", "grad/*", "d")


def test_one_side_alone_can_be_read() -> None:
    assert parse_operand("min(val/loss)") == Metric("val/loss", "min")
    assert kind_of(parse_operand("runtime / age")) == "number"
    assert kind_of(parse_operand("runtime - 2d")) == "time"
    assert [str(leaf) for leaf in leaves(parse_operand("2 * a + b"))] == ["2", "a", "b"]
    with pytest.raises(RunwiseError, match="expected the end, found '< 3'"):
        parse_operand("loss < 3")
