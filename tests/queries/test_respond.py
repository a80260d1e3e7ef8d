import csv
import json
import math

import msgspec
import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import QUERIES
from runwise_protocol.queries.about import ShowConfig
from runwise_protocol.queries.annotate import NoteRun, TagRun
from runwise_protocol.queries.best import RankRuns
from runwise_protocol.queries.compare import Compare
from runwise_protocol.queries.find import FindRuns
from runwise_protocol.queries.history import History
from runwise_protocol.queries.log import Log
from runwise_protocol.queries.metrics import ListKeys, ShowStats
from runwise_protocol.queries.raw import Export, Raw
from runwise_protocol.queries.run import Latest, ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.query import Look

from runwised.index.view import Source
from runwised.queries import HANDLERS
from runwised.queries.asked import asked
from runwised.queries.respond import budget, needed, respond
from runwised.queries.tabular import csv_lines, finite, flat

QUESTIONS = {
    Compare: Compare(runs=("a", "b")),
    FindRuns: FindRuns(pattern="a"),
    RankRuns: RankRuns(key="loss"),
    TagRun: TagRun(run="a", tags=("good",)),
    NoteRun: NoteRun(run="a", text="good"),
}
"""Of queries that cannot be asked without saying of what."""


@pytest.fixture
def view(run_of, project_of):
    rows = [{"loss": 3.0}, {"loss": math.nan, "note": "x,y"}, {"loss": 1.0}]
    config = {"model": {"d": 8, "extra": {}}, "lr": math.inf, "on": True, "name": 'a "b"'}
    a = run_of(rows, id="aafe0000", name="a", config=config, lines=["one", "two"])
    events = Source("runs/b/events.out.tfevents.1.host", "tfevents", 4096, 0)
    return project_of(a, run_of(rows, id="bbfe0000", name="b", sources=[events]))


def test_every_query_has_a_handler():
    assert list(HANDLERS) == list(QUERIES)


@pytest.mark.parametrize("query", QUERIES, ids=[query.command for query in QUERIES])
def test_every_query_is_answered_in_every_form_it_offers(query, view):
    question = QUESTIONS.get(query) or query()
    for form in HANDLERS[query].forms:
        written = respond(question, view, Look(form=form))
        text = "".join(written.chunks)
        objects = HANDLERS[query].objects
        is_list = form in ("csv", "jsonl") and objects is not None
        assert text.endswith("\n") or (is_list and not objects(written.reply))
        assert written.exit_status == 0
        assert isinstance(written.reply, query.reply)
        if form == "json":
            json.loads(text, parse_constant=lambda token: pytest.fail(f"bare {token}"))
        if form == "jsonl":
            assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
        if form == "csv":
            lines = list(csv.reader(text.splitlines()))
            assert len({len(line) for line in lines}) <= 1


@pytest.mark.parametrize("query", QUERIES, ids=[query.command for query in QUERIES])
def test_every_answer_in_text_keeps_its_budget(query, view):
    question = QUESTIONS.get(query) or query()
    if HANDLERS[query].stream is None:
        for dress in ("agent", "human"):
            text = "".join(respond(question, view, Look(budget=20, dress=dress)).chunks)
            assert len(text) < 200


def test_the_text_of_a_reply_is_what_was_sent(view):
    written = respond(ListRuns(), view, Look())
    assert str(written.reply) == "".join(written.chunks)


@pytest.mark.parametrize(
    ("query", "form", "message"),
    [
        (Export(), "md", "export cannot be written as md, only as text, csv, jsonl"),
        (Export(), "json", "export cannot be written as json, only as text, csv, jsonl"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_with_the_valid_ones(query, form, message, view):
    with pytest.raises(RunwiseError) as caught:
        respond(query, view, Look(form=form))
    assert caught.value.kind is Kind.USAGE
    assert str(caught.value) == f"error: {message}\nhint: runwise export --format jsonl"


def test_non_finite_numbers_are_strings_in_json():
    assert finite({"a": [math.nan, math.inf, -math.inf, 1.5, 2], "b": "nan"}) == {
        "a": ["NaN", "Infinity", "-Infinity", 1.5, 2],
        "b": "nan",
    }


def test_config_is_one_setting_a_line_in_csv_and_jsonl(view, ask):
    assert ask(ShowConfig(), view, form="csv") == (
        'key,value\nmodel.d,8\nmodel.extra,{}\nlr,Infinity\non,true\nname,"a ""b"""\n'
    )
    assert ask(ShowConfig(), view, form="jsonl").splitlines()[2] == '{"key":"lr","value":"Infinity"}'


def test_csv_holds_numbers_in_full():
    rows = [[0.1 + 0.2, 10**20, None, [1, "x"], "a,b"]]
    assert "".join(csv_lines(["a", "b", "c", "d", "e"], rows)) == (
        'a,b,c,d,e\n0.30000000000000004,100000000000000000000,,"[1,""x""]","a,b"\n'
    )


def test_a_nested_mapping_is_flattened_with_dots():
    assert dict(flat({"a": {"b": {"c": 1}, "d": {}}, "e": None})) == {"a.b.c": 1, "a.d": {}, "e": None}


@pytest.mark.parametrize(
    ("query", "look", "tokens"),
    [
        (ListRuns(), Look(), 300),
        (ListRuns(), Look(dress="human"), 1200),
        (ListRuns(), Look(verbose=True), 1200),
        (ListRuns(), Look(budget=77, dress="human"), 77),
        (ListRuns(limit=5), Look(), None),
        (ListRuns(limit=5), Look(budget=50), 50),
        (History(samples=10), Look(), None),
        (Log(tail=10), Look(), None),
        (Raw(limit=10), Look(), None),
        (ShowRun(run="a"), Look(), 350),
    ],
)
def test_an_explicit_count_lifts_the_default_budget(query, look, tokens):
    assert budget(query, look) == tokens


@pytest.mark.parametrize(
    ("query", "ids", "if_short"),
    [
        (ListRuns(), [], False),
        (Latest(), ["aafe0000"], True),
        (ShowRun(run="b"), ["bbfe0000"], True),
        (ShowStats(), ["aafe0000"], False),
        (ListKeys(run="b"), ["bbfe0000"], False),
        (Compare(runs=("a", "b@1", "aafe")), ["aafe0000", "bbfe0000"], False),
    ],
)
def test_the_runs_a_query_needs_indexed_are_known_before_it_is_answered(query, ids, if_short, view):
    assert needed(query, view) == (ids, if_short)


def test_nothing_is_needed_where_there_is_no_run(project_of):
    assert needed(Latest(), project_of()).runs == []


def test_bytes_not_read_yet_are_said_under_any_answer_about_the_run(run_of, project_of, ask):
    run = run_of([{"loss": 1.0}], name="a", sources=[Source("wandb/x", "wandb", 10**6, 250_000)])
    assert ask(ShowStats(), project_of(run)).splitlines()[-1] == "! a: 250 kB of its log not read yet"


@pytest.mark.parametrize(
    ("query", "line"),
    [
        (ListRuns(), "list"),
        (ListRuns(limit=3, no_spark=True), "list -n 3 --no-spark"),
        (ShowRun(run="my run"), "run 'my run'"),
        (Raw(run="a", keys=("val/*", "lr"), step="1:5"), "raw a -k 'val/*,lr' --step 1:5"),
        (Compare(runs=("a", "b@3"), filter="val"), "compare a b@3 -f val"),
        (History(start=5, x="time"), "history --from 5 --x time"),
        (ShowConfig(show_secrets=True), "config --show-secrets"),
    ],
)
def test_a_query_is_spelled_as_the_command_that_asks_it(query, line):
    assert asked(query) == line


def test_replies_survive_the_wire(view):
    reply = respond(ListRuns(), view, Look()).reply
    assert msgspec.json.decode(msgspec.json.encode(reply), type=type(reply)) == reply


def test_a_quiet_answer_has_neither_remarks_nor_next_commands(run_of, project_of, ask):
    run = run_of([{"loss": 2.0}, {"loss": math.nan}, {"loss": 1.0}], name="a", damage={"crc": 9})
    view = project_of(run, notes=["runwise.json: not JSON"])
    said, quiet = (ask(ShowRun(), view, quiet=wanted).splitlines() for wanted in (False, True))
    assert [line for line in said if line not in quiet] == [
        "! loss first nan@1, 1 of 3 points, finite at the end",
        "next: history a -k loss --around 1",
    ]
    assert "! runwise.json: not JSON" in quiet
    assert any("damaged" in line for line in quiet)


def test_a_verbose_answer_tells_what_is_usually_left_out(run_of, project_of, ask):
    rows = [{f"m{at}/loss": 1.0 for at in range(20)}]
    view = project_of(run_of(rows, name="a", tags=["x"], facts={"host": "box"}))
    assert "14 more metrics" in ask(ShowRun(), view)
    text = ask(ShowRun(), view, verbose=True)
    assert "more metrics" not in text
    assert "\nran with host=box\nread from wandb/run-3be9c0de/run-3be9c0de.wandb wandb 4096 bytes\n" in text
    assert "\nrun state step age id tags m0/loss" in ask(ListRuns(), view, verbose=True)


def test_quiet_and_verbose_are_contrary(view):
    with pytest.raises(RunwiseError, match="--quiet and --verbose are contrary"):
        respond(ListRuns(), view, Look(quiet=True, verbose=True))


def test_commands_that_go_on_name_the_project_that_was_named(run_of, project_of, ask):
    runs = [run_of([{"loss": math.nan}, {"loss": at}], id=f"run{at}", notes="x") for at in range(3)]
    view = project_of(*runs, named="../other")
    assert ask(ShowRun(run="run0"), view).endswith("next: history run0 -k loss --around 0 -C ../other\n")
    assert "runwise notes run0 -C ../other" in ask(ShowRun(run="run0"), view)
    assert "\n2 more: runwise list -n 3 -C ../other\n" in ask(ListRuns(limit=1), view)
    assert "runwise run run0 -C ../other --budget" in ask(ShowRun(run="run0"), view, budget=50)
    with pytest.raises(RunwiseError) as caught:
        ask(ShowRun(run="nope"), view)
    assert caught.value.hint == "runwise list -C ../other"
