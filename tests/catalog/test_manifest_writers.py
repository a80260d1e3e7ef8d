"""A manifest that others write to, that cannot be written, or that tells of files elsewhere."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.feeds import Stamped
from runwised.catalog.identity import Fingerprint
from runwised.catalog.manifest import Manifest, Rested
from runwised.index.kept import Mark
from runwised.index.view import Condition

MIB = 1 << 20
LOGS = Path(__file__).parents[1] / "fixtures" / "logs"


def over(name: str) -> Rested:
    """A run that is over."""
    file = Fingerprint(f"/logs/{name}", 1, 2, 3, b"", b"", 3, 4, 5)
    condition = Condition("finished", "", 0)
    return Rested([Stamped(file)], [], condition, 1e9, name, [], Mark(9, 7, "finished", 0, 1, -1), (1, 2, 3, 4), 8.0)


def names(path: Path) -> list[str]:
    return [rested.name for rested, _ in Manifest(str(path)).load()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A manifest that knows one run."""
    Manifest(str(tmp_path / "one.rwm")).add([(over("a"), b"head of a")])
    return tmp_path / "one.rwm"


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Have no file become longer than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_two_that_write_lose_nothing_and_leave_heads_what_they_were(path: Path) -> None:
    other = Manifest(str(path))
    assert len(list(other.load())) == 1
    mine = Manifest(str(path))
    assert len(list(mine.load())) == 1
    mine.add([(over("b"), b"head of b")])
    third = Manifest(str(path))
    offsets = {known.name: offset for known, offset in third.load()}
    other.add([(over("c"), b"head of c")])
    assert third.shelf is not None
    rested, head = third.shelf.read(offsets["b"])
    assert (rested.name, rested.mark.step, head) == ("b", 7, b"head of b")
    mine.add([(over("d"), b"head of d")])
    assert names(path) == ["a", "b", "c", "d"]


def test_a_head_over_which_another_was_written_is_none(path: Path) -> None:
    manifest = Manifest(str(path))
    ((_, offset),) = manifest.load()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b"head of a", b"head of x"))
    assert manifest.shelf is not None
    with pytest.raises(OSError, match="other bytes"):
        manifest.shelf.read(offset)


def test_what_is_put_behind_a_frame_that_was_not_written_whole_is_read(
    path: Path, small_files: Callable[[int], None]
) -> None:
    manifest = Manifest(str(path))
    assert len(list(manifest.load())) == 1
    small_files(path.stat().st_size + 20)
    with pytest.raises(OSError, match="too large"):
        manifest.add([(over("b"), b"head of b")])
    small_files(MIB)
    manifest.add([(over("c"), b"head of c")])
    assert names(path) == ["a", "c"]


@pytest.mark.anyio
async def test_runs_there_was_no_room_for_are_put_there_later(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    holdings = (await ask(catalog, tmp_path / "proj")).holdings
    await catalog._saving.tidy(holdings.runs, at_once=True)
    small_files(20)
    await holdings.pack(1.0)
    assert catalog._growth.store.note
    small_files(MIB)
    catalog._growth.store._retry_at = 0.0
    await holdings.pack(1.0)
    (manifest,) = (tmp_path / "cache").rglob("*.rwm")
    assert len(names(manifest)) == 1


@pytest.mark.anyio
async def test_a_cache_that_was_removed_is_no_reason_to_write_nothing_any_more(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path
) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    shutil.rmtree(tmp_path / "cache")
    add_run("0.28.2-failed")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    assert catalog._growth.store.note == ""
    (manifest,) = (tmp_path / "cache").rglob("*.rwm")
    assert len(names(manifest)) == 1


@pytest.mark.anyio
async def test_a_manifest_that_may_only_be_read_is_read(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    real = os.open

    def read_only(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        """As on a file system that is mounted so."""
        if flags & (os.O_WRONLY | os.O_RDWR) and os.fspath(path).startswith(str(tmp_path / "cache")):
            raise OSError(30, "Read-only file system", path)
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    (manifest,) = (tmp_path / "cache").rglob("*.rwm")
    assert len(names(manifest)) == 1


@pytest.mark.anyio
async def test_a_copied_cache_leaves_the_first_one_alone(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.rw?")}
    opened: list[str] = []
    real = os.open

    def spy(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(os.fspath(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", spy)
    catalog = Catalog(tmp_path / "copy")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.row_count
    assert run.slot.place.startswith(str(tmp_path / "copy"))
    os.utime(log, (1e9, 1e9))
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    assert not [path for path in opened if path.startswith(str(tmp_path / "cache"))]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.rw?")} == before


@pytest.mark.anyio
async def test_devices_that_are_numbered_anew_have_nothing_read_anew(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path
) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    (path,) = (tmp_path / "cache").rglob("*.rwm")
    manifest = Manifest(str(path))
    offsets = [offset for _, offset in manifest.load()]
    assert manifest.shelf is not None
    entries = [manifest.shelf.read(offset) for offset in offsets]
    for rested, _ in entries:
        rested.signature = (rested.signature[0] + 1, *rested.signature[1:])
    manifest.replace(entries)
    (run,) = (await Catalog(tmp_path / "cache").view(str(tmp_path / "proj"), {})).runs
    assert run.was_packed
    assert all(run.history.series(name).values.size for name in run.history.names)


@pytest.mark.anyio
async def test_a_run_of_a_store_whose_sidecar_is_gone_is_read_again(tmp_path: Path, ask: Any) -> None:
    shutil.copytree(LOGS / "mlflow_files" / "mlruns", tmp_path / "proj" / "mlruns")
    catalog = Catalog(tmp_path / "cache")
    before = {run.id: run.history.total_rows for run in (await ask(catalog, tmp_path / "proj")).runs}
    assert sum(before.values())
    await catalog.close()
    for sidecar in (tmp_path / "cache").rglob("*.rwx"):
        sidecar.write_bytes(b"")
    project = await Catalog(tmp_path / "cache").view(str(tmp_path / "proj"), {})
    assert {run.id for run in project.runs if run.was_packed}
    assert {run.id: run.history.series(name).values.size for run in project.runs for name in run.history.names}
    assert {run.id: run.history.total_rows for run in project.runs} == before
