"""`runwise init` writes a project's settings where the project is."""

from __future__ import annotations

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
