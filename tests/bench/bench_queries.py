"""Questions asked inside the process: of a run of 200,000 rows and 7 metrics whose index is in memory, and of 1,000
runs whose indexes are sidecars on disk, as the daemon holds them."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from runwise_protocol.queries import (
    Export,
    GroupRuns,
    History,
    Latest,
    ListKeys,
    ListRuns,
    Rank,
    RankRuns,
    ShowRun,
    ShowStats,
    SweepRuns,
)
from runwise_protocol.query import Look, Query

from runwised.catalog.catalog import Catalog
from runwised.catalog.memory import Memory
from runwised.formats.record import Alert, Column, Definition, Row, Rows, Text
from runwised.index.kept import Annotation, Mark, Past
from runwised.index.run_index import RunIndex
from runwised.index.view import Condition, Line, Rewind, Source, Table
from runwised.queries.asked import asked
from runwised.queries.export import stream
from runwised.queries.project import PlaceView, ProjectView
from runwised.queries.respond import respond
from runwised.settings import RunwiseConfig
from tests.bench.harness import Report, calls

ROWS = 200_000
BATCH = 4096
START = 1_700_000_000.0
ASKED = 300
"""Times each question is asked."""
RUNS, STEPS = 1000, 100
"""Runs among which a question chooses, and rows of each."""


@dataclass
class IndexedRun:
    """A `RunView` of an index in memory; its rows are made again from the columns."""

    index: RunIndex
    id: str = "3be9c0de"
    name: str = "gpt-small"
    project: str | None = "bench"
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: Sequence[str] = ()
    sweep_id: str | None = None
    host: str | None = "trainbox"
    created: float | None = START
    updated: float | None = START + ROWS * 0.1
    condition: Condition = field(default_factory=lambda: Condition("finished", "exit code 0", 0))
    sources: Sequence[Source] = (Source("wandb/run-3be9c0de/run-3be9c0de.wandb", "wandb", 98_000_000, 0),)
    segments: int = 1
    indexed: bool = True
    step: int | None = ROWS - 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=lambda: {"lr": 3e-4, "model": {"d": 512, "layers": 8}})
    summary: Mapping[str, Any] = field(default_factory=dict)
    definitions: Sequence[Definition] = ()
    alerts: Sequence[Alert] = ()
    rewinds: Sequence[Rewind] = ()
    damage: Mapping[str, int] = field(default_factory=dict)
    from_console: Sequence[str] = ()
    annotation: Annotation = field(default_factory=Annotation)
    memory: Memory = field(default_factory=Memory)
    packages: Mapping[str, str] = field(default_factory=dict)
    heard: float | None = START + ROWS * 0.1
    console_end: int = 0
    mark: Mark = field(default_factory=lambda: Mark(ROWS, ROWS - 1, "finished", 0, 1, 0))

    @property
    def history(self) -> Table:
        return self.index.history

    @property
    def system(self) -> Table:
        return self.index.system

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        raise NotImplementedError("there is no source to read back from")

    def records(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        raise NotImplementedError("there is no source to read back from")

    def console(self, *, newest_first: bool = False) -> Iterator[Line]:  # noqa: ARG002
        return iter(())

    def console_between(self, start: float, stop: float) -> Iterator[Line]:  # noqa: ARG002
        return iter(())

    def console_from(self, end: int) -> Iterator[Line]:  # noqa: ARG002
        return iter(())

    def texts(self) -> Iterator[Text]:
        return iter(())


@dataclass
class Project:
    """A `ProjectView` of one run."""

    runs: Sequence[IndexedRun]
    root: str = "/data/bench"
    now: float = START + ROWS * 0.1 + 60
    config: RunwiseConfig = field(default_factory=RunwiseConfig)
    unindexed: int = 0
    notes: Sequence[str] = ()
    places: Sequence[PlaceView] = ()
    named: str | None = None

    def cursor(self) -> str:
        return "@0000"

    def past(self, cursor: str) -> Past | None:
        del cursor
        return None


def metrics() -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """What a training would have logged."""
    rng = np.random.default_rng(7)
    steps = np.arange(ROWS)
    loss = 2 + 8 * np.exp(-steps / 20_000) + 0.05 * rng.standard_normal(ROWS)
    return {
        "train/loss": loss,
        "train/acc": 1 - loss / 12,
        "val/loss": loss + 0.1,
        "lr": np.linspace(3e-4, 3e-6, ROWS),
        "grad_norm": np.abs(rng.standard_normal(ROWS)),
        "tokens_per_s": 1e5 + 1e3 * rng.standard_normal(ROWS),
        "epoch": np.floor(steps / 10_000),
    }


def indexed() -> Project:
    """The run, folded in batches as a reader would give them."""
    index = RunIndex()
    index.start_source("bench")
    columns = metrics()
    for start in range(0, ROWS, BATCH):
        steps = np.arange(start, min(start + BATCH, ROWS))
        part = tuple(Column(key, None, values[steps]) for key, values in columns.items())
        index.fold(Rows("history", steps * 500, steps, START + steps * 0.1, part))
    return Project([IndexedRun(index)])


def run(report: Report) -> None:
    """One row for each question, then the export."""
    view = indexed()
    for query in (ListRuns(), Latest(), ShowRun(run="3be9"), ListKeys(), ShowStats()):
        _asked(report, view, query, "text", "1 ms")
    for history in (History(), History(keys=("train/loss",)), History(samples=500, keys=("train/loss",))):
        _asked(report, view, history, "text")
        _asked(report, view, history, "json")
    _exported(report, view)
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_among_many, report, Path(folder))


def _asked(report: Report, view: Project, query: Query, form: Any, target: str = "") -> None:
    report.row(f"{asked(query)} as {form}, p50, ms", _p50(view, query, Look(form=form), ASKED), target=target)


def _p50(view: ProjectView, query: Query, look: Look, times: int) -> float:
    """Milliseconds of CPU time."""
    return 1e3 * statistics.median(_seconds(lambda: "".join(respond(query, view, look).chunks)) for _ in range(times))


async def _among_many(report: Report, folder: Path) -> None:
    """`best` and `list --where` over many runs, against a loop that reads every log for the least value."""
    _log(folder / "project")
    for opened in range(2):  # the second one has nothing but the sidecars that the first one wrote
        catalog = Catalog(folder / "cache")
        view = await catalog.view(str(folder / "project"), {})
        view = await catalog.indexed(view, [run.id for run in view.runs])
        assert sum(run.indexed for run in view.runs) == RUNS
        if opened:
            theirs = 1e3 * calls(lambda: _least(folder / "project"), 3).cpu
            for query in (
                RankRuns(key="val/loss"),
                RankRuns(key="val/loss", where="min(train/loss) < .5", top=20),
                ListRuns(where="val/loss < .2 and not nan(*)"),
                ListRuns(where="config.lr < .1 and val/loss < 1"),
                Rank(key="val/loss"),
                Rank(key="val/loss", at=f"step={STEPS // 2}"),
                GroupRuns(),
                SweepRuns(),
                ListRuns(),
            ):
                ours = _p50(view, query, Look(), 50)
                target = "" if query == ListRuns() else "20 ms"
                report.row(f"{asked(query)}: {RUNS} runs, ms", ours, theirs, ours / theirs, target)
        await catalog.close()


def _log(root: Path) -> None:
    """Many runs, each a JSONL with a configuration beside it."""
    rng = np.random.default_rng(7)
    for number in range(RUNS):
        folder = root / "logs" / f"exp{number:04}"
        folder.mkdir(parents=True)
        floor = rng.random()
        rows = [
            {
                "step": step,
                "train/loss": floor + 3 * 0.96**step,
                "val/loss": floor + 3 * 0.97**step + 0.01 * rng.random(),
                "lr": 1e-4,
                "acc": 1 - floor,
                "grad_norm": rng.random(),
            }
            for step in range(STEPS)
        ]
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        (folder / "config.json").write_text(json.dumps(_config(number)))
        for path in (*folder.iterdir(), folder):
            os.utime(path, (START, START))


def _config(number: int) -> dict[str, Any]:
    """Of 200 configurations with five seeds each; most of the keys are the same in all runs."""
    wanted, seed = divmod(number, 5)
    grid = {"lr": (wanted % 10 + 0.5) / 10, "optimizer": ("adamw", "sgd")[wanted // 10 % 2], "seed": seed}
    model = {"layers": 6 + 2 * (wanted // 20), **{f"setting_{at}": at for at in range(30)}}
    return {**grid, "model": model, "output_dir": f"out/{number}", **{f"option_{at}": "on" for at in range(20)}}


def _least(root: Path) -> list[tuple[float, str]]:
    found = []
    for path in root.glob("logs/*/metrics.jsonl"):
        with path.open() as lines:
            found.append((min(json.loads(line)["val/loss"] for line in lines), path.parent.name))
    return sorted(found)


def _seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def _exported(report: Report, view: Project) -> None:
    """JSON lines and CSV, in MB of output a CPU second, against the plain loop over `json.dumps`."""
    columns = metrics()

    def dumped() -> int:
        size = 0
        for number, values in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True)):
            row = {
                "_row": number,
                "_step": number,
                "_time": START + number * 0.1,
                **dict(zip(columns, values, strict=True)),
            }
            size += len(json.dumps(row)) + 1
        return size

    theirs = dumped() / 1e6 / calls(dumped, 3).cpu
    for form in ("jsonl", "csv"):

        def streamed(form: Any = form) -> int:
            return sum(map(len, stream(Export(), view, form)))

        ours = streamed() / 1e6 / calls(streamed, 3).cpu
        report.row(f"export as {form}, MB/s (theirs: json.dumps a row)", ours, theirs, ours / theirs, "20 MB/s")


if __name__ == "__main__":
    run(Report())
