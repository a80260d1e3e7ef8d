"""Gathers what W&B records say over one feed: rows and console chunks as columns, summary changes as one patch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from runwised.formats.record import NO_STEP, Batch, Console, Patch, Path
from runwised.formats.rows_builder import RowsBuilder, floats, ints
from runwised.formats.wandb_items import history_row
from runwised.formats.wandb_records import (
    CONSOLE,
    HISTORY,
    STATS,
    SUMMARY,
    Envelope,
    decode_chunk,
    decode_patch,
    decode_record,
    decode_stats,
)

_ROWS_A_BATCH = 16384


class Batches:
    """Takes opened records in file order; gives batches. Only within a kind of batch is file order kept."""

    def __init__(self) -> None:
        self._done: list[Batch] = []
        self._history = RowsBuilder("history")
        self._system = RowsBuilder("system")
        self._console = _ConsoleBuilder()
        self._summary: dict[Path, Any] = {}

    def add(self, record: Envelope, offset: int) -> None:
        """Decode a record and keep what it says. Raises WireError, and then keeps nothing of it."""
        if record.kind == HISTORY:
            self._history.add(offset, *history_row(record.body))
            if len(self._history) == _ROWS_A_BATCH:
                self._done.append(self._history.build())
        elif record.kind == SUMMARY:
            self._add_summary(decode_patch(record.body))
        elif record.kind == STATS:
            self._system.add(offset, NO_STEP, *decode_stats(record.body))
        elif record.kind in CONSOLE:
            self._console.add(offset, *decode_chunk(record.kind, record.body))
        else:
            for batch in decode_record(record.kind, record.body, offset):
                self.put(batch)

    def put(self, batch: Batch) -> None:
        """Keep a batch made elsewhere, behind what is gathered of its kind."""
        if isinstance(batch, Patch):
            self._end_summary()
        self._done.append(batch)

    def end_rows(self) -> None:
        """Let rows made elsewhere come behind those gathered so far."""
        if self._history:
            self._done.append(self._history.build())

    def take(self) -> list[Batch]:
        """Everything gathered since the last call."""
        self.end_rows()
        if self._system:
            self._done.append(self._system.build())
        if self._console:
            self._done.append(self._console.build())
        self._end_summary()
        done, self._done = self._done, []
        return done

    def _add_summary(self, patch: Patch) -> None:
        """Later sets of a path take the place of earlier ones; the order stays that of the last set of each."""
        for path, value in patch.sets:
            self._summary.pop(path, None)
            self._summary[path] = value
        if patch.removes:
            self._end_summary(patch.removes)

    def _end_summary(self, removes: Sequence[Path] = ()) -> None:
        if self._summary or removes:
            self._done.append(Patch("summary", list(self._summary.items()), removes))
            self._summary = {}


class _ConsoleBuilder:
    """Console chunks as columns."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._offsets = array("q")
        self._times = array("d")
        self._stderr = bytearray()
        self._sizes = array("q")

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, offset: int, time: float, stderr: bool, line: bytes) -> None:
        self._offsets.append(offset)
        self._times.append(time)
        self._stderr.append(stderr)
        self._sizes.append(len(line))

    def build(self) -> Console:
        built = Console(
            ints(self._offsets), floats(self._times), np.frombuffer(self._stderr, np.bool_), ints(self._sizes)
        )
        self._clear()
        return built
