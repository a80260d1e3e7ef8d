import json

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.about import ShowNotes

from runwised.formats.record import Alert
from runwised.index.kept import Annotation


def test_notes_and_alerts_are_quoted(run_of, project_of, ask):
    run = run_of(
        name="gpt",
        group="sweep",
        tags=["a", "b"],
        notes="first try\n\x1b[31mkey: wandb_v1_abcdefghijklmnopqrstuvwxyz",
        alerts=[Alert(3, "low", "accuracy is\nlow", "WARN")],
    )
    assert ask(ShowNotes(), project_of(run)) == (
        "gpt 3be9c0de, group sweep, tags a,b\n"
        "notes (quoted):\n"
        "| first try\n"
        "| key: ‹hidden›\n"
        "1 alert (quoted):\n"
        "| WARN low: accuracy is low\n"
    )


def test_it_says_what_the_user_said_and_the_log_did_not(run_of, project_of, ask):
    said = Annotation(("good",), ("slow",), "mine\nand more")
    run = run_of(name="gpt", tags=["a", "good"], notes="logged\nmine\nand more", annotation=said)
    assert ask(ShowNotes(), project_of(run)) == (
        "gpt 3be9c0de, tags a,good (yours: +good -slow)\n"
        "notes (quoted):\n"
        "| logged\n"
        "your note (quoted):\n"
        "| mine\n"
        "| and more\n"
    )


def test_a_run_without_notes_says_so(run_of, project_of, ask):
    assert ask(ShowNotes(), project_of(run_of())) == "3be9c0de, no notes\n"


def test_json_holds_them_as_they_are(run_of, project_of, ask):
    run = run_of(name="gpt", tags=["a"], notes="one\ntwo")
    assert json.loads(ask(ShowNotes(run="gpt"), project_of(run), form="json")) == {
        "run": "3be9c0de",
        "name": "gpt",
        "notes": "one\ntwo",
        "tags": ["a"],
        "group": None,
        "alerts": [],
        "added": [],
        "removed": [],
        "note": "",
    }


def test_long_notes_are_cut_with_the_command_for_the_rest(run_of, project_of, ask):
    run = run_of(name="gpt", notes="\n".join(f"line {at}" for at in range(300)))
    lines = ask(ShowNotes(), project_of(run)).splitlines()
    assert lines[2] == "| line 0"
    shown = len(lines) - 3
    assert lines[-1] == f"{300 - shown} more lines: runwise notes gpt --format json"


def test_notes_cannot_be_csv(run_of, project_of, ask):
    with pytest.raises(RunwiseError, match="notes cannot be written as csv, only as text, md, json"):
        ask(ShowNotes(), project_of(run_of()), form="csv")
