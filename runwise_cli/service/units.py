"""What an installed service consists of: the files of systemd/, with the command and the folders in use put in."""

from __future__ import annotations

import os
import plistlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import SOCKET_NAME, cache_folder, config_folder, runtime_folder, state_folder

MARK = "Written by `runwise daemon install"
"""Stands in every file that is ours, and may be replaced and removed."""
SOCKET, SERVICE = "runwised.socket", "runwised.service"
HARDENING = "hardening.conf"
LABEL = "local.runwised"
_LIMITS = ("RUNWISE_CACHE_GIB", "RUNWISE_CACHE_DAYS")
"""What the daemon's cache may keep."""
_PACKAGE = Path(__file__).parents[1]


class File(NamedTuple):
    """One file of the service."""

    path: Path
    text: str


def shipped(name: str) -> str:
    """A file of systemd/, which lies in the installed package, or beside it in a clone."""
    folder = _PACKAGE / "systemd"
    return ((folder if folder.is_dir() else _PACKAGE.parent / "systemd") / name).read_text(encoding="utf-8")


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the platform looks for a user's services."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "LaunchAgents"
    config = environ.get("XDG_CONFIG_HOME") or ""
    return (Path(config) if config.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def files(*, hardening: bool = False) -> list[File]:
    """The files as they are to be, for this platform and this installation."""
    if sys.platform == "darwin":
        return [File(folder() / f"{LABEL}.plist", plist())]
    made = [File(folder() / SOCKET, socket_unit()), File(folder() / SERVICE, service_unit())]
    if hardening or hardening_path().exists():
        made.append(File(hardening_path(), hardening_drop_in()))
    return made


def hardening_path() -> Path:
    """Where the drop-in lies that hardens the service further."""
    return folder() / f"{SERVICE}.d" / HARDENING


def wanted_link() -> Path:
    """The link by which the socket is enabled."""
    return folder() / "sockets.target.wants" / SOCKET


def is_ours(text: str) -> bool:
    """Whether it may be replaced and removed."""
    return MARK in text


def socket_unit() -> str:
    """The socket, where clients in this environment look for it."""
    text = shipped(SOCKET)
    if os.environ.get("RUNWISE_RUNTIME_DIR"):
        text = _with(text, "ListenStream", _escaped(f"{runtime_folder()}/{SOCKET_NAME}"))
    return text


def service_unit() -> str:
    """The daemon of this installation, with the folders of this environment."""
    command = " ".join(_quoted(_escaped(word)).replace("$", "$$") for word in launch.daemon_command())
    variables = {
        "RUNWISE_RUNTIME_DIR": "%t/runwised",
        **{name: _escaped(value) for name, value in variables_kept().items()},
    }
    lines = "\nEnvironment=".join(_quoted(f"{name}={value}") for name, value in variables.items())
    return _with(_with(shipped(SERVICE), "ExecStart", command), "Environment", lines)


def hardening_drop_in() -> str:
    """The drop-in, with the folders of this environment."""
    runtime = _quoted(_escaped(f"-{runtime_folder()}")) if os.environ.get("RUNWISE_RUNTIME_DIR") else "-%t/runwised"
    written = [runtime, *(_quoted(_escaped(f"-{path}")) for path in written_folders())]
    return _with(shipped(HARDENING), "ReadWritePaths", " ".join(written))


def written_folders() -> list[str]:
    """Where the daemon writes, beside its runtime folder."""
    return [cache_folder(), state_folder()]


def plist() -> str:
    """The agent of launchd."""
    text = shipped(f"{LABEL}.plist")
    agent = plistlib.loads(text.encode())
    agent["ProgramArguments"] = launch.daemon_command()
    agent["Sockets"]["runwised"]["SockPathName"] = f"{runtime_folder()}/{SOCKET_NAME}"
    agent["StandardErrorPath"] = launch.log_path()
    kept = {**variables_kept(), "RUNWISE_RUNTIME_DIR": runtime_folder()}
    agent["EnvironmentVariables"] = kept
    head = text[: text.index("<plist ")]
    body = plistlib.dumps(agent, sort_keys=False).decode()
    return head + body[body.index("<plist ") :]


def variables_kept() -> dict[str, str]:
    """What the service must be told of this environment, which it does not share, to have the same folders."""
    home = Path.home()
    usual = {"CACHE": home / ".cache" / "runwised", "STATE": home / ".local" / "state" / "runwised"}
    usual |= {"CONFIG": home / ".config" / "runwised"}
    now = {"CACHE": cache_folder(), "STATE": state_folder(), "CONFIG": config_folder()}
    is_linux = sys.platform != "darwin"
    kept = {
        f"RUNWISE_{name}_DIR": str(Path(path).absolute())
        for name, path in now.items()
        if (str(usual[name]) != path if is_linux else f"RUNWISE_{name}_DIR" in os.environ)
    }
    if os.environ.get("RUNWISE_RUNTIME_DIR"):
        kept["RUNWISE_RUNTIME_DIR"] = runtime_folder()
    kept |= {name: os.environ[name] for name in _LIMITS if name in os.environ}
    if "PYTHONPATH" in os.environ:
        kept["PYTHONPATH"] = launch.environment(os.environ)["PYTHONPATH"]
    for name, value in kept.items():
        if "\n" in value:
            raise RunwiseError(Kind.USAGE, f"{name} has a line break in it: {value!r}", f"unset {name}")
    return kept


def _with(text: str, name: str, value: str) -> str:
    """A unit with another value at the one place where `name` is set."""
    return re.sub(rf"(?m)^{name}=.*$", lambda _: f"{name}={value}", text, count=1)


def _quoted(word: str) -> str:
    """As systemd.syntax(7) has it; plain words stay as they are."""
    if re.fullmatch(r"[\w@+=:,./%-]+", word):
        return word
    inner = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _escaped(text: str) -> str:
    """Without specifiers: a percent sign is one."""
    return text.replace("%", "%%")
