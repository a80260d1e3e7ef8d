"""Metrics as delimited tables: Lightning's `metrics.csv`, Keras' CSVLogger, `progress.csv` of Stable-Baselines and
Ray, Ultralytics' `results.csv`, `*.monitor.csv`, and what people write themselves.

A table begins with its header. Another header amid the rows (the program was started again) holds from there on.
Writers that meet a new column write the whole file anew.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from runwised.formats.csv_cells import exact
from runwised.formats.csv_header import header, is_run_log, preamble
from runwised.formats.csv_layout import Layout, Memory
from runwised.formats.csv_records import RecordLog, Records, split_cells
from runwised.formats.csv_rows import Block
from runwised.formats.linelog import LONGEST_LINE
from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Damage,
    Hints,
    Identity,
    Patch,
    Probe,
    Resume,
    Row,
    Rows,
    Text,
)
from runwised.formats.step_keys import as_step
from runwised.formats.wall_time import epoch_seconds

_ROWS_A_BATCH = 16384
_PROBED = 16384


class CsvReader:
    """Reads one table; see `runwised.formats.record.Reader`."""

    def __init__(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> None:
        resume = resume or Resume()
        self._log = RecordLog(resume.offset)
        self._memory = Memory.of(resume)
        self._hint = hints.step_key
        self._state: bytes | None = resume.state

    @property
    def resume(self) -> Resume:
        """The first record not delivered."""
        if self._state is None:
            self._state = msgspec.msgpack.encode(self._memory)
        return Resume(self._log.offset, self._state)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give the rows they complete, then the damage among them."""
        self._log.push(data)
        batches: list[Batch] = []
        while not self._memory.layouts:
            line = self._log.take_line()
            if line is None:
                return batches
            batches += self._begin(line)
        records = self._log.take(self._memory.shape)
        found: list[Batch] = []
        for start in range(0, len(records.texts), _ROWS_A_BATCH):
            part = slice(start, start + _ROWS_A_BATCH)
            found += self._rows(Records(records.offsets[part], records.texts[part], []))
        damage = records.damage + [batch for batch in found if isinstance(batch, Damage)]
        batches += [batch for batch in found if not isinstance(batch, Damage)]
        return batches + sorted(damage, key=lambda lost: lost.offset)

    def close(self) -> list[Batch]:
        """Nothing: a row without its end may still grow."""
        return []

    def _begin(self, line: tuple[int, bytes] | Damage) -> list[Batch]:
        """A line before there is a header."""
        if isinstance(line, Damage):
            return [line]
        offset, text = line
        told = preamble(text)
        if told is not None:
            return _of_preamble(told)
        found = header(text)
        if found is not None:
            self._memory.begin(offset, *found)
            self._state = None
        elif text.strip(b"\r \t") and not text.startswith(b"#"):
            return [Damage(offset, len(text) + 1, "a row before the header")]
        return []

    def _rows(self, records: Records) -> list[Batch]:
        block = Block(records, self._memory, self._hint)
        batches = list(block.batches())
        if block.remembered:
            self._state = None
        return batches


def _of_preamble(told: dict[str, Any]) -> list[Batch]:
    """What Monitor says before the header: when the environment was started, and which it is."""
    start = epoch_seconds(told.pop("t_start", None))
    batches: list[Batch] = [] if math.isnan(start) else [Identity(start_time=start)]
    if told:
        batches.append(Patch("config", [((key,), value) for key, value in told.items()]))
    return batches


class CsvTable:
    """A delimited table as a `runwised.formats.record.Format`."""

    name = "csv"
    rewritten = True
    console = False
    together = True
    tells_end = False

    def matches(self, filename: str, head: bytes) -> bool:
        """See `runwised.formats.csv_header.is_run_log`."""
        return is_run_log(filename, head)

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> CsvReader:
        """See `runwised.formats.record.Format`."""
        return CsvReader(resume, hints)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        """The last row's step and time, and the last values the tail shows, by the header the head begins with."""
        reader = CsvReader(hints=hints)
        batches = reader.feed(head[:_PROBED])
        start = max(tail_offset, tail_offset + len(tail) - _PROBED)
        if start > reader.resume.offset:
            cut = tail[start - tail_offset :]
            begin = cut.find(b"\n") + 1
            reader = CsvReader(Resume(start + begin, reader.resume.state), hints)
            batches += reader.feed(cut[begin:])
        else:
            batches += reader.feed(tail[reader.resume.offset - tail_offset :]) if tail_offset == 0 else []
        return _probe_of(batches, bool(head))

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The row whose record begins at ``data[0]``; see the protocol."""
        memory = Memory.of(resume)
        layout = memory.at(offset)
        log = RecordLog(offset)
        log.push(data)
        records = log.take(memory.shape)
        if len(records.texts) and records.offsets[0] == offset:
            return _row(split_cells(records.texts[0], memory.shape.delimiter), layout, memory, offset)
        if records.texts or records.damage or len(data) > LONGEST_LINE:
            raise ValueError(f"no row at byte {offset}")
        return None

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """A table holds no console text."""
        raise ValueError(f"no console chunk at byte {offset} of a table")


def _row(cells: list[bytes], layout: Layout, memory: Memory, offset: int) -> Row:
    step, time, numbers = NO_STEP, math.nan, 0
    values: dict[str, Any] = {}
    for column, (key, cell) in enumerate(zip(layout.keys, cells, strict=False)):
        value = exact(cell)
        if value is None or not key:
            continue  # an index without a name, as pandas writes it
        if isinstance(value, str) and column == layout.step:
            raise ValueError(f"text where the step stands at byte {offset}")
        numbers += not isinstance(value, str)
        if column == layout.step and (counted := as_step(value)) is not None:
            step = counted
        elif column == layout.time and not math.isnan(moment := epoch_seconds(value)):
            time = moment
        else:
            values[key] = value
    if values and not numbers:
        raise ValueError(f"no number in the row at byte {offset}")
    return Row(NO_STEP if memory.ambiguous(step) else step, time, values)


def _probe_of(batches: list[Batch], begun: bool) -> Probe:
    step = time = None
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    identity = Identity()
    for batch in batches:
        if isinstance(batch, Identity):
            identity = batch
        elif isinstance(batch, Patch):
            config |= {path[0]: value for path, value in batch.sets}
        elif isinstance(batch, Rows) and len(batch.steps):
            step = None if batch.steps[-1] == NO_STEP else int(batch.steps[-1])
            time = None if np.isnan(batch.times[-1]) else float(batch.times[-1])
            summary |= {column.key: float(column.values[-1]) for column in batch.columns}
    return Probe(identity, {}, config, summary, step, time, None, header=begun)


CSV = CsvTable()
