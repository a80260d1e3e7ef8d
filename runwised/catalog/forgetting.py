"""Removes all that a daemon has ever written, and nothing else that may lie in the same folders."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

CACHE_NAMES = ("runs", "demo", ".demo-*", "mcp")
"""Indexes, the demonstration project, and the sign that an MCP client was here."""
STATE_NAMES = ("annotations", "ledger", ".ledger.*", "projects", "lock", ".*-*-*.tmp", "daemon.log", "daemon.log.old")
"""Tags and notes, cursors, known projects, what writing them needs, and the log."""


def forget_everything(cache: Path, state: Path) -> list[str]:
    """Remove it; gives the paths that were there. Folders go when nothing else is in them. Raises OSError."""
    removed = []
    for folder, names in ((cache, CACHE_NAMES), (state, STATE_NAMES)):
        for path in sorted(_ours(folder, names)):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
            removed.append(path)
        with contextlib.suppress(OSError):  # somebody else has something there, or it never was
            folder.rmdir()
    return removed


def _ours(folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return
    yield from (os.path.join(folder, name) for name in found if any(fnmatch(name, known) for known in names))
