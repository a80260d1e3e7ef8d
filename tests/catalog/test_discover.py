import os
import shutil
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pytest

from runwised.catalog import discover
from runwised.catalog.discover import Discovery, Found
from runwised.catalog.place import Place, Settings, locate
from runwised.formats import choose

LOGS = Path(__file__).parents[1] / "fixtures" / "logs"
STARTED = datetime(2026, 1, 2, 3, 4, 5).timestamp()
"""What `make_run` says in the folder's name."""


def recognise(name: str, head: bytes) -> str:
    if name.endswith(".wandb"):
        return "wandb"
    if "tfevents" in name:
        return "tfevents"
    return "wandb-history" if name == "wandb-history.jsonl" and head[:1] in (b"", b"{") else ""


def discovery(root: Path, logs: Path | None = None) -> Discovery:
    wandb = tuple(str(root / name) for name in ("wandb", ".wandb"))
    return Discovery(Place(str(root), wandb, (str(logs or root / "logs"),), nested=True), recognise)


def make_run(wandb: Path, run_id: str, *, kind: str = "offline-run", log: bool = True) -> Path:
    folder = wandb / f"{kind}-20260102_030405-{run_id}"
    folder.mkdir(parents=True)
    if log:
        (folder / f"run-{run_id}.wandb").touch()
    return folder


def ids(found: Iterable[Found]) -> list[str]:
    return sorted(log.run_id for log in found)


def rest(*folders: Path) -> None:
    """Make folders look as if they had not been touched for a while."""
    for folder in folders:
        os.utime(folder, (time.time() - 60,) * 2)


def test_runs_of_every_kind_are_found_once_each(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    run = make_run(wandb, "one")
    make_run(wandb, "two", kind="run")
    make_run(wandb, "old", kind="dryrun")
    (wandb / "latest-run").symlink_to(run.name)
    (wandb / "debug.log").symlink_to(f"{run.name}/logs/debug.log")
    found = discovery(tmp_path).look()
    assert ids(found) == ["old", "one", "two"]
    assert found[0].started == STARTED


def test_an_id_with_dashes_and_a_taken_folder_name_are_read_from_the_file(tmp_path: Path) -> None:
    make_run(tmp_path / "wandb", "my-run-7")
    taken = tmp_path / "wandb/offline-run-20260102_030405-abc-1"
    taken.mkdir()
    (taken / "run-abc.wandb").touch()
    assert ids(discovery(tmp_path).look()) == ["abc", "my-run-7"]


def test_a_folder_without_a_log_yet_is_a_run_and_its_log_is_found_when_it_comes(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "wandb", "soon", log=False)
    logs = discovery(tmp_path)
    assert logs.look() == [Found("", str(folder), "soon", STARTED)]
    (folder / "run-soon.wandb").touch()
    assert logs.look()[0].path == str(folder / "run-soon.wandb")


def test_a_log_that_went_away_is_looked_for_again_once_forgotten(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "wandb", "abc")
    logs = discovery(tmp_path)
    logs.look()
    (folder / "run-abc.wandb").unlink()
    logs.forget(str(folder))
    assert logs.look()[0].path == ""


def test_runs_from_before_the_binary_log_have_their_own_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "wandb", "legacy", kind="run", log=False)
    (folder / "wandb-history.jsonl").write_text("{}\n")
    (folder / "output.log").write_text("text\n")
    assert [log.path for log in discovery(tmp_path).look()] == [str(folder / "wandb-history.jsonl")]


def test_projects_below_the_root_are_found_three_levels_deep(tmp_path: Path) -> None:
    for place in ("a", "a/b", "a/b/c", "a/b/c/d"):
        make_run(tmp_path / place / "wandb", place.replace("/", ""))
    make_run(tmp_path / "wandb/team", "grouped")
    assert ids(discovery(tmp_path).look()) == ["a", "ab", "abc", "grouped"]


def test_hidden_folders_packages_and_virtual_environments_are_left_out(tmp_path: Path) -> None:
    for place in (".git", ".cache", "node_modules", "x/site-packages"):
        make_run(tmp_path / place / "wandb", "no")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").touch()
    make_run(tmp_path / "venv/share/wandb", "no")
    (tmp_path / "src/wandb").mkdir(parents=True)
    (tmp_path / "src/wandb/__init__.py").touch()
    make_run(tmp_path / "src/wandb", "no")
    assert discovery(tmp_path).look() == []


def test_links_lead_neither_round_in_circles_nor_out_of_the_project(tmp_path: Path) -> None:
    make_run(tmp_path / "proj/wandb", "mine")
    make_run(tmp_path / "other/wandb", "theirs")
    (tmp_path / "proj/loop").symlink_to(tmp_path / "proj")
    (tmp_path / "proj/out").symlink_to(tmp_path / "other")
    (tmp_path / "proj/wandb/again").symlink_to(tmp_path / "proj/wandb")
    assert ids(discovery(tmp_path / "proj").look()) == ["mine"]


def test_a_wandb_folder_that_is_a_link_is_followed_and_may_be_pointed_elsewhere(tmp_path: Path) -> None:
    make_run(tmp_path / "scratch1", "first")
    make_run(tmp_path / "scratch2", "second")
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj/wandb").symlink_to(tmp_path / "scratch1")
    logs = discovery(tmp_path / "proj")
    assert ids(logs.look()) == ["first"]
    (tmp_path / "proj/wandb").unlink()
    (tmp_path / "proj/wandb").symlink_to(tmp_path / "scratch2")
    assert ids(logs.look(deep=False)) == ["second"]


def test_a_new_run_is_found_by_a_look_that_is_not_deep(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    make_run(wandb, "one")
    logs = discovery(tmp_path)
    rest(wandb, tmp_path)
    logs.look()
    assert ids(logs.look(deep=False)) == ["one"]
    make_run(wandb, "two")
    assert ids(logs.look(deep=False)) == ["one", "two"]


def test_a_folder_changed_within_one_tick_of_the_clock_is_read_again(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    make_run(wandb, "one")
    logs = discovery(tmp_path)
    logs.look()
    moment = wandb.stat().st_mtime_ns
    make_run(wandb, "two")
    os.utime(wandb, ns=(moment, moment))
    assert ids(logs.look(deep=False)) == ["one", "two"]


def test_the_first_run_of_a_project_is_found_by_a_look_that_is_not_deep(tmp_path: Path) -> None:
    logs = discovery(tmp_path)
    assert logs.look() == []
    make_run(tmp_path / "wandb", "first")
    assert ids(logs.look(deep=False)) == ["first"]


def test_a_project_folder_moved_in_is_found_by_a_deep_look(tmp_path: Path) -> None:
    make_run(tmp_path / "outside/wandb", "moved")
    (tmp_path / "proj/sub").mkdir(parents=True)
    logs = discovery(tmp_path / "proj")
    logs.look()
    (tmp_path / "outside").rename(tmp_path / "proj/sub/inside")
    assert ids(logs.look(deep=True)) == ["moved"]


def test_a_root_that_goes_away_and_comes_back_is_found_again(tmp_path: Path) -> None:
    make_run(tmp_path / "proj/wandb", "one")
    logs = discovery(tmp_path / "proj")
    assert ids(logs.look()) == ["one"]
    (tmp_path / "proj").rename(tmp_path / "away")
    assert logs.look() == []
    (tmp_path / "away").rename(tmp_path / "proj")
    assert ids(logs.look()) == ["one"]


def test_more_folders_than_the_cap_are_left_out_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "MOST_FOLDERS", 5)
    make_run(tmp_path / "wandb", "found")
    for number in range(10):
        (tmp_path / f"data{number}").mkdir()
    logs = discovery(tmp_path)
    assert ids(logs.look()) == ["found"]
    assert "more than 5 folders" in logs.notes[0]


def test_a_pipe_named_like_a_log_is_no_log(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "wandb", "abc", log=False)
    os.mkfifo(folder / "run-abc.wandb")
    assert discovery(tmp_path).look()[0].path == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_an_unreadable_folder_is_noted_and_its_siblings_are_not_affected(tmp_path: Path) -> None:
    make_run(tmp_path / "a/wandb", "closed")
    make_run(tmp_path / "b/wandb", "open")
    (tmp_path / "a").chmod(0)
    logs = discovery(tmp_path)
    assert ids(logs.look()) == ["open"]
    assert str(tmp_path / "a") in logs.notes[0]


def test_names_that_are_no_utf8_are_found(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    wandb.mkdir()
    folder = wandb / os.fsdecode(b"run-20260102_030405-\xff\xfe")
    folder.mkdir()
    (folder / os.fsdecode(b"run-\xff\xfe.wandb")).touch()
    assert os.fsencode(discovery(tmp_path).look()[0].path).endswith(b"run-\xff\xfe.wandb")


def test_loose_logs_of_a_known_format_are_found_below_the_logs_folder(tmp_path: Path) -> None:
    (tmp_path / "logs/exp1").mkdir(parents=True)
    (tmp_path / "logs/exp1/wandb-history.jsonl").write_text('{"loss": 1}\n')
    (tmp_path / "logs/exp1/notes.txt").write_text("hello")
    (tmp_path / "logs/.hidden").mkdir()
    (tmp_path / "logs/.hidden/x.wandb").touch()
    found = discovery(tmp_path).look()
    assert [(log.run_id, log.path) for log in found] == [
        ("exp1/wandb-history", str(tmp_path / "logs/exp1/wandb-history.jsonl"))
    ]


def test_a_log_that_lies_in_a_run_folder_below_logs_is_found_once(tmp_path: Path) -> None:
    make_run(tmp_path / "logs/wandb", "abc")
    assert ids(discovery(tmp_path).look()) == ["abc"]


def test_runs_in_a_wandb_folder_that_only_the_settings_lead_to_are_found(tmp_path: Path) -> None:
    make_run(tmp_path / "scratch/wandb", "abc")
    (tmp_path / "scratch/wandb/offline-run-20260102_030405-abc/files").mkdir()
    (tmp_path / "scratch/wandb/offline-run-20260102_030405-abc/files/events.out.tfevents.1").touch()
    (tmp_path / "proj").mkdir()
    found = discovery(tmp_path / "proj", tmp_path / "scratch").look()
    assert [(log.run_id, log.started) for log in found] == [("abc", STARTED)]


def test_what_other_loggers_leave_in_a_run_folder_is_not_taken_for_its_log(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "wandb", "abc", log=False)
    (folder / "events.out.tfevents.1").touch()
    assert discovery(tmp_path).look() == [Found("", str(folder), "abc", STARTED)]


def test_a_loose_log_beside_others_is_found_by_a_look_that_is_not_deep(tmp_path: Path) -> None:
    (tmp_path / "logs/one").mkdir(parents=True)
    (tmp_path / "logs/one/events.out.tfevents.1").touch()
    rest(tmp_path, tmp_path / "logs", tmp_path / "logs/one")
    logs = discovery(tmp_path)
    first = logs.look()
    assert logs.look(deep=False) is first
    (tmp_path / "logs/two").mkdir()
    (tmp_path / "logs/two/events.out.tfevents.2").touch()
    assert ids(logs.look(deep=False)) == ["one", "two"]


def test_what_real_loggers_wrote_is_found_and_put_together_to_runs(tmp_path: Path) -> None:
    for case in ("tb_torch_basic", "tb_restart_purge", "csv_lightning", "hf_trainer", "mlflow_files", "mlflow_sqlite"):
        shutil.copytree(LOGS / case, tmp_path, dirs_exist_ok=True)
    shutil.copytree(LOGS / "jsonl_variants" / "ranks", tmp_path / "outputs" / "ranks")
    shutil.copytree(LOGS / "trackio_live" / "trackio", tmp_path / "track")
    (tmp_path / "run").rename(tmp_path / "runs" / "again")
    place = locate(str(tmp_path), {"TRACKIO_DIR": str(tmp_path / "track")}, Settings()).place
    logs = Discovery(place, lambda name, head: form.name if (form := choose(name, head)) else "")
    found: dict[tuple[str, str], int] = {}
    for log in logs.look():
        at = log.format, log.title or log.run_id
        found[at] = found.get(at, 0) + 1
    files = {
        ("tfevents", "exp_a"): 1,
        ("tfevents", "exp_a/cmp_a"): 1,
        ("tfevents", "exp_a/cmp_b"): 1,
        ("tfevents", "exp_a/hp0"): 1,
        ("tfevents", "again"): 2,
        ("tfevents", "out/runs/Nov23_13-58-01_vm"): 1,
        ("trainer_state", "out"): 1,
        ("csv", "version_0"): 1,
        ("csv", "version_1"): 1,
        **{("jsonl", f"ranks/metrics_rank{rank}"): 1 for rank in range(3)},
    }
    stored = {(kind, name): 1 for kind in ("mlflow", "mlflow-db") for name in ("brave-run", "sad-run", "live-run")}
    assert found == files | stored | {("trackio", "alpha"): 1, ("trackio", "beta"): 1}
    assert logs.notes == []


def test_every_place_says_what_was_found_there(tmp_path: Path) -> None:
    make_run(tmp_path / "wandb", "one")
    make_run(tmp_path / "sub/wandb", "two")
    (tmp_path / "logs/exp").mkdir(parents=True)
    (tmp_path / "logs/exp/events.out.tfevents.1").touch()
    (tmp_path / "logs/exp/model.pt").touch()
    logs = discovery(tmp_path)
    logs.look()
    told = {
        os.path.relpath(place.path, tmp_path): (
            place.exists,
            sorted((source.run_id, source.format) for source in place.sources),
            [(os.path.relpath(passed.path, tmp_path), passed.reason) for passed in place.passed],
        )
        for place in logs.places()
    }
    assert told == {
        "wandb": (True, [("one", "wandb"), ("two", "wandb")], []),
        ".wandb": (False, [], []),
        "logs": (True, [("exp", "tfevents")], [("logs/exp/model.pt", "checkpoint or array")]),
    }
