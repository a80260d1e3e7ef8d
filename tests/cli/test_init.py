"""`runwise init` writes a project's settings where the project is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from runwise_protocol.errors import Kind, RunwiseError

from runwise_cli.app import main
from runwise_cli.init import CONFIG_NAME, init
from runwised.settings import RunwiseConfig


def test_the_settings_it_writes_say_what_the_defaults_say(tmp_path: Path) -> None:
    path = init(tmp_path, {}, "gpt", force=False)
    config = RunwiseConfig.parse(path.read_bytes())
    assert config == RunwiseConfig(project_name="gpt", wandb_dir="wandb", logs_dir="logs")


@pytest.mark.parametrize("mark", ["wandb", "logs", CONFIG_NAME])
def test_a_folder_inside_a_project_stands_for_the_project(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).mkdir() if mark != CONFIG_NAME else (tmp_path / mark).touch()
    inside = tmp_path / "src" / "model"
    inside.mkdir(parents=True)
    assert init(inside, {}, None, force=True) == tmp_path / CONFIG_NAME
    assert RunwiseConfig.parse((tmp_path / CONFIG_NAME).read_bytes()).project_name == tmp_path.name


def test_the_environment_may_name_the_project(tmp_path: Path) -> None:
    (tmp_path / "here" / "wandb").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    path = init(tmp_path / "here", {"RUNWISE_PROJECT_ROOT": "../there"}, None, force=False)
    assert path == tmp_path / "there" / CONFIG_NAME


def test_settings_that_are_there_are_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text('{"project_name": "mine"}')
    with pytest.raises(RunwiseError) as caught:
        init(tmp_path, {}, "other", force=False)
    assert (caught.value.kind, caught.value.hint) == (Kind.USAGE, "runwise init --force")
    assert (tmp_path / CONFIG_NAME).read_text() == '{"project_name": "mine"}'
    init(tmp_path, {}, "other", force=True)
    assert RunwiseConfig.parse((tmp_path / CONFIG_NAME).read_bytes()).project_name == "other"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).mkdir()
    with pytest.raises(RunwiseError, match=r"cannot write .*runwise\.json: Is a directory") as caught:
        init(tmp_path, {}, None, force=True)
    assert caught.value.kind is Kind.UNREADABLE


def test_the_command_says_where_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNWISE_PROJECT_ROOT", raising=False)
    assert main(["init", "--name", "gpt"]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / CONFIG_NAME}\n"
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / CONFIG_NAME} is there already\nhint: runwise init --force\n"
    )


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Path(__file__).parents[2] / "runwised" / "demo", tmp_path / "demo"))


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_learns_the_schema_from_the_runs(runwise: Run, demo: Path) -> None:
    done = runwise("init", "--auto", cwd=demo / "wandb")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"wrote {demo / CONFIG_NAME}\n"
        "learned from 5 runs\n"
        "loss_key train/loss\n"
        "primary_metric val/loss (lower is better)\n"
        "validation_sets val/\n"
        "groups train 1, val 1\n"
    )
    config = RunwiseConfig.parse((demo / CONFIG_NAME).read_bytes())
    assert (config.project_name, config.wandb_dir, config.schema.loss_key) == ("demo", "wandb", "train/loss")
    assert (config.schema.primary_metric, config.schema.validation_sets) == ("val/loss", {"val/": "val"})
    assert config.schema.metrics["val/loss"].higher_is_better is False
    assert runwise("list", cwd=demo).stdout.startswith("6 runs; best val/loss 1.514@950 gpt-wide")


def test_what_the_user_wrote_stays_and_is_told(runwise: Run, demo: Path) -> None:
    mine = {
        "anomaly_detection": {"spike_window": 7},
        "schema_inline": {"primary_metric": "train/loss", "loss_key": None, "groups": [], "mine": 1},
    }
    (demo / CONFIG_NAME).write_text(json.dumps(mine))
    done = runwise("init", "--auto", cwd=demo)
    assert done.returncode == 2
    assert done.stderr == f"error: {demo / CONFIG_NAME} is there already\nhint: runwise init --auto --force\n"
    assert json.loads((demo / CONFIG_NAME).read_text()) == mine
    done = runwise("init", "--auto", "--force", "--name", "gpt", cwd=demo)
    assert done.stdout.splitlines()[-1] == "kept as they were: schema_inline.primary_metric"
    written = json.loads((demo / CONFIG_NAME).read_text())
    assert (written["project_name"], written["anomaly_detection"]) == ("gpt", {"spike_window": 7})
    assert {"primary_metric": "train/loss", "loss_key": "train/loss", "mine": 1}.items() <= written[
        "schema_inline"
    ].items()
    assert RunwiseConfig.parse((demo / CONFIG_NAME).read_bytes()).schema.validation_sets == {"val/": "val"}
    assert [path.name for path in demo.iterdir() if path.name.startswith("tmp")] == []


def test_a_schema_in_a_file_of_its_own_or_under_the_older_name_stays_where_it_is(runwise: Run, demo: Path) -> None:
    (demo / CONFIG_NAME).write_text('{"schema": "metrics.json"}')
    (demo / "metrics.json").write_text('{"loss_key": "x"}')
    assert runwise("init", "--auto", "--force", cwd=demo).returncode == 0
    assert "schema_inline" not in json.loads((demo / CONFIG_NAME).read_text())
    (demo / CONFIG_NAME).write_text('{"schema": {"loss_key": "x"}}')
    assert runwise("init", "--auto", "--force", cwd=demo).stdout.endswith("kept as they were: schema.loss_key\n")
    config = RunwiseConfig.parse((demo / CONFIG_NAME).read_bytes())
    assert (config.schema.loss_key, config.schema.primary_metric) == ("x", "val/loss")


def test_settings_that_cannot_be_read_are_not_written_over(runwise: Run, demo: Path) -> None:
    (demo / CONFIG_NAME).write_text("{")
    done = runwise("init", "--auto", "--force", cwd=demo)
    assert (done.returncode, (demo / CONFIG_NAME).read_text()) == (5, "{")
    assert "is not JSON" in done.stderr


def test_without_a_project_there_is_nothing_to_learn(runwise: Run, tmp_path: Path) -> None:
    done = runwise("init", "--auto", cwd=tmp_path)
    assert done.returncode == 3
    assert not (tmp_path / CONFIG_NAME).exists()
