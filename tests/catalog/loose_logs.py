"""Logs of every kind that lies outside W&B's folders, written row by row as their writers do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.formats.tfevents_logs import header, session_start, simple, summary

STORED_RUN = "0123456789abcdef0123456789abcdef"
COLUMNS = ("loss", "acc", "lr")


class Point(NamedTuple):
    """What is logged at once."""

    step: int | None
    time: float
    values: dict[str, float]
    note: str = ""


class Written:
    """One log as its writer knows it."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self.path = path
        self.step = 0
        self.points: list[Point] = []
        self.columns = list(COLUMNS[:2])
        self.pending = b""
        """The rest of what was written in halves."""
        self.stepless = False


def jsonl(points: Sequence[Point]) -> bytes:
    """A row a line."""
    return b"".join(_line(point) for point in points)


def _line(point: Point) -> bytes:
    row: dict[str, object] = {} if point.step is None else {"step": point.step}
    row |= {"time": point.time, **point.values}
    if point.note:
        row["note"] = point.note
    return json.dumps(row).encode() + b"\n"


def csv(points: Sequence[Point], columns: Sequence[str]) -> bytes:
    """Rows of a table with these columns."""
    lines = (
        [str(point.step or 0), *(str(point.values.get(name, "")) for name in columns), point.note] for point in points
    )
    return b"".join(",".join(line).encode() + b"\n" for line in lines)


def csv_head(columns: Sequence[str]) -> bytes:
    return ",".join(["step", *columns, "note"]).encode() + b"\n"


def text(points: Sequence[Point]) -> bytes:
    """What a program prints."""
    lines = (
        " | ".join([f"step {point.step or 0}", *(f"{key}: {value}" for key, value in point.values.items())])
        for point in points
    )
    return b"".join(line.encode() + b"\n" for line in lines)


def events(points: Sequence[Point]) -> bytes:
    """One event a row."""
    return b"".join(
        summary(point.time, point.step or 0, *(simple(key, value) for key, value in point.values.items()))
        for point in points
    )


def events_head(time: float, purge: int | None = None) -> bytes:
    """How an event file begins; of a program that was started again and says from where on."""
    return header(time) + (session_start(time, purge) if purge else b"")


def trainer_state(points: Sequence[Point]) -> bytes:
    """The whole document."""
    history = [{"step": point.step or 0, "epoch": 0.5, **point.values} for point in points]
    reached = max((point.step or 0 for point in points), default=0)
    return json.dumps(
        {"best_metric": None, "global_step": reached, "log_history": history, "max_steps": 100}, indent=2
    ).encode()


def begin_mlflow(folder: Path) -> None:
    """A run's folder of MLflow's."""
    (folder / "metrics").mkdir(parents=True)
    (folder / "params").mkdir()
    (folder / "params/lr").write_text("0.1")
    (folder / "meta.yaml").write_text(
        f"experiment_id: '0'\nlifecycle_stage: active\nrun_id: {folder.name}\nrun_name: calm-cat\n"
        "start_time: 1750000000000\nend_time: null\nstatus: 1\n"
    )


def log_mlflow(folder: Path, points: Sequence[Point]) -> None:
    for point in points:
        for key, value in point.values.items():
            with (folder / "metrics" / key).open("a") as file:
                file.write(f"{int(point.time * 1000)} {value} {point.step or 0}\n")


def log_trackio(path: Path, run: str, points: Sequence[Point]) -> None:
    """Commit rows of a run to a project's database, made where it is missing."""
    database = sqlite3.connect(path)
    # What is on the disk after a loss of power is none of these tests' business, and costs a wait each time.
    database.execute("PRAGMA synchronous=OFF")
    with database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,"
            " timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
        )
        database.execute(
            "CREATE TABLE IF NOT EXISTS configs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,"
            " run_name TEXT NOT NULL, config TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE(run_id))"
        )
        stamp = "2026-11-23T14:58:10.298699+00:00"
        rows = [(run, stamp, run, point.step or 0, json.dumps(point.values)) for point in points]
        database.executemany(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?,?,?,?,?)", rows
        )
    database.close()
