"""`tag` and `note` say what the user says of a run: merged with the log, the same however often it is asked."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.annotate import NoteRun, TagRun

from runwised.index.kept import Annotation
from runwised.queries.annotate import MOST_CHARACTERS, MOST_TAGS, change


@pytest.fixture
def said_after(run_of):
    """What is said of a run that logged tags and notes, after these questions, each as if its answer had been lost."""

    def after(*queries, logged=("slow", "wide"), said=Annotation()):  # noqa: B008 - it is frozen
        for query in queries:
            for _ in range(2):
                run = run_of(id="a", tags=said.tags(logged), annotation=said)
                said = change(query, run)(said)
        return said

    return after


def tag(*tags, remove=False):
    return TagRun(run="a", tags=tags, remove=remove)


def note(text=None, **fields):
    return NoteRun(run="a", text=text, **fields)


@pytest.mark.parametrize(
    ("queries", "added", "removed", "shown"),
    [
        ([tag("good")], ("good",), (), ("slow", "wide", "good")),
        ([tag("good", "wide", "good")], ("good",), (), ("slow", "wide", "good")),
        ([tag("wide", remove=True)], (), ("wide",), ("slow",)),
        ([tag("wide", remove=True), tag("wide")], (), (), ("slow", "wide")),
        ([tag("good"), tag("good", remove=True)], (), (), ("slow", "wide")),
        ([tag("nothing", remove=True)], (), (), ("slow", "wide")),
    ],
)
def test_tags_are_put_on_and_taken_off(said_after, queries, added, removed, shown):
    said = said_after(*queries)
    assert (said.added, said.removed) == (added, removed)
    assert said.tags(("slow", "wide")) == shown


def test_notes_are_replaced_added_to_and_taken_away(said_after):
    assert said_after(note("one\n"), note("two")).note == "two"
    assert said_after(note("one"), note("two\n\tthree", append=True)).note == "one\ntwo\n\tthree"
    assert said_after(note("o", append=True), note("two", append=True), note("o", append=True)).note == "o\ntwo\no"
    assert said_after(note("one"), note(clear=True)).note == ""
    assert Annotation(note="mine").notes("logged") == "logged\nmine"
    assert (Annotation().notes("logged"), Annotation().notes(None)) == ("logged", None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (tag("a\nb"), "TAGS: expected words without control characters, found 'a\\nb'"),
        (tag("\x1b[31m"), "TAGS: expected words without control characters, found '\\x1b[31m'"),
        (tag("a\u202eb"), "TAGS: expected words without control characters, found 'a\\u202eb'"),
        (tag(" "), "TAGS: expected words without control characters, found ' '"),
        (note("a\x00"), "TEXT: expected lines without control characters"),
        (note(" \n"), "TEXT: expected the note, found nothing"),
        (note(), "TEXT: expected the note, found nothing"),
        (note("a", clear=True), "--clear takes the note away: it goes with no text"),
        (
            note("a" * 10, append=True),
            f"the note would have {MOST_CHARACTERS + 11} characters, more than {MOST_CHARACTERS}",
        ),
        (tag("one more"), f"the run would have {MOST_TAGS + 1} tags of yours, more than {MOST_TAGS}"),
    ],
)
def test_what_cannot_be_said_is_one_line(run_of, query, message):
    full = Annotation(added=tuple(map(str, range(MOST_TAGS))), note="x" * MOST_CHARACTERS)
    with pytest.raises(RunwiseError) as caught:
        change(query, run_of(id="a", annotation=full))(full)
    assert (caught.value.kind, caught.value.message) == (Kind.USAGE, message)


def test_the_answer_tells_what_is_said_now(run_of, project_of, ask):
    said = Annotation(("good",), ("slow",), "look at\nthis")
    view = project_of(run_of(id="a", name="gpt", tags=["wide", "good"], notes="logged", annotation=said))
    query = TagRun(run="a", tags=("good",))
    assert ask(query, view) == "gpt tags wide,good (yours: +good -slow)\n"
    assert ask(NoteRun(run="a", text="x"), view) == "gpt noted\nyour note (quoted):\n| look at\n| this\n"
    assert json.loads(ask(query, view, form="json")) == {
        "run": "a",
        "name": "gpt",
        "tags": ["wide", "good"],
        "added": ["good"],
        "removed": ["slow"],
        "note": "look at\nthis",
    }
    plain = project_of(run_of(id="a", name="gpt"))
    assert ask(query, plain) == "gpt no tags\n"
    assert ask(NoteRun(run="a", clear=True), plain) == "gpt no note of yours\nnext: notes gpt\n"


def test_the_answer_keeps_its_budget(run_of, project_of, ask):
    said = Annotation(tuple(f"{at}" * 30 for at in range(100)), (), "long line " * 30 + "\nx" * 900)
    view = project_of(run_of(id="a", annotation=said, tags=said.added))
    assert len(ask(TagRun(run="a", tags=("x",)), view, budget=60)) < 400
    assert "earlier lines: runwise notes a --format json" in ask(NoteRun(run="a", text="x"), view)


def test_one_and_the_same_struct_says_nothing_twice():
    assert replace(Annotation(added=("a",)), note="n").tags(("a", "b")) == ("a", "b")
