"""What sidecars take on disk, against the numbers that were logged: 8 bytes for each value, step and time of a source.

Every format holds the same run of `KEYS` metrics. They are drawn in single precision, which is what frameworks log, and
once more in double precision, every bit of which is noise (of one sign and of both): nothing that keeps each bit can
make those much smaller. Of a short run the sidecar is its header; what that takes at the least is told first.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runwised.catalog.feeds import Log
from runwised.catalog.warm import Warm
from runwised.formats import choose
from runwised.formats.crc32c import masked_bytes
from runwised.formats.record import Floats
from tests.bench.harness import Report
from tests.formats.conftest import LogWriter, field, varint_field

KEYS = 10
ROWS = tuple(int(rows) for rows in os.environ.get("RUNWISE_BENCH_ROWS", "10,1000,100000").split(","))
LONG = 1000
"""Rows from which on a run is not a short one."""
TARGET = "<= 1"


class Made(NamedTuple):
    """A log, and how many numbers are in it: values, steps and times."""

    name: str
    data: bytes
    numbers: int


def run(report: Report) -> None:
    """Write each log, index it and weigh both."""
    with tempfile.TemporaryDirectory(prefix="runwise-bench-") as scratch:
        for name, make in MAKERS.items():
            one, all_keys = (sidecar_size(make(_drawn(1)[:, :keys], _times(1)), Path(scratch)) for keys in (1, KEYS))
            each = (all_keys - one) / (KEYS - 1)
            report.row(f"{name}: a run without metrics, each metric, bytes", f"{one - each:.0f} + {each:.0f}")
        for rows in ROWS:
            kinds = {"float32": _drawn(rows).astype(np.float32).astype(np.float64), "float64": _drawn(rows)}
            for kind, values in (kinds | {"+-float64": _noise(rows)}).items():
                for name, make in MAKERS.items():
                    if kind == "float32" or name not in SINGLE:
                        _weigh(report, f"{name}, {rows} x {KEYS} {kind}", make(values, _times(rows)), Path(scratch))


def _weigh(report: Report, what: str, made: Made, scratch: Path) -> None:
    size, content = sidecar_size(made, scratch), 8 * made.numbers
    target = TARGET if int(what.split(", ")[1].split()[0]) >= LONG else ""
    report.row(f"{what}: sidecar, numbers", size, content, size / content, target)
    report.row("  the same, source", size, len(made.data), size / len(made.data))


def sidecar_size(made: Made, scratch: Path) -> int:
    """Bytes of the sidecar of a log."""
    path = scratch / made.name
    path.write_bytes(made.data)
    log_format = choose(path.name, made.data[:4096])
    assert log_format is not None
    warm = Warm([Log(str(path), log_format)])
    while warm.step():
        pass
    path.unlink()
    return sum(map(len, warm.parts()))


def _drawn(rows: int) -> Floats:
    """Curves that fall, with noise; shape (rows, KEYS)."""
    falling = 4 * np.exp(-3 * np.arange(rows)[:, None] / max(rows, 2)) + 0.2
    return falling * (1 + 0.1 * _noise(rows))


def _noise(rows: int) -> Floats:
    """Around 0; shape (rows, KEYS)."""
    return np.random.default_rng(7).standard_normal((rows, KEYS))


def _times(rows: int) -> Floats:
    """Two rows a second, each somewhat early or late; shape (rows,)."""
    return 1.75e9 + np.arange(rows) / 2 + np.random.default_rng(8).random(rows) / 4


def _names(row: Sequence[float]) -> list[str]:
    return [f"train/metric_{number}" for number in range(len(row))]


def _wandb(values: Floats, times: Floats) -> Made:
    log = LogWriter()
    log.record(17, field(1, b"weighed") + field(3, b"bench"))
    for step, (row, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        log.history({"_step": step, "_timestamp": time, **dict(zip(_names(row), row, strict=True))})
    log.record(18, varint_field(2, 60))
    return Made("run-weighed.wandb", bytes(log.data), values.size + 2 * len(values))


def _jsonl(values: Floats, times: Floats) -> Made:
    lines = []
    for step, (row, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        told = ", ".join(f'"{name}": {value!r}' for name, value in zip(_names(row), row, strict=True))
        lines.append(f'{{"step": {step}, "time": {time!r}, {told}}}\n')
    return Made("metrics.jsonl", "".join(lines).encode(), values.size + 2 * len(values))


def _csv(values: Floats, times: Floats) -> Made:
    lines = [",".join(["step", "time", *_names(values[0].tolist())]) + "\n"]
    for step, (row, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        lines.append(",".join([str(step), repr(time), *map(repr, row)]) + "\n")
    return Made("metrics.csv", "".join(lines).encode(), values.size + 2 * len(values))


def _text(values: Floats, times: Floats) -> Made:
    """What a program prints: four digits, and no times."""
    del times
    rows = enumerate(values.tolist())
    lines = [
        f"step {step} | " + " | ".join(f"metric_{at} {value:.4f}" for at, value in enumerate(row)) + "\n"
        for step, row in rows
    ]
    return Made("train.log", "".join(lines).encode(), values.size + len(values))


def _tfevents(values: Floats, times: Floats) -> Made:
    """An event with a step and a time of its own for each value, as torch writes them."""
    records = [_record(b"\x09" + struct.pack("<d", times[0] - 1) + b"\x1a\x0dbrain.Event:2")]
    for step, (row, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        for at, (name, value) in enumerate(zip(_names(row), row, strict=True)):
            number = field(1, name.encode()) + b"\x15" + struct.pack("<f", value)
            told = b"\x09" + struct.pack("<d", time + at * 1e-4) + varint_field(2, step)
            records.append(_record(told + field(5, field(1, number))))
    return Made("events.out.tfevents.1750000000.host.1.0", b"".join(records), 3 * values.size)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_bytes(length) + data + masked_bytes(data)


MAKERS: dict[str, Callable[[Floats, Floats], Made]] = {
    "W&B": _wandb,
    "JSONL": _jsonl,
    "CSV": _csv,
    "TensorBoard": _tfevents,
    "text": _text,
}
SINGLE = {"TensorBoard", "text"}
"""Formats that hold no doubles, or no more than was printed."""
