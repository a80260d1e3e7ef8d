"""Writers of logs outside W&B's folders, a catalog that sees all they do, and one that sees it anew: in any order."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from runwised.catalog import holdings
from runwised.catalog.catalog import Catalog
from runwised.catalog.run import Run
from tests.catalog import loose_logs
from tests.catalog.loose_logs import COLUMNS, STORED_RUN, Point, Written

FOLDERS = ("", "exp", "exp/deep")
MEMORY = "/dev/shm"
"""Where there is such a folder nothing waits for a disk."""
NAMES = {
    "jsonl": ("metrics.jsonl",),
    "csv": ("metrics.csv",),
    "text": ("train.log",),
    "events": tuple(f"events.out.tfevents.17500000{second}.host.{second}.0" for second in ("00", "50", "99")),
}
WHOLE = ("csv", "state")
"""Kinds whose writers write the file anew as a whole: what is half written may be passed over."""

indices = st.integers(0, 7)
points = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from([0.5, 1.25, 3.0, -2.0]), min_size=1),
        st.sampled_from(["", "", "", "a", "b"]),
    ),
    min_size=1,
    max_size=5,
)


def picture(run: Run) -> dict[str, Any]:
    """Everything a question can learn of a run, whatever order its sources were read in."""
    table = run.history
    count = table.row_count
    numbers = table.numbers(0, count).tolist()
    span = (numbers[0], numbers[-1] + 1) if numbers else (0, 0)
    several = len(run.sources) > 1
    said: dict[str, Any] = {
        "identity": (run.id, run.name, run.project, run.created, run.host, list(run.tags)),
        "ended": run.condition.state if run.condition.state in ("finished", "failed") else "",
        "sources": sorted(tuple(source) for source in run.sources),
        "step": run.step,
        "segments": run.segments,
        "config": run.config,
        "summary": run.summary,
        "rewinds": [tuple(rewind)[several:] for rewind in run.rewinds],
        "damage": run.damage,
        "total_rows": table.total_rows,
        "steps": table.steps(0, count).tolist(),
        "times": table.times(0, count).tolist(),
        "metrics": {name: table.series(name).values.tolist() for name in sorted(table.names)},
        "stood": {name: table.series(name).steps.tolist() for name in sorted(table.names)},
        "curves": {name: [column.tolist() for column in table.sample(name, 4)] for name in sorted(table.names)},
        "stats": {name: repr(table.stats(name)) for name in sorted(table.names)},
        "others": {name: repr(other) for name, other in sorted(table.others.items())},
        "rows": [(number, row.step, row.time, dict(sorted(row.values.items()))) for number, row in run.rows(*span)],
        "records": sorted(
            repr((row.step, row.time, sorted(row.values.items()))) for _, row in run.records(0, table.total_rows)
        ),
        "console": [tuple(line) for line in run.console()],
    }
    if several:
        # When it began is known only from some of its sources.
        said["identity"] = (run.id, run.name, run.project)
    return {name: _plain(value) for name, value in said.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


class Project(RuleBasedStateMachine):
    """One project's ``logs`` folder, its writers, and a catalog that lives on."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="oracle-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.root = self.base / "proj"
        self.logs = self.root / "logs"
        self.logs.mkdir(parents=True)
        self.loop = asyncio.new_event_loop()
        self.cache = self.base / "cache"
        self.catalog = Catalog(self.cache)
        self.written: dict[Path, Written] = {}
        self.unsettled: set[Path] = set()
        self.now = 1.75e9
        self.ticks = 0
        self.asks = 0

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.loop.run_until_complete(self.catalog.close())
            self.loop.close()
            shutil.rmtree(self.base)

    # What writers do.

    @rule(
        kind=st.sampled_from(sorted(NAMES)),
        folder=st.sampled_from(FOLDERS),
        name=indices,
        rows=points,
        begun=st.booleans(),
    )
    def create(self, kind: str, folder: str, name: int, rows: Any, begun: bool) -> None:
        names = NAMES[kind]
        path = self.logs / folder / names[name % len(names)]
        assume(path not in self.written)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = self.written[path] = Written(kind, path)
        head = loose_logs.events_head(self._tick()) if kind == "events" else b""
        path.write_bytes(head or (loose_logs.csv_head(log.columns) if kind == "csv" else b""))
        if kind in WHOLE:
            self.unsettled.add(path)
        if begun:
            self._append(log, self._points(log, rows))

    @rule(folder=st.sampled_from(FOLDERS), rows=points, purge=st.integers(0, 8))
    def start_again_in_a_new_event_file(self, folder: str, rows: Any, purge: int) -> None:
        known = [log for log in self.written.values() if log.kind == "events" and log.path.parent == self.logs / folder]
        assume(0 < len(known) < 4)
        path = self.logs / folder / f"events.out.tfevents.{1750001000 + len(known)}.host.9.0"
        assume(path not in self.written)
        log = self.written[path] = Written("events", path)
        self.now += 100
        log.step = max(known[-1].step - 3, 0)
        path.write_bytes(loose_logs.events_head(self._tick(), purge or None))
        self._append(log, self._points(log, rows))

    @rule(folder=st.sampled_from(FOLDERS), number=st.integers(1, 12), rows=points, half=st.booleans())
    def save_trainer_state(self, folder: str, number: int, rows: Any, half: bool) -> None:
        path = self.logs / folder / "out" / f"checkpoint-{number}" / "trainer_state.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = self.written.setdefault(path, Written("state", path))
        log.points += self._points(log, rows)
        self._write_anew(log, loose_logs.trainer_state(log.points), half=half)

    @rule(rows=points)
    def log_to_mlflow(self, rows: Any) -> None:
        path = self.logs / "mlruns/0" / STORED_RUN
        log = self.written.get(path)
        if log is None:
            log = self.written[path] = Written("mlflow", path)
            loose_logs.begin_mlflow(path)
        loose_logs.log_mlflow(path, self._points(log, rows))

    @rule(rows=points, run=st.sampled_from(["r1", "r2"]))
    def log_to_trackio(self, rows: Any, run: str) -> None:
        path = self.logs / "exp/demo.db"
        path.parent.mkdir(exist_ok=True)
        log = self.written.setdefault(path, Written("trackio", path))
        loose_logs.log_trackio(path, run, self._points(log, rows))

    @rule(which=indices, rows=points, half=st.booleans())
    @precondition(lambda self: self._lines())
    def append(self, which: int, rows: Any, half: bool) -> None:
        log = self._line(which)
        self._append(log, self._points(log, rows), half=half)

    @rule(which=indices)
    @precondition(lambda self: self._lines())
    def complete(self, which: int) -> None:
        self._finish(self._line(which))

    @rule(which=indices, back=st.integers(1, 6), stepless=st.booleans())
    @precondition(lambda self: self._lines())
    def start_again(self, which: int, back: int, stepless: bool) -> None:
        log = self._line(which)
        log.step = max(log.step - back, 0)
        log.stepless = stepless and log.kind == "jsonl"

    @rule(which=indices, rows=points, way=st.sampled_from(["truncate", "in place", "rename"]), half=st.booleans())
    @precondition(lambda self: self._lines("csv"))
    def write_table_anew_with_a_column(self, which: int, rows: Any, way: str, half: bool) -> None:
        log = self._line(which, "csv")
        log.columns = list(COLUMNS[: 5 - len(log.columns)])
        log.points += self._points(log, rows)
        self._write_anew(log, self._table(log), half=half, way=way)

    @rule(which=indices, keep=st.integers(0, 300))
    @precondition(lambda self: self._lines())
    def truncate(self, which: int, keep: int) -> None:
        log = self._line(which)
        self._forget(log)
        data = log.path.read_bytes()
        # What is no log any more where too little of it is left stays one for those who knew it.
        least = 0 if log.kind == "events" else len(b"".join(data.splitlines(keepends=True)[:2]))
        os.truncate(log.path, min(max(keep, least), len(data)))
        self._stamp(log)

    @rule(which=indices, way=st.sampled_from(["rename", "truncate", "in place"]), rows=points)
    @precondition(lambda self: self._lines())
    def replace(self, which: int, way: str, rows: Any) -> None:
        log = self._line(which)
        log.step = 0
        log.points = self._points(log, rows)
        self._write_anew(log, self._begin(log) + self._bytes(log, log.points), way=way)

    @rule(which=indices, anew=st.booleans(), rows=points)
    @precondition(lambda self: self.written)
    def delete(self, which: int, anew: bool, rows: Any) -> None:
        log = list(self.written.values())[which % len(self.written)]
        if log.path.is_dir():
            shutil.rmtree(log.path)
        else:
            log.path.unlink()
        self.unsettled.discard(log.path)
        del self.written[log.path]
        if anew and log.kind in NAMES:
            again = self.written[log.path] = Written(log.kind, log.path)
            again.points = self._points(again, rows)
            self._write_anew(again, self._begin(again) + self._bytes(again, again.points))

    @rule(key=st.sampled_from(["", "lr", "step"]))
    def set_step_key(self, key: str) -> None:
        (self.root / "runwise.json").write_text(json.dumps({"schema": {"step_key": key}} if key else {}))
        self._stamp_path(self.root / "runwise.json")

    @rule()
    def ask(self) -> None:
        self._ask(self.catalog)

    @rule()
    def close_and_open(self) -> None:
        self.loop.run_until_complete(self.catalog.close())
        self.catalog = Catalog(self.cache)

    @rule()
    def settle(self) -> None:
        """Let what is written as a whole come to rest, and compare."""
        for path in self.unsettled:
            self._rest(path)
        self.unsettled.clear()
        self.compare()

    @rule()
    def compare(self) -> None:
        """Ask both, and look into folders where there was nothing too."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(holdings, "SWEEP_SECONDS", 0.0)
            known = self._ask(self.catalog)
            fresh = self._ask(Catalog(None))
        assert sorted(known) == sorted(fresh)
        for run_id, run in fresh.items():
            if not self.unsettled & {self.root / source.path for source in run.sources}:
                told, expected = self.told(known[run_id]), picture(run)
                assert told == expected, {
                    name: (told[name], expected[name]) for name in told if told[name] != expected[name]
                }

    def told(self, run: Run) -> dict[str, Any]:
        """What the catalog that lives on says."""
        return picture(run)

    def _ask(self, catalog: Catalog) -> dict[str, Run]:
        async def ask() -> dict[str, Run]:
            project = await catalog.view(str(self.root), {})
            project = await catalog.indexed(project, [run.id for run in project.runs])
            assert all(run.is_whole for run in project.runs)
            return {run.id: run for run in project.runs}

        return self.loop.run_until_complete(ask())

    # Writing.

    def _tick(self) -> float:
        self.now += 0.5
        return self.now

    def _points(self, log: Written, rows: Any) -> list[Point]:
        made = []
        for stride, values, note in rows:
            log.step += stride
            made.append(Point(None if log.stepless else log.step, self._tick(), values, note))
        return made

    def _lines(self, *kinds: str) -> list[Written]:
        return [log for log in self.written.values() if log.kind in (kinds or NAMES)]

    def _line(self, which: int, *kinds: str) -> Written:
        found = self._lines(*kinds)
        return found[which % len(found)]

    def _begin(self, log: Written) -> bytes:
        if log.kind == "events":
            return loose_logs.events_head(self._tick())
        return loose_logs.csv_head(log.columns) if log.kind == "csv" else b""

    def _bytes(self, log: Written, rows: Sequence[Point]) -> bytes:
        if log.kind == "csv":
            return loose_logs.csv(rows, log.columns)
        return {"jsonl": loose_logs.jsonl, "text": loose_logs.text, "events": loose_logs.events}[log.kind](rows)

    def _table(self, log: Written) -> bytes:
        return loose_logs.csv_head(log.columns) + loose_logs.csv(log.points, log.columns)

    def _append(self, log: Written, rows: Sequence[Point], *, half: bool = False) -> None:
        self._finish(log)
        log.points += rows
        data = self._bytes(log, rows)
        cut = len(data) - 5 if half else len(data)
        log.pending = data[cut:]
        with log.path.open("ab") as file:
            file.write(data[:cut])

    def _finish(self, log: Written) -> None:
        if log.pending:
            with log.path.open("ab") as file:
                file.write(log.pending)
            log.pending = b""

    def _forget(self, log: Written) -> None:
        log.pending = b""
        log.points = []
        if log.kind in WHOLE:
            self.unsettled.add(log.path)

    def _write_anew(self, log: Written, data: bytes, *, half: bool = False, way: str = "truncate") -> None:
        points = log.points
        self._forget(log)
        log.points = points
        cut = len(data) // 2 if half else len(data)
        if way == "rename":
            fresh = log.path.with_name(".new")
            fresh.write_bytes(data)
            fresh.rename(log.path)
        elif way == "in place" and log.path.exists():
            with log.path.open("r+b") as file:
                file.write(data[:cut])
                file.flush()
                self._stamp(log)
                self._between()
                file.write(data[cut:])
                file.truncate()
        else:
            with log.path.open("wb") as file:
                file.write(data[:cut])
                file.flush()
                self._stamp(log)
                self._between()
                file.write(data[cut:])
        self._stamp(log)

    def _between(self) -> None:
        self.asks += 1
        if self.asks % 2:
            self._ask(self.catalog)

    def _stamp(self, log: Written) -> None:
        self._stamp_path(log.path)

    def _stamp_path(self, path: Path) -> None:
        """Have it a time it never had: file systems count times in ticks longer than a test's steps."""
        self.ticks += 1
        moment = path.stat().st_mtime_ns + self.ticks
        os.utime(path, ns=(moment, moment))

    def _rest(self, path: Path) -> None:
        self.ticks += 1
        moment = 1_750_000_000_000_000_000 + self.ticks
        os.utime(path, ns=(moment, moment))
