"""Reading a run out of MLflow's and trackio's stores, against the few lines of Python a user would write for it.

Theirs parse the same points (or the same JSON) from the same files and keep them as lists; ours gives finished columns.
Both run in this process in turns, on a warm page cache. The stores are made here, in the shape the libraries make.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runwised.catalog.stores import Store, close_stores, find_store
from tests.bench.harness import Report

KEYS = 5
STEPS = 60_000
ROWS = 60_000
PIECE = 1 << 16
ROUNDS = 5
TARGET = "<= 2"
RUN = "0123456789abcdef" * 2
FIRST_MS = 1_750_000_000_000


def run(report: Report) -> None:
    """Each store in turn."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for what, path, theirs in (
            ("mlflow folder", _mlflow_folder(base), _parse_folder),
            ("mlflow.db", _mlflow_database(base), _fetch_points),
            ("trackio", _trackio_database(base), _fetch_rows),
        ):
            store = find_store(str(path))
            assert store is not None
            key = store.list_runs(str(path))[0].key
            costs = [(_cpu(lambda: _read(store, path, key)), _cpu(lambda: theirs(path))) for _ in range(ROUNDS)]  # noqa: B023
            ours, plain = (statistics.median(each) for each in zip(*costs, strict=True))
            report.row(f"{what}: CPU seconds, a whole run", ours, plain, ours / plain, TARGET)
            cursor = _read(store, path, key)
            again = _cpu(lambda: [store.read(str(path), key, cursor, PIECE) for _ in range(100)]) / 100  # noqa: B023
            report.row(f"{what}: CPU seconds, nothing new", again)
        close_stores()


def _cpu(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _read(store: Store, path: Path, key: str) -> bytes:
    cursor = b""
    while (piece := store.read(str(path), key, cursor, PIECE)).count:
        cursor = piece.cursor
    return cursor


def _mlflow_folder(base: Path) -> Path:
    folder = base / "mlruns" / "1" / RUN
    (folder / "metrics").mkdir(parents=True)
    (folder / "params").mkdir()
    for key in range(KEYS):
        lines = (f"{FIRST_MS + step * 10 + key} {random.random()!r} {step}\n" for step in range(STEPS))
        (folder / "metrics" / f"key{key}").write_text("".join(lines))
    return folder


def _parse_folder(folder: Path) -> dict[str, list[tuple[int, float, int]]]:
    series = {}
    for path in (folder / "metrics").iterdir():
        with path.open() as lines:
            series[path.name] = [(int(at), float(value), int(step)) for at, value, step in map(str.split, lines)]
    return series


def _mlflow_database(base: Path) -> Path:
    path = base / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            """CREATE TABLE experiments (experiment_id INTEGER, name, lifecycle_stage);
            CREATE TABLE runs (run_uuid PRIMARY KEY, name, status, start_time, end_time, user_id, source_name,
                experiment_id, lifecycle_stage);
            CREATE TABLE params (key, value, run_uuid);
            CREATE TABLE tags (key, value, run_uuid);
            CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
                is_nan BOOLEAN, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
            CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);"""
        )
        database.execute("INSERT INTO runs (run_uuid) VALUES (?)", (RUN,))
        points = (
            (f"key{key}", random.random(), FIRST_MS + step * 10 + key, RUN, step)
            for step in range(STEPS)
            for key in range(KEYS)
        )
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", points)
    database.close()
    return path


def _fetch_points(path: Path) -> list[Any]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    asked = "SELECT key, step, timestamp, CASE is_nan WHEN 1 THEN NULL ELSE value END FROM metrics WHERE run_uuid = ?"
    points = database.execute(asked, (RUN,)).fetchall()
    database.close()
    return points


def _trackio_database(base: Path) -> Path:
    path = base / "project.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT, timestamp TEXT, run_name TEXT,
                step INTEGER, metrics TEXT);
            CREATE INDEX idx_metrics_run_step ON metrics (run_id, step);"""
        )
        rows = ((RUN, step, _logged(step)) for step in range(ROWS))
        stamp = "2026-01-02T03:04:05.678901+00:00"
        asked = f"INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, '{stamp}', 'run', ?, ?)"
        database.executemany(asked, rows)
    database.close()
    return path


def _logged(step: int) -> bytes:
    return json.dumps({"loss": random.random(), "acc": random.random(), "lr": 1e-3, "opt": {"x": step / 2}}).encode()


def _fetch_rows(path: Path) -> list[Any]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = database.execute("SELECT step, timestamp, metrics FROM metrics WHERE run_id = ? ORDER BY id", (RUN,))
    rows = [(step, stamp, json.loads(metrics)) for step, stamp, metrics in found]
    database.close()
    return rows
