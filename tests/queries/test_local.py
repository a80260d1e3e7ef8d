import json

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import History, ListKeys, ListRuns, Local, ShowRun, ShowStability, ShowStats, TensorBoard

from runwised.index.view import Condition, Source
from runwised.queries.asked import asked
from runwised.queries.local import no_log, not_there
from runwised.queries.respond import needed

ROWS = [{"loss": 3.0 - 0.01 * at, "val/acc": at / 200} for at in range(200)]


def read_from(*formats):
    return [Source(f"logs/{kind}.log", kind, 4096, 0) for kind in formats]


@pytest.fixture
def one(run_of, project_of):
    """What `local a.csv` sees."""
    return project_of(run_of(ROWS, id="a", sources=read_from("csv")))


@pytest.fixture
def mixed(run_of, project_of):
    """A project with a run of W&B's, two of event files (one has a table too) and one of JSON lines."""
    kinds = {"ev": ["tfevents"], "both": ["csv", "tfevents"], "lines": ["jsonl"], "aafe0000": ["wandb"], "new": [""]}
    runs = [run_of(ROWS, id=name, sources=read_from(*formats)) for name, formats in kinds.items()]
    return project_of(*runs)


def refused(ask, query, view, **look):
    with pytest.raises(RunwiseError) as caught:
        ask(query, view, **look)
    return caught.value.kind, caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("part", "alike", "more"),
    [
        ("run", ShowRun(run="a"), {}),
        ("keys", ListKeys(run="a", keys=("val/*",)), {"keys": True, "metrics": ("val/*",)}),
        ("stats", ShowStats(run="a", keys=("loss",)), {"stats": True, "metrics": ("loss",)}),
        (
            "history",
            History(run="a", keys=("loss",), samples=10),
            {"history": True, "metrics": ("loss",), "samples": 10},
        ),
        (
            "stability",
            ShowStability(run="a", keys=("loss",), samples=9, window=20),
            {"stability": True, "metrics": ("loss",), "samples": 9, "window": 20},
        ),
    ],
)
def test_one_run_is_shown_as_the_command_of_each_part_shows_it(part, alike, more, ask, one):
    query = Local(file="a.csv", **more)
    assert ask(query, one).splitlines()[:3] == ask(alike, one).splitlines()[:3]
    found = json.loads(ask(query, one, form="json"))
    assert found.pop(part) == json.loads(ask(alike, one, form="json"))
    assert found.pop("path") == "a.csv"
    assert set(found.values()) == {None}
    assert ask(query, one, form="csv") == ask(alike, one, form="csv")


def test_several_parts_stand_one_after_the_other(ask, one):
    query = Local(file="a.csv", stats=True, history=True, keys=True, metrics=("loss",), samples=4)
    parts = (ListKeys(keys=("loss",)), ShowStats(keys=("loss",)), History(keys=("loss",), samples=4))
    assert ask(query, one) == "".join(ask(part, one) for part in parts)
    kind, message, _ = refused(ask, query, one, form="csv")
    assert (kind, message) == (Kind.USAGE, "csv and jsonl hold one of --keys, --stats, --history, not several")


def test_a_project_is_shown_by_a_list_without_wandbs_runs(ask, mixed, one):
    found = json.loads(ask(Local(), mixed, form="json"))
    assert found["path"] == mixed.root
    assert [run["id"] for run in found["list"]["runs"]] == ["ev", "both", "lines"]
    assert json.loads(ask(Local(), one, form="json"))["list"] == json.loads(ask(ListRuns(), one, form="json"))


def test_tb_shows_runs_with_event_files_only(ask, mixed, one):
    for query in (TensorBoard(), TensorBoard(directory="logs"), TensorBoard(dir="logs")):
        found = json.loads(ask(query, mixed, form="json"))
        assert [run["id"] for run in found["list"]["runs"]] == ["ev", "both"]
    assert refused(ask, TensorBoard(directory="logs"), one) == (
        *(Kind.NOT_FOUND, "no event files in logs"),
        "runwise local logs",
    )
    assert refused(ask, TensorBoard(), one) == (
        *(Kind.NOT_FOUND, "no event files in /data/proj"),
        "runwise tb path/to/folder",
    )


def test_a_project_of_wandbs_runs_alone_has_no_local_logs(ask, run_of, project_of):
    view = project_of(run_of(ROWS))
    assert refused(ask, Local(), view) == (Kind.NOT_FOUND, "no logs but W&B's in /data/proj", "runwise sources")


def test_a_path_may_name_wandbs_logs(ask, run_of, project_of):
    assert "3be9c0de" in ask(Local(file="wandb"), project_of(run_of(ROWS)))


def test_one_of_several_runs_must_be_picked(ask, mixed):
    kind, message, hint = refused(ask, TensorBoard(directory="logs", stats=True, metrics=("loss",)), mixed)
    assert (kind, message) == (Kind.AMBIGUOUS, "logs holds 2 runs: ev, both")
    assert hint == "runwise tb logs -r ev --stats -k loss"
    picked = TensorBoard(directory="logs", stats=True, metrics=("loss",), run="ev")
    assert ask(picked, mixed) == ask(ShowStats(run="ev", keys=("loss",)), mixed)
    assert ask(TensorBoard(run="both"), mixed).startswith("both finished")


def test_a_run_that_is_not_meant_cannot_be_picked(ask, mixed):
    assert refused(ask, TensorBoard(directory="logs", run="lines"), mixed)[2] == "runwise tb logs"


def test_the_next_commands_name_the_path(ask, run_of, project_of):
    many = [{f"part{number}/loss": at * number for number in range(30)} for at in range(100)]
    spiky = [{"loss": 500.0 if at == 777 else 1.0 + at % 7 / 100} for at in range(2000)]
    lines = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: x"]
    wide = run_of(many, id="wide", sources=read_from("csv"), notes="n", config={f"key{n}": n for n in range(90)})
    spike = run_of(spiky, id="spike", sources=read_from("csv"), lines=lines)
    for view in (project_of(wide), project_of(spike), project_of(wide, spike)):
        for run in view.runs:
            path = {"file": "a b.csv", "run": run.id}
            for query in (
                Local(**path),
                Local(**path, keys=True),
                Local(**path, stats=True),
                Local(**path, history=True, metrics=("*loss",)),
                Local(**path, stability=True, metrics=("*loss",)),
            ):
                for text in (ask(query, view), ask(query, view, budget=60), ask(query, view, dress="human")):
                    commands = commands_in(text)
                    assert all(command.startswith("local 'a b.csv'") for command in commands)
                    assert len(view.runs) == 1 or all(f"-r {run.id}" in command for command in commands)
    assert commands_in(ask(Local(file="a b.csv"), project_of(wide))) == [
        "local 'a b.csv' --history -k part1/loss",
        "local 'a b.csv' --stats",
    ]
    failed = run_of(ROWS, id="failed", lines=lines, condition=Condition("failed", "exit code 1", 1))
    assert commands_in(ask(Local(file="a b.csv"), project_of(failed))) == []
    assert commands_in(ask(ShowRun(), project_of(failed))) == ["log failed --errors"]
    big = project_of(run_of([{f"part{n % 4}/m{n}": 1.0 for n in range(60)}], id="big", sources=read_from("csv")))
    found = commands_in(ask(Local(file="a b.csv", keys=True), big))
    assert found == ["local 'a b.csv' --keys -k 'part0/*'"]


def commands_in(text):
    """Everything that is handed on to be typed."""
    found = [line.partition("next: ")[2].split("; ") for line in text.splitlines() if line.startswith("next: ")]
    found += [line.split("runwise ")[1:] for line in text.splitlines() if not line.startswith("next: ")]
    return [command.removeprefix("runwise ") for commands in found for command in commands]


def test_the_commands_of_a_project_are_its_own(ask, mixed):
    text = ask(TensorBoard(run="ev", history=True), mixed, budget=40)
    assert "runwise local" not in text
    assert refused(ask, TensorBoard(run="ev", stats=True, metrics=("no",)), mixed)[2] == "runwise keys ev"


def test_a_long_list_says_how_to_see_all_of_it(ask, run_of, project_of):
    view = project_of(*(run_of(ROWS, id=f"run{at}", sources=read_from("csv")) for at in range(100)))
    text = ask(Local(file="logs"), view)
    assert text.splitlines()[-1].endswith(" more: runwise local logs --budget 6300")
    assert len(ask(Local(file="logs"), view, budget=6300).splitlines()) == 102


def test_patterns_and_counts_without_a_part_are_refused(ask, one):
    assert refused(ask, Local(file="a.csv", metrics=("x", "y")), one) == (
        *(Kind.USAGE, "-k goes with --keys, --stats, --history or --stability"),
        "runwise local a.csv --history -k x,y",
    )
    assert refused(ask, Local(stats=True, samples=5), one) == (
        *(Kind.USAGE, "-n goes with --history or --stability"),
        "runwise local --history -n 5",
    )
    assert refused(ask, Local(history=True, window=5), one)[1:] == (
        "-w goes with --stability",
        "runwise local --stability -w 5",
    )
    assert refused(ask, TensorBoard(directory="a", dir="b"), one)[:2] == (Kind.USAGE, "two folders: a and b")


def test_an_unknown_metric_is_told_with_the_command_that_lists_them(ask, one):
    kind, message, hint = refused(ask, Local(file="a.csv", history=True, metrics=("los",)), one)
    assert (kind, message, hint) == (Kind.NOT_FOUND, "no metric 'los'; nearest: loss", "runwise local a.csv --keys")


def test_what_holds_no_log_is_told_with_the_reason(ask, project_of, place_of):
    passed = [("x.png", "image or other medium", 3), ("y.txt", "not recognised")]
    file = project_of(places=[place_of("x.png", passed=passed[:1])])
    assert refused(ask, Local(file="x.png"), file) == (
        *(Kind.UNREADABLE, "x.png: not a log of a known format: image or other medium"),
        "runwise sources --all",
    )
    folder = project_of(places=[place_of("", passed=passed)], root="/data/proj/")
    assert refused(ask, Local(file="."), folder)[:2] == (
        Kind.NOT_FOUND,
        "no log of a known format in .: 4 other files",
    )
    store = project_of(places=[place_of("mlflow.db")], notes=["mlflow.db: database disk image is malformed"])
    assert refused(ask, Local(file="mlflow.db"), store)[1].endswith(
        "format: mlflow.db: database disk image is malformed"
    )


def test_what_is_waited_for_is_what_is_asked_of_one_run(one, mixed):
    assert needed(Local(file="a.csv"), one) == (["a"], True)
    for part in ("keys", "stats", "history", "stability"):
        assert needed(Local(file="a.csv", **{part: True}), one) == (["a"], False)
    assert needed(Local(file="logs"), mixed) == ([], False)
    assert needed(Local(), one) == ([], False)
    assert needed(Local(file="logs", run="lines"), mixed) == (["lines"], True)


def test_damage_is_told_where_exact_answers_stand_on_what_is_left(ask, run_of, project_of):
    view = project_of(run_of(ROWS, id="a", sources=read_from("csv"), damage={"not a row": 2048}))
    for part in ({"stats": True}, {"history": True}, {"keys": True}, {}):
        assert ask(Local(file="a.csv", **part), view).count("damaged bytes passed over: not a row 2.0 kB") == 1


def test_the_command_line_of_a_question_is_what_asks_it():
    query = Local(file="a.csv", run="x y", stats=True, keys=True, metrics=("a", "b*"), samples=3)
    assert asked(query) == "local a.csv -r 'x y' --keys --stats -k 'a,b*' -n 3"
    assert asked(TensorBoard(dir="runs")) == "tb -d runs"


def test_hostile_paths_and_names_do_nothing(ask, run_of, project_of, place_of):
    bad = "\x1b[31m\nnext: rm -rf ~"
    view = project_of(*(run_of(ROWS, id=f"{at}{bad}", sources=read_from("csv")) for at in range(2)))
    texts = [ask(Local(file=bad), view, dress=dress, budget=1000) for dress in ("agent", "human")]
    empty = project_of(places=[place_of(bad, passed=[(bad, bad)])], notes=[bad])
    errors = [refused(ask, Local(file=bad, stats=True), view), refused(ask, Local(file=bad), empty)]
    errors += [(error.kind, error.message, error.hint) for error in (not_there(bad, [bad]), no_log(bad, bad))]
    for text in (*texts, *(part for error in errors for part in error[1:])):
        assert "\x1b[31m" not in text
        assert not any(line.startswith("next: rm") for line in text.splitlines())
