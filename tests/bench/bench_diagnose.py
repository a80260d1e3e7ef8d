"""What is kept of a run's curves, against looking at them whole: of one run of a million rows, and of 1,000 runs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from runwise_protocol.queries import CheckHealth
from runwise_protocol.query import Look

from runwised.analysis.curve import Curve
from runwised.analysis.detect import detect
from runwised.analysis.roles import recognise
from runwised.catalog.catalog import Catalog
from runwised.catalog.memory import Memory
from runwised.formats.record import Column, Rows
from runwised.index.run_index import RunIndex
from runwised.index.view import RunView
from runwised.queries.checkup import checkup
from runwised.queries.respond import respond
from runwised.settings import AnomalyDetection, RunwiseConfig
from tests.bench import bench_queries
from tests.bench.bench_queries import IndexedRun
from tests.bench.harness import Report

ROWS, MORE = 1_000_000, 100
Columns = Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]


@dataclass
class Remembering(IndexedRun):
    """A run in memory that keeps what answers keep with it."""

    memory: Memory = field(default_factory=Memory)


def run(report: Report) -> None:
    """First, again, and after a hundred rows more; then many runs first, again, and after a restart."""
    columns = _columns(ROWS + 2 * MORE)
    index = RunIndex()
    index.start_source("bench")
    _fold(index, columns, 0, ROWS)
    large = Remembering(index)
    whole = _seconds(lambda: _whole(large))
    _told(report, f"diagnose, {ROWS:,} rows x {len(columns)} keys, first", lambda: _checked(large), whole)
    _told(report, "again", lambda: _checked(large), whole, "< 0.001")
    for at in (0, 1):
        _fold(index, columns, ROWS + at * MORE, ROWS + (at + 1) * MORE)
        _told(report, f"after {MORE} rows more", lambda: _checked(large), whole)
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_many, report, Path(folder))


def _columns(n: int) -> Columns:
    rng = np.random.default_rng(7)
    at = np.arange(n)
    return {
        "train/loss": 2 + (1 + at / 1e4) ** -0.5 + 0.05 * rng.normal(size=n),
        "train/accuracy": 0.8 - 0.5 * (1 + at / 1e4) ** -0.5 + 0.01 * rng.normal(size=n),
        "grad_norm": np.exp(rng.normal(0, 0.3, n)),
        "tokens_per_s": 1e5 + 1e3 * rng.normal(size=n),
        "lr": 1e-3 * (1 + np.cos(np.pi * at / n)),
    }


def _fold(index: RunIndex, columns: Columns, start: int, stop: int) -> None:
    steps = np.arange(start, stop)
    parts = tuple(Column(key, None, values[start:stop]) for key, values in columns.items())
    index.fold(Rows("history", steps * 500, steps, 1.7e9 + steps * 0.1, parts))


def _checked(run: RunView) -> None:
    checkup(run, RunwiseConfig())


def _whole(run: RunView) -> None:
    curves = {name: Curve.of_series(run.history.series(name)) for name in run.history.names}
    detect(curves, recognise(curves), AnomalyDetection())


async def _many(report: Report, folder: Path) -> None:
    bench_queries._log(folder / "project")
    for opened in ("first", "after a restart"):
        catalog = Catalog(folder / "cache")
        view = await catalog.view(str(folder / "project"), {})
        view = await catalog.indexed(view, [run.id for run in view.runs])
        runs = [run for run in view.runs if run.indexed]
        whole = _seconds(lambda runs=runs: [_whole(run) for run in runs])  # type: ignore[misc]
        for when in (opened, "again"):
            seconds = lambda runs=runs: [_checked(run) for run in runs]  # type: ignore[misc] # noqa: E731
            _told(report, f"{len(runs)} runs, {when}", seconds, whole)
        page = lambda view=view: "".join(respond(CheckHealth(), view, Look()).chunks)  # type: ignore[misc] # noqa: E731
        _told(report, "health: its newest 50, again", page, whole)
        await catalog.close()


def _told(report: Report, what: str, work: Callable[[], object], whole: float, target: str = "") -> None:
    ours = _seconds(work)
    report.row(f"{what}, CPU s (theirs: curves whole)", ours, whole, ours / whole, target)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
