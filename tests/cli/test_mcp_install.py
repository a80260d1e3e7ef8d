"""`runwise mcp install` and `runwise skill install` change other programs' files carefully, and only once."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol.errors import RunwiseError

from runwise_cli import mcp, skill

Run = Callable[..., subprocess.CompletedProcess[str]]


PLAIN = {"command": "COMMAND", "args": ["ARGS"]}
STDIO = {"type": "stdio", **PLAIN}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "claude": (".claude.json", {"mcpServers": {"runwise": STDIO}}),
    "claude-desktop": (".config/Claude/claude_desktop_config.json", {"mcpServers": {"runwise": PLAIN}}),
    "cursor": (".cursor/mcp.json", {"mcpServers": {"runwise": PLAIN}}),
    "codex": (".codex/config.toml", {"mcp_servers": {"runwise": PLAIN}}),
    "vscode": (".config/Code/User/mcp.json", {"servers": {"runwise": STDIO}}),
    "copilot": (
        ".copilot/mcp-config.json",
        {"mcpServers": {"runwise": {"type": "local", **PLAIN, "tools": ["*"]}}},
    ),
    "gemini": (".gemini/settings.json", {"mcpServers": {"runwise": PLAIN}}),
    "windsurf": (".codeium/windsurf/mcp_config.json", {"mcpServers": {"runwise": PLAIN}}),
    "zed": (".config/zed/settings.json", {"context_servers": {"runwise": PLAIN}}),
    "opencode": (
        ".config/opencode/opencode.json",
        {"mcp": {"runwise": {"type": "local", "command": ["COMMAND", "ARGS"]}}},
    ),
}
"""As each client's documentation has it."""


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "CODEX_HOME", "COPILOT_HOME"):
        monkeypatch.delenv(variable, raising=False)


def install(names: list[str], home: Path, *, show: bool = False) -> str:
    return "".join(mcp.install(names, home, show))


@pytest.mark.parametrize("name", list(mcp.CLIENTS))
def test_a_client_gets_the_server_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(mcp, "server_command", lambda: ["COMMAND", "ARGS"])
    first = install([name], tmp_path)
    file, shape = SHAPES[name]
    text = (tmp_path / file).read_text()
    assert (tomllib.loads(text) if name == "codex" else json.loads(text)) == shape
    assert f"+++ {tmp_path}" in first
    assert install([name], tmp_path).endswith("has it already\n")
    assert (tmp_path / file).read_text() == text


@pytest.mark.parametrize("name", ["claude-desktop", "vscode", "zed"])
def test_on_macos_some_lie_elsewhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    moved = SHAPES[name][0] if name == "zed" else SHAPES[name][0].replace(".config", "Library/Application Support")
    assert mcp.configuration(mcp.CLIENTS[name], tmp_path) == tmp_path / moved


@pytest.mark.parametrize(
    ("name", "variable", "file"),
    [
        ("codex", "CODEX_HOME", "config.toml"),
        ("copilot", "COPILOT_HOME", "mcp-config.json"),
        ("zed", "XDG_CONFIG_HOME", "zed/settings.json"),
    ],
)
def test_a_folder_that_was_moved_is_found(
    name: str, variable: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv(variable, str(tmp_path / "moved"))
    assert mcp.configuration(mcp.CLIENTS[name], tmp_path / "home") == tmp_path / "moved" / file
    monkeypatch.setenv(variable, "relative")
    assert mcp.configuration(mcp.CLIENTS[name], tmp_path / "home").is_relative_to(tmp_path / "home")


def test_the_command_that_is_written_starts_from_anywhere() -> None:
    command = mcp.server_command()
    assert Path(command[0]).is_absolute()
    assert Path(command[0]).exists()


def test_a_change_is_shown_before_it_is_made(tmp_path: Path) -> None:
    telling = mcp.install(["cursor"], tmp_path, show=False)
    assert '+    "runwise": {' in next(telling)
    assert not (tmp_path / ".cursor").exists()
    assert next(telling) == "cursor: written; reload Cursor\n"
    assert (tmp_path / ".cursor" / "mcp.json").exists()


def test_comments_are_not_lost(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "zed" / "settings.json"
    settings.parent.mkdir(parents=True)
    text = '// mine\n{"url": "http://x", /* two\nlines */ "theme": "One // \\"Dark\\"", }\n'
    settings.write_text(text)
    with pytest.raises(RunwiseError, match="it has comments, which would be lost; add to 'context_servers' by hand"):
        install(["zed"], tmp_path)
    assert settings.read_text() == text
    settings.write_text(f'// mine\n{{"context_servers": {{"runwise": {json.dumps(entry())}, }}}}\n')
    assert install(["zed"], tmp_path).endswith("has it already\n")


def entry() -> dict[str, object]:
    command, *arguments = mcp.server_command()
    return {"command": command, "args": arguments}


def test_the_file_and_the_shape_that_are_in_use_are_kept_to(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.jsonc").write_text('{"mcp": {"servers": {"a": {"type": "local", "command": ["b"]}}}}')
    install(["opencode"], tmp_path)
    assert not (folder / "opencode.json").exists()
    assert list(json.loads((folder / "opencode.jsonc").read_text())["mcp"]["servers"]) == ["a", "runwise"]


def test_nothing_is_written_where_one_of_several_is_not_understood(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".gemini").mkdir()
    (tmp_path / ".gemini" / "settings.json").write_text("{")
    with pytest.raises(RunwiseError, match="cannot be changed"):
        install([], tmp_path)
    assert list((tmp_path / ".cursor").iterdir()) == []


def test_a_skill_lies_where_the_agents_that_are_used_look(tmp_path: Path) -> None:
    skill.install(tmp_path, show=False)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.md")] == [".claude/skills/runwise/SKILL.md"]
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".cursor").mkdir()
    skill.install(tmp_path, show=False)
    assert (tmp_path / ".agents/skills/runwise/SKILL.md").read_text() == skill.SKILL
    assert len(list(tmp_path.rglob("*.md"))) == 2


def test_what_else_is_configured_stays(tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text(
        '{"theme": "dark", "mcpServers": {"a": {"command": "b"}, "runwise": {"command": "old", "env": {"X": "ü"}}}}'
    )
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(
        'model = "x"\n[mcp_servers.runwise]\ncommand = "old"\nstartup_timeout_sec = 5\n\n[other]\nkept = true\n'
    )
    (tmp_path / ".claude.json").chmod(0o600)
    install([], tmp_path)
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
    assert '+    "runwise": {' in install(["cursor"], tmp_path, show=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": 5}'])
def test_a_file_that_is_not_understood_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text(text)
    with pytest.raises(RunwiseError, match="cannot be changed"):
        install(["claude"], tmp_path)
    assert (tmp_path / ".claude.json").read_text() == text


def test_a_link_to_the_configuration_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.json").write_text("{}")
    (tmp_path / ".claude.json").symlink_to(tmp_path / "dotfiles.json")
    install(["claude"], tmp_path)
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
    assert wrong.stderr.startswith("error: no client 'emacs'; claude, claude-desktop, cursor, codex")


def test_the_skill_names_commands_that_there_are(runwise: Run) -> None:
    named = {line.split("`runwise ")[1].split("`")[0].split()[0] for line in skill.SKILL.splitlines() if " - " in line}
    assert len(named) == 10
    for command in named:
        assert runwise(command, "--help").returncode == 0, command
