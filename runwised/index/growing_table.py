"""The table in memory that rows are folded into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from runwised.formats.record import Column as BatchColumn
from runwised.formats.record import Ints, Rows
from runwised.formats.record import Other as BatchOther
from runwised.index.arrays import Vector
from runwised.index.column import GrowingColumn
from runwised.index.presence import GrowingPresence, Placed, Presence
from runwised.index.rows import GrowingRows, Landing
from runwised.index.step_rows import GrowingStepRows
from runwised.index.table import LOWEST, ColumnTable
from runwised.index.view import Other, Rewind, Stats

NOWHERE = -(2**63)
"""No row has this number."""


class SourcesOverlap(Exception):  # noqa: N818 - a finding, worded as one
    """What a source says changes what stands of sources that were folded after it: fold all of them anew."""


class GrowingOther:
    """What one key holds beside numbers."""

    __slots__ = ("kind", "last", "last_row", "presence", "rank")

    def __init__(self, presence: GrowingPresence, kind: str, last: bytes, last_row: int, rank: int = 0) -> None:
        self.presence = presence
        self.rank = rank
        """Of the sources that hold the key, the one it is taken from; see `RunIndex.start_source`."""
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

    def put(self, steps: Ints, batch: BatchOther, source: int, peers: Sequence[int]) -> Placed:
        """The same in a table whose rows are known by their steps: the batch's values stand at these."""
        placed = self.presence.put(steps, source, peers)
        if placed.steps[-1] == steps[-1] and self.presence.owner_of(self.presence.count - 1) == source:
            self.kind, self.last, self.last_row = batch.kind, batch.last, int(steps[-1])
        return placed


class Origin(NamedTuple):
    """Where a batch comes from, as far as it matters to a table."""

    source: int = 0
    rank: int = 0
    """Of two sources that hold the same metric it is taken from the one of lower rank."""
    peers: tuple[int, ...] = ()
    """Other sources of its rank are written at the same time: none takes back what the others say."""

    @property
    def is_followed(self) -> bool:
        """Whether one of them comes after it: had it said all it says now before, the other would stand on that."""
        return any(peer > self.source for peer in self.peers)


ALONE = Origin()


class GrowingTable(ColumnTable):
    """Rows and columns of an index in memory.

    It begins as a table by row: a row is a record, and a step that goes back takes back whole rows. The first batch
    by key whose steps do not just go on makes it a table by step (see `step_rows`), for good.
    """

    rows: GrowingRows | GrowingStepRows

    def __init__(
        self,
        rows: GrowingRows | GrowingStepRows,
        columns: dict[str, GrowingColumn],
        others: dict[str, GrowingOther],
    ) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.other_columns = others

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        others = sum(other.presence.nbytes + len(other.last) for other in self.other_columns.values())
        return self.rows.nbytes + sum(column.nbytes for column in self.columns.values()) + others

    def fold(self, batch: Rows, origin: Origin = ALONE) -> None:
        """Take in rows behind the last."""
        if not len(batch.offsets):
            return
        self.rows.stretches.begin(self.total_rows, origin.source)
        rows = self.rows
        if isinstance(rows, GrowingRows) and batch.by_key:
            several = any(source != origin.source for source in rows.stretches.sources)
            if several or origin.rank or not rows.goes_on(batch.steps):
                rows = self._know_by_step(rows)
        if isinstance(rows, GrowingRows):
            self._fold_by_row(rows, batch, origin)
        else:
            self._fold_by_step(rows, batch, origin)

    def purge(self, step: int, origin: Origin) -> None:
        """Every key loses its points from `step` on, but for those of others that write at the same time.

        Raises SourcesOverlap.
        """
        rows = self.rows
        if not self.row_count or self.rows.served_steps(self.row_count - 1, self.row_count)[0] < step:
            return
        if isinstance(rows, GrowingRows):
            rows = self._know_by_step(rows)
        last = int(rows.served_steps(self.row_count - 1, self.row_count)[0])
        source, peers = origin.source, origin.peers
        every = [column.cut(step, source, peers) for column in self.columns.values() if column.rank == origin.rank]
        every += [
            other.presence.cut(step, source, peers)
            for other in self.other_columns.values()
            if other.rank == origin.rank
        ]
        if origin.is_followed and any(placed.is_own for placed in every):
            raise SourcesOverlap(str(source))
        if voided := max((len(placed.taken) for placed in every), default=0):
            rows.note(Rewind(self.total_rows, last, step, voided))
        rows.settle(self.total_rows, [placed.steps for placed in every], [placed.removed for placed in every])

    def _fold_by_row(self, rows: GrowingRows, batch: Rows, origin: Origin) -> None:
        landing = rows.append(batch.offsets, batch.steps, batch.times)
        if landing.voided is not None:
            for column in self.columns.values():
                column.truncate(landing.position, landing.voided)
            for other in self.other_columns.values():
                other.presence.truncate(landing.position, landing.voided)
        columns = self.columns
        for key, at, values in batch.columns:
            (columns.get(key) or self._new_column(key, origin)).append(landing, at, values)
        for batch_other in batch.others:
            other = self.other_columns.get(batch_other.key) or self._new_other(batch_other.key, origin)
            other.append(landing, batch_other)

    def _fold_by_step(self, rows: GrowingStepRows, batch: Rows, origin: Origin) -> None:
        first = self.total_rows
        steps = rows.append(batch.offsets, batch.steps, batch.times)
        gained: list[Ints] = []
        lost: list[Ints] = []
        rewinds: list[Rewind] = []
        for column in batch.columns:
            self._put(column, first, steps, origin, gained, lost, rewinds)
        for other in batch.others:
            self._put_other(other, steps, origin, gained, lost)
        for rewind in sorted(rewinds):
            rows.note(rewind)
        rows.settle(first, gained, lost)

    def _put(
        self,
        batch: BatchColumn,
        first: int,
        steps: Ints,
        origin: Origin,
        gained: list[Ints],
        lost: list[Ints],
        rewinds: list[Rewind],
    ) -> None:
        """Put one metric's points down, stretch by stretch where its steps go back."""
        if not len(batch.values):
            return
        column = self.columns.get(batch.key) or self._new_column(batch.key, origin)
        if column.rank < origin.rank:
            return
        if column.rank > origin.rank:
            self._take_over(origin)
            lost.append(column.cut(LOWEST, origin.source).removed)
            column.rank = origin.rank
        at = np.arange(len(steps)) if batch.rows is None else batch.rows
        stood = steps if batch.rows is None else steps[at]
        back = (np.flatnonzero(stood[1:] < stood[:-1]) + 1).tolist()
        edges = [0, *back, len(stood)]
        for start, stop in pairwise(edges):
            placed = column.put(stood[start:stop], batch.values[start:stop], origin.source, origin.peers)
            _check(placed, origin)
            gained.append(placed.steps)
            if len(placed.removed):
                lost.append(placed.removed)
            if len(placed.taken):
                to_step, from_step = int(stood[start]), int(placed.taken[-1])
                if to_step < from_step:
                    rewinds.append(Rewind(first + int(at[start]), from_step, to_step, len(placed.taken)))

    def _put_other(self, batch: BatchOther, steps: Ints, origin: Origin, gained: list[Ints], lost: list[Ints]) -> None:
        """Put down what one key holds beside numbers."""
        if not len(batch.rows):
            return
        other = self.other_columns.get(batch.key) or self._new_other(batch.key, origin)
        if other.rank < origin.rank:
            return
        if other.rank > origin.rank:
            self._take_over(origin)
            lost.append(other.presence.cut(LOWEST, origin.source, ()).removed)
            other.rank = origin.rank
        placed = other.put(steps[batch.rows], batch, origin.source, origin.peers)
        _check(placed, origin)
        gained.append(placed.steps)
        lost.append(placed.removed)

    def _take_over(self, origin: Origin) -> None:
        """A key is found in a source that knows it better: where it went back in the other one is not to be told."""
        if self.rows.rewinds:
            raise SourcesOverlap(str(origin.source))

    def _know_by_step(self, rows: GrowingRows) -> GrowingStepRows:
        """Go over from rows known by their records to rows known by their steps."""
        by_step = GrowingStepRows.of(rows)
        presences = [column.presence for column in self.columns.values()]
        presences += [other.presence for other in self.other_columns.values()]
        for presence in presences:
            numbers = presence.numbers(0, presence.count)
            presence.rows, presence.pieces, presence.start = Vector(rows.steps.take(numbers)), by_step.pieces, 0
            presence.owner = rows.stretches.sources[0]
        for column in self.columns.values():
            column.know_by_step(by_step)
        for other in self.other_columns.values():
            if other.last_row != NOWHERE:
                other.last_row = rows.steps.item(other.last_row)
        self.rows = by_step
        by_step.settle(0, [presence.numbers(0, presence.count) for presence in presences], [])
        return by_step

    def numeric_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self.columns

    def other_keys(self) -> Iterable[str]:
        """As `ColumnTable`."""
        return self.other_columns

    def presences(self, key: str) -> Iterable[tuple[Presence, int | None]]:
        """As `ColumnTable`."""
        if key in self.columns:
            yield self.columns[key].presence, self.columns[key].rank
        if key in self.other_columns:
            yield self.other_columns[key].presence, self.other_columns[key].rank

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

    def _new_column(self, key: str, origin: Origin) -> GrowingColumn:
        self._shown = None
        column = self.columns[key] = GrowingColumn(self.rows, self._presence(), Vector.empty(np.float64))
        column.rank = origin.rank
        return column

    def _presence(self) -> GrowingPresence:
        rows = Vector.empty(np.int64) if isinstance(self.rows, GrowingStepRows) else None
        return GrowingPresence(self.rows.pieces, 0, 0, rows)

    def _new_other(self, key: str, origin: Origin) -> GrowingOther:
        self._shown = None
        other = self.other_columns[key] = GrowingOther(self._presence(), "null", b"null", NOWHERE, origin.rank)
        return other


def _check(placed: Placed, origin: Origin) -> None:
    """Where a source takes back its own, what it stood before in the way of later ones is not known any more."""
    if placed.is_own and origin.is_followed:
        raise SourcesOverlap(str(origin.source))
