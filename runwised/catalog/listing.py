"""One folder where loose logs may lie, as it was last listed: what may be a log, what may hold more, what cannot be."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from runwised.catalog.naming import LooseSource
from runwised.catalog.passed import COMPRESSED, Passed, Tally, reason_by_mode, reason_by_name
from runwised.catalog.place import RUN_FOLDER, WANDB_NAMES, is_wandb_dir

MOST_ENTRIES = 20_000
"""Entries of one folder that are looked at."""
RACY_NANOSECONDS = 2_000_000_000
"""A folder changed this shortly before it was listed may have changed again within one tick of its file system."""
PASSED_OVER = frozenset({"node_modules", "site-packages", "__pycache__"})

_DATABASE = re.compile(r"\.(db|db3|sqlite|sqlite3)$", re.IGNORECASE)
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,15})")


Recognise: TypeAlias = Callable[[str, bytes], str]
"""The name of the format of a file of this name that begins with these bytes (maybe none); empty: it is no log."""


class Candidate(NamedTuple):
    """A file that may be a log."""

    name: str
    inode: int
    format: str
    """What its name alone makes it; empty: its beginning must be looked at."""


class Settled(NamedTuple):
    """What the files of a folder came to."""

    base: str
    """What the names of its runs were taken relative to."""
    sources: Sequence[LooseSource]
    passed: Sequence[Passed]
    opened: Sequence[str]
    """Files that had to be looked into."""


class Listing:
    """What one folder holds. All names are sorted."""

    __slots__ = (
        "checkpoints",
        "databases",
        "files",
        "folders",
        "is_truncated",
        "passed",
        "read_at",
        "run_folders",
        "settled",
        "signature",
        "wandb_folders",
    )

    def __init__(self, signature: tuple[int, ...]) -> None:
        self.signature = signature
        self.read_at = time.time_ns()
        self.files: list[Candidate] = []
        """Regular files that may be logs."""
        self.databases: list[str] = []
        self.folders: list[str] = []
        self.checkpoints: list[int] = []
        """The numbers of folders ``checkpoint-<number>``, greatest first; they are not among `folders`."""
        self.run_folders: list[str] = []
        """Folders of W&B runs: not ours to look into."""
        self.wandb_folders: list[str] = []
        self.passed: Sequence[Passed] = ()
        self.is_truncated = False
        """There were more entries than `MOST_ENTRIES`."""
        self.settled: Settled | None = None
        """What its files came to, where only a change of the folder itself can change that."""

    def still(self, signature: tuple[int, ...]) -> bool:
        """Whether the folder is certainly as it was listed."""
        return self.signature == signature and self.read_at - signature[2] > RACY_NANOSECONDS


def signature_of(found: os.stat_result) -> tuple[int, int, int]:
    """What a folder's `stat` is compared by: device, inode, modification time."""
    return found.st_dev, found.st_ino, found.st_mtime_ns


def list_folder(path: str, signature: tuple[int, ...], recognise: Recognise) -> Listing:
    """Read the folder's entries, and no file of it. A Python environment is as good as empty. Raises OSError."""
    listing = Listing(signature)
    tally = Tally(path)
    with os.scandir(path) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_ENTRIES:
                listing.is_truncated = True
                break
            if entry.name == "pyvenv.cfg":
                return Listing(signature)
            reason = _sort_in(entry, listing, recognise)
            if reason:
                tally.add(entry.name, reason)
    listing.files.sort()
    for names in (listing.databases, listing.folders, listing.run_folders, listing.wandb_folders):
        names.sort()
    listing.checkpoints.sort(reverse=True)
    listing.passed = tally.passed()
    return listing


def _sort_in(entry: os.DirEntry[str], listing: Listing, recognise: Recognise) -> str:
    """Put one entry where it belongs; why it is passed over, or nothing."""
    name = entry.name
    if entry.is_dir(follow_symlinks=False):
        return _sort_in_folder(entry, listing)
    if name.startswith("."):
        return "hidden"
    if not entry.is_file(follow_symlinks=False):
        return _kind(entry)
    if _DATABASE.search(name):
        listing.databases.append(name)
        return ""
    reason = reason_by_name(name)
    if reason == COMPRESSED:
        return reason
    certain = recognise(name, b"")
    if certain or not reason:
        listing.files.append(Candidate(name, entry.inode(), certain))
        return ""
    return reason


def _sort_in_folder(entry: os.DirEntry[str], listing: Listing) -> str:
    name = entry.name
    checkpoint = _CHECKPOINT.fullmatch(name)
    if RUN_FOLDER.fullmatch(name):
        listing.run_folders.append(name)
    elif name in WANDB_NAMES and is_wandb_dir(entry.path):
        listing.wandb_folders.append(name)
    elif name.startswith("."):
        return "hidden"
    elif name in PASSED_OVER:
        return "not the project's own"
    elif checkpoint and str(int(checkpoint[1])) == checkpoint[1]:
        listing.checkpoints.append(int(checkpoint[1]))
    else:
        listing.folders.append(name)
    return ""


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return reason_by_mode(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return "gone"
