"""Which runs a project has: finds their folders and logs, and looks again only where something changed."""

from __future__ import annotations

import os
import stat
import time
from datetime import datetime
from typing import NamedTuple

from runwised.catalog.identity import Seen, look
from runwised.catalog.listing import MOST_ENTRIES, PASSED_OVER, RACY_NANOSECONDS, Recognise
from runwised.catalog.loose import Looked, LooseLogs
from runwised.catalog.naming import LooseSource
from runwised.catalog.place import RUN_FOLDER, WANDB_NAMES, Place, is_wandb_dir
from runwised.catalog.stored import FindStore
from runwised.catalog.stores import find_store

DEEPEST = 3
"""Levels below the root at which a W&B folder is still looked for."""
MOST_FOLDERS = 2000
WANDB_FORMATS = "wandb"
"""The names of W&B's own formats begin so."""


class Found(NamedTuple):
    """One log, or the folder where one will be."""

    path: str
    """The log; empty while the folder has none."""
    folder: str
    """The run's folder; of a loose file the one it lies in."""
    run_id: str
    """As the names say; the log itself may know better."""
    started: float
    """When its folder was made, as that one's name says (the writer's local time), epoch seconds; 0 where it does not.
    """
    format: str = ""
    """Name of the format or store of a log outside W&B's folders; empty for W&B's."""
    store_key: str = ""
    """Which of a store's runs."""
    title: str = ""
    """A better name, where a store knows one."""

    @property
    def key(self) -> str:
        """What it is known by."""
        return f"{self.path}#{self.store_key}" if self.store_key else self.path or self.folder

    def is_same_log(self, other: Found) -> bool:
        """Whether the other, of the same key, is this log, whatever its run is called now."""
        return (self.folder, self.format) == (other.folder, other.format)


class _Folder:
    """One folder as it was last read: the runs in it, and the folders where more may be."""

    __slots__ = ("below", "read_at", "runs", "signature")

    def __init__(self, signature: tuple[int, int, int]) -> None:
        self.signature = signature
        self.read_at = time.time_ns()
        self.runs: list[str] = []
        self.below: list[str] = []

    def still(self, signature: tuple[int, int, int]) -> bool:
        return self.signature == signature and self.read_at - signature[2] > RACY_NANOSECONDS


class Discovery:
    """The logs of one project. `recognise` and `find_store` know formats and stores.

    A look costs one stat for each folder that holds runs, where nothing changed. Folders without runs, in which one
    may be started some day, are looked at again only in a deep look.
    """

    def __init__(self, place: Place, recognise: Recognise, find_store: FindStore = find_store) -> None:
        self.place = place
        self._walk_notes: list[str] = []
        self._recognise = recognise
        project = "" if place.only else place.root
        self._loose = LooseLogs((*place.logs_dirs, *place.usual), recognise, project=project, find_store=find_store)
        self._folders: dict[str, _Folder] = {}
        self._before: dict[str, _Folder] = {}
        self._visited: set[tuple[int, int]] = set()
        self._logs: dict[str, tuple[Found, ...]] = {}
        """By run folder."""
        self.fresh: dict[str, Seen] = {}
        """What the last look saw of logs it met for the first time."""
        self._open = True
        """Some run folder has no log yet."""
        self._found: list[Found] = []
        self._deep = True

    def look(self, *, deep: bool = True) -> list[Found]:
        """Every log of the project, each once, in no order; the same list as before where nothing changed."""
        self._before, self._folders = self._folders, {}
        self._deep = deep or not (self._before or self.place.only)
        self._visited = set()
        self._walk_notes, self.fresh = [], {}
        for folder in self.place.wandb_dirs:
            self._walk(folder, 1, wandb=True)
        if self.place.nested:
            self._walk(self.place.root, DEEPEST, wandb=False)
        before = self._loose.sources, self._loose.run_folders
        self._loose.look(deep=self._deep)
        is_same = self._loose.sources is before[0] and self._loose.run_folders == before[1]
        if is_same and not deep and self._folders == self._before and not self._open:
            return self._found
        runs = [run for folder in self._folders.values() for run in folder.runs]
        runs = list(dict.fromkeys([*runs, *self._loose.run_folders]))
        self._logs = {run: self._logs_in(run) for run in runs}
        self._open = any(not logs[0].path for logs in self._logs.values())
        found = {log.key: log for logs in self._logs.values() for log in logs}
        for source in self._loose.sources:
            log = _found(source)
            found.setdefault(log.key, log)
        self._found = list(found.values())
        return self._found

    def places(self) -> list[Looked]:
        """Where logs were looked for, what was found there and what was passed over: W&B's folders, then all others.

        What W&B's folders elsewhere below the root hold is told with the first of its own.
        """
        logs = [log for logs in self._logs.values() for log in logs if log.path]
        wandb_dirs = self.place.wandb_dirs or ((self.place.root,) if logs else ())
        by_dir: dict[str, list[LooseSource]] = {folder: [] for folder in wandb_dirs}
        for log in logs:
            inside = (folder for folder in by_dir if log.folder.startswith(folder.rstrip(os.sep) + os.sep))
            home = next(inside, wandb_dirs[0])
            kind = self._recognise(os.path.basename(log.path), b"")
            by_dir[home].append(LooseSource(log.path, "", log.folder, log.run_id, kind))
        wandb = [Looked(folder, os.path.isdir(folder), sources, ()) for folder, sources in by_dir.items()]
        return wandb + self._loose.looked

    @property
    def notes(self) -> list[str]:
        """What was left out, and why."""
        return list(dict.fromkeys([*self._walk_notes, *self._loose.notes]))

    def forget(self, folder: str) -> None:
        """Look into this run's folder again: its log is gone."""
        self._logs.pop(folder, None)
        self._open = True

    def _walk(self, path: str, levels: int, *, wandb: bool) -> None:
        if path in self._folders:
            return
        if len(self._folders) >= MOST_FOLDERS:
            self._note(f"{self.place.root}: more than {MOST_FOLDERS} folders, the rest is not looked at")
            return
        folder = self._before.get(path)
        if folder is None or folder.runs or self._deep or wandb or path == self.place.root:
            folder = self._read(path, wandb=wandb)
        if folder is None:
            return
        self._folders[path] = folder
        for child in folder.below:
            if os.path.basename(child) in WANDB_NAMES:
                self._walk(child, max(levels - 1, 1), wandb=True)
            elif levels > 0:
                self._walk(child, levels - 1, wandb=wandb)

    def _read(self, path: str, *, wandb: bool) -> _Folder | None:
        """The folder as it is now; None when it is gone, no folder, or was met before under another name."""
        try:
            found = os.stat(path)
            if (found.st_dev, found.st_ino) in self._visited or not stat.S_ISDIR(found.st_mode):
                return None
            self._visited.add((found.st_dev, found.st_ino))
            signature = (found.st_dev, found.st_ino, found.st_mtime_ns)
            known = self._before.get(path)
            if known is not None and known.still(signature):
                return known
            folder = _Folder(signature)
            self._list(path, folder, wandb=wandb)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._note(f"{path}: {error.strerror}")
            return None
        return folder

    def _list(self, path: str, folder: _Folder, *, wandb: bool) -> None:
        with os.scandir(path) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_ENTRIES and not wandb:
                    self._note(f"{path}: more than {MOST_ENTRIES} entries, the rest is not looked at")
                    return
                if entry.name == "pyvenv.cfg":
                    folder.below.clear()
                    return
                if entry.is_dir(follow_symlinks=False):
                    _sort_in(entry.name, entry.path, folder, wandb=wandb)
                elif entry.name in WANDB_NAMES and is_wandb_dir(entry.path):
                    folder.below.append(entry.path)

    def _logs_in(self, folder: str) -> tuple[Found, ...]:
        known = self._logs.get(folder)
        return known if known is not None and known[0].path else find_logs(folder, self._recognise, self.fresh)

    def _note(self, text: str) -> None:
        if text not in self._walk_notes:
            self._walk_notes.append(text)


def _found(source: LooseSource) -> Found:
    kind = "" if source.format.startswith(WANDB_FORMATS) else source.format
    return Found(source.path, source.folder, source.run_id, 0.0, kind, source.key, source.name)


def _sort_in(name: str, path: str, folder: _Folder, *, wandb: bool) -> None:
    if RUN_FOLDER.fullmatch(name) or (wandb and name.startswith(("run-", "offline-run-", "dryrun-"))):
        folder.runs.append(path)
    elif name in WANDB_NAMES:
        if is_wandb_dir(path):
            folder.below.append(path)
    elif not name.startswith(".") and name not in PASSED_OVER:
        folder.below.append(path)


def find_logs(folder: str, recognise: Recognise, fresh: dict[str, Seen]) -> tuple[Found, ...]:
    """The log in a run's folder: nearly always ``run-<id>.wandb``, so that is tried before the folder is read.

    What was seen of it then goes into `fresh`.

    Where there is none, all files there that are recognised by name. Never empty: the folder itself stands for a log
    that is still to come.
    """
    name = folder.rpartition(os.sep)[2]
    named = RUN_FOLDER.fullmatch(name)
    run_id = named["id"] if named else name.partition("run-")[2]
    started = epoch_of(named["time"]) if named else 0.0
    guess = f"{folder}/run-{run_id}.wandb"
    if (seen := look(guess, follow=False)) is not None:
        fresh[guess] = seen
        return (Found(guess, folder, run_id, started),)
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        names = []
    logs = [name for name in names if name.endswith(".wandb")]
    if logs:
        return (Found(os.path.join(folder, logs[0]), folder, logs[0][:-6].removeprefix("run-"), started),)
    found = [
        Found(os.path.join(folder, name), folder, run_id, started)
        for name in names
        if recognise(name, b"").startswith(WANDB_FORMATS)
    ]
    return tuple(found) or (Found("", folder, run_id, started),)


def epoch_of(named: str) -> float:
    """Epoch seconds of a local time ``YYYYmmdd_HHMMSS``; 0 where there is no such time."""
    try:
        return datetime.fromisoformat(named.replace("_", "T")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
