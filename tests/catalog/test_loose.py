import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from runwised.catalog import folder_logs, listing, loose
from runwised.catalog.loose import LooseLogs
from runwised.catalog.naming import LooseSource

FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".log": "text", ".out": "text", ".err": "text"}


def recognise(name: str, head: bytes) -> str:
    """Event files by their names, the rest by ending and a first byte that is not ``#``."""
    if "tfevents" in name:
        return "tfevents"
    if name == "trainer_state.json":
        return "trainer_state" if head[:1] == b"{" else ""
    return FORMATS.get(Path(name).suffix, "") if head and head[:1] not in b"#\0" else ""


def write(root: Path, *names: str, text: str = "1\n") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "tfevents" in name else text)


def runs(logs: LooseLogs, root: Path) -> dict[str, list[str]]:
    """The files of each run, relative to the root."""
    found: dict[str, list[str]] = {}
    for source in logs.sources:
        found.setdefault(source.run_id, []).append(os.path.relpath(source.path, root))
    return {run_id: sorted(paths) for run_id, paths in sorted(found.items())}


def looked(root: Path, *folders: str) -> LooseLogs:
    logs = LooseLogs([str(root / folder) for folder in folders or ("logs",)], recognise, project=str(root))
    logs.look()
    return logs


def reasons(logs: LooseLogs, root: Path) -> dict[str, str]:
    return {os.path.relpath(passed.path, root): passed.reason for passed in logs.passed}


def rest(root: Path) -> None:
    """Make all files and folders look as if they had not been touched for a while."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (time.time() - 60,) * 2, follow_symlinks=False)


# Which run a log belongs to.


def test_a_file_in_a_root_is_a_run_of_its_own_and_event_files_there_are_the_roots(tmp_path: Path) -> None:
    write(tmp_path, "logs/a.jsonl", "logs/train.log", "logs/events.out.tfevents.1", "logs/events.out.tfevents.2")
    assert runs(looked(tmp_path), tmp_path) == {
        "a": ["logs/a.jsonl"],
        "logs": ["logs/events.out.tfevents.1", "logs/events.out.tfevents.2"],
        "train": ["logs/train.log"],
    }


def test_views_of_one_run_in_one_folder_are_one_run_and_folders_below_are_others(tmp_path: Path) -> None:
    write(
        tmp_path, "runs/exp_a/events.tfevents.1", "runs/exp_a/events.tfevents.2", "runs/exp_a/m.csv", "runs/exp_a/x.log"
    )
    write(tmp_path, "runs/exp_a/cmp_a/events.tfevents.3")
    logs = looked(tmp_path, "runs")
    assert runs(logs, tmp_path / "runs/exp_a") == {
        "exp_a": ["events.tfevents.1", "events.tfevents.2", "m.csv", "x.log"],
        "exp_a/cmp_a": ["cmp_a/events.tfevents.3"],
    }
    assert {source.folder for source in logs.sources} == {f"{tmp_path}/runs/exp_a", f"{tmp_path}/runs/exp_a/cmp_a"}


def test_several_files_of_one_format_in_one_folder_are_a_run_each(tmp_path: Path) -> None:
    write(tmp_path, "logs/exp/m_rank0.jsonl", "logs/exp/m_rank1.jsonl", "logs/exp/out.csv")
    assert runs(looked(tmp_path), tmp_path / "logs/exp") == {
        "exp": ["out.csv"],
        "exp/m_rank0": ["m_rank0.jsonl"],
        "exp/m_rank1": ["m_rank1.jsonl"],
    }


def test_of_several_files_the_one_with_a_general_name_is_a_view_of_its_folders_run(tmp_path: Path) -> None:
    write(tmp_path, "logs/ppo/progress.csv", "logs/ppo/env.monitor.csv", "logs/ppo/events.tfevents.1")
    write(tmp_path, "logs/two/progress.csv", "logs/two/other.csv")
    assert runs(looked(tmp_path), tmp_path / "logs") == {
        "ppo": ["ppo/events.tfevents.1", "ppo/progress.csv"],
        "ppo/env.monitor": ["ppo/env.monitor.csv"],
        "two/other": ["two/other.csv"],
        "two/progress": ["two/progress.csv"],
    }


def test_files_that_differ_in_their_endings_are_one_run_unless_they_are_of_one_format(tmp_path: Path) -> None:
    write(tmp_path, "logs/a.jsonl", "logs/a.csv", "logs/slurm-1.out", "logs/slurm-1.err")
    assert runs(looked(tmp_path), tmp_path / "logs") == {
        "a": ["a.csv", "a.jsonl"],
        "slurm-1.err": ["slurm-1.err"],
        "slurm-1.out": ["slurm-1.out"],
    }


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("sweep/trial.steps.jsonl", "sweep/trial.steps"),
        ("sweep/metrics.jsonl", "sweep"),
        ("sweep/Train.log", "sweep"),
        ("a/b/progress.csv", "a/b"),
        ("version_0/metrics.csv", "version_0"),
        ("name/version_0/metrics.csv", "name/version_0"),
    ],
)
def test_the_only_log_of_a_folder_lends_the_run_its_name_unless_it_is_a_general_one(
    tmp_path: Path, name: str, run_id: str
) -> None:
    write(tmp_path, f"logs/{name}")
    assert [source.run_id for source in looked(tmp_path).sources] == [run_id]


def test_runs_of_several_places_that_would_be_called_alike_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "logs/exp/train.log", "runs/exp/events.tfevents.1", "logs/only/train.log")
    assert runs(looked(tmp_path, "logs", "runs"), tmp_path) == {
        "logs/exp": ["logs/exp/train.log"],
        "only": ["logs/only/train.log"],
        "runs/exp": ["runs/exp/events.tfevents.1"],
    }
    write(tmp_path, "logs/exp.csv")
    assert sorted(runs(looked(tmp_path, "logs"), tmp_path)) == ["exp", "exp.csv", "only"]


def test_a_root_may_be_a_single_log_and_a_pipe_there_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path, "one.log", "prose.txt")
    os.mkfifo(tmp_path / "pipe.log")
    logs = looked(tmp_path, "one.log", "prose.txt", "pipe.log", "gone.log")
    assert runs(logs, tmp_path) == {"one": ["one.log"]}
    assert reasons(logs, tmp_path) == {"prose.txt": "not recognised", "pipe.log": "a pipe"}
    assert [place.exists for place in logs.looked] == [True, True, True, False]


def test_a_folder_that_lies_in_another_one_is_looked_into_once(tmp_path: Path) -> None:
    write(tmp_path, "outputs/a/b/train.log", "outputs/c/train.log")
    assert sorted(runs(looked(tmp_path, "outputs/a", "outputs"), tmp_path)) == ["b", "c"]


# Trainer states.


def state(root: Path, name: str, step: int) -> None:
    write(root, name, text=json.dumps({"best_global_step": 1, "global_step": step, "log_history": []}, indent=2))


def test_of_a_trainers_checkpoints_the_newest_that_was_saved_whole_is_the_run(tmp_path: Path) -> None:
    for number in (5, 10, 100):
        state(tmp_path, f"outputs/a/b/checkpoint-{number}/trainer_state.json", number)
    write(tmp_path, "outputs/a/b/checkpoint-200/trainer_state.json", text="")
    write(tmp_path, "outputs/a/b/checkpoint-300/model.safetensors")
    write(tmp_path, "outputs/a/b/runs/Nov23_vm/events.tfevents.1", "outputs/a/b/console.log")
    logs = looked(tmp_path, "outputs")
    assert runs(logs, tmp_path / "outputs/a/b") == {
        "a/b": ["checkpoint-100/trainer_state.json", "console.log"],
        "a/b/runs/Nov23_vm": ["runs/Nov23_vm/events.tfevents.1"],
    }
    assert next(s.folder for s in logs.sources if s.format == "trainer_state") == f"{tmp_path}/outputs/a/b"
    told = reasons(logs, tmp_path / "outputs/a/b")
    assert [name for name, why in told.items() if why == "older checkpoint of the same run"] == [
        f"checkpoint-{number}/trainer_state.json" for number in (200, 10, 5)
    ]


def test_the_last_state_a_script_saved_counts_until_a_newer_checkpoint_comes(tmp_path: Path) -> None:
    state(tmp_path, "logs/out/checkpoint-10/trainer_state.json", 10)
    state(tmp_path, "logs/out/trainer_state.json", 10)
    logs = looked(tmp_path)
    assert runs(logs, tmp_path / "logs") == {"out": ["out/trainer_state.json"]}
    state(tmp_path, "logs/out/checkpoint-20/trainer_state.json", 20)
    logs.look()
    assert runs(logs, tmp_path / "logs") == {"out": ["out/checkpoint-20/trainer_state.json"]}
    state(tmp_path, "logs/out/trainer_state.json", 25)
    logs.look()
    assert runs(logs, tmp_path / "logs") == {"out": ["out/trainer_state.json"]}


def test_output_folders_beside_the_code_are_found_and_so_is_the_project_itself(tmp_path: Path) -> None:
    root = tmp_path / "proj"
    state(root, "tuned/checkpoint-10/trainer_state.json", 10)
    write(root, "tuned/runs/Nov23_vm/events.tfevents.1", "src/train.log", "data/results.csv")
    assert sorted(runs(looked(root), root)) == ["tuned", "tuned/runs/Nov23_vm"]
    state(root, "checkpoint-3/trainer_state.json", 3)
    assert runs(looked(root), root)["proj"] == ["checkpoint-3/trainer_state.json"]


def test_more_of_the_projects_own_folders_than_the_bound_are_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loose, "MOST_TOP", 2)
    for name in ("a", "b", "c"):
        state(tmp_path, f"{name}/trainer_state.json", 1)
    logs = looked(tmp_path)
    assert sorted(runs(logs, tmp_path)) == ["a", "b"]
    assert logs.notes == [f"{tmp_path}: more than 2 folders, the rest is not searched for a Trainer's states"]
    assert [os.path.relpath(place.path, tmp_path) for place in logs.looked] == ["logs", "a", "b"]


def test_many_older_checkpoints_are_told_as_one(tmp_path: Path) -> None:
    for number in range(1, 12):
        state(tmp_path, f"logs/out/checkpoint-{number}/trainer_state.json", number)
    (passed,) = looked(tmp_path).passed
    assert (os.path.relpath(passed.path, tmp_path), passed.files) == ("logs/out/checkpoint-*/trainer_state.json", 10)


# What is not read.


def test_every_file_that_is_not_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "logs"
    write(
        root, "a/best.ckpt", "a/x.PNG", "a/all.tar.gz", "a/old.jsonl.gz", "a/train.py", "a/conf.yaml", "a/.hidden.log"
    )
    write(root, "a/w.data-00000-of-00002", "a/notes.txt", "a/t.pt.trace.json")
    write(root, "a/empty.jsonl", text="")
    write(root, "a/raw.log", text="\0\1\2")
    (root / "a/link.log").symlink_to(root / "a/notes.txt")
    os.mkfifo(root / "a/pipe.log")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a/socket.log")
        logs = looked(tmp_path)
    assert logs.sources == []
    assert reasons(logs, root / "a") == {
        "best.ckpt": "checkpoint or array",
        "w.data-00000-of-00002": "checkpoint or array",
        "x.PNG": "image or other medium",
        "all.tar.gz": "archive",
        "old.jsonl.gz": "compressed: not read",
        "train.py": "code",
        "conf.yaml": "settings",
        ".hidden.log": "hidden",
        "t.pt.trace.json": "profile",
        "notes.txt": "not recognised",
        "empty.jsonl": "empty",
        "raw.log": "no text",
        "link.log": "a link",
        "pipe.log": "a pipe",
        "socket.log": "a socket",
    }


def test_many_files_of_one_folder_and_ending_are_told_as_one(tmp_path: Path) -> None:
    write(
        tmp_path / "logs/img", *(f"{number}.png" for number in range(30)), "one.jpg", *(f"n{n}.txt" for n in range(9))
    )
    told = [(os.path.relpath(p.path, tmp_path), p.files) for p in looked(tmp_path).passed]
    assert sorted(told) == [("logs/img/*.png", 30), ("logs/img/*.txt", 9), ("logs/img/one.jpg", 1)]


def test_wandb_runs_virtual_environments_and_packages_are_not_looked_into(tmp_path: Path) -> None:
    run = "wandb/offline-run-20260102_030405-abc"
    write(
        tmp_path / "logs", f"{run}/files/output.log", f"{run}/files/events.tfevents.1", f"x/{run[6:]}/files/output.log"
    )
    write(tmp_path / "logs", "venv/pyvenv.cfg", "venv/lib/x.log", "node_modules/x.log", ".git/x.log")
    logs = looked(tmp_path)
    assert logs.sources == []
    assert logs.run_folders == [f"{tmp_path}/logs/{run}", f"{tmp_path}/logs/x/{run[6:]}"]


def test_folders_deeper_than_the_bound_are_left_out_and_said_so(tmp_path: Path) -> None:
    write(tmp_path, "logs/1/2/3/4/train.log", "logs/1/2/3/4/5/train.log")
    logs = looked(tmp_path)
    assert sorted(runs(logs, tmp_path)) == ["1/2/3/4"]
    assert logs.notes == [f"{tmp_path}/logs: folders more than 4 levels below it are not looked at"]


def test_more_files_than_the_bound_are_left_out_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_logs, "MOST_FILES", 3)
    write(tmp_path, *(f"logs/{number}.jsonl" for number in range(5)), *(f"runs/{n}/e.tfevents.{n}" for n in range(9)))
    logs = looked(tmp_path, "logs", "runs")
    assert len([source for source in logs.sources if source.format == "jsonl"]) == 3
    assert len([source for source in logs.sources if source.format == "tfevents"]) == 9
    assert logs.notes == [f"{tmp_path}/logs: more than 3 files, the rest is not looked into"]
    assert reasons(logs, tmp_path) == {f"logs/{n}.jsonl": "over the limit of 3 files" for n in (3, 4)}


def test_more_folders_or_entries_than_the_bounds_are_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *(f"runs/{n}/e.tfevents.{n}" for n in range(9)))
    monkeypatch.setattr(loose, "MOST_FOLDERS", 4)
    logs = looked(tmp_path, "runs")
    assert (len(logs.sources), logs.notes) == (
        3,
        [f"{tmp_path}/runs: more than 4 folders, the rest is not looked at"],
    )
    monkeypatch.setattr(loose, "MOST_FOLDERS", 100)
    monkeypatch.setattr(listing, "MOST_ENTRIES", 5)
    assert len(looked(tmp_path, "runs").sources) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    write(tmp_path, "logs/a/train.log", "logs/closed.log", "logs/b/train.log")
    (tmp_path / "logs/closed.log").chmod(0)
    (tmp_path / "logs/b").chmod(0)
    logs = looked(tmp_path)
    (tmp_path / "logs/b").chmod(0o700)
    assert [source.run_id for source in logs.sources] == ["a"]
    assert reasons(logs, tmp_path) == {"logs/closed.log": "unreadable: Permission denied"}
    assert logs.notes == [f"{tmp_path}/logs/b: Permission denied"]


def test_names_that_are_no_utf8_are_runs_as_others(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / os.fsdecode(b"\xff\xfe")
    write(folder, "train.log")
    assert [os.fsencode(source.run_id) for source in looked(tmp_path).sources] == [b"\xff\xfe"]


# Looking again.


def test_a_file_is_opened_again_only_when_it_changed(tmp_path: Path) -> None:
    opened: list[str] = []

    def watching(name: str, head: bytes) -> str:
        if head:
            opened.append(name)
        return recognise(name, head)

    write(tmp_path, "a/a.txt", "b/b.log", text="x")
    rest(tmp_path)
    logs = LooseLogs([str(tmp_path)], watching)
    logs.look()
    logs.look()
    assert sorted(opened) == ["a.txt", "b.log"]
    for name in ("a/a.txt", "b/b.log"):
        (tmp_path / name).write_text("other")
        os.utime(tmp_path / name, (1, 1))
    logs.look()
    assert sorted(opened) == ["a.txt", "a.txt", "b.log"]
    write(tmp_path, "b/new.log")
    logs.look()
    assert sorted(opened) == ["a.txt", "a.txt", "b.log", "new.log"]
    assert [source.run_id for source in logs.sources] == ["b/b", "b/new"]


def test_another_file_in_the_place_of_a_log_is_looked_into(tmp_path: Path) -> None:
    write(tmp_path, "logs/a.log")
    logs = looked(tmp_path)
    write(tmp_path, "other", text="# prose")
    (tmp_path / "other").replace(tmp_path / "logs/a.log")
    logs.look()
    assert logs.sources == []


def test_where_nothing_changed_the_sources_are_the_same_list(tmp_path: Path) -> None:
    write(tmp_path, "logs/a/train.log", "logs/notes.txt")
    logs = looked(tmp_path)
    before = logs.sources
    logs.look()
    assert logs.sources is before


def test_a_shallow_look_finds_a_run_beside_others_and_a_file_that_was_still_empty(tmp_path: Path) -> None:
    write(tmp_path, "logs/day/one/train.log")
    write(tmp_path, "logs/day/two/metrics.jsonl", text="")
    rest(tmp_path)
    logs = looked(tmp_path)
    logs.look(deep=False)
    assert sorted(runs(logs, tmp_path)) == ["day/one"]
    write(tmp_path, "logs/day/two/metrics.jsonl")
    logs.look(deep=False)
    assert sorted(runs(logs, tmp_path)) == ["day/one", "day/two"]
    write(tmp_path, "logs/day/three/metrics.jsonl")
    logs.look(deep=False)
    assert sorted(runs(logs, tmp_path)) == ["day/one", "day/three", "day/two"]


def test_the_first_log_of_a_root_is_found_by_a_shallow_look_and_so_is_its_end(tmp_path: Path) -> None:
    logs = looked(tmp_path)
    write(tmp_path, "logs/exp/events.tfevents.1")
    logs.look(deep=False)
    assert sorted(runs(logs, tmp_path)) == ["exp"]
    (tmp_path / "logs/exp/events.tfevents.1").unlink()
    logs.look(deep=False)
    assert logs.sources == []


OPENING = """
import json, sys
from runwised.catalog.loose import LooseLogs
from runwised.formats import choose
opened, listed = [], []
def heed(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event == "os.scandir":
        listed.append(str(arguments[0]))
logs = LooseLogs(sys.argv[1:], lambda name, head: "text" if head[:1] == b"1" else "")
sys.addaudithook(heed)
told = []
for _ in range(2):
    logs.look()
    told.append({"opened": sorted(opened), "listed": sorted(listed), "sources": len(logs.sources)})
    opened.clear()
    listed.clear()
print(json.dumps(told))
"""


def test_pipes_sockets_and_links_are_never_opened_and_an_unchanged_tree_is_neither_opened_nor_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "logs"
    write(root, "a/train.log", "a/x.png")
    write(root, "b/notes.txt", text="prose")
    os.mkfifo(root / "a/pipe.log")
    (root / "a/link.log").symlink_to(root / "a/pipe.log")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("b/socket.log")
        rest(root)
        command = [sys.executable, "-c", OPENING, str(root)]
        first, second = json.loads(subprocess.check_output(command, text=True, timeout=60))
    assert first["opened"] == [f"{root}/a/train.log", f"{root}/b/notes.txt"]
    assert first["listed"] == [str(root), f"{root}/a", f"{root}/b"]
    assert second == {"opened": [], "listed": [], "sources": 1}


# Stores.


class StoredRun(NamedTuple):
    key: str
    run_id: str
    name: str | None


class LineStore:
    """A store of one line a run, ``key name``; in an MLflow run's folder it is the file `meta.yaml`."""

    name = "lines"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, path: str) -> "LineStore | None":
        at = Path(path)
        is_store = (at / "meta.yaml").is_file() if at.is_dir() else at.read_bytes()[:1].isalnum()
        return self if is_store else None

    def list_runs(self, path: str) -> Sequence[StoredRun]:
        self.asked.append(path)
        if Path(path).is_dir():
            return [StoredRun("", Path(path).name, Path(path, "meta.yaml").read_text().strip() or None)]
        lines = [line.split() for line in Path(path).read_text().splitlines()]
        if ["locked"] in lines:
            raise OSError(11, "database is locked", path)
        return [StoredRun(key, key, name) for key, name in lines]


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., LooseLogs]:
    known = LineStore()

    def make(*roots: str) -> LooseLogs:
        folders = [str(tmp_path / root) for root in roots]
        logs = LooseLogs(folders, recognise, project=str(tmp_path), find_store=known.find)
        logs.look()
        return logs

    make.asked = known.asked  # type: ignore[attr-defined]
    return make


def named(sources: Iterable[LooseSource]) -> list[tuple[str, str, str, str]]:
    return [(source.key, source.run_id, source.format, source.name) for source in sources]


def test_a_database_gives_a_source_for_each_of_its_runs(tmp_path: Path, store: Callable[..., LooseLogs]) -> None:
    write(tmp_path, "mlflow.db", text="r1 first\nr2 second\n")
    write(tmp_path, "track/demo.db", text="t1 tracked\n")
    write(tmp_path, "track/other.sqlite", text="#")
    logs = store("mlflow.db", "track")
    assert named(logs.sources) == [
        ("r1", "r1", "lines", "first"),
        ("r2", "r2", "lines", "second"),
        ("t1", "t1", "lines", "tracked"),
    ]
    assert {source.folder for source in logs.sources} == {str(tmp_path), f"{tmp_path}/track"}
    assert reasons(logs, tmp_path) == {"track/other.sqlite": "a database of another kind"}


def test_a_store_is_asked_again_only_when_it_changed(tmp_path: Path, store: Callable[..., LooseLogs]) -> None:
    write(tmp_path, "mlflow.db", text="r1 first\n")
    logs = store("mlflow.db")
    logs.look()
    assert len(store.asked) == 1  # type: ignore[attr-defined]
    write(tmp_path, "mlflow.db", text="r1 first\nr2 second\n")
    logs.look(deep=False)
    assert [source.run_id for source in logs.sources] == ["r1", "r2"]


def test_a_store_that_does_not_answer_keeps_its_runs_and_is_noted(
    tmp_path: Path, store: Callable[..., LooseLogs]
) -> None:
    write(tmp_path, "mlflow.db", text="r1 first\n")
    logs = store("mlflow.db")
    write(tmp_path, "mlflow.db", text="locked\n")
    logs.look()
    assert [source.run_id for source in logs.sources] == ["r1"]
    assert logs.notes == [f"{tmp_path}/mlflow.db: database is locked"]


def test_every_run_folder_of_mlflow_is_a_run_and_nothing_else_there_is(
    tmp_path: Path, store: Callable[..., LooseLogs]
) -> None:
    one, two = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    write(tmp_path / "mlruns/0", f"{one}/meta.yaml", text="swift-cat-1")
    write(tmp_path / "mlruns", f".trash/1/{two}/meta.yaml", f"models/{two}/meta.yaml", f"7/{two}/artifacts/x.csv")
    write(
        tmp_path / "mlruns/0",
        f"{one}/metrics/loss.csv",
        f"{one}/artifacts/e.tfevents.1",
        "models/m-1/x.log",
        "meta.yaml",
    )
    logs = store("mlruns")
    assert named(logs.sources) == [("", one, "lines", "swift-cat-1")]
    assert logs.sources[0].path == logs.sources[0].folder == f"{tmp_path}/mlruns/0/{one}"
    (tmp_path / "logs/sub").mkdir(parents=True)
    (tmp_path / "mlruns").rename(tmp_path / "logs/sub/mlruns")
    assert named(store("logs").sources) == [("", one, "lines", "swift-cat-1")]


def test_a_new_run_of_an_mlflow_experiment_is_found_by_a_shallow_look(
    tmp_path: Path, store: Callable[..., LooseLogs]
) -> None:
    one, two = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    write(tmp_path / "mlruns/0", f"{one}/meta.yaml", text="swift-cat-1")
    rest(tmp_path)
    logs = store("mlruns")
    write(tmp_path / "mlruns/0", f"{two}/meta.yaml", text="calm-dog-2")
    logs.look(deep=False)
    assert [source.name for source in logs.sources] == ["swift-cat-1", "calm-dog-2"]


def test_one_run_in_two_stores_is_two_runs(tmp_path: Path, store: Callable[..., LooseLogs]) -> None:
    write(tmp_path, "track/a.db", "track/b.db", text="r1 first\n")
    write(tmp_path, "mlflow.db", text="r1 first\n")
    found = [source.run_id for source in store("track", "mlflow.db").sources]
    assert found == ["a.db/r1", "b.db/r1", "r1"]
