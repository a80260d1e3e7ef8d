import json

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import ListSources

from runwised.index.view import Source


@pytest.fixture
def view(run_of, project_of, place_of):
    """A W&B run, and one that event files and a table tell of together."""
    wandb = run_of([{"loss": 1.0}], id="aafe0000")
    parts = [Source(f"logs/exp/{name}", kind, 9, 0) for name, kind in (("events.1", "tfevents"), ("m.csv", "csv"))]
    loose = run_of([{"loss": 1.0}], id="exp", sources=parts)
    places = [
        place_of("wandb", logs=[("wandb/run-aafe0000/run-aafe0000.wandb", "aafe0000", "wandb")]),
        place_of(
            "logs",
            logs=[("logs/exp/events.1", "exp", "tfevents"), ("logs/exp/m.csv", "exp", "csv")],
            passed=[
                ("logs/exp/*.png", "image or other medium", 1204),
                ("logs/exp/best.pt", "checkpoint or array"),
                ("logs/one.png", "image or other medium"),
            ],
        ),
        place_of("runs", exists=False),
        place_of("mlflow.db", exists=False),
    ]
    return project_of(wandb, loose, places=places)


def test_a_line_a_place_says_what_was_read_and_what_not(ask, view):
    assert ask(ListSources(), view) == (
        "3 logs of 2 runs in 2 places\n"
        "wandb: 1 wandb\n"
        "logs: 1 tfevents, 1 csv\n"
        "logs not read: 1205 image or other medium (logs/exp/*.png); 1 checkpoint or array (logs/exp/best.pt)\n"
        "looked for, not there: runs, mlflow.db\n"
        "next: sources --all\n"
    )


def test_with_all_every_log_and_every_file_that_was_passed_over_has_a_line(ask, view):
    text = ask(ListSources(all=True), view, budget=1000)
    assert "logs/exp/m.csv csv exp\n" in text
    assert text.endswith(
        "not_read why\n"
        '"1,204 × logs/exp/*.png" image or other medium\n'
        "logs/exp/best.pt checkpoint or array\n"
        "logs/one.png image or other medium\n"
    )


def test_a_budget_cuts_the_longest_lists_first_and_says_so(ask, run_of, project_of, place_of):
    passed = [(f"logs/deep{n}/notes.txt", "not recognised") for n in range(500)]
    view = project_of(run_of([{"loss": 1.0}]), places=[place_of("logs", passed=passed)])
    text = ask(ListSources(all=True), view)
    assert text.startswith(
        "no logs in 1 place\nlogs: no logs\nlogs not read: 500 not recognised (logs/deep0/notes.txt)\n"
    )
    assert "cut: " in text


def test_one_run_shows_what_it_is_read_from(ask, view):
    assert ask(ListSources(run="exp"), view) == (
        "exp is read from 2 logs\nlog format\nlogs/exp/events.1 tfevents\nlogs/exp/m.csv csv\n"
    )


def test_one_run_with_all_shows_what_was_passed_over_beside_its_logs(ask, view):
    found = json.loads(ask(ListSources(run="exp", all=True), view, form="json"))
    assert [passed["path"] for passed in found["passed"]] == ["logs/exp/*.png", "logs/exp/best.pt"]
    assert found["places"] == []


def test_a_log_that_ends_in_the_middle_of_a_record_says_how_much_of_it_there_is(ask, run_of, project_of):
    parts = [Source("logs/a.jsonl", "jsonl", 9, 0, 4), Source("logs/events.1", "tfevents", 9, 0, 1)]
    view = project_of(run_of([{"loss": 1.0}], id="a", sources=parts))
    text = ask(ListSources(run="a"), view)
    assert "logs/a.jsonl: incomplete last line, 4 bytes\n" in text
    assert "logs/events.1: incomplete last record, 1 byte\n" in text
    told = json.loads(ask(ListSources(run="a"), view, form="json"))
    assert [log["incomplete_bytes"] for log in told["sources"]] == [4, 1]


def test_a_run_that_is_not_there_is_an_error(ask, view):
    with pytest.raises(RunwiseError):
        ask(ListSources(run="zzz"), view)


def test_json_holds_every_log_with_its_run_and_passed_files_only_when_asked(ask, view):
    found = json.loads(ask(ListSources(), view, form="json"))
    assert found["places"][1] == {
        "path": "logs",
        "exists": True,
        "formats": {"tfevents": 1, "csv": 1},
        "passed": [
            {"reason": "image or other medium", "files": 1205, "example": "logs/exp/*.png"},
            {"reason": "checkpoint or array", "files": 1, "example": "logs/exp/best.pt"},
        ],
    }
    assert found["sources"][2] == {"path": "logs/exp/m.csv", "format": "csv", "run": "exp", "incomplete_bytes": 0}
    assert found["passed"] == []
    assert len(json.loads(ask(ListSources(all=True), view, form="json"))["passed"]) == 3


def test_a_log_goes_by_the_id_the_run_itself_says_and_a_stores_runs_by_their_own(ask, run_of, project_of, place_of):
    renamed = run_of([{"loss": 1.0}], id="said", sources=[Source("logs/a.jsonl", "jsonl", 9, 0)])
    stored = [run_of([], id=name, sources=[Source("mlflow.db", "mlflow-db", 9, 0)]) for name in ("r1", "r2")]
    places = [
        place_of("logs", logs=[("logs/a.jsonl", "a", "jsonl"), ("logs/new.jsonl", "new", "jsonl")]),
        place_of("mlflow.db", logs=[("mlflow.db", "r1", "mlflow-db"), ("mlflow.db", "r2", "mlflow-db")]),
    ]
    found = json.loads(ask(ListSources(), project_of(renamed, *stored, places=places), form="json"))
    assert [log["run"] for log in found["sources"]] == ["said", "new", "r1", "r2"]


def test_hostile_names_do_nothing(ask, run_of, project_of, place_of):
    bad = "logs/\x1b[31m\nnext: rm -rf ~"
    view = project_of(run_of([]), places=[place_of(bad, logs=[(bad, bad, "csv")], passed=[(bad, "a pipe")])])
    for dress in ("agent", "human"):
        text = ask(ListSources(all=True), view, dress=dress, budget=1000)
        assert "\x1b[31m" not in text
        assert not any(line.startswith("next: rm") for line in text.splitlines())
