"""Indexing a long JSON-lines log that was never seen, against what a script would do: bytes a CPU second.

Theirs are `json.loads` on each line, its numbers put into a list for each key; and polars, a block of 4 MB at a time,
the offset of each line beside it, rows that polars refuses (NaN, Infinity) cut out and left to `json`. Ours is the
whole index: columns, statistics and levels. All run in this process, on bytes in memory, in turns. Two logs of `ROWS`
rows: one of eight flat numbers, one with nested and sparse keys, texts, NaN and Infinity.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np

from runwised.formats.jsonl import JSONL
from runwised.index.run_index import RunIndex
from tests.bench.harness import Report, calls

ROWS = int(os.environ.get("RUNWISE_BENCH_ROWS", "1000000"))
ROUNDS = 3
PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4 << 20
TARGETS = {"json": ">= 5", "polars": ">= 2"}

Way: TypeAlias = Callable[[bytes], object]


def run(report: Report) -> None:
    """Make each log and read each in all ways."""
    ways: dict[str, Way] = {"json": json_lists}
    if importlib.util.find_spec("polars") is None:
        report.row("polars is not installed: not compared", "")
    else:
        ways["polars"] = polars_blocks
    for name, log in (("clean", clean_log), ("dirty", dirty_log)):
        _compare(report, name, log(), ways)


def _compare(report: Report, name: str, data: bytes, ways: Mapping[str, Way]) -> None:
    every = {"ours": index, **ways}
    costs: dict[str, list[float]] = {way: [] for way in every}
    for _ in range(ROUNDS):
        for way, read in every.items():
            costs[way].append(calls(partial(read, data), rounds=1).cpu)
    megabytes, cpu = len(data) / 1e6, {way: statistics.median(taken) for way, taken in costs.items()}
    for way in ways:
        report.row(
            f"index {name} JSON lines, {megabytes:.0f} MB, against {way}",
            f"{megabytes / cpu['ours']:.0f} MB/CPU s",
            f"{megabytes / cpu[way]:.0f} MB/CPU s",
            cpu[way] / cpu["ours"],
            TARGETS[way],
        )


def index(data: bytes) -> RunIndex:
    """Ours."""
    built, reader = RunIndex(), JSONL.reader()
    built.start_source("log")
    for start in range(0, len(data), PIECE_BYTES):
        for batch in reader.feed(data[start : start + PIECE_BYTES]):
            built.fold(batch)
    for key in built.history.numeric_keys():
        built.history.stats_of(key)
        assert built.history.column(key).buckets
    assert built.history.total_rows == ROWS
    return built


def json_lists(data: bytes) -> dict[str, list[float]]:
    """A list of numbers for each key, and the offset of each line."""
    columns: dict[str, list[float]] = {}
    offsets, offset = [], 0
    for line in data.splitlines(keepends=True):
        offsets.append(offset)
        offset += len(line)
        _append(columns, json.loads(line), "")
    return columns


def _append(columns: dict[str, list[float]], row: dict[str, object], prefix: str) -> None:
    for key, value in row.items():
        if isinstance(value, dict):
            _append(columns, value, f"{prefix}{key}.")
        elif isinstance(value, float | int) and not isinstance(value, bool):
            columns.setdefault(prefix + key, []).append(value)


def polars_blocks(data: bytes) -> dict[str, list[object]]:
    """An array for each key and block, and the offset of each line."""
    import polars as pl

    columns: dict[str, list[object]] = {}
    odd: dict[str, list[float]] = {}
    offsets, start = [], 0
    while start < len(data):
        stop = data.rfind(b"\n", start, start + BLOCK_BYTES) + 1
        block = data[start:stop]
        offsets.append(np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + start + 1)
        if b"NaN" in block or b"Infinity" in block:
            block = _without_odd(block, odd)
        frame = pl.read_ndjson(block, infer_schema_length=None)
        for name, dtype in frame.schema.items():
            if isinstance(dtype, pl.Struct):
                frame = frame.unnest(name, separator=".")
        for name, dtype in frame.schema.items():
            if dtype.is_numeric():
                columns.setdefault(name, []).append(frame[name].cast(pl.Float64).to_numpy())
        start = stop
    return columns


def _without_odd(block: bytes, odd: dict[str, list[float]]) -> bytes:
    lines = block.splitlines(keepends=True)
    kept = []
    for line in lines:
        if b"NaN" in line or b"Infinity" in line:
            _append(odd, json.loads(line), "")
        else:
            kept.append(line)
    return b"".join(kept)


def clean_log() -> bytes:
    """Eight flat numbers a row."""
    return b"".join(json.dumps(row).encode() + b"\n" for _, row in _rows())


def dirty_log() -> bytes:
    """The same numbers, some of them nested, absent, NaN or infinite, and values of other kinds."""
    return b"".join(json.dumps(_dirty(step, row)).encode() + b"\n" for step, row in _rows())


def _rows() -> Iterator[tuple[int, dict[str, object]]]:
    rng = random.Random(1)
    for step in range(ROWS):
        yield (
            step,
            {
                "step": step,
                "time": 1.7e9 + step * 0.531,
                "train/loss": 2 + math.exp(-step / 1e5) + rng.gauss(0, 0.1),
                "train/grad_norm": abs(rng.gauss(1, 0.3)),
                "train/lr": 3e-4 * (1 - step / ROWS),
                "perf/tps": round(rng.gauss(51000, 900), 1),
                "perf/mfu": rng.random() * 0.5,
                "epoch": step / 5e4,
            },
        )


def _dirty(step: int, row: dict[str, object]) -> dict[str, object]:
    row["perf"] = {"tps": row.pop("perf/tps"), "mfu": row.pop("perf/mfu")}
    if step % 5000 == 17:
        row["train/loss"] = math.nan
    if step % 7001 == 5:
        row["train/grad_norm"] = math.inf
    if step % 11 == 0:
        del row["train/lr"]
    if step % 1000 == 0:
        row |= {"val": {"loss": row["epoch"], "acc": 0.5 + step / ROWS}, "note": "eval é done"}
    if step % 997 == 0:
        row |= {"status": "running", "ok": True, "hist": [1, 2, 3], "x": None}
    return row


if __name__ == "__main__":
    run(Report())
