"""W&B runs from before 0.10, which had no transaction log: rows in `wandb-history.jsonl`, samples in
`wandb-events.jsonl`, one JSON object a line.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from runwised.formats.json_value import as_float, decode_json
from runwised.formats.linelog import LineLog, LogLine, last_lines, read_line
from runwised.formats.record import NO_HINTS, NO_STEP, Batch, Damage, Hints, Identity, Probe, Resume, Row, Text
from runwised.formats.rows_builder import RowsBuilder
from runwised.formats.wandb_items import HistoryRow, flatten, row_of

_ROWS_A_BATCH = 16384


class LegacyReader:
    """Reads one JSON-lines file of a run from before 0.10; see `runwised.formats.record.Reader`."""

    def __init__(self, table: Literal["history", "system"], resume: Resume | None = None) -> None:
        self._table = table
        self._log = LineLog(resume.offset if resume else 0)
        self._rows = RowsBuilder(table)

    @property
    def resume(self) -> Resume:
        """The first line not delivered."""
        return Resume(self._log.offset)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give the rows they complete."""
        batches: list[Batch] = []
        for found in self._log.feed(data):
            if isinstance(found, Damage):
                batches.append(found)
            elif found.text.strip():
                self._add(found, batches)
            if len(self._rows) == _ROWS_A_BATCH:
                batches.append(self._rows.build())
        if self._rows:
            batches.append(self._rows.build())
        return batches

    def close(self) -> list[Batch]:
        """Nothing: a line without its end may still grow."""
        return []

    def _add(self, line: LogLine, batches: list[Batch]) -> None:
        try:
            self._rows.add(line.offset, *_decode_row(self._table, line.text))
        except ValueError as error:
            batches.append(Damage(line.offset, len(line.text) + 1, str(error)))


def _decode_row(table: str, line: bytes) -> HistoryRow:
    """The row in a line. Raises ValueError when it is no JSON object."""
    logged = decode_json(line)
    if not isinstance(logged, dict):
        raise ValueError("a line is no JSON object")
    logged.pop("_wandb", None)
    if table == "history":
        return row_of(flatten(((key,), value) for key, value in logged.items()))
    time = logged.pop("_timestamp", math.nan)
    values = {key.removeprefix("system."): value for key, value in logged.items()}
    return HistoryRow(NO_STEP, as_float(time) if type(time) in (int, float) else math.nan, values)


class LegacyLog:
    """One of the two files as a `runwised.formats.record.Format`."""

    rewritten = console = together = False
    tells_end = True

    def __init__(self, name: str, filename: str, table: Literal["history", "system"]) -> None:
        self.name = name
        self._filename = filename
        self._table: Literal["history", "system"] = table

    def matches(self, filename: str, head: bytes) -> bool:
        """By its name; the first byte, if there is one, must begin an object."""
        return filename == self._filename and head[:1] in (b"", b"{")

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> LegacyReader:  # noqa: ARG002 - the protocol's
        """See `runwised.formats.record.Format`."""
        return LegacyReader(self._table, resume)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:  # noqa: ARG002
        """The last row: it has the last step, and of the summary what it holds itself."""
        step = time = None
        summary: dict[str, Any] = {}
        for line in last_lines(tail, tail_offset)[-1:] if self._table == "history" else ():
            try:
                row = _decode_row(self._table, line)
            except ValueError:
                continue
            step = None if row.step == NO_STEP else row.step
            time = None if math.isnan(row.time) else row.time
            summary = decode_json(line)
        return Probe(Identity(), {}, {}, summary, step, time, None, header=bool(head))

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:  # noqa: ARG002 - the protocol's
        """The row whose line begins at ``data[0]``; see the protocol."""
        line = read_line(data)
        return None if line is None else Row(*_decode_row(self._table, line))

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """These files hold no console text."""
        raise ValueError(f"no console chunk at byte {offset} of {self._filename}")


LEGACY_HISTORY = LegacyLog("wandb-history", "wandb-history.jsonl", "history")
LEGACY_EVENTS = LegacyLog("wandb-events", "wandb-events.jsonl", "system")
