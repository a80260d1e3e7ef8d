"""Why a file was not read: what its kind and its name say before anybody opens it, collapsed where there are many."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import NamedTuple

MANY = 4
"""More files than this of one folder, ending and reason are told as one."""

COMPRESSED = "compressed: not read"

_NAMES_BY_REASON = {
    "checkpoint or array": "pt pth ckpt safetensors bin onnx h5 hdf5 keras npy npz pkl pickle joblib gguf msgpack"
    " tflite pb index distcp model orbax weights",
    "image or other medium": "png jpg jpeg gif webp bmp svg tif tiff ico eps ps pdf mp4 avi mov webm mkv wav mp3 flac"
    " ogg glb obj ply",
    "archive": "zip tar tgz tbz txz 7z rar whl egg jar",
    COMPRESSED: "gz bz2 xz zst lz4 z",
    "code": "py pyc pyi ipynb sh bash c cc cpp cxx h hpp cu cuh js ts css java go rs jl m r so o a lua proto",
    "settings": "yaml yml toml ini cfg conf env lock",
    "document": "md rst html htm tex bib doc docx ppt pptx xls xlsx",
    "data set": "parquet arrow feather lmdb mdb tfrecord tfrecords rec idx avro orc",
    "profile": "prof pstats nsys-rep qdrep profile-empty ncu-rep",
    "part of a database": "db-wal db-shm db-journal sqlite-wal sqlite-shm sqlite-journal sqlite3-wal sqlite3-shm",
}
REASONS: Mapping[str, str] = {f".{name}": why for why, names in _NAMES_BY_REASON.items() for name in names.split()}
"""By ending, in lower case."""
_DOUBLE = {".tar.gz": "archive", ".tar.bz2": "archive", ".tar.xz": "archive", ".trace.json": "profile"}
_SHARD = re.compile(r"\.data-\d+-of-\d+$")
_ENDING = re.compile(r"\.[A-Za-z][\w-]{0,15}$")


class Passed(NamedTuple):
    """A file that was not read, or several of one kind; then `path` is a pattern such as ``imgs/*.png``."""

    path: str
    reason: str
    files: int = 1


def reason_by_name(name: str) -> str:
    """Why a file of this name holds no log that can be read; empty: it must be looked into."""
    lower = name.lower()
    if _SHARD.search(lower):
        return "checkpoint or array"
    for ending, why in _DOUBLE.items():
        if lower.endswith(ending):
            return why
    return REASONS.get(os.path.splitext(lower)[1], "")


def reason_by_mode(mode: int) -> str:
    """What stands here instead of a file or folder, by its ``st_mode``; opening it might wait for ever, or do harm."""
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def reason_by_head(head: bytes) -> str:
    """Why a file that no format recognised begins with nothing of use."""
    if not head:
        return "empty"
    return "no text" if b"\0" in head else "not recognised"


class Tally:
    """What was passed over in one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._counts: dict[tuple[str, str], int] = {}
        self._names: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, reason: str) -> None:
        """One entry of the folder."""
        found = _ENDING.search(name)
        kind = (reason, found[0] if found and not name.startswith(".") else "")
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= MANY:
            self._names.setdefault(kind, []).append(name)

    def passed(self) -> tuple[Passed, ...]:
        """All of it, in the order met."""
        return tuple(
            found
            for (reason, ending), count in self._counts.items()
            for found in (
                [Passed(os.path.join(self._folder, f"*{ending}"), reason, count)]
                if count > MANY
                else [Passed(os.path.join(self._folder, name), reason) for name in self._names[reason, ending]]
            )
        )
