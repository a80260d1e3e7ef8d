"""Runs in memory: a small, exact implementation of `runwised.index.view`, to ask questions of without files.

Use the fixtures (test files cannot import one another):

* ``run_of(rows, **fields)``: a run whose history is ``rows``: dicts of metrics, or ``(step, dict)`` in file order;
* ``project_of(*runs, config=…, now=…)``: a project of them, newest first in the order given;
* ``ask(query, view, **look)``: the whole text of the answer, through `respond`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from runwise_protocol.query import Look, Query

from runwised.formats.record import Alert, Definition, Floats, Ints, Row, Text
from runwised.index.kept import Annotation, Mark, Past
from runwised.index.view import Buckets, Condition, Line, Other, Rewind, Series, Source, Stats, Unreadable
from runwised.settings import RunwiseConfig

START = 1_700_000_000.0
"""When every run starts, unless a test says otherwise; row n is logged n seconds later."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("_type", "object"))
    return {str: "string", bool: "bool", type(None): "null", list: "list"}[type(value)]


@dataclass(eq=False)
class Logged:
    """A `Table`: every row in file order; a row that goes back voids those from its step on."""

    all_rows: list[Row] = field(default_factory=list, repr=False)
    served: list[int] = field(default_factory=list, repr=False)
    rewinds: list[Rewind] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was worked out of these rows: some runs have thousands of names."""

    @classmethod
    def of(cls, rows: Sequence[Any]) -> Logged:
        table = cls()
        for number, item in enumerate(rows):
            step, values = item if isinstance(item, tuple) else (number, item)
            table._add(number, Row(step, START + number, values))
        return table

    def _add(self, number: int, row: Row) -> None:
        self.known.clear()
        if not self.served or self.all_rows[self.served[-1]].step < row.step:
            self.all_rows.append(row)
            self.served.append(number)
            return
        kept = [n for n in self.served if self.all_rows[n].step < row.step]
        last = self.all_rows[self.served[-1]].step
        self.rewinds.append(Rewind(number, last, row.step, len(self.served) - len(kept)))
        self.all_rows.append(row)
        self.served = [*kept, number]

    @property
    def row_count(self) -> int:
        return len(self.served)

    @property
    def total_rows(self) -> int:
        return len(self.all_rows)

    def _points(self, name: str) -> list[int]:
        return [n for n in self.served if _number(self.all_rows[n].values.get(name))]

    @property
    def names(self) -> Sequence[str]:
        return self._once("names", self._names)

    def _once(self, what: Any, work_out: Callable[[], Any]) -> Any:
        if what not in self.known:
            self.known[what] = work_out()
        return self.known[what]

    def _names(self) -> Sequence[str]:
        seen = dict.fromkeys(key for row in self.all_rows for key in row.values)
        return [key for key in seen if not key.startswith("_") and self._points(key)]

    @property
    def others(self) -> Mapping[str, Other]:
        return self._once("others", self._others)

    def _others(self) -> Mapping[str, Other]:
        found: dict[str, Other] = {}
        for n in self.served:
            row = self.all_rows[n]
            for key, value in row.values.items():
                if not _number(value):
                    before = found[key].count if key in found else 0
                    found[key] = Other(_kind(value), before + 1, json.dumps(value), row.step)
        return found

    def stats(self, name: str) -> Stats:
        return self._once(("stats", name), lambda: self._stats(name))

    def _stats(self, name: str) -> Stats:
        points = self._points(name)
        if not points:
            raise KeyError(name)
        values = np.array([self.all_rows[n].values[name] for n in points], float)
        steps = [self.all_rows[n].step for n in points]
        finite = np.flatnonzero(np.isfinite(values))
        bad = np.flatnonzero(~np.isfinite(values))
        stats = Stats(
            count=len(points),
            nonfinite=len(bad),
            first=float(values[0]),
            last=float(values[-1]),
            first_step=steps[0],
            last_step=steps[-1],
            last_row=points[-1],
            first_nonfinite_step=steps[bad[0]] if len(bad) else None,
        )
        if len(finite):
            low, high = finite[np.argmin(values[finite])], finite[np.argmax(values[finite])]
            stats.last_finite = float(values[finite[-1]])
            stats.min, stats.min_step, stats.min_row = float(values[low]), steps[low], points[low]
            stats.max, stats.max_step, stats.max_row = float(values[high]), steps[high], points[high]
            stats.mean = float(values[finite].mean())
            stats.m2 = float(((values[finite] - stats.mean) ** 2).sum())
        return stats

    def altered(self, name: str) -> int:  # noqa: ARG002 - voided rows hold every key
        return len(self.rewinds)

    def position(self, step: int) -> int:
        return next((at for at, n in enumerate(self.served) if self.all_rows[n].step >= step), self.row_count)

    def steps(self, start: int, stop: int) -> Ints:
        return np.array([self.all_rows[n].step for n in self.served[start:stop]], np.int64)

    def times(self, start: int, stop: int) -> Floats:
        return np.array([self.all_rows[n].time for n in self.served[start:stop]], float)

    def numbers(self, start: int, stop: int) -> Ints:
        return np.array(self.served[start:stop], np.int64)

    @property
    def by_step(self) -> bool:
        return False

    def records(self, numbers: Ints) -> Ints:
        return numbers

    def records_of(self, start: int, stop: int) -> Ints:
        return np.arange(start, stop)

    def record_step(self, record: int) -> int:
        return self.all_rows[record].step

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        window = set(self.served[start:stop])
        points = [n for n in self._points(name) if n in window]
        rows = [self.all_rows[n] for n in points]
        return Series(
            np.array(points, np.int64),
            np.array([row.step for row in rows], np.int64),
            np.array([row.time for row in rows], float),
            np.array([row.values[name] for row in rows], float),
        )

    def sample(self, name: str, most: int, start: int = 0, stop: int | None = None) -> Buckets:
        stop = self.row_count if stop is None else stop
        at = {n: position for position, n in enumerate(self.served)}
        rows, steps, times, values = self.series(name, start, stop)
        slots = np.array([(at[n] - start) * most // max(1, stop - start) for n in rows.tolist()], np.int64)
        groups = [np.flatnonzero(slots == slot) for slot in np.unique(slots)]
        finite = [values[g][np.isfinite(values[g])] for g in groups]

        def over(reduce: Callable[[Floats], Any]) -> Floats:
            return np.array([reduce(f) if len(f) else np.nan for f in finite], float)

        first, last = [g[0] for g in groups], [g[-1] for g in groups]
        return Buckets(
            slot=np.unique(slots),
            n=np.array([len(g) for g in groups], np.int64),
            nonfinite=np.array([len(g) - len(f) for g, f in zip(groups, finite, strict=True)], np.int64),
            min=over(np.min),
            max=over(np.max),
            mean=over(np.mean),
            first=values[first],
            last=values[last],
            row_from=rows[first],
            row_to=rows[last],
            step_from=steps[first],
            step_to=steps[last],
            time_from=times[first],
            time_to=times[last],
        )


@dataclass
class Memory:
    """A `Memory`."""

    folds: dict[str, Any] = field(default_factory=dict)
    note: bytes = b""


@dataclass
class Run:
    """A `RunView`, field by field."""

    id: str
    history: Logged
    name: str = ""
    project: str | None = "demo"
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: Sequence[str] = ()
    sweep_id: str | None = None
    host: str | None = "trainbox"
    created: float | None = START
    updated: float | None = None
    condition: Condition = field(default_factory=lambda: Condition("finished", "exit code 0", 0))
    sources: Sequence[Source] = ()
    segments: int = 1
    indexed: bool = True
    step: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    annotation: Annotation = field(default_factory=Annotation)
    definitions: Sequence[Definition] = ()
    alerts: Sequence[Alert] = ()
    rewinds: Sequence[Rewind] = ()
    damage: Mapping[str, int] = field(default_factory=dict)
    system: Logged = field(default_factory=Logged)
    memory: Memory = field(default_factory=Memory)
    from_console: Sequence[str] = ()
    lines: Sequence[Line] = ()
    beginning: int = 0
    """See `Mark`."""
    unended: bool = False
    """The last of them has no end yet."""
    unreadable: str = ""
    """Why the console cannot be read."""
    printed_at: float | None = None

    def __post_init__(self) -> None:
        self.name = self.name or self.id
        self.rewinds = self.rewinds or self.history.rewinds
        self.sources = self.sources or (Source(f"wandb/run-{self.id}/run-{self.id}.wandb", "wandb", 4096, 0),)
        if self.history.served:
            last = self.history.all_rows[self.history.served[-1]]
            self.step = last.step if self.step is None else self.step
            self.updated = last.time if self.updated is None else self.updated

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        yield from list(enumerate(self.history.all_rows))[start:stop]

    def records(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        yield from self.rows(start, stop)

    @property
    def heard(self) -> float | None:
        times = [self.printed_at] if self.printed_at is not None else []
        if self.history.row_count:
            times.append(float(self.history.times(self.history.row_count - 1, self.history.row_count)[0]))
        return max(times, default=None)

    @property
    def console_end(self) -> int:
        """Twice the lines, one less where the last has no end: so half of it is the line that goes on there."""
        return 2 * len(self.lines) - self.unended

    def console_from(self, end: int, *, ended: bool = False) -> Iterator[Line]:
        if self.unreadable:
            raise Unreadable("/data/proj/output.log", self.unreadable)
        whole = self.lines[:-1] if ended and self.unended else self.lines
        return iter(whole[max(end, 0) // 2 :])

    @property
    def mark(self) -> Mark:
        state, _, code, pid = self.condition
        state = "running" if state == "empty" and pid else state
        records = self.history.total_rows if self.indexed else -1
        return Mark(records, self.step, state, code, self.segments, self.console_end, self.beginning)

    def console(self, *, newest_first: bool = False) -> Iterator[Line]:
        return iter(list(self.lines)[::-1] if newest_first else self.lines)

    def console_between(self, start: float, stop: float) -> Iterator[Line]:
        return (line for line in self.lines if start <= line.time < stop)

    def texts(self) -> Iterator[Text]:
        return (Text(line.time, line.stderr, line.text + "\n") for line in self.lines)


@dataclass
class Log:
    """A `LogView`."""

    path: str
    run_id: str
    format: str


@dataclass
class Passed:
    """A `PassedView`."""

    path: str
    reason: str
    files: int = 1


@dataclass
class Place:
    """A `PlaceView`."""

    path: str
    exists: bool = True
    sources: Sequence[Log] = ()
    passed: Sequence[Passed] = ()


@dataclass
class Project:
    """A `ProjectView`; unless a test names the places, its logs are all in W&B's folder."""

    runs: Sequence[Run] = field(repr=False)
    config: RunwiseConfig = field(default_factory=RunwiseConfig)
    now: float = START + 3600
    root: str = "/data/proj"
    unindexed: int = 0
    named: str | None = None
    notes: Sequence[str] = ()
    places: Sequence[Place] = ()
    moments: list[dict[str, Mark]] = field(default_factory=list, repr=False)
    """What the runs were like when cursors were given: ``@1``, ``@2`` …"""

    def cursor(self) -> str:
        marks = {run.id: run.mark for run in self.runs}
        if not self.moments or self.moments[-1] != marks:
            self.moments.append(marks)
        return f"@{len(self.moments)}"

    def past(self, cursor: str) -> Past | None:
        number = int(cursor.strip("@")) if cursor.strip("@").isdecimal() else 0
        return Past(self.moments[number - 1]) if 0 < number <= len(self.moments) else None

    def __post_init__(self) -> None:
        logs = [Log(f"{self.root}/{part.path}", run.id, part.format) for run in self.runs for part in run.sources]
        self.places = self.places or (Place(f"{self.root}/wandb", sources=logs),)


@pytest.fixture
def run_of() -> Callable[..., Run]:
    """``run_of(rows, id=…, lines=["text", …], **fields of Run)``; steps count from 0 where rows do not say."""

    def build(rows: Sequence[Any] = (), id: str = "3be9c0de", lines: Sequence[Any] = (), **fields: Any) -> Run:  # noqa: A002
        texts = [text if isinstance(text, Line) else Line(START + n, True, text) for n, text in enumerate(lines)]
        system = Logged.of(fields.pop("system", ()))
        return Run(id=id, history=Logged.of(rows), system=system, lines=texts, **fields)

    return build


@pytest.fixture
def project_of() -> Callable[..., Project]:
    """``project_of(*runs, **fields of Project)``; `unindexed` is counted."""

    def build(*runs: Run, **fields: Any) -> Project:
        fields.setdefault("unindexed", sum(not run.indexed for run in runs))
        return Project(runs, **fields)

    return build


@pytest.fixture
def place_of() -> Callable[..., Place]:
    """``place_of("logs", logs=[("logs/a.csv", "a", "csv")], passed=[("logs/x.png", "image", 3)], exists=True)``."""

    def build(
        path: str,
        *,
        logs: Sequence[tuple[str, str, str]] = (),
        passed: Sequence[tuple[Any, ...]] = (),
        exists: bool = True,
    ) -> Place:
        root = Project.root
        sources = [Log(f"{root}/{log}", run_id, kind) for log, run_id, kind in logs]
        return Place(f"{root}/{path}", exists, sources, [Passed(f"{root}/{name}", *why) for name, *why in passed])

    return build


@pytest.fixture
def ask() -> Callable[..., str]:
    """``ask(query, view, form="json", budget=300, dress="human" …)``: the answer's whole text."""
    from runwised.queries.respond import respond

    def text(query: Query, view: Project, **look: Any) -> str:
        return "".join(respond(query, view, Look(**look)).chunks)

    return text
