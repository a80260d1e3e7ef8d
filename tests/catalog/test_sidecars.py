import errno
import os
import random
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from runwised.catalog import slot as slot_module
from runwised.catalog.catalog import Catalog
from runwised.catalog.slot import IndexLostError
from runwised.catalog.store import RETRY_SECONDS, Store
from runwised.index.header import PROLOGUE, header_length

pytestmark = pytest.mark.anyio

FLIPS = 25


@pytest.fixture
async def saved(add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any) -> tuple[Path, Path, Any]:
    """A project's root, its one sidecar, and what the run says."""
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    before = picture((await ask(catalog, tmp_path / "proj")).runs[0])
    await catalog.close()
    (sidecar,) = (tmp_path / "cache").rglob("*.rwx")
    return tmp_path / "proj", sidecar, before


async def test_a_second_start_reads_sidecars_and_not_sources(
    saved: tuple[Path, Path, Any], tmp_path: Path, picture: Any
) -> None:
    root, _, before = saved
    catalog = Catalog(tmp_path / "cache")
    project = await catalog.view(str(root), {})
    assert project.runs[0].indexed
    assert (catalog.status()["restored"], catalog.status()["read_bytes"]) == (1, 0)
    assert picture(project.runs[0]) == before
    await catalog.close()


async def test_a_second_start_reads_only_what_was_added(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    log = add_run("0.31.0-finished")
    data = log.read_bytes()
    os.truncate(log, 120_000)
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    with log.open("ab") as file:
        file.write(data[120_000:])
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert len(data) - 120_000 <= catalog.status()["read_bytes"] < len(data) - 120_000 + 32_768
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])
    await catalog.close()


async def test_no_flipped_byte_changes_an_answer(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    whole = sidecar.read_bytes()
    places = {0, 8, 12, 20, len(whole) - 1, *random.Random(7).sample(range(len(whole)), FLIPS)}
    for place in sorted(places):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << place % 8
        sidecar.write_bytes(harmed)
        assert picture((await ask(Catalog(tmp_path / "cache"), root)).runs[0]) == before, place
        sidecar.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 500, -1])
async def test_no_length_a_sidecar_is_cut_to_changes_an_answer(
    length: int, saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    os.truncate(sidecar, length % sidecar.stat().st_size)
    assert picture((await ask(Catalog(tmp_path / "cache"), root)).runs[0]) == before


async def test_a_file_of_zeros_bytes_behind_the_end_and_no_file_do_not_either(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    whole = sidecar.read_bytes()
    for harmed in (bytes(len(whole)), whole + b"more", None):
        sidecar.unlink()
        if harmed is not None:
            sidecar.write_bytes(harmed)
        assert picture((await ask(Catalog(tmp_path / "cache"), root)).runs[0]) == before
        sidecar.write_bytes(whole)


async def test_a_sidecar_harmed_while_it_is_in_use_does_not_change_an_answer(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    catalog = Catalog(tmp_path / "cache")
    project = await catalog.view(str(root), {})
    with sidecar.open("r+b") as file:
        file.seek(sidecar.stat().st_size // 2)
        file.write(bytes(sidecar.stat().st_size // 2))
    assert picture(project.runs[0]) == before
    await catalog.close()
    assert Catalog(tmp_path / "cache").status()["restored"] == 0
    assert picture((await ask(Catalog(tmp_path / "cache"), root)).runs[0]) == before


async def test_a_long_runs_harmed_sidecar_is_said_to_be_lost_and_is_back_after_repair(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_module, "MOST_HEALED_BYTES", 1000)
    root, sidecar, before = saved
    catalog = Catalog(tmp_path / "cache")
    project = await catalog.view(str(root), {})
    with sidecar.open("r+b") as file:
        file.seek(sidecar.stat().st_size // 2)
        file.write(bytes(sidecar.stat().st_size // 2))
    with pytest.raises(IndexLostError):
        picture(project.runs[0])
    catalog.repair(project.runs[0])
    assert picture((await ask(catalog, root)).runs[0]) == before
    await catalog.close()


@pytest.fixture
async def harmed_table(tmp_path: Path, ask: Any) -> Path:
    """A table with a sidecar, all of whose parts are harmed."""
    log = tmp_path / "proj/logs/metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("step,loss\n" + "".join(f"{step},{1 / (step + 1)}\n" for step in range(4000)))
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    (sidecar,) = (tmp_path / "cache").rglob("*.rwx")
    data = sidecar.read_bytes()
    begin = PROLOGUE.size + header_length(data)[0]
    sidecar.write_bytes(data[:begin] + bytes(len(data) - begin))
    return log


async def test_a_harmed_sidecar_of_a_table_that_is_being_written_anew_ends_no_question(
    harmed_table: Path, tmp_path: Path, ask: Any, picture: Any
) -> None:
    harmed_table.write_text("step,loss\n")
    await Catalog(tmp_path / "cache").view(str(tmp_path / "proj"), {})
    os.utime(harmed_table, (1.7e9, 1.7e9))
    (run,) = (await ask(Catalog(tmp_path / "cache"), tmp_path / "proj")).runs
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_a_harmed_sidecar_that_is_not_replaced_at_once_ends_no_question_either(
    harmed_table: Path, tmp_path: Path, ask: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_module, "MOST_HEALED_BYTES", harmed_table.stat().st_size - 1)
    catalog = Catalog(tmp_path / "cache")
    await catalog.view(str(tmp_path / "proj"), {})
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.history.row_count == 4000
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])
    await catalog.close()


async def test_another_runs_sidecar_put_in_the_place_is_not_believed(
    saved: tuple[Path, Path, Any], add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    add_run("0.28.2-failed", "other")
    catalog = Catalog(tmp_path / "cache2")
    await ask(catalog, tmp_path / "other")
    await catalog.close()
    (stranger,) = (tmp_path / "cache2").rglob("*.rwx")
    shutil.copy(stranger, sidecar)
    assert picture((await ask(Catalog(tmp_path / "cache"), root)).runs[0]) == before


async def test_a_newer_versions_sidecar_is_left_alone(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, picture: Any
) -> None:
    root, sidecar, before = saved
    whole = bytearray(sidecar.read_bytes())
    struct.pack_into("<I", whole, 8, 99)
    struct.pack_into("<I", whole, 20, zlib.crc32(whole[:20]))
    sidecar.write_bytes(whole)
    catalog = Catalog(tmp_path / "cache")
    assert picture((await ask(catalog, root)).runs[0]) == before
    await catalog.close()
    assert sidecar.read_bytes() == bytes(whole)


async def test_a_source_restored_from_a_backup_is_read_again(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    log = add_run("0.31.0-finished")
    backup = log.read_bytes()[:90_000]
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    log.write_bytes(backup)
    (run,) = (await ask(Catalog(tmp_path / "cache"), tmp_path / "proj")).runs
    assert run.sources[0][2:] == (90_000, 0, 282)
    assert picture(run) == picture((await ask(Catalog(None), tmp_path / "proj")).runs[0])


async def test_where_the_cache_cannot_be_written_answers_come_from_memory_and_it_is_said_once(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    add_run("0.31.0-finished")
    (tmp_path / "cache").write_text("in the way")
    catalog = Catalog(tmp_path / "cache")
    project = await ask(catalog, tmp_path / "proj")
    assert [note for note in project.notes if "cache cannot be written" in note] == list(project.notes)
    assert len(project.notes) == 1
    before = picture(project.runs[0])
    await catalog.close()
    assert picture(project.runs[0]) == before


async def test_what_was_kept_in_memory_is_saved_once_the_cache_can_be_written_again(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.store.RETRY_SECONDS", (0.0, 0.0))
    add_run("0.31.0-finished")
    (tmp_path / "cache").write_text("in the way")
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    before = picture(run)
    await catalog.close()
    (tmp_path / "cache").unlink()
    await catalog.close()
    assert len(list((tmp_path / "cache").rglob("*.rwx"))) == 1
    assert picture(run) == before
    assert (await ask(catalog, tmp_path / "proj")).notes == ()
    await catalog.close()


async def test_what_is_in_memory_is_given_up_for_what_is_saved(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any
) -> None:
    add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    project = await ask(catalog, tmp_path / "proj")
    before = picture(project.runs[0])
    assert catalog.status()["in_memory"] == 1
    await catalog.close()
    assert catalog.status()["in_memory"] == 0
    assert picture(project.runs[0]) == before
    await catalog.close()


async def test_a_live_run_stays_in_memory_and_is_saved_at_the_end(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, writer: Callable[..., Any]
) -> None:
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    writer(log, source, 100_000)
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    assert catalog.status()["in_memory"] == 1
    assert len(list((tmp_path / "cache").rglob("*.rwx"))) == 1


async def test_indexes_beyond_the_bound_leave_memory(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.saving.WARM_BYTES", 1000)
    log = add_run("0.31.0-running")
    source = log.rename(tmp_path / "source")
    held = writer(log, source, 100_000)
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    assert catalog.status()["in_memory"] == 0
    held.write(150_000)
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.sources[0].unread_bytes == 0
    await catalog.close()


async def test_the_background_saves_without_being_told(
    saved: tuple[Path, Path, Any], tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.upkeep.TIDY_SECONDS", 0.05)
    root, sidecar, _ = saved
    sidecar.unlink()
    catalog = Catalog(tmp_path / "cache")
    async with anyio.create_task_group() as tasks:
        await tasks.start(catalog.run)
        await ask(catalog, root)
        with anyio.fail_after(10):
            while not sidecar.exists():
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    await catalog.close()


async def test_unsaved_indexes_beyond_the_bound_are_dropped_and_made_again_when_asked_for(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwised.catalog.saving.KEPT_BYTES", 100_000)
    for fixture in ("0.31.0-finished", "0.28.2-failed", "0.16.6-finished", "0.21.4-resumed"):
        add_run(fixture)
    catalog = Catalog(None)
    before = {run.id: picture(run) for run in (await ask(catalog, tmp_path / "proj")).runs}
    await catalog.close()
    assert 0 < catalog.status()["indexed"] < len(before)
    project = await ask(catalog, tmp_path / "proj")
    assert {run.id: picture(run) for run in project.runs} == before


def test_a_full_disk_that_many_writes_tell_of_is_tried_again_as_soon_as_one_that_one_tells_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(64):
        store.failed(OSError(errno.ENOSPC, "No space left on device"))
    assert not store.usable
    assert store._retry_at - time.monotonic() <= RETRY_SECONDS[0]
