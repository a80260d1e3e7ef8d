"""Tables and state files: what reading them costs beside Python's own csv and json."""

from __future__ import annotations

import csv
import io
import json
import math
import random

from runwised.formats.csv_table import CSV
from runwised.formats.record import Rows
from runwised.formats.trainer_state import TRAINER_STATE
from tests.bench.harness import Report, calls

PIECE = 1 << 20


def run(report: Report) -> None:
    """Megabytes a CPU second, ours and theirs, on the same bytes."""
    for what, data in (
        ("8 full columns", full()),
        ("20 columns, one in two empty", sparse()),
        ("quoted text", quoted()),
    ):
        assert rows_of(CSV, data) == len(columns_by_csv(data)["step"])
        _compare(
            report, f"csv, {what}", data, lambda data=data: rows_of(CSV, data), lambda data=data: columns_by_csv(data)
        )
    data = state()
    assert rows_of(TRAINER_STATE, data) == len(json.loads(data)["log_history"])
    _compare(report, "trainer_state.json", data, lambda: rows_of(TRAINER_STATE, data), lambda: columns_by_json(data))


def _compare(report: Report, what: str, data: bytes, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    mine, other = calls(ours).cpu, calls(theirs).cpu
    size = len(data) / 1e6
    report.row(f"{what}, MB a CPU second", size / mine, size / other, other / mine)


def rows_of(log, data: bytes) -> int:  # type: ignore[no-untyped-def]
    """How many rows a reader gives that is fed piece by piece."""
    reader = log.reader()
    batches = [batch for at in range(0, len(data), PIECE) for batch in reader.feed(data[at : at + PIECE])]
    return sum(len(batch.offsets) for batch in batches if isinstance(batch, Rows))


def columns_by_csv(data: bytes) -> dict[str, list[float]]:
    """Columns as a user's script makes them."""
    columns: dict[str, list[float]] = {}
    for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
        for key, cell in row.items():
            if cell:
                try:
                    columns.setdefault(key, []).append(float(cell))
                except ValueError:
                    columns[key].append(math.nan)
    return columns


def columns_by_json(data: bytes) -> dict[str, list[float]]:
    """Columns of a state file as a user's script makes them."""
    columns: dict[str, list[float]] = {}
    for row in json.loads(data)["log_history"]:
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return columns


def full(rows: int = 60000) -> bytes:
    """A step and seven numbers in each row."""
    rng = random.Random(1)
    lines = [",".join(["step", *(f"m_{n}" for n in range(7))])]
    lines += [",".join([str(step), *(repr(rng.random()) for _ in range(7))]) for step in range(rows)]
    return "\n".join([*lines, ""]).encode()


def sparse(rows: int = 40000) -> bytes:
    """Lightning's way: rows of training and of validation in one table."""
    rng = random.Random(2)
    lines = [",".join(["epoch", *(f"m_{n}" for n in range(18)), "step"])]
    for step in range(rows):
        cells = [repr(rng.random()) if n % 2 == step % 2 else "" for n in range(18)]
        lines.append(",".join([str(step // 1000), *cells, str(step)]))
    return "\r\n".join([*lines, ""]).encode()


def quoted(rows: int = 60000) -> bytes:
    """A text in each row, some with line ends."""
    rng = random.Random(3)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["step", "loss", "note", "lr"])
    for step in range(rows):
        note = "said, then\nleft" if step % 100 == 0 else f"epoch {step}, well"
        writer.writerow([step, rng.random(), note, 1e-3])
    return out.getvalue().encode()


def state(rows: int = 40000) -> bytes:
    """A long training, logged at every step."""
    rng = random.Random(4)
    history = [
        {"loss": rng.random(), "grad_norm": rng.random(), "learning_rate": rng.random(), "epoch": n / 500, "step": n}
        for n in range(rows)
    ]
    return json.dumps(
        {"global_step": rows, "log_history": history, "max_steps": rows}, indent=2, sort_keys=True
    ).encode()
