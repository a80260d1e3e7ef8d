"""`runwise mcp install` and `runwise skill install` change other programs' files carefully, and only once."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from runwise_protocol.errors import RunwiseError

from runwise_cli import mcp, skill

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", list(mcp.CLIENTS))
def test_a_client_gets_the_server_once(name: str, tmp_path: Path) -> None:
    first = mcp.install([name], tmp_path, show=False)
    text = (tmp_path / mcp._placed(mcp.CLIENTS[name])).read_text()
    config = tomllib.loads(text) if name == "codex" else json.loads(text)
    (section,) = config.values()
    command = [section["runwise"]["command"], *section["runwise"]["args"]]
    assert command == mcp.server_command()
    assert Path(command[0]).exists()
    assert f"+++ {tmp_path}" in first
    assert mcp.install([name], tmp_path, show=False).endswith("has it already\n")
    assert (tmp_path / mcp._placed(mcp.CLIENTS[name])).read_text() == text


def test_what_else_is_configured_stays(tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text(
        '{"theme": "dark", "mcpServers": {"a": {"command": "b"}, "runwise": {"command": "old", "env": {"X": "ü"}}}}'
    )
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(
        'model = "x"\n[mcp_servers.runwise]\ncommand = "old"\nstartup_timeout_sec = 5\n\n[other]\nkept = true\n'
    )
    (tmp_path / ".claude.json").chmod(0o600)
    mcp.install([], tmp_path, show=False)
    claude = json.loads((tmp_path / ".claude.json").read_text())
    assert claude["theme"] == "dark"
    assert claude["mcpServers"]["a"] == {"command": "b"}
    assert claude["mcpServers"]["runwise"]["env"] == {"X": "ü"}
    assert (tmp_path / ".claude.json").stat().st_mode & 0o777 == 0o600
    codex = tomllib.loads((tmp_path / ".codex" / "config.toml").read_text())
    assert (codex["model"], codex["other"]) == ("x", {"kept": True})
    assert codex["mcp_servers"]["runwise"]["command"] == mcp.server_command()[0]
    assert codex["mcp_servers"]["runwise"]["startup_timeout_sec"] == 5


def test_print_writes_nothing(tmp_path: Path) -> None:
    assert '+    "runwise": {' in mcp.install(["cursor"], tmp_path, show=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 5}'])
def test_a_file_that_is_not_understood_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text(text)
    with pytest.raises(RunwiseError, match="is not understood"):
        mcp.install(["claude"], tmp_path, show=False)
    assert (tmp_path / ".claude.json").read_text() == text


def test_a_link_to_the_configuration_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.json").write_text("{}")
    (tmp_path / ".claude.json").symlink_to(tmp_path / "dotfiles.json")
    mcp.install(["claude"], tmp_path, show=False)
    assert (tmp_path / ".claude.json").is_symlink()
    assert "runwise" in (tmp_path / "dotfiles.json").read_text()


def test_the_commands_do_it(runwise: Run, daemon_env: dict[str, str], tmp_path: Path) -> None:
    env = {**daemon_env, "HOME": str(tmp_path)}
    done = runwise("mcp", "install", "claude", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("claude: written; start claude anew\n")
    assert runwise("skill", "install", env=env).returncode == 0
    assert (tmp_path / ".claude/skills/runwise/SKILL.md").read_text() == skill.SKILL
    assert runwise("skill", "install", env=env).stdout.endswith("is there already\n")
    assert runwise("skill", "install", "--print", env=env).stdout == skill.SKILL
    wrong = runwise("mcp", "install", "emacs", env=env)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: no client 'emacs'; claude, cursor, codex")


def test_the_skill_names_commands_that_there_are(runwise: Run) -> None:
    named = {line.split("`runwise ")[1].split("`")[0].split()[0] for line in skill.SKILL.splitlines() if " - " in line}
    assert len(named) == 10
    for command in named:
        assert runwise(command, "--help").returncode == 0, command
