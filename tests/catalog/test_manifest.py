"""The manifest of runs that are over: a start that reads it sees what one that reads everything sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.manifest import FRAME, MAGIC
from runwised.catalog.run import Run

pytestmark = pytest.mark.anyio

FIXTURES = ("0.31.0-finished", "0.28.2-failed", "0.16.6-finished", "0.21.4-resumed")


@pytest.fixture
def see(tmp_path: Path, ask: Any, picture: Callable[[Run], Any]) -> Any:
    """Start a catalog, look at the whole project, and end it; gives what runs say, and how much was read for it."""

    async def look(root: Path | None = None, *, only: Callable[[Run], Any] = picture, cache: str = "cache") -> Any:
        catalog = Catalog(tmp_path / cache)
        project = await catalog.view(str(root or tmp_path / "proj"), {})
        if only is picture:
            project = await ask(catalog, root or tmp_path / "proj")
        said = {run.id: only(run) for run in project.runs}
        status = catalog.status()
        await catalog.close()
        return said, status

    return look


@pytest.fixture
async def before(add_run: Callable[..., Path], see: Any) -> Any:
    """What several runs say that are over; they are in the manifest."""
    for fixture in FIXTURES:
        add_run(fixture)
    said, _ = await see()
    return said


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[], Path]:
    def find() -> Path:
        (found,) = (tmp_path / "cache").rglob("*.rwm")
        return found

    return find


def frames(data: bytes) -> list[int]:
    """Where the frames of a manifest begin, and where the last one ends."""
    starts, at = [len(MAGIC)], len(MAGIC)
    while at + FRAME.size <= len(data):
        entry, head, _ = FRAME.unpack_from(data, at)
        at += FRAME.size + entry + head
        starts += [at] if at <= len(data) else []
    return starts


def broad(run: Run) -> Any:
    """What a list asks: it stands in the manifest."""
    table = run.history
    return (
        run.name,
        run.step,
        run.updated,
        tuple(run.condition),
        run.config,
        {n: repr(table.stats(n)) for n in table.names},
    )


async def test_a_start_opens_no_sidecar_for_what_a_list_shows(
    before: Any, see: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = await see(only=broad)
    opened: list[str] = []
    real = os.open

    def spy(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        opened.append(os.fspath(path) if not isinstance(path, int) else "")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", spy)
    said, status = await see(only=broad)
    assert said == expected
    assert [path for path in opened if path.endswith(".rwm")]
    assert not [path for path in opened if path.endswith((".rwx", ".wandb"))]
    assert (status["restored"], status["read_bytes"]) == (len(before), 0)


async def test_everything_else_is_as_it_was(before: Any, see: Any) -> None:
    said, status = await see()
    assert said == before
    assert status["read_bytes"] == 0


async def test_sources_that_are_not_as_they_were_are_read(
    before: Any, see: Any, add_run: Callable[..., Path], tmp_path: Path
) -> None:
    log = next((tmp_path / "proj").rglob("*28*/*.wandb"), None) or add_run("0.28.2-failed")
    os.truncate(log, log.stat().st_size // 2)
    said, _ = await see()
    cold, _ = await see(cache="cold")
    assert said == cold != before


async def test_a_run_that_went_away_leaves_no_trace(before: Any, see: Any, tmp_path: Path) -> None:
    gone = next((tmp_path / "proj" / "wandb").glob("*run-*"))
    shutil.rmtree(gone)
    said, _ = await see()
    cold, _ = await see(cache="cold")
    assert said == cold != before


@pytest.mark.parametrize("damage", ["cut", "flip", "grown", "foreign", "empty"])
async def test_a_damaged_manifest_changes_no_answer(
    before: Any, see: Any, manifest: Callable[[], Path], damage: str
) -> None:
    whole = manifest().read_bytes()
    starts = frames(whole)
    assert len(starts) == len(before) + 1
    damaged = {
        "cut": [whole[: at + extra] for at in starts[:-1] for extra in (1, FRAME.size, FRAME.size + 9)],
        "flip": [whole[: at + 20] + bytes([whole[at + 20] ^ 255]) + whole[at + 21 :] for at in starts[:-1]],
        "grown": [whole + b"\xff" * 7, whole + FRAME.pack(2**31, 2**31, 0)],
        "foreign": [b"something else entirely", MAGIC[:-1] + b"\xff" + whole[len(MAGIC) :]],
        "empty": [b"", MAGIC],
    }[damage]
    for data in damaged:
        manifest().write_bytes(data)
        said, _ = await see()
        assert said == before
        said, status = await see()
        assert said == before
        assert status["read_bytes"] == 0
    assert len(frames(manifest().read_bytes())) == len(starts)


@pytest.mark.parametrize("loss", ["gone", "other"])
async def test_a_sidecar_that_is_not_the_one_it_stands_for_is_made_anew(
    before: Any, see: Any, tmp_path: Path, loss: str
) -> None:
    for sidecar in list((tmp_path / "cache").rglob("*.rwx")):
        data = sidecar.read_bytes()
        sidecar.unlink()
        if loss == "other":
            sidecar.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))
    said, _ = await see()
    assert said == before
    said, status = await see()
    assert said == before
    assert status["read_bytes"] == 0


async def test_runs_that_end_later_are_put_behind_the_others(
    before: Any, see: Any, add_run: Callable[..., Path], manifest: Callable[[], Path]
) -> None:
    known = manifest().read_bytes()
    add_run("0.12.21-finished")
    said, _ = await see()
    assert len(said) == len(before) + 1
    grown = manifest().read_bytes()
    assert grown.startswith(known)
    assert len(frames(grown)) == len(frames(known)) + 1


async def test_a_manifest_mostly_out_of_date_is_written_anew(
    before: Any, see: Any, tmp_path: Path, manifest: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.manifest.SLACK", 0)
    log = max((tmp_path / "proj").rglob("*.wandb"))
    for moment in range(1, 2 * len(before) + 3):
        os.utime(log, (moment, moment))
        await see()
    said, _ = await see()
    assert len(frames(manifest().read_bytes())) - 1 <= 2 * len(before)
    cold, _ = await see(cache="cold")
    assert said == cold


async def test_names_that_are_not_utf8_are_found_by_their_sidecars(
    add_run: Callable[..., Path], see: Any, tmp_path: Path
) -> None:
    add_run("0.31.0-finished")
    root = (tmp_path / "proj").rename(tmp_path / os.fsdecode(b"od\xff"))
    first, _ = await see(root)
    said, status = await see(root)
    assert said == first
    assert (status["restored"], status["read_bytes"]) == (1, 0)


async def test_other_settings_have_logs_read_anew(tmp_path: Path, see: Any) -> None:
    folder = tmp_path / "proj" / "logs" / "one"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(f'{{"tick": {5 * n}, "loss": {n}.5}}\n' for n in range(50)))
    os.utime(folder / "metrics.jsonl", (1e9, 1e9))
    first, _ = await see()
    (tmp_path / "proj" / "runwise.json").write_text('{"schema": {"step_key": "tick"}}')
    said, _ = await see()
    cold, _ = await see(cache="cold")
    assert said == cold != first
