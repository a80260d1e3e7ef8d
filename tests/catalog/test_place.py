import os
from pathlib import Path

import pytest

from runwised.catalog.place import NoProject, Settings, Settled, locate


def found(cwd: Path, **environ: str) -> Settled:
    return locate(str(cwd), environ, Settings())


def make(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def test_the_root_is_the_nearest_folder_above_that_holds_a_wandb_folder(tmp_path: Path) -> None:
    make(tmp_path / "a/wandb", tmp_path / "a/b/wandb", tmp_path / "a/b/src/deep", tmp_path / "a/other")
    assert found(tmp_path / "a/b/src/deep").place.root == str(tmp_path / "a/b")
    assert found(tmp_path / "a/other").place.root == str(tmp_path / "a")


@pytest.mark.parametrize(
    "marker", [".wandb", "logs", "lightning_logs", "tb_logs", "mlruns", "mlflow.db", "runwise.json"]
)
def test_other_markers_make_a_root_too(tmp_path: Path, marker: str) -> None:
    make(tmp_path / "proj/sub")
    if marker.endswith((".json", ".db")):
        (tmp_path / "proj" / marker).write_text("{}")
    else:
        make(tmp_path / "proj" / marker)
    assert found(tmp_path / "proj/sub").place.root == str(tmp_path / "proj")


@pytest.mark.parametrize("place", ["runs", "runs/exp", "runs/exp/seed1"])
def test_runs_make_a_root_where_event_files_lie_in_them(tmp_path: Path, place: str) -> None:
    make(tmp_path / "proj/sub", tmp_path / "proj" / place)
    (tmp_path / "proj" / place / "events.out.tfevents.1.host").touch()
    assert found(tmp_path / "proj/sub").place.root == str(tmp_path / "proj")


def test_runs_and_outputs_of_another_kind_make_no_root(tmp_path: Path) -> None:
    make(tmp_path / "proj/runs/a/b/c", tmp_path / "proj/outputs/tfevents")
    (tmp_path / "proj/runs/a/b/c/events.out.tfevents.1.host").touch()
    (tmp_path / "proj/runs/notes.txt").touch()
    with pytest.raises(NoProject, match="logger's folder"):
        found(tmp_path / "proj")


def test_other_loggers_usual_places_are_looked_into_whether_they_are_there_yet_or_not(tmp_path: Path) -> None:
    make(tmp_path / "wandb")
    names = ("runs", "lightning_logs", "tb_logs", "outputs", "mlruns", "mlflow.db")
    assert found(tmp_path).place.usual == tuple(str(tmp_path / name) for name in names)
    assert found(tmp_path, TRACKIO_DIR=str(tmp_path / "track")).place.usual[-1] == str(tmp_path / "track")


def test_several_log_folders_may_be_named(tmp_path: Path) -> None:
    make(tmp_path / "proj/wandb", tmp_path / "one", tmp_path / "proj/two", tmp_path / "proj/runs")
    named = os.pathsep.join(["", str(tmp_path / "one"), "two", "two"])
    place = found(tmp_path / "proj", RUNWISE_LOGS_DIR=named).place
    assert place.logs_dirs == (str(tmp_path / "one"), str(tmp_path / "proj/two"))
    (tmp_path / "proj/runwise.json").write_text('{"log_dirs": ["two", "runs", "gone"]}')
    settled = found(tmp_path / "proj")
    assert settled.place.logs_dirs == tuple(str(tmp_path / "proj" / name) for name in ("logs", "two", "runs", "gone"))
    assert str(tmp_path / "proj/runs") not in settled.place.usual
    assert settled.notes == (f"{tmp_path}/proj/gone: no such folder",)


def test_a_named_log_folder_is_enough_even_where_another_is_gone(tmp_path: Path) -> None:
    make(tmp_path / "empty", tmp_path / "elsewhere/texts")
    named = os.pathsep.join([str(tmp_path / "gone"), str(tmp_path / "elsewhere/texts")])
    assert found(tmp_path / "empty", RUNWISE_LOGS_DIR=named).place.root == str(tmp_path / "elsewhere")


def test_a_question_from_inside_a_run_folder_is_about_its_project(tmp_path: Path) -> None:
    run = tmp_path / "proj/wandb/offline-run-20260101_000000-abc"
    make(run / "logs", run / "files/media")
    assert found(run / "files/media").place.root == str(tmp_path / "proj")
    assert found(run).place.root == str(tmp_path / "proj")


def test_the_python_package_named_wandb_is_no_project(tmp_path: Path) -> None:
    make(tmp_path / "lib/wandb/sdk")
    (tmp_path / "lib/wandb/__init__.py").touch()
    with pytest.raises(NoProject):
        found(tmp_path / "lib/wandb/sdk")


def test_where_nothing_is_found_the_error_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NoProject, match=str(tmp_path)):
        found(tmp_path)


def test_a_folder_of_projects_is_a_project_itself(tmp_path: Path) -> None:
    make(tmp_path / "all/one/wandb", tmp_path / "all/two/wandb")
    assert found(tmp_path / "all").place.root == str(tmp_path / "all")


def test_variables_of_the_asking_process_come_first(tmp_path: Path) -> None:
    make(tmp_path / "here/wandb", tmp_path / "there/wandb", tmp_path / "scratch/wandb", tmp_path / "texts")
    here = tmp_path / "here"
    assert found(here, RUNWISE_PROJECT_ROOT="../there").place.root == str(tmp_path / "there")
    assert found(here, WANDB_DIR=str(tmp_path / "scratch")).place.wandb_dirs == (str(tmp_path / "scratch/wandb"),)
    assert found(here, RUNWISE_WANDB_DIR="../there/wandb").place.wandb_dirs == (str(tmp_path / "there/wandb"),)
    assert found(here, RUNWISE_LOGS_DIR=str(tmp_path / "texts")).place.logs_dirs == (str(tmp_path / "texts"),)


def test_a_wandb_home_without_logs_does_not_hide_the_projects_own(tmp_path: Path) -> None:
    make(tmp_path / "here/wandb", tmp_path / "scratch")
    place = found(tmp_path / "here", WANDB_DIR=str(tmp_path / "scratch")).place
    assert str(tmp_path / "here/wandb") in place.wandb_dirs


def test_a_named_folder_without_a_project_around_it_is_enough(tmp_path: Path) -> None:
    make(tmp_path / "empty", tmp_path / "elsewhere/wandb")
    assert found(tmp_path / "empty", WANDB_DIR=str(tmp_path / "elsewhere")).place.root == str(tmp_path / "elsewhere")


def test_a_project_root_that_is_not_there_is_an_error_naming_the_variable(tmp_path: Path) -> None:
    with pytest.raises(NoProject, match="RUNWISE_PROJECT_ROOT"):
        found(tmp_path, RUNWISE_PROJECT_ROOT=str(tmp_path / "gone"))


def test_a_named_folder_that_is_not_there_is_noted(tmp_path: Path) -> None:
    make(tmp_path / "wandb")
    assert found(tmp_path, RUNWISE_WANDB_DIR=str(tmp_path / "gone")).notes == (f"{tmp_path}/gone: no such folder",)


def test_settings_name_folders_relative_to_their_own(tmp_path: Path) -> None:
    make(tmp_path / "runs/wandb")
    (tmp_path / "runwise.json").write_text('{"wandb_dir": "runs/wandb", "logs_dir": "./texts", "project_name": "p"}')
    settled = found(tmp_path)
    assert settled.place.wandb_dirs == (str(tmp_path / "runs/wandb"),)
    assert settled.place.logs_dirs == (str(tmp_path / "texts"),)
    assert settled.config.project_name == "p"
    assert not settled.place.nested


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder to another user")
def test_settings_may_not_lead_to_somebody_elses_files(tmp_path: Path) -> None:
    make(tmp_path / "proj/wandb", tmp_path / "theirs")
    os.chown(tmp_path / "theirs", 12345, 12345)
    (tmp_path / "proj/runwise.json").write_text('{"wandb_dir": "../theirs", "log_dirs": ["../theirs"]}')
    settled = found(tmp_path / "proj")
    assert str(tmp_path / "theirs") not in settled.place.wandb_dirs + settled.place.logs_dirs
    assert "not yours" in settled.notes[0]


def test_settings_seen_half_written_leave_the_last_good_ones_standing(tmp_path: Path) -> None:
    settings = Settings()
    path = tmp_path / "runwise.json"
    path.write_text('{"project_name": "good"}')
    assert settings.read(str(tmp_path))[0].project_name == "good"
    path.write_text('{"project_name": "ne')
    config, note = settings.read(str(tmp_path))
    assert config.project_name == "good"
    assert note.startswith("runwise.json: not JSON")
    path.write_text('{"project_name": "new"}')
    assert settings.read(str(tmp_path)) == (settings.read(str(tmp_path))[0], "")
    path.unlink()
    assert settings.read(str(tmp_path))[0].project_name is None


def test_a_schema_in_a_file_of_its_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "runwise.json").write_text('{"schema": "metrics.json"}')
    (tmp_path / "metrics.json").write_text('{"loss_key": "val/nll"}')
    assert found(tmp_path).config.schema.loss_key == "val/nll"


def test_a_pipe_in_the_settings_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.json")
    (tmp_path / "runwise.json").write_text('{"schema": "metrics.json"}')
    assert "metrics.json" in found(tmp_path).notes[0]
