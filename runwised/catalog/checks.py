"""What may be wrong with caches, limits and file systems; `runwise doctor` shows it, also while no daemon runs."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from runwised.catalog.everything import KnownProjects
from runwised.catalog.mounts import Mounts
from runwised.catalog.store import SUFFIX, SidecarFile
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion

SAMPLE = 50
"""Indexes that are looked at, the newest first, unless all are."""
LARGE_BYTES = 64 << 20
"""A larger index is looked at only where all are: it is read whole."""
ROOT_SECONDS = 2.0
"""Longest wait for a project's disk."""
LOW_BYTES, NO_BYTES = 1 << 30, 64 << 20
CROWDED = 0.8
"""Share of a limit from which on it is told of."""
INOTIFY = "/proc/sys/fs/inotify"
MOST_NAMED = 3

T = TypeVar("T")


class Check(NamedTuple):
    """One finding."""

    name: str
    level: str
    """``ok``, ``warn`` or ``fail``."""
    message: str
    fix: str = ""
    """What to type; empty where nothing is to be mended."""


def checks(cache: Path, state: Path, everything: bool = False) -> Iterator[Check]:
    """All findings; with `everything` every index is looked at, not a sample."""
    yield from _folders(cache, state)
    yield from _room(cache, state)
    yield from watch_limits()
    yield _projects(KnownProjects(state).roots())
    yield indexes(cache / "runs", everything)


def _folders(cache: Path, state: Path) -> Iterator[Check]:
    for name, variable, folder in (("cache", "RUNWISE_CACHE_DIR", cache), ("state", "RUNWISE_STATE_DIR", state)):
        try:
            found = os.stat(folder)
        except FileNotFoundError:
            yield Check(name, "ok", f"{folder} is made when it is needed")
            continue
        except OSError as error:
            elsewhere = f"export {variable}=/a/folder/of/yours"
            yield Check(name, "fail", f"{folder} cannot be reached: {error.strerror}", elsewhere)
            continue
        if found.st_uid != os.geteuid():
            fix = f"sudo chown -R {os.geteuid()} {folder}"
            yield Check(name, "fail", f"{folder} belongs to uid {found.st_uid}, not to you ({os.geteuid()})", fix)
        elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Check(name, "fail", f"{folder} cannot be written", f"chmod u+rwx {folder}")
        elif found.st_mode & 0o022:
            fix = f"chmod go-w {folder}"
            yield Check(name, "warn", f"{folder} can be written by others (mode {found.st_mode & 0o777:04o})", fix)
        else:
            yield Check(name, "ok", f"{folder} is yours")


def _room(cache: Path, state: Path) -> Iterator[Check]:
    for name, folder in (("cache disk", cache), ("state disk", state)):
        there = next((str(parent) for parent in (folder, *folder.parents) if parent.exists()), "/")
        free = shutil.disk_usage(there).free
        level = "fail" if free < NO_BYTES else "warn" if free < LOW_BYTES else "ok"
        fix = f"free some room on the disk of {there}" if level != "ok" else ""
        yield Check(name, level, f"{free / (1 << 30):.1f} GiB free for {folder}", fix)


def watch_limits(limits: str = INOTIFY, processes: str = "/proc") -> Iterator[Check]:
    """How many inotify watches and instances of ours are in use, of how many there may be."""
    if not os.path.isdir(limits):
        if sys.platform == "linux":
            yield Check("watches", "warn", f"{limits} is not there: changes are found by looking again")
        return
    instances, watches = _used(processes)
    for name, used, limit in (("instances", instances, "max_user_instances"), ("watches", watches, "max_user_watches")):
        most = int(Path(limits, limit).read_text())
        message = f"{used} of {most} inotify {name} in use by you"
        if used < CROWDED * most:
            yield Check(f"inotify {name}", "ok", message)
            continue
        level = "fail" if used >= most else "warn"
        yield Check(f"inotify {name}", level, message, f"sudo sysctl fs.inotify.{limit}={max(2 * most, 1024)}")


def _used(processes: str) -> tuple[int, int]:
    """Instances and watches of all our processes."""
    instances = watches = 0
    for pid in filter(str.isdecimal, os.listdir(processes)):
        folder = f"{processes}/{pid}/fdinfo"
        try:
            if os.stat(folder).st_uid != os.geteuid():
                continue
            numbers = os.listdir(folder)
        except OSError:
            continue  # it has ended, or does not let us look
        for number in numbers:
            try:
                if "inotify" not in os.readlink(f"{processes}/{pid}/fd/{number}"):
                    continue
                instances += 1
                watches += Path(folder, number).read_text().count("inotify wd:")
            except OSError:
                continue  # closed meanwhile
    return instances, watches


def _projects(roots: list[str]) -> Check:
    """On which file systems the known projects lie."""
    mounts = Mounts()
    kinds: Counter[str] = Counter()
    silent = []
    gone = 0
    for root in roots:
        found = _in_time(partial(_kind, root, mounts))
        if found is None:
            silent.append(root)
            mounts = Mounts()
            continue
        is_there, kind, reports = found
        gone += not is_there
        if is_there:
            kinds[(kind or "unknown") + ("" if reports else " (reports no changes: looked at every 10 s)")] += 1
    told = ", ".join(f"{count} on {kind}" for kind, count in kinds.most_common()) or "none is known"
    told += f", {gone} gone" if gone else ""
    if silent:
        named = ", ".join(silent[:MOST_NAMED])
        return Check("projects", "warn", f"{told}; no answer within {ROOT_SECONDS:g} s: {named}", f"ls {silent[0]}")
    return Check("projects", "ok", told)


def _kind(root: str, mounts: Mounts) -> tuple[bool, str, bool]:
    """Whether it is there, its file system, and whether that reports changes."""
    return os.path.isdir(root), mounts.kind(root), mounts.reports(root)


def _in_time(look: Callable[[], T]) -> T | None:
    """What it gives; None when it takes too long, it is left to hang then."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(look()), daemon=True)
    thread.start()
    thread.join(ROOT_SECONDS)
    return found[0] if found else None


def indexes(folder: Path, everything: bool) -> Check:
    """Whether the indexes in the cache are as they were written."""
    newest = sorted(_indexes(folder), reverse=True)
    chosen = [path for _, size, path in newest if everything or size <= LARGE_BYTES]
    chosen = chosen if everything else chosen[:SAMPLE]
    damaged, other = [], 0
    for path in chosen:
        try:
            _verify(path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except SidecarVersion:
            other += 1
        except (SidecarDamaged, OSError):
            damaged.append(path)
    message = f"{len(chosen)} of {len(newest)} indexes looked at, {len(damaged)} damaged"
    message += f", {other} of another version" if other else ""
    if not damaged:
        return Check("indexes", "ok", message)
    fix = "rm " + " ".join(damaged) if len(damaged) <= MOST_NAMED else f"rm -r {folder}"
    return Check("indexes", "warn", f"{message}; they are made anew from the logs", fix)


def _verify(path: str) -> None:
    """Read every part of an index. Raises SidecarDamaged, SidecarVersion and OSError."""
    file = SidecarFile(path)
    try:
        Sidecar(file.read_at, file.size).thaw()
    finally:
        file.close()


def _indexes(folder: Path) -> Iterator[tuple[float, int, str]]:
    """When each was written, its size and its path."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(SUFFIX):
                path = os.path.join(parent, name)
                try:
                    found = os.stat(path)
                except FileNotFoundError:
                    continue
                yield found.st_mtime, found.st_size, path
