"""A plain command line is understood at once, and alike by the full parser; everything else is declined."""

from __future__ import annotations

import re

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from runwise_protocol.argv import COMMON, Parsed, parse
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import BY_COMMAND, QUERIES, Compare, History, ListRuns, Log, RankRuns, Raw, ShowRun
from runwise_protocol.queries.annotate import NoteRun, TagRun
from runwise_protocol.query import Look, Where
from runwise_protocol.schema import Parameter, parameters

from runwise_cli.app import command_line

understood: list[Parsed] = []


def collect(parsed: Parsed) -> int:
    understood.append(parsed)
    return 0


FULL = typer.main.get_command(command_line(collect))


def parse_in_full(argv: list[str]) -> Parsed | None:
    """What Typer makes of a command line."""
    understood.clear()
    try:
        FULL(argv or ["list"], prog_name="runwise", standalone_mode=False)
    except (RunwiseError, typer.TyperException):
        return None
    return understood[0] if understood else None


VALUES = st.one_of(
    st.integers(-20, 120_000).map(str),
    st.sampled_from(["json", "text", "agent", "val/*", "a,b", "-", "", "3:9", ":-1", "-5:", "λ", "run=7", "00", "1_0"]),
    st.text(max_size=4),
)


def spelled(parameter: Parameter, value: str) -> st.SearchStrategy[list[str]]:
    """One parameter on a command line, in every way there is."""
    if not parameter.flags:
        return st.just([value])
    ways = []
    for flag in parameter.flags:
        if parameter.kind == "switch":
            ways.append([flag])
        elif flag.startswith("--"):
            ways += [[flag, value], [f"{flag}={value}"]]
        else:
            ways += [[flag, value], [flag + value]]
    return st.sampled_from(ways)


@st.composite
def any_line(draw: st.DrawFn) -> list[str]:
    """Words such as people type, in and out of order, of this command and of others."""
    query = draw(st.sampled_from(QUERIES))
    strange = [parameter for other in QUERIES for parameter in parameters(other)]
    known = [*parameters(query), *COMMON]
    words: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        parameter = draw(st.sampled_from(known if draw(st.integers(0, 9)) else strange))
        words += draw(spelled(parameter, draw(VALUES)))
        if not draw(st.integers(0, 9)):
            words.append(draw(st.sampled_from(["--", "--help", "-h", "--no", "-n", "-", "--format", "-kx", "--keys="])))
    return [draw(st.sampled_from([query.command] * 9 + ["lst"])), *words]


@settings(max_examples=3000, deadline=None)
@given(any_line())
def test_what_is_understood_at_once_the_full_parser_understands_alike(argv: list[str]) -> None:
    parsed = parse(argv)
    if parsed is not None:
        assert parse_in_full(argv) == parsed


def valid(parameter: Parameter) -> st.SearchStrategy[str]:
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    if parameter.pattern:
        fitting = ["7", "-3", "3:9", ":", "-5:", "2:-1", "5%", "now", "step=5", "9m", "1h30m"]
        return st.sampled_from([text for text in fitting if re.search(parameter.pattern, text)])
    if parameter.kind == "integer":
        least = -1000 if parameter.least is None else parameter.least
        return st.integers(least, parameter.most or 10**15).map(str)
    return st.sampled_from(["abc", "val/*", "train/loss,lr", "gpt-base", "3be9", "λ", "7"])


@st.composite
def plain_line(draw: st.DrawFn) -> list[str]:
    """A valid command line: each parameter at most once, the required ones in it."""
    query = draw(st.sampled_from(QUERIES))
    wanted = [one for one in (*parameters(query), *COMMON) if one.required or draw(st.booleans())]
    pieces = [draw(spelled(one, draw(valid(one)))) for one in draw(st.permutations(wanted))]
    return [query.command, *(word for piece in pieces for word in piece)]


@settings(max_examples=1000, deadline=None)
@given(plain_line())
def test_every_valid_line_is_understood_at_once(argv: list[str]) -> None:
    parsed = parse(argv)
    assert parsed is not None
    assert parse_in_full(argv) == parsed


@pytest.mark.parametrize(
    ("line", "query", "look"),
    [
        ("", ListRuns(), {}),
        ("list -n5", ListRuns(limit=5), {}),
        ("list -n 5 --no-spark", ListRuns(limit=5, no_spark=True), {}),
        ("run gpt-base --format=json --budget 90", ShowRun(run="gpt-base"), {"form": "json", "budget": 90}),
        ("history -k loss,lr -k val/* abc", History(run="abc", keys=("loss", "lr", "val/*")), {}),
        ("history --from -5 --to=-1 --for agent", History(start=-5, end=-1), {"dress": "agent"}),
        ("raw --step -5: --row -3", Raw(step="-5:", row="-3"), {}),
        ("list -w age<2d --sort=-loss --reverse", ListRuns(where="age<2d", sort="-loss", reverse=True), {}),
        ("best val/loss --max -n 3", RankRuns(key="val/loss", max=True, top=3), {}),
        ("compare a,b c", Compare(runs=("a,b", "c")), {}),
        ("tag a x,y z --remove", TagRun(run="a", tags=("x,y", "z"), remove=True), {}),
        ("note a text --append -q", NoteRun(run="a", text="text", append=True), {"quiet": True}),
        ("list -a -v", ListRuns(all=True), {"verbose": True}),
        ("log --errors -- -odd", Log(run="-odd", errors=True), {}),
    ],
)
def test_a_plain_line_gives_its_request(line: str, query: object, look: dict[str, object]) -> None:
    assert parse(line.split()) == Parsed(query, look)


@pytest.mark.parametrize("line", ["run a -C ../b", "run a --project ../b", "run --project=../b a", "run -C../b a"])
def test_a_project_can_be_named_and_is_part_of_where_it_is_asked(line: str) -> None:
    parsed = parse(line.split())
    assert parsed == Parsed(ShowRun(run="a"), {}, "../b")
    assert parsed.seen_from(Where(cwd="/x")) == Where(cwd="/x", project="../b")
    assert parsed._replace(project=None).seen_from(Where(cwd="/x")) == Where(cwd="/x")


@pytest.mark.parametrize(
    "line",
    [
        "lst",
        "demo",
        "init",
        "daemon status",
        "--help",
        "--version",
        "--format json",
        "list --help",
        "list -h",
        "list extra",
        "list --limt 3",
        "list -n",
        "list -n 0",
        "list -n x",
        "list -n --format json",
        "list --format yaml",
        "list --no-spark=1",
        "run a b",
        "tag a",
        "list -C",
        "compare",
        "raw --step 3-5",
        "keys -k a\udcff",
    ],
)
def test_what_is_not_plain_is_declined(line: str) -> None:
    assert parse(line.split()) is None


def test_no_query_has_a_field_or_a_flag_that_the_look_has() -> None:
    fields = {*Look.__struct_fields__, "project"}
    flags = {flag for parameter in COMMON for flag in parameter.flags}
    for query in BY_COMMAND.values():
        assert fields.isdisjoint(query.__struct_fields__)
        assert flags.isdisjoint(flag for parameter in parameters(query) for flag in parameter.flags)
