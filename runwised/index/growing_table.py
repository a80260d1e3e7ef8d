"""The table in memory that rows are folded into."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from runwised.formats.record import Other as BatchOther
from runwised.formats.record import Rows
from runwised.index.arrays import Vector
from runwised.index.column import GrowingColumn
from runwised.index.presence import GrowingPresence
from runwised.index.rows import GrowingRows, Landing
from runwised.index.table import ColumnTable
from runwised.index.view import Other, Stats


class GrowingOther:
    """What one key holds beside numbers."""

    __slots__ = ("kind", "last", "last_row", "presence")

    def __init__(self, presence: GrowingPresence, kind: str, last: bytes, last_row: int) -> None:
        self.presence = presence
        self.kind = kind
        self.last = last
        self.last_row = last_row
        """Number of the row `last` stands in, served or not."""

    @property
    def current(self) -> bool:
        """Whether `last` stands in a served row."""
        count = self.presence.count
        return count > 0 and self.presence.number(count - 1) == self.last_row

    def append(self, landing: Landing, batch: BatchOther) -> None:
        """Take in what a batch says of the key."""
        if len(batch.rows):
            self.presence.append(landing, batch.rows, len(batch.rows))
            self.kind, self.last = batch.kind, batch.last
            self.last_row = landing.first + int(batch.rows[-1])


class GrowingTable(ColumnTable):
    """Rows and columns of an index in memory."""

    rows: GrowingRows

    def __init__(self, rows: GrowingRows, columns: dict[str, GrowingColumn], others: dict[str, GrowingOther]) -> None:
        super().__init__(rows)
        self.columns = columns
        self.other_columns = others

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        others = sum(other.presence.nbytes + len(other.last) for other in self.other_columns.values())
        return self.rows.nbytes + sum(column.nbytes for column in self.columns.values()) + others

    def fold(self, batch: Rows) -> None:
        """Take in rows behind the last."""
        if not len(batch.offsets):
            return
        landing = self.rows.append(batch.offsets, batch.steps, batch.times)
        if landing.voided is not None:
            for column in self.columns.values():
                column.truncate(landing.position, landing.voided)
            for other in self.other_columns.values():
                other.presence.truncate(landing.position, landing.voided)
        columns = self.columns
        for key, rows, values in batch.columns:
            (columns.get(key) or self._new_column(key)).append(landing, rows, values)
        for batch_other in batch.others:
            (self.other_columns.get(batch_other.key) or self._new_other(batch_other.key)).append(landing, batch_other)

    def numeric_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self.columns

    def other_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self.other_columns

    def count(self, key: str) -> int:
        """As `ColumnTable`."""
        column = self.columns.get(key)
        return column.count if column else 0

    def column(self, key: str) -> GrowingColumn:
        """As `ColumnTable`."""
        return self.columns[key]

    def stats_of(self, key: str) -> Stats:
        """As `ColumnTable`."""
        return self.columns[key].stats()

    def other(self, key: str) -> Other | None:
        """As `ColumnTable`. When the last value was taken back, the one before is not known: it shows as null."""
        other = self.other_columns[key]
        count = other.presence.count
        if not count:
            return None
        last = other.last.decode("utf-8", "replace") if other.current else "null"
        return Other(other.kind, count, last, self.rows.steps.item(other.presence.number(count - 1)))

    def _new_column(self, key: str) -> GrowingColumn:
        self._shown = None
        presence = GrowingPresence(self.rows.pieces, 0, 0, None)
        column = self.columns[key] = GrowingColumn(self.rows, presence, Vector.empty(np.float64))
        return column

    def _new_other(self, key: str) -> GrowingOther:
        self._shown = None
        other = self.other_columns[key] = GrowingOther(
            GrowingPresence(self.rows.pieces, 0, 0, None), "null", b"null", -1
        )
        return other
