"""Long arrays in files say what they would say in memory, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runwised.catalog.spill import LEAST_BYTES, SpillRooms, Spool
from runwised.formats.record import Column, Rows
from runwised.index.arrays import Heap, Vector
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, encode, encode_into

ROWS = 3 * LEAST_BYTES // 8
BATCH = 50_000


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[SpillRooms]:
    made = SpillRooms(str(tmp_path))
    Vector.rooms = made
    yield made
    Vector.rooms = Heap()


def folded(*, again: bool) -> RunIndex:
    """Two metrics, one in every third row; `again`: the last rows are logged once more, from an earlier step on."""
    index = RunIndex()
    index.start_source("log")
    rng = np.random.default_rng(1)
    starts = [*range(0, ROWS, BATCH), *([ROWS - 3 * BATCH] if again else [])]
    for start in starts:
        steps = np.arange(start, start + BATCH)
        sparse = np.arange(0, BATCH, 3)
        columns = (Column("loss", None, rng.normal(size=BATCH)), Column("acc", sparse, rng.normal(size=len(sparse))))
        index.fold(Rows("history", steps * 70, steps, steps + 1e9, columns, by_key=True))
    return index


@pytest.mark.parametrize("again", [False, True])
def test_an_index_in_files_is_saved_to_the_same_bytes(tmp_path: Path, rooms: SpillRooms, again: bool) -> None:
    Vector.rooms = Heap()
    wanted = b"".join(encode(folded(again=again), b"stamp"))
    Vector.rooms = rooms
    index = folded(again=again)
    rooms.trim()
    with Spool(str(tmp_path), rooms) as spool:
        head = encode_into(index, b"stamp", spool.keep)
        saved = head + b"".join(spool.pieces())
    assert saved == wanted
    thawed = Sidecar(lambda offset, length: saved[offset : offset + length], len(saved)).thaw()
    assert b"".join(encode(thawed, b"stamp")) == wanted
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_had_ordinary_memory_is_used(tmp_path: Path) -> None:
    rooms = SpillRooms(str(tmp_path / "none"))
    data = np.arange(10)
    made = rooms.make(data, 10, LEAST_BYTES)
    assert made[:10].tolist() == data.tolist()
    assert len(made) == LEAST_BYTES
