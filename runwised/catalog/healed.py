"""A table that outlives a damaged sidecar: each question goes to whatever index the slot has by then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from runwised.catalog.slot import IndexSlot
from runwised.formats.record import Floats, Ints
from runwised.index.run_index import IndexedRun
from runwised.index.view import Buckets, Other, Series, Stats, Table

T = TypeVar("T")


class HealedTable:
    """A table of whatever index is in the slot when it is asked; see `runwised.index.view.Table`."""

    __slots__ = ("__weakref__", "_choose", "_slot")

    def __init__(self, slot: IndexSlot, choose: Callable[[IndexedRun], Table]) -> None:
        self._slot = slot
        self._choose = choose

    def _ask(self, question: Callable[[Table], T]) -> T:
        return self._slot.ask(lambda index: question(self._choose(index)))

    @property
    def row_count(self) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.row_count)

    @property
    def total_rows(self) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.total_rows)

    @property
    def names(self) -> Sequence[str]:
        """See `Table`."""
        return self._ask(lambda table: table.names)

    @property
    def others(self) -> Mapping[str, Other]:
        """See `Table`."""
        return self._ask(lambda table: table.others)

    def stats(self, name: str) -> Stats:
        """See `Table`."""
        return self._ask(lambda table: table.stats(name))

    def altered(self, name: str) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.altered(name))

    def position(self, step: int) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.position(step))

    def steps(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.steps(start, stop))

    def times(self, start: int, stop: int) -> Floats:
        """See `Table`."""
        return self._ask(lambda table: table.times(start, stop))

    def numbers(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.numbers(start, stop))

    def records(self, numbers: Ints) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.records(numbers))

    def records_of(self, start: int, stop: int) -> Ints:
        """See `Table`."""
        return self._ask(lambda table: table.records_of(start, stop))

    def record_step(self, record: int) -> int:
        """See `Table`."""
        return self._ask(lambda table: table.record_step(record))

    @property
    def by_step(self) -> bool:
        """See `Table`."""
        return self._ask(lambda table: table.by_step)

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        """See `Table`."""
        return self._ask(lambda table: table.series(name, start, stop))

    def sample(self, name: str, most: int, start: int = 0, stop: int | None = None) -> Buckets:
        """See `Table`."""
        return self._ask(lambda table: table.sample(name, most, start, stop))
