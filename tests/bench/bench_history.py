"""A curve of 500 points from 10 million rows against one from 10 thousand, in memory and from a sidecar file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from runwised.formats.record import Column, Floats, Rows
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, encode
from tests.bench.harness import Report, calls

SHORT, LONG = 10_000, 10_000_000
POINTS = 500
BATCH = 100_000


def run(report: Report) -> None:
    """Fold two runs of one dense and one sparse metric, and sample both."""
    short, long = _index(SHORT), _index(LONG)
    values = np.array(long.history.series("dense").values)
    rescan = _milliseconds(partial(_rescan, values))
    for name in ("dense", "sparse"):
        ours, base = (_milliseconds(partial(index.history.sample, name, POINTS)) for index in (long, short))
        report.row(f"memory: {name}, 10M rows / 10k rows, ms", ours, base, ours / base, "<= 2")
    ours = _milliseconds(partial(long.history.sample, "dense", POINTS))
    report.row("memory: 10M rows / numpy over the column, ms", ours, rescan, ours / rescan, "<= 0.1")
    with tempfile.TemporaryDirectory() as folder:
        files = [_write(Path(folder, f"{label}.index"), index) for label, index in (("long", long), ("short", short))]
        sizes = [path.stat().st_size for path in files]
        report.row("sidecar / row table and values, bytes", sizes[0], _content(long), sizes[0] / _content(long), "<= 1")
        for name in ("dense", "sparse"):
            ours, base = (_milliseconds(partial(_sample_file, path, name)) for path in files)
            report.row(f"file opened anew: {name}, 10M / 10k rows, ms", ours, base, ours / base, "<= 2")


def _index(rows: int) -> RunIndex:
    """A dense metric with one spike, and one in every seventh row."""
    rng = np.random.default_rng(0)
    index = RunIndex()
    index.start_source("bench")
    for at in range(0, rows, BATCH):
        count = min(BATCH, rows - at)
        numbers = np.arange(at, at + count)
        sparse = np.arange(0, count, 7)
        columns = (
            Column("dense", None, rng.normal(size=count)),
            Column("sparse", sparse, rng.normal(size=len(sparse))),
        )
        index.fold(Rows("history", numbers * 450, numbers, 1.7e9 + numbers * 0.1, columns))
    return index


def _rescan(values: Floats) -> Floats:
    """What a curve costs without buckets: least, greatest and mean of every group."""
    groups = values.reshape(POINTS, -1)
    return np.concatenate([groups.min(axis=1), groups.max(axis=1), groups.mean(axis=1)])


def _content(index: RunIndex) -> int:
    """Bytes of the numbers themselves: three a row, one a value."""
    return 8 * (3 * index.history.total_rows + sum(column.count for column in index.history.columns.values()))


def _write(path: Path, index: RunIndex) -> Path:
    with path.open("wb") as file:
        file.writelines(encode(index, b"bench"))
    return path


def _sample_file(path: Path, name: str) -> None:
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        sidecar = Sidecar(lambda offset, length: os.pread(number, length, offset), os.fstat(number).st_size)
        sidecar.history.sample(name, POINTS)


def _milliseconds(function: Callable[[], object]) -> float:
    """CPU time of a call, the median of several after a first one."""
    function()
    return calls(function, 15).cpu * 1e3


if __name__ == "__main__":
    run(Report())
