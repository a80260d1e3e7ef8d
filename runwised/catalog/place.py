"""Where a question's project lies: its root, the folders its logs are in, and its settings."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from runwised.settings import RunwiseConfig, SettingsError

RUN_FOLDER = re.compile(r"(?:offline-|dry)?run-(?P<time>\d{8}_\d{6})-(?P<id>.+)")
"""The name of a W&B run's folder; the time is the writer's local time."""

CONFIG_NAME = "runwise.json"
MOST_CONFIG_BYTES = 4 << 20
MOST_CHILDREN = 100
"""Folders of one level that are looked into where no project was found any other way."""
MOST_NAMES = 1000
"""Entries of one of those that are looked at."""
WANDB_NAMES = ("wandb", ".wandb")
USUAL_DIRS = ("runs", "lightning_logs", "tb_logs", "outputs", "mlruns")
"""Where other loggers write unless they are told otherwise."""
USUAL_DATABASE = "mlflow.db"
_MARKING_DIRS = ("logs", "lightning_logs", "tb_logs", "mlruns")
"""Folders of no other use: one of them makes the folder it is in a project."""


class NoProject(Exception):  # noqa: N818 - a finding, worded as one
    """No folder with logs was found; `reason` says where it was looked for."""

    def __init__(self, cwd: str, reason: str = "") -> None:
        self.cwd = cwd
        self.reason = reason or f"no {CONFIG_NAME}, wandb/, logs/ or other logger's folder in {cwd} or above it"
        super().__init__(self.reason)


class Place(NamedTuple):
    """One project's folders, all absolute."""

    root: str
    wandb_dirs: tuple[str, ...]
    logs_dirs: tuple[str, ...]
    nested: bool
    """Whether W&B folders are looked for below the root too: nobody named one."""
    usual: tuple[str, ...] = ()
    """Folders and databases of other loggers where they usually are; most of them are not there."""
    only: bool = False
    """Whether nothing else is looked for: a question named the file or folder itself."""


class Settled(NamedTuple):
    """A place with what its settings say, and what is wrong with them."""

    place: Place
    config: RunwiseConfig
    notes: tuple[str, ...] = ()


class Settings:
    """Reads each root's `runwise.json` when it changes, and keeps the last good one while it is being written."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[tuple[int, ...], RunwiseConfig, str]] = {}

    def forget(self) -> None:
        """Read all of them anew."""
        self._read.clear()

    def read(self, root: str) -> tuple[RunwiseConfig, str]:
        """The settings of the project at `root` (defaults where there are none), and a note or nothing."""
        path = os.path.join(root, CONFIG_NAME)
        try:
            found = os.stat(path)
        except OSError:
            self._read.pop(root, None)
            return RunwiseConfig(), ""
        signature = (found.st_ino, found.st_size, found.st_mtime_ns)
        known = self._read.get(root)
        if known is None or known[0] != signature:
            good = known[1] if known else RunwiseConfig()
            known = self._read[root] = (signature, *_parse(root, good))
        return known[1], known[2]


def locate(cwd: str, environ: Mapping[str, str], settings: Settings) -> Settled:
    """The project a question from `cwd` is about.

    Variables of the asking process come first, then `runwise.json`, then the folders' own names. Raises NoProject.
    """
    root = _root(cwd, environ) or _parent_of_projects(cwd)
    if root is None:
        raise NoProject(cwd)
    config, note = settings.read(root)
    notes = [note] if note else []
    wandb_dir = _asked(cwd, environ, "RUNWISE_WANDB_DIR") or _wandb_home(cwd, environ)
    if wandb_dir is None and config.wandb_dir:
        wandb_dir = _configured(root, config.wandb_dir, "wandb_dir", notes)
    logs_dirs = _logs_dirs(cwd, environ, root, config, notes)
    own = os.path.join(root, "wandb")
    nested = wandb_dir is None or wandb_dir == own
    notes += [f"{folder}: no such folder" for folder in (wandb_dir,) if folder and not nested and not _is_dir(folder)]
    wandb_dirs = tuple(os.path.join(root, name) for name in WANDB_NAMES) if nested else (str(wandb_dir),)
    usual = tuple(os.path.join(root, name) for name in (*USUAL_DIRS, USUAL_DATABASE))
    trackio = _asked(cwd, environ, "TRACKIO_DIR")
    usual = tuple(path for path in (*usual, *([trackio] if trackio else [])) if path not in logs_dirs)
    return Settled(Place(root, wandb_dirs, logs_dirs, nested, usual), config, tuple(notes))


def _logs_dirs(
    cwd: str, environ: Mapping[str, str], root: str, config: RunwiseConfig, notes: list[str]
) -> tuple[str, ...]:
    """The folders (or databases) that were named, and ``logs`` unless another was named instead."""
    asked = _asked_several(cwd, environ, "RUNWISE_LOGS_DIR")
    if asked:
        return tuple(dict.fromkeys(asked))
    logs_dir = _configured(root, config.logs_dir, "logs_dir", notes) if config.logs_dir else None
    named = [_configured(root, value, "log_dirs", notes) for value in config.log_dirs if value]
    found = [path for path in named if path]
    notes += [f"{path}: no such folder" for path in found if not os.path.exists(path)]
    return tuple(dict.fromkeys([logs_dir or os.path.join(root, "logs"), *found]))


def _root(cwd: str, environ: Mapping[str, str]) -> str | None:
    asked = _asked(cwd, environ, "RUNWISE_PROJECT_ROOT")
    if asked is not None:
        if not _is_dir(asked):
            raise NoProject(cwd, f"RUNWISE_PROJECT_ROOT: no folder {asked}")
        return asked
    folder = os.path.normpath(cwd)
    while True:
        if _marks_root(folder):
            return folder
        parent = os.path.dirname(folder)
        if parent in (folder, "/"):
            break
        folder = parent
    named = _asked(cwd, environ, "RUNWISE_WANDB_DIR") or _wandb_home(cwd, environ)
    logs = (folder for folder in _asked_several(cwd, environ, "RUNWISE_LOGS_DIR") if _is_dir(folder))
    named = named or next(logs, None)
    return os.path.dirname(named) if named and _is_dir(named) else None


def _parent_of_projects(cwd: str) -> str | None:
    """The folder itself, when it holds projects one or two levels below it."""
    level = [os.path.normpath(cwd)]
    for _ in range(2):
        level = [child for folder in level for child in _folders(folder)][:MOST_CHILDREN]
        if any(is_wandb_dir(os.path.join(child, name)) for child in level for name in WANDB_NAMES):
            return os.path.normpath(cwd)
    return None


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [each.path for each in entries if each.name[0] != "." and each.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _marks_root(folder: str) -> bool:
    """A run's own folder holds debug logs in `logs/`: that does not make it a project."""
    if os.path.isfile(os.path.join(folder, CONFIG_NAME)):
        return True
    if any(is_wandb_dir(os.path.join(folder, name)) for name in WANDB_NAMES):
        return True
    if RUN_FOLDER.fullmatch(os.path.basename(folder)):
        return False
    if any(_is_dir(os.path.join(folder, name)) for name in _MARKING_DIRS):
        return True
    return os.path.isfile(os.path.join(folder, USUAL_DATABASE)) or _holds_events(os.path.join(folder, "runs"), 2)


def _holds_events(folder: str, levels: int) -> bool:
    """Whether a TensorBoard event file lies in the folder, or so many levels below it."""
    try:
        with os.scandir(folder) as entries:
            first = [(each.name, each.path, each.is_dir(follow_symlinks=False)) for each in islice(entries, MOST_NAMES)]
    except OSError:
        return False
    if any("tfevents" in name and not is_dir for name, _, is_dir in first):
        return True
    below = [path for name, path, is_dir in first if is_dir and name[0] != "."][:MOST_CHILDREN]
    return levels > 0 and any(_holds_events(path, levels - 1) for path in below)


def is_wandb_dir(path: str) -> bool:
    """Whether this is a folder W&B may log to, and not the Python package of the same name."""
    return _is_dir(path) and not os.path.exists(os.path.join(path, "__init__.py"))


def _is_dir(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _asked(cwd: str, environ: Mapping[str, str], variable: str) -> str | None:
    value = environ.get(variable)
    return os.path.normpath(os.path.join(cwd, os.path.expanduser(value))) if value else None


def _asked_several(cwd: str, environ: Mapping[str, str], variable: str) -> list[str]:
    """Folders of a variable that may hold several, as ``PATH`` does."""
    values = environ.get(variable, "").split(os.pathsep)
    return [path for value in values if (path := _asked(cwd, {variable: value}, variable))]


def _wandb_home(cwd: str, environ: Mapping[str, str]) -> str | None:
    """W&B logs to ``$WANDB_DIR/.wandb`` where that is, else to ``$WANDB_DIR/wandb``."""
    home = _asked(cwd, environ, "WANDB_DIR")
    folders = [os.path.join(home, name) for name in (".wandb", "wandb")] if home else []
    return next((folder for folder in folders if is_wandb_dir(folder)), None)


def _configured(root: str, value: str, field: str, notes: list[str]) -> str | None:
    """A folder a project's settings name, unless it leads out of the project to somebody else's files."""
    path = os.path.normpath(os.path.join(root, os.path.expanduser(value)))
    real, home = os.path.realpath(path), os.path.realpath(root)
    if real == home or real.startswith(home.rstrip("/") + "/"):
        return path
    if _is_ours(path) and _is_ours(os.path.join(root, CONFIG_NAME)):
        return path
    notes.append(f"{CONFIG_NAME}: {field} {value} lies outside the project and is not yours: left out")
    return None


def _is_ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _parse(root: str, good: RunwiseConfig) -> tuple[RunwiseConfig, str]:
    notes: list[str] = []
    try:
        config = RunwiseConfig.parse(_read_small(os.path.join(root, CONFIG_NAME)))
        schema = _configured(root, config.schema_path, "schema", notes) if config.schema_path else None
        if schema:
            config = config.with_schema(_read_small(schema))
        named = config.log_templates_path
        templates = _configured(root, named, "log_templates", notes) if named else None
        if templates:
            config = config.with_templates(_read_small(templates))
    except SettingsError as error:
        return good, str(error)
    except OSError as error:
        return good, f"{CONFIG_NAME}: {error.filename}: {error.strerror}"
    return config, "".join(notes)


def _read_small(path: str) -> bytes:
    """The whole of a small regular file. Raises OSError, also for what is too large or no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_CONFIG_BYTES:
            raise OSError(errno.EFBIG, f"not a file of at most {MOST_CONFIG_BYTES >> 20} MiB", path)
        return os.read(descriptor, MOST_CONFIG_BYTES)
    finally:
        os.close(descriptor)
