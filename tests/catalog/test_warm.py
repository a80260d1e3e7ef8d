import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.store import MemoryFile
from runwised.catalog.warm import GENERATION, Log, SourceChangedError, Warm, stamp_of
from runwised.formats import choose
from runwised.index.sidecar import Sidecar, SidecarDamaged


def logs(*paths: Path) -> list[Log]:
    return [Log(str(path), form) for path in paths if (form := choose(path.name, b"")) is not None]


def read_all(warm: Warm, piece_bytes: int = 1 << 20) -> Warm:
    while warm.step(piece_bytes):
        pass
    return warm


def contents(warm: Warm) -> tuple[Any, ...]:
    table = warm.index.history
    series = {name: table.series(name).values.tolist() for name in table.names}
    return (
        repr(series),
        table.steps(0, table.row_count).tolist(),
        json.dumps([warm.index.config, warm.index.summary], sort_keys=True),
    )


def saved(warm: Warm) -> Sidecar:
    file = MemoryFile(b"".join(warm.parts()))
    return Sidecar(file.read_at, file.size)


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    path = tmp_path / "run-abc.wandb"
    path.touch()
    return path


@pytest.mark.parametrize("fixture", ["0.31.0-finished", "0.16.6-finished", "0.17.5-core"])
def test_a_log_that_grew_in_steps_gives_the_index_of_the_whole(
    fixture: str, add_run: Callable[..., Path], growing: Path
) -> None:
    source = add_run(fixture)
    whole = read_all(Warm(logs(source)))
    data = source.read_bytes()
    warm = Warm(logs(growing))
    for end in (3, 7, 40_000, 40_001, 65_536, len(data)):
        with growing.open("ab") as file:
            file.write(data[growing.stat().st_size : end])
        read_all(warm, 10_000)
        assert warm.offsets == [end]
    assert contents(warm) == contents(whole)
    assert warm.read_bytes == len(data)


def test_a_thawed_index_goes_on_at_the_saved_offset(add_run: Callable[..., Path], growing: Path) -> None:
    source = add_run("0.31.0-finished")
    data = source.read_bytes()
    growing.write_bytes(data[:100_000])
    thawed = Warm.thaw(saved(read_all(Warm(logs(growing)))), logs(growing))
    with growing.open("ab") as file:
        file.write(data[100_000:])
    read_all(thawed)
    assert contents(thawed) == contents(read_all(Warm(logs(source))))
    assert thawed.read_bytes < len(data) - 100_000 + 33_000


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: os.truncate(path, 50_000),
        lambda path: path.write_bytes(b"x" * 150_000),
        lambda path: (path.rename(path.with_suffix(".old")), path.write_bytes(path.with_suffix(".old").read_bytes())),
        lambda path: os.utime(path, (1, 1)),
    ],
    ids=["truncated", "rewritten", "replaced", "touched"],
)
def test_a_source_that_is_another_file_now_is_noticed(
    harm: Callable[[Path], Any], add_run: Callable[..., Path], growing: Path
) -> None:
    growing.write_bytes(add_run("0.31.0-finished").read_bytes()[:100_000])
    warm = read_all(Warm(logs(growing)))
    file = saved(warm)
    harm(growing)
    with pytest.raises(SourceChangedError):
        warm.step()
    with pytest.raises(SourceChangedError):
        read_all(Warm.thaw(file, logs(growing)))


def test_segments_are_read_one_after_the_other_and_a_later_one_may_come(add_run: Callable[..., Path]) -> None:
    second = add_run("0.21.4-resumed")
    first = min(second.parents[1].glob("*/*.wandb"))
    both = read_all(Warm(logs(first, second)))
    assert len(both.index.rewinds) == 1
    assert [source.run_id for source in both.stamped] == ["fx316fbb", "fx316fbb"]
    assert both.stamped[0].started < both.stamped[1].started
    later = read_all(Warm(logs(first)))
    later.extend(logs(first, second))
    assert contents(read_all(later)) == contents(both)
    with pytest.raises(SourceChangedError):
        read_all(Warm(logs(second))).extend(logs(first, second))


def test_a_sidecar_of_other_sources_or_another_generation_is_not_gone_on_with(
    add_run: Callable[..., Path], growing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = add_run("0.31.0-finished")
    file = saved(read_all(Warm(logs(source))))
    with pytest.raises(SourceChangedError):
        Warm.thaw(file, logs(growing))
    monkeypatch.setattr("runwised.catalog.warm.GENERATION", GENERATION + 1)
    with pytest.raises(SidecarDamaged, match="generation"):
        stamp_of(file)


def test_a_source_that_cannot_be_opened_is_an_os_error(growing: Path) -> None:
    growing.unlink()
    with pytest.raises(FileNotFoundError):
        Warm(logs(growing)).step()
    os.mkfifo(growing)
    with pytest.raises(FileNotFoundError):
        Warm(logs(growing)).step()


def test_sources_are_only_ever_opened_for_reading(add_run: Callable[..., Path]) -> None:
    source = add_run("0.31.0-finished")
    source.chmod(0o400)
    before = source.stat()
    read_all(Warm(logs(source)))
    after = source.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )
