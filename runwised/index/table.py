"""A run's rows and the columns over them, as `view.Table` shows them, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from runwised.formats.record import Floats, Ints
from runwised.index.column import Column
from runwised.index.names import Names
from runwised.index.presence import Presence
from runwised.index.rows import RowTable
from runwised.index.sampling import sample
from runwised.index.step_rows import StepRows
from runwised.index.view import Buckets, Other, Series, Stats

LOWEST, HIGHEST = -(2**63), 2**63 - 1


class ColumnTable:
    """What all tables share; how columns are kept is left to those below."""

    __slots__ = ("__weakref__", "_shown")

    if TYPE_CHECKING:  # an attribute of a table in memory, worked out when asked for of one in a file

        @property
        def rows(self) -> RowTable:
            """The rows the columns stand on."""

    def __init__(self) -> None:
        self._shown: Names | None = None

    def numeric_keys(self) -> Iterable[str]:
        """Escaped keys that ever held numbers, in the order of their first appearance."""
        raise NotImplementedError

    def other_keys(self) -> Iterable[str]:
        """Escaped keys that ever held other values, in the order of their first appearance."""
        raise NotImplementedError

    def presences(self, key: str) -> Iterable[tuple[Presence, int | None]]:
        """Where an escaped key stands, as numbers and as other values; with the rank of the source of the numbers."""
        raise NotImplementedError

    def count(self, key: str) -> int:
        """Served points of a key; 0 when it never held numbers."""
        raise NotImplementedError

    def column(self, key: str) -> Column:
        """The column of a key of `numeric_keys`."""
        raise NotImplementedError

    def stats_of(self, key: str) -> Stats:
        """Statistics of a key of `numeric_keys` with served points."""
        raise NotImplementedError

    def other(self, key: str) -> Other | None:
        """What a key of `other_keys` holds beside numbers; None when nothing of it is served."""
        raise NotImplementedError

    @property
    def row_count(self) -> int:
        """As `view.Table`."""
        return self.rows.pieces.served

    @property
    def total_rows(self) -> int:
        """As `view.Table`."""
        return len(self.rows.offsets)

    @property
    def names(self) -> Sequence[str]:
        """As `view.Table`."""
        shown = self._names().by_key
        return [shown[key] for key in self.numeric_keys() if not shown[key].startswith("_") and self.count(key)]

    @property
    def others(self) -> Mapping[str, Other]:
        """As `view.Table`."""
        shown = self._names().by_key
        every = ((shown[key], self.other(key)) for key in self.other_keys())
        return {name: other for name, other in every if other is not None}

    def stats(self, name: str) -> Stats:
        """As `view.Table`."""
        return self.stats_of(self._key(name))

    def altered(self, name: str) -> int:
        """As `view.Table`."""
        return self.column(self._key(name)).altered

    def position(self, step: int) -> int:
        """As `view.Table`."""
        return self.rows.position(max(step, LOWEST)) if step <= HIGHEST else self.row_count

    def steps(self, start: int, stop: int) -> Ints:
        """As `view.Table`."""
        return self.rows.served_steps(*self._span(start, stop))

    def times(self, start: int, stop: int) -> Floats:
        """As `view.Table`."""
        return self.rows.served_times(*self._span(start, stop))

    def numbers(self, start: int, stop: int) -> Ints:
        """As `view.Table`."""
        return self.rows.pieces.numbers(*self._span(start, stop))

    def records(self, numbers: Ints) -> Ints:
        """As `view.Table`."""
        return self.rows.records(numbers)

    def records_of(self, start: int, stop: int) -> Ints:
        """As `view.Table`."""
        return self.rows.records_of(start, stop)

    def record_step(self, record: int) -> int:
        """As `view.Table`."""
        return self.rows.record_step(record)

    def names_of(self, rank: int) -> list[str]:
        """Those of `names` whose numbers are taken from sources of this rank."""
        shown = self._names().keys
        owners = ((name, owner) for name in self.names for _, owner in self.presences(shown[name]))
        return [name for name, owner in owners if owner == rank]

    def holds(self, key: str, step: int, source: int) -> bool:
        """Whether what a source says of an escaped key at a step is served; only of tables by step."""
        return any(presence.stands_at(step, source) for presence, _ in self.presences(key))

    @property
    def by_step(self) -> bool:
        """As `view.Table`."""
        return isinstance(self.rows, StepRows)

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        """As `view.Table`."""
        column = self.column(self._key(name))
        begin, end = self._span(start, stop)
        return column.series(column.presence.point(begin), column.presence.point(end))

    def sample(self, name: str, most: int, start: int = 0, stop: int | None = None) -> Buckets:
        """As `view.Table`."""
        return sample(self.column(self._key(name)), most, *self._span(start, stop))

    def _span(self, start: int, stop: int | None) -> tuple[int, int]:
        end = self.row_count if stop is None else min(max(stop, 0), self.row_count)
        return min(max(start, 0), end), end

    def _key(self, name: str) -> str:
        key = self._names().keys.get(name)
        if key is None or not self.count(key):
            raise KeyError(name)
        return key

    def _names(self) -> Names:
        if self._shown is None:
            self._shown = Names.of([*self.numeric_keys(), *self.other_keys()])
        return self._shown
