"""One run's index: batches go in, tables and metadata come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runwised.formats.record import Alert, Batch, Console, Definition, Identity, Purge, Resume, Rows
from runwised.index.arrays import Vector
from runwised.index.growing_table import GrowingTable, Origin
from runwised.index.metadata import Metadata, SourceState
from runwised.index.pieces import Pieces
from runwised.index.rows import GrowingRows, Stretches, resolve
from runwised.index.sessions import last_step, origin_beside, origin_of
from runwised.index.table import ColumnTable
from runwised.index.view import Rewind


class IndexedRun:
    """The read side that `RunIndex` and `index.sidecar.Sidecar` share."""

    __slots__ = ()

    if TYPE_CHECKING:  # attributes of an index in memory, worked out when asked for of one in a file

        @property
        def history(self) -> ColumnTable:
            """What the program logged."""

        @property
        def system(self) -> ColumnTable:
            """What was measured beside it."""

        @property
        def metadata(self) -> Metadata:
            """Everything else."""

    @property
    def identity(self) -> Identity:
        """Merged: later records win field by field. `start_time` is that of the latest segment."""
        return self.metadata.identity

    @property
    def created(self) -> float | None:
        """Epoch seconds: the first `start_time` of all."""
        return self.metadata.created

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where and how the program runs."""
        return self.metadata.facts

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration, nested, as the records say (bookkeeping such as ``_wandb`` included)."""
        return self.metadata.config

    @property
    def summary(self) -> Mapping[str, Any]:
        """Summary, nested, as the records say."""
        return self.metadata.summary

    @property
    def definitions(self) -> Sequence[Definition]:
        """What define_metric said; of several for one key (or one pattern) the last."""
        return list(self.metadata.definitions.values())

    @property
    def alerts(self) -> Sequence[Alert]:
        """Alerts raised."""
        return self.metadata.alerts

    @property
    def damage(self) -> Mapping[str, int]:
        """Bytes passed over, by reason."""
        return self.metadata.damage

    @property
    def damage_count(self) -> int:
        """How many stretches of bytes were passed over."""
        return self.metadata.damage_count

    @property
    def sources(self) -> Sequence[SourceState]:
        """The run's sources in the order they were folded: key, resume point, size, exits and marks of each."""
        return self.metadata.sources

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """Where the history's step went back."""
        raise NotImplementedError

    def console(self, source: int) -> Console:
        """Where the console chunks of a source stand, in file order."""
        raise NotImplementedError

    def locate(self, record: int) -> tuple[int, int]:
        """Source number and byte offset of a history record; IndexError when there is no such record."""
        return self.history.rows.locate(record)

    @property
    def last_step(self) -> int | None:
        """The step logged last, where each key takes back its own points; else None: it is that of the last row."""
        return last_step(self.metadata.sources)


class ConsoleTable:
    """The console chunks of one source, growing."""

    __slots__ = ("offsets", "sizes", "stderr", "times")

    def __init__(self, chunks: Console) -> None:
        self.offsets = Vector(chunks.offsets)
        self.times = Vector(chunks.times)
        self.stderr = Vector(chunks.stderr)
        self.sizes = Vector(chunks.sizes)

    def append(self, chunks: Console) -> None:
        """Put chunks behind the last."""
        self.offsets.append(chunks.offsets)
        self.times.append(chunks.times)
        self.stderr.append(chunks.stderr)
        self.sizes.append(chunks.sizes)

    def chunks(self) -> Console:
        """All of them."""
        count = len(self.offsets)
        return Console(
            self.offsets.slice(0, count),
            self.times.slice(0, count),
            self.stderr.slice(0, count),
            self.sizes.slice(0, count),
        )

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        return self.offsets.nbytes + self.times.nbytes + self.stderr.nbytes + self.sizes.nbytes


INDEX_BYTES = 8192
"""What an index takes in memory before it has any columns, about."""
NO_CHUNKS = Console(np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_), np.empty(0, np.int64))


class RunIndex(IndexedRun):
    """The index of one run, folded batch by batch.

    One thread folds and answers; `encode` may run beside answers, but not beside a fold.
    """

    history: GrowingTable
    system: GrowingTable
    metadata: Metadata

    def __init__(self) -> None:
        self.metadata = Metadata()
        self.history = _empty_table()
        self.system = _empty_table()
        self.consoles: list[ConsoleTable] = []

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """As `IndexedRun`."""
        return self.history.rows.rewinds

    @property
    def nbytes(self) -> int:
        """Memory held, about, bytes."""
        return INDEX_BYTES + self.history.nbytes + self.system.nbytes + sum(console.nbytes for console in self.consoles)

    def console(self, source: int) -> Console:
        """As `IndexedRun`."""
        return self.consoles[source].chunks()

    def start_source(self, key: str, rank: int = 0) -> int:
        """The next source (segment) of this run begins; gives its number, from 0.

        A metric that several sources hold is taken from the one with the lowest `rank`.
        """
        self.metadata.sources.append(SourceState(key, rank=rank))
        self.consoles.append(ConsoleTable(NO_CHUNKS))
        return len(self.metadata.sources) - 1

    def set_resume(self, source: int, resume: Resume, size: int) -> None:
        """Remember where to read a source on, and how long it was then (bytes)."""
        self.metadata.sources[source].resume = resume
        self.metadata.sources[source].size = size

    def fold(self, batch: Batch, source: int | None = None) -> None:
        """Take in one batch of a source: the one started last, where none is named. Raises SourcesOverlap."""
        number = len(self.metadata.sources) - 1 if source is None else source
        state = self.metadata.sources[number]
        if isinstance(batch, Rows):
            self._fold_rows(batch, number)
        elif isinstance(batch, Console):
            self.consoles[number].append(batch)
        elif isinstance(batch, Purge):
            self._purge(batch.step, number)
        else:
            self.metadata.fold(batch, state)

    def _fold_rows(self, batch: Rows, number: int) -> None:
        table = self.history if batch.table == "history" else self.system
        if not batch.by_key or not len(batch.offsets):
            table.fold(batch, Origin(number, self.metadata.sources[number].rank))
            return
        state = self.metadata.sources[number]
        origin = origin_of(self.metadata.sources, number, batch)
        batch = batch._replace(steps=resolve(batch.steps, state.row_step))
        state.row_step = int(batch.steps[-1])
        if state.purge is not None:
            table.purge(state.purge, origin)
            state.purge = None
        first, rewinds = table.total_rows, len(self.rewinds)
        table.fold(batch, origin)
        again = [rewind.row for rewind in self.rewinds[rewinds:]]
        reached = int(table.rows.steps_from(max([first, *again])).max())
        state.last_step = reached if again or state.last_step is None else max(state.last_step, reached)

    def _purge(self, step: int, number: int) -> None:
        """A source without rows may have been begun beside others: its first row will tell."""
        state = self.metadata.sources[number]
        if state.session < 0:
            state.purge = step
        else:
            self.history.purge(step, origin_beside(self.metadata.sources, number))


def _empty_table() -> GrowingTable:
    vectors = Vector.empty(np.int64), Vector.empty(np.int64), Vector.empty(np.float64)
    return GrowingTable(GrowingRows(*vectors, Pieces([], [], 0), Stretches([], []), []), {}, {})
