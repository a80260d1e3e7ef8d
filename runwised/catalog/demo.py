"""The demonstration project: a copy, in the cache, of the small W&B project that ships with the package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path


def prepare(cache: Path) -> Path:
    """The root of the demonstration project below `cache`, made anew unless it is there whole. Raises OSError."""
    shipped = importlib.resources.files("runwised") / "demo"
    target = cache / "demo"
    if target.is_dir() and _digest(target) == _digest(shipped):
        return target
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".demo-", dir=cache) as scratch:
        fresh = Path(scratch) / "fresh"
        _copy(shipped, fresh)
        with contextlib.suppress(FileNotFoundError):
            target.rename(Path(scratch) / "old")
        fresh.rename(target)
    return target


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir()
    for child in _children(source):
        if child.is_dir():
            _copy(child, target / child.name)
        else:
            with child.open("rb") as reading, (target / child.name).open("xb") as writing:
                shutil.copyfileobj(reading, writing)


def _digest(folder: Traversable) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, data in _contents(folder, ""):
        digest.update(f"{name}\0{len(data)}\0".encode(errors="surrogateescape"))
        digest.update(data)
    return digest.digest()


def _contents(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for child in _children(folder):
        name = os.path.join(prefix, child.name)
        if child.is_dir():
            yield name + os.sep, b""
            yield from _contents(child, name)
        else:
            yield name, child.read_bytes()


def _children(folder: Traversable) -> list[Traversable]:
    return sorted((child for child in folder.iterdir() if child.name != "__pycache__"), key=lambda child: child.name)
