"""`runwise mcp install`: has a coding agent's client start `runwise-mcp`."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runwise_protocol.errors import Kind, RunwiseError

from runwise_cli.installing import difference, read, write

_NAME = "runwise"


class AgentClient(NamedTuple):
    """A program that starts MCP servers."""

    name: str
    files: tuple[str, ...]
    """Its configuration, below the user's home: the first that is there, else the first."""
    added: Callable[[str, list[str]], str]
    """The text of the configuration with our server in it, made of what is there. Raises ValueError."""
    restart: str


class _Change(NamedTuple):
    client: AgentClient
    path: Path
    old: str
    new: str


def _json(section: str, entry: Callable[[list[str]], dict[str, Any]]) -> Callable[[str, list[str]], str]:
    """Adds the entry to an object of that name in a JSON file."""

    def added(text: str, command: list[str]) -> str:
        config, commented = _parsed(text)
        servers = config.setdefault(section, {}) if isinstance(config, dict) else None
        if not isinstance(servers, dict):
            raise ValueError(f"expected an object with an object {section!r} in it")
        if section == "mcp" and isinstance(servers.get("servers"), dict):
            servers = servers["servers"]  # the shape of OpenCode 2, which takes the other one too
        known = servers.get(_NAME)
        ours = entry(command)
        if isinstance(known, dict):
            ours = {**known, **ours}  # variables and permissions that a user gave it stay
        if known == ours:
            return text
        if commented:
            raise ValueError(f"it has comments, which would be lost; add to {section!r} by hand: {_shown(ours)}")
        servers[_NAME] = ours
        return json.dumps(config, indent=2, ensure_ascii=False) + "\n"

    return added


def _shown(entry: dict[str, Any]) -> str:
    return f'"{_NAME}": {json.dumps(entry, ensure_ascii=False)}'


def _parsed(text: str) -> tuple[Any, bool]:
    """What a JSON file holds, and whether it has comments or commas that JSON has not. Raises ValueError."""
    try:
        return (json.loads(text) if text.strip() else {}), False
    except ValueError:
        bare = _COMMENT.sub(lambda found: found["text"] or " ", text)
        plain = _LAST_COMMA.sub(lambda found: found["text"] or found["end"], bare)
        if plain == text:
            raise
        return json.loads(plain), True


_TEXT = r'(?P<text>"(?:[^"\\]|\\.)*")'
_COMMENT = re.compile(rf"{_TEXT}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_TEXT}|,(?P<end>\s*[}}\]])")


def _plain(command: list[str]) -> dict[str, Any]:
    return {"command": command[0], "args": command[1:]}


def _stdio(command: list[str]) -> dict[str, Any]:
    return {"type": "stdio", **_plain(command)}


def _copilot(command: list[str]) -> dict[str, Any]:
    return {"type": "local", **_plain(command), "tools": ["*"]}


def _opencode(command: list[str]) -> dict[str, Any]:
    return {"type": "local", "command": command}


def _toml(text: str, command: list[str]) -> str:
    known: Any = tomllib.loads(text).get("mcp_servers", {}).get(_NAME, {})
    if (known.get("command"), known.get("args", [])) == (command[0], command[1:]):
        return text
    lines = f"command = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n"
    head = f"[mcp_servers.{_NAME}]\n"
    if known:
        block = re.compile(rf"(?m)^\[mcp_servers\.{_NAME}\][^\n]*\n((?:(?!\[).*\n?)*)")
        found = block.search(text)
        if found is None:
            raise ValueError(f"{_NAME} is there, but not as a table [mcp_servers.{_NAME}]")
        kept = "".join(line for line in found[1].splitlines(True) if not re.match(r"(command|args)\s*=", line))
        return text[: found.start()] + head + lines + kept + text[found.end() :]
    return text + ("\n" if text and not text.endswith("\n") else "") + ("\n" if text else "") + head + lines


_OPENCODE = (".config/opencode/opencode.json", ".config/opencode/opencode.jsonc")
_SERVERS = "mcpServers"

CLIENTS = {
    client.name: client
    for client in (
        AgentClient("claude", (".claude.json",), _json(_SERVERS, _stdio), "start claude anew"),
        AgentClient(
            "claude-desktop",
            (".config/Claude/claude_desktop_config.json",),
            _json(_SERVERS, _plain),
            "quit Claude and start it anew",
        ),
        AgentClient("cursor", (".cursor/mcp.json",), _json(_SERVERS, _plain), "reload Cursor"),
        AgentClient("codex", (".codex/config.toml",), _toml, "start codex anew"),
        AgentClient("vscode", (".config/Code/User/mcp.json",), _json("servers", _stdio), "reload VS Code"),
        AgentClient("copilot", (".copilot/mcp-config.json",), _json(_SERVERS, _copilot), "start copilot anew"),
        AgentClient("gemini", (".gemini/settings.json",), _json(_SERVERS, _plain), "start gemini anew"),
        AgentClient("windsurf", (".codeium/windsurf/mcp_config.json",), _json(_SERVERS, _plain), "reload Windsurf"),
        AgentClient("zed", (".config/zed/settings.json",), _json("context_servers", _plain), "nothing else to do"),
        AgentClient("opencode", _OPENCODE, _json("mcp", _opencode), "start opencode anew"),
    )
}
_ON_MACOS = (".config/Claude/", ".config/Code/")
"""What lies in another place there."""
_MOVED = {".config": "XDG_CONFIG_HOME", ".codex": "CODEX_HOME", ".copilot": "COPILOT_HOME"}
"""Variables that name another folder for one below the user's home."""


def server_command() -> list[str]:
    """How this installation's server is started, from anywhere."""
    script = Path(sys.executable).with_name("runwise-mcp")
    return [str(script)] if script.exists() else [sys.executable, "-m", "runwise_mcp"]


def install(names: list[str], home: Path, show: bool) -> Iterator[str]:
    """Add the server to clients' configurations; without names, to those of every client that is installed.

    With `show` nothing is written. Gives what to tell, each change as a diff before it is made. Raises RunwiseError,
    before anything is written where a configuration is not understood.
    """
    for name in names:
        if name not in CLIENTS:
            raise RunwiseError(Kind.USAGE, f"no client {name!r}; {', '.join(CLIENTS)}", "runwise mcp install claude")
    chosen = [CLIENTS[name] for name in names] or [client for client in CLIENTS.values() if _is_there(client, home)]
    if not chosen:
        message = f"none of {', '.join(CLIENTS)} is set up in {home}"
        raise RunwiseError(Kind.NOT_FOUND, message, "runwise mcp install claude --print")
    for change in [_change(client, home) for client in chosen]:
        yield from _made(change, show)


def _is_there(client: AgentClient, home: Path) -> bool:
    file = configuration(client, home)
    return file.exists() or (file.parent != home and file.parent.is_dir())


def _change(client: AgentClient, home: Path) -> _Change:
    path = configuration(client, home)
    old = read(path)
    try:
        return _Change(client, path, old, client.added(old, server_command()))
    except ValueError as error:
        hint = f"runwise mcp install {client.name} --print, after mending it"
        raise RunwiseError(Kind.UNREADABLE, f"{path} cannot be changed: {error}", hint) from error


def _made(change: _Change, show: bool) -> Iterator[str]:
    client, path, old, new = change
    changed = difference(path, old, new)
    if not changed:
        yield f"{client.name}: {path} has it already\n"
        return
    yield changed
    if not show:
        write(path, new)
        yield f"{client.name}: written; {client.restart}\n"


def configuration(client: AgentClient, home: Path) -> Path:
    """The client's file."""
    paths = [_placed(file, home) for file in client.files]
    return next((path for path in paths if path.exists()), paths[0])


def _placed(file: str, home: Path) -> Path:
    if sys.platform == "darwin" and file.startswith(_ON_MACOS):
        return home / file.replace(".config", "Library/Application Support", 1)
    folder, _, rest = file.partition("/")
    variable = _MOVED.get(folder, "")
    if sys.platform == "darwin" and variable == "XDG_CONFIG_HOME":
        return home / file
    moved = os.environ.get(variable, "")
    return Path(moved, rest) if moved.startswith("/") else home / file
