"""A plain-Python model of a run, logs to fold, and every answer of an index as comparable data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from runwised.formats.record import NO_STEP, Column, Console, Exit, Mark, Other, Resume, Rows
from runwised.index.run_index import IndexedRun, RunIndex
from runwised.index.sidecar import Sidecar, encode
from runwised.index.view import Rewind, Table

KEYS = ("loss", "val.loss", r"val\.loss", "_runtime", "mixed")


class Segment(NamedTuple):
    """A stretch of like rows."""

    length: int
    stride: int
    """Step from row to row; 0: rows carry no step."""
    back: int
    """How far its first step lies behind the last one; -1: it goes on."""
    every: tuple[int, ...]
    """For each of `KEYS` in which rows it is (1: all, 0: none), as a period."""
    odd: bool
    """Whether some values are huge, tiny or not finite."""
    new_source: bool


class LoggedRow(NamedTuple):
    """One row as logged."""

    source: int
    offset: int
    step: int
    time: float
    numbers: Mapping[str, float]
    texts: Mapping[str, bytes]


SEGMENTS = st.builds(
    Segment,
    length=st.one_of(st.integers(1, 6), st.integers(1, 900)),
    stride=st.sampled_from([1, 1, 1, 7, 0]),
    back=st.one_of(st.just(-1), st.just(-1), st.integers(0, 300)),
    every=st.tuples(*(st.sampled_from([1, 1, 0, 3, 40]) for _ in KEYS)),
    odd=st.booleans(),
    new_source=st.booleans(),
)
LOGS = st.builds(lambda segments, seed: logged(segments, seed), st.lists(SEGMENTS, max_size=6), st.integers(0, 99))


def logged(segments: Sequence[Segment], seed: int) -> list[LoggedRow]:
    """Rows of these segments."""
    rng = np.random.default_rng(seed)
    rows: list[LoggedRow] = []
    source = offset = step = 0
    for segment in segments:
        source += segment.new_source and bool(rows)
        step = max(step - segment.back, -3) if segment.back >= 0 else step + 1
        for index in range(segment.length):
            keys = [key for key, every in zip(KEYS, segment.every, strict=True) if every and index % every == 0]
            numbers = {key: value(rng, segment.odd) for key in keys}
            texts = {"mixed": b'"%d"' % len(rows)} if "mixed" in numbers and rng.random() < 0.3 else {}
            offset += int(rng.integers(1, 900))
            when = math.nan if rng.random() < 0.02 else 1.7e9 + len(rows)
            number = {key: each for key, each in numbers.items() if key not in texts}
            rows.append(LoggedRow(source, offset, step if segment.stride else NO_STEP, when, number, texts))
            step += segment.stride or 1
    return rows


ODD = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 1e200)


def value(rng: np.random.Generator, odd: bool) -> float:
    """A number as programs log them, or an odd one."""
    if odd and rng.random() < 0.05:
        return ODD[int(rng.integers(len(ODD)))]
    return rng.normal() if rng.random() < 0.5 else float(rng.integers(0, 3))


class Model:
    """What an index must say of rows, found the slow way."""

    def __init__(self, rows: Sequence[LoggedRow]) -> None:
        self.rows = rows
        self.steps: list[int] = []
        self.served: list[int] = []
        self.rewinds: list[Rewind] = []
        for number, row in enumerate(rows):
            before = self.steps[-1] if self.steps else -1
            step = before + 1 if row.step == NO_STEP else row.step
            voided = 0
            while self.served and self.steps[self.served[-1]] >= step:
                self.served.pop()
                voided += 1
            if voided:
                self.rewinds.append(Rewind(number, before, step, voided))
            self.steps.append(step)
            self.served.append(number)

    def name(self, key: str) -> str:
        """What a person sees of one of `KEYS`."""
        seen = any("val.loss" in row.numbers for row in self.rows)
        return key if seen else key.replace("\\.", ".")

    def points(self, key: str, start: int = 0, stop: int | None = None) -> list[tuple[int, int, float]]:
        """Position, row number and value of a key's served points at positions [start, stop)."""
        positions = range(len(self.served))[start:stop]
        rows = ((position, self.served[position]) for position in positions)
        return [(position, row, self.rows[row].numbers[key]) for position, row in rows if key in self.rows[row].numbers]

    def texts(self, key: str) -> list[int]:
        """Served rows in which a key holds text."""
        return [row for row in self.served if key in self.rows[row].texts]


def batch_of(rows: Sequence[LoggedRow]) -> Rows:
    """Rows as one batch."""
    numbers: dict[str, list[tuple[int, float]]] = {}
    texts: dict[str, list[tuple[int, bytes]]] = {}
    for index, row in enumerate(rows):
        for key, number in row.numbers.items():
            numbers.setdefault(key, []).append((index, number))
        for key, text in row.texts.items():
            texts.setdefault(key, []).append((index, text))
    columns = []
    for key, points in numbers.items():
        places = None if len(points) == len(rows) else np.array([index for index, _ in points])
        columns.append(Column(key, places, np.array([number for _, number in points])))
    others = [Other(key, np.array([i for i, _ in each]), "string", each[-1][1]) for key, each in texts.items()]
    return Rows(
        "history",
        np.array([row.offset for row in rows], np.int64),
        np.array([row.step for row in rows], np.int64),
        np.array([row.time for row in rows], np.float64),
        tuple(columns),
        tuple(others),
    )


def fold(
    index: RunIndex, rows: Sequence[LoggedRow], sizes: Sequence[int] = (), ask: Callable[[RunIndex], Any] | None = None
) -> RunIndex:
    """Fold rows behind those already there, in batches of these sizes (then all that is left), asking in between."""
    at = 0
    lengths = iter(sizes)
    while at < len(rows):
        source = rows[at].source
        while len(index.sources) <= source:
            index.start_source(f"segment {len(index.sources)}")
        end = at
        limit = at + next(lengths, len(rows))
        while end < min(limit, len(rows)) and rows[end].source == source:
            end += 1
        index.fold(batch_of(rows[at:end]))
        at = end
        if ask:
            ask(index)
    return index


def opened(index: RunIndex, stamp: bytes = b"") -> Sidecar:
    """The index by way of its file."""
    data = b"".join(encode(index, stamp))
    return Sidecar(lambda offset, length: data[offset : offset + length], len(data))


def answers(run: IndexedRun) -> dict[str, Any]:
    """Everything an index can say, comparable (NaN equals itself)."""
    return {
        "metadata": repr(run.metadata),
        "rewinds": list(run.rewinds),
        "history": table_answers(run.history),
        "system": table_answers(run.system),
        "places": [run.locate(row) for row in range(0, run.history.total_rows, 17)],
        "console": [flat(run.console(source)) for source in range(len(run.sources))],
    }


def table_answers(table: Table) -> dict[str, Any]:
    """Everything a table can say."""
    rows = table.row_count
    ranges = [(0, rows), (rows // 3, rows - rows // 5), (rows // 2, rows // 2 + 1)]
    names = [*table.names, *(name for name in ("_runtime",) if has(table, name))]
    return {
        "counts": (rows, table.total_rows),
        "names": names,
        "others": {name: repr(other) for name, other in table.others.items()},
        "stats": {name: repr(table.stats(name)) for name in names},
        "rows": [flat((table.steps(*each), table.times(*each), table.numbers(*each))) for each in ranges],
        "series": {name: [flat(table.series(name, *each)) for each in ranges] for name in names},
        "samples": {
            name: [flat(table.sample(name, most, *each)) for most in (1, 3, 40) for each in ranges] for name in names
        },
        "positions": [table.position(step) for step in range(-4, 400, 23)],
    }


def has(table: Table, name: str) -> bool:
    try:
        table.stats(name)
    except KeyError:
        return False
    return True


def flat(arrays: Sequence[Any]) -> list[Any]:
    """Arrays as bytes."""
    return [(str(array.dtype), np.ascontiguousarray(array).tobytes()) for array in arrays]


def small_index() -> RunIndex:
    """An index with something of everything, whose sidecar is small."""
    rows = logged(
        [
            Segment(9, 1, -1, (1, 3, 0, 1, 1), True, False),
            Segment(5, 1, 4, (1, 0, 1, 1, 1), False, True),
        ],
        1,
    )
    index = fold(RunIndex(), rows)
    index.fold(batch_of(rows[:4])._replace(table="system"))
    index.fold(Console(np.array([900, 950]), np.array([1.5, math.nan]), np.array([True, False]), np.array([5, 80])))
    index.fold(Exit(990, 1, 3.5))
    index.fold(Mark(0, "header"))
    index.set_resume(1, Resume(1000, b"\x00\xff"), 1200)
    return index


@pytest.fixture(scope="session")
def runs() -> SimpleNamespace:
    """The model and everything around it."""
    return SimpleNamespace(
        KEYS=KEYS,
        LOGS=LOGS,
        Segment=Segment,
        logged=logged,
        Model=Model,
        batch_of=batch_of,
        fold=fold,
        opened=opened,
        answers=answers,
        table_answers=table_answers,
        small_index=small_index,
    )
