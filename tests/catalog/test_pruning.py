"""What is removed from the cache folder, and what is kept."""

from __future__ import annotations

import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.pruning import LIMITS, prune
from runwised.catalog.store import Store
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import encode

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


@pytest.fixture
async def cache(add_run: Callable[..., Path], tmp_path: Path, ask: Any) -> Path:
    """A cache with the sidecars of two projects, their manifests, and a note; none used for long."""
    add_run("0.31.0-finished", "kept")
    add_run("0.28.2-failed", "lost")
    catalog = Catalog(tmp_path / "cache")
    for project in ("kept", "lost"):
        for run in (await ask(catalog, tmp_path / project)).runs:
            run.memory.note = b"a note"
    await catalog.close()
    unused(tmp_path / "cache")
    return tmp_path / "cache"


def unused(cache: Path) -> None:
    """Have nothing of it been used for long: to look whether something is still needed is to use it."""
    for path in cache.rglob("*.rw?"):
        os.utime(path, (1e9, 1e9))


def files(cache: Path) -> list[str]:
    return sorted(path.suffix for path in cache.rglob("*.rw?"))


def test_what_was_not_used_longest_goes_first_where_it_is_too_much(store: Store) -> None:
    paths = [Path(store.path(f"/runs/{number}", "id")) for number in range(4)]
    for number, path in enumerate(paths):
        store.write(str(path), [bytes(1000)])
        os.utime(path, (1000 + number, 1000 + number))
    os.utime(paths[0], (5000, 1000))
    assert store.folder is not None
    assert prune(store.folder, LIMITS._replace(most_bytes=2500, grace_seconds=time.time())) == 2000
    assert [path.exists() for path in paths] == [True, False, False, True]


@pytest.mark.anyio
async def test_what_stands_for_logs_that_are_gone_is_removed_after_the_grace_time(cache: Path, tmp_path: Path) -> None:
    assert files(cache) == [".rwm", ".rwm", ".rwn", ".rwn", ".rwx", ".rwx"]
    assert prune(str(cache), LIMITS) == 0
    unused(cache)
    shutil.rmtree(tmp_path / "lost")
    assert prune(str(cache), LIMITS._replace(grace_seconds=time.time() - 1e9 + DAY)) == 0
    assert prune(str(cache), LIMITS) > 0
    assert files(cache) == [".rwm", ".rwn", ".rwx"]


@pytest.mark.anyio
async def test_what_was_used_of_late_or_is_from_a_newer_version_is_kept(cache: Path, tmp_path: Path) -> None:
    for project in ("kept", "lost"):
        shutil.rmtree(tmp_path / project)
    used, newer = cache.rglob("*.rwx")
    os.utime(used, (time.time(), 1e9))
    data = bytearray(newer.read_bytes())
    struct.pack_into("<I", data, 8, 99)
    struct.pack_into("<I", data, 20, zlib.crc32(data[:20]))
    newer.write_bytes(data)
    os.utime(newer, (1e9, 1e9))
    prune(str(cache), LIMITS)
    assert used.exists()
    assert newer.exists()


@pytest.mark.anyio
async def test_logs_in_folders_whose_names_hold_what_parts_a_store_from_its_key_are_there(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    add_run("0.31.0-finished", "try#3")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "try#3")
    await catalog.close()
    unused(tmp_path / "cache")
    assert prune(str(tmp_path / "cache"), LIMITS) == 0
    assert files(tmp_path / "cache") == [".rwm", ".rwx"]


def test_a_sidecar_that_says_nothing_of_its_sources_does_not_end_the_pruning(store: Store) -> None:
    path = store.path("/runs/one", "id")
    store.write(path, encode(RunIndex(), b"[" * 100_000))
    os.utime(path, (1e9, 1e9))
    assert store.folder is not None
    assert prune(store.folder, LIMITS) > 0
    assert files(Path(store.folder)) == []
