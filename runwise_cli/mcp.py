"""`runwise mcp install`: has a coding agent's client start `runwise-mcp`."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from runwise_protocol.errors import Kind, RunwiseError

from runwise_cli.installing import difference, read, write

_NAME = "runwise"


class AgentClient(NamedTuple):
    """A program that starts MCP servers."""

    name: str
    file: str
    """Its configuration, below the user's home."""
    added: Callable[[str, list[str]], str]
    """The text of the configuration with our server in it, made of what is there. Raises ValueError."""
    restart: str


def _json(section: str, **more: str) -> Callable[[str, list[str]], str]:
    def added(text: str, command: list[str]) -> str:
        config = json.loads(text) if text.strip() else {}
        if not isinstance(config, dict) or not isinstance(config.setdefault(section, {}), dict):
            raise ValueError(f"expected an object with an object {section!r} in it")
        entry = {**more, "command": command[0], "args": command[1:]}
        known = config[section].get(_NAME)
        if isinstance(known, dict):
            entry = {**known, **entry}  # variables and permissions that a user gave it stay
        if known == entry:
            return text
        config[section][_NAME] = entry
        return json.dumps(config, indent=2, ensure_ascii=False) + "\n"

    return added


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


CLIENTS = {
    client.name: client
    for client in (
        AgentClient("claude", ".claude.json", _json("mcpServers", type="stdio"), "start claude anew"),
        AgentClient("cursor", ".cursor/mcp.json", _json("mcpServers"), "reload Cursor"),
        AgentClient("codex", ".codex/config.toml", _toml, "start codex anew"),
        AgentClient("vscode", ".config/Code/User/mcp.json", _json("servers", type="stdio"), "reload VS Code"),
        AgentClient("gemini", ".gemini/settings.json", _json("mcpServers"), "start gemini anew"),
        AgentClient("windsurf", ".codeium/windsurf/mcp_config.json", _json("mcpServers"), "reload Windsurf"),
    )
}


def server_command() -> list[str]:
    """How this installation's server is started, from anywhere."""
    script = Path(sys.executable).with_name("runwise-mcp")
    return [str(script)] if script.exists() else [sys.executable, "-m", "runwise_mcp"]


def install(names: list[str], home: Path, show: bool) -> str:
    """Add the server to clients' configurations; without names, to those of every client that is installed.

    With `show` nothing is written. Gives what to tell: a diff for each. Raises RunwiseError.
    """
    for name in names:
        if name not in CLIENTS:
            raise RunwiseError(Kind.USAGE, f"no client {name!r}; {', '.join(CLIENTS)}", "runwise mcp install claude")
    chosen = [CLIENTS[name] for name in names] or [client for client in CLIENTS.values() if _is_there(client, home)]
    if not chosen:
        message = f"none of {', '.join(CLIENTS)} is set up in {home}"
        raise RunwiseError(Kind.NOT_FOUND, message, "runwise mcp install claude --print")
    return "".join(_install(client, home, show) for client in chosen)


def _is_there(client: AgentClient, home: Path) -> bool:
    file = home / client.file
    return file.exists() or (file.parent != home and file.parent.is_dir())


def _install(client: AgentClient, home: Path, show: bool) -> str:
    path = home / _placed(client)
    old = read(path)
    try:
        new = client.added(old, server_command())
    except ValueError as error:
        hint = f"runwise mcp install {client.name} --print > /dev/null, after mending it"
        raise RunwiseError(Kind.UNREADABLE, f"{path} is not understood: {error}", hint) from error
    changed = difference(path, old, new)
    if not changed:
        return f"{client.name}: {path} has it already\n"
    if show:
        return changed
    write(path, new)
    return f"{changed}{client.name}: written; {client.restart}\n"


def _placed(client: AgentClient) -> str:
    if sys.platform == "darwin":
        return client.file.replace(".config/Code", "Library/Application Support/Code")
    return client.file
