"""What the ledger is told of a project's runs: those that are not what it says, when a cursor is asked for."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from runwised.catalog.ledger import Ledger
from runwised.catalog.resting import Resting
from runwised.catalog.run import Run
from runwised.index.kept import Mark, Past

MANY = 100
"""Of more runs than this the manifest is read whole, instead of where each stands."""


class Noting:
    """`name`: what the project is called in the ledger."""

    def __init__(self, ledger: Ledger, name: str, resting: Resting) -> None:
        self._ledger = ledger
        self._name = name
        self._resting = resting
        self._unnoted: set[Run] | None = None
        """Runs that are not what the ledger says, as far as is known; None: all."""

    def tell(self, run: Run) -> None:
        """It is not what it was."""
        if self._unnoted is not None:
            self._unnoted.add(run)

    def cursor(self, runs: Sequence[Run], is_told: Callable[[Run], bool], alive: Container[Run]) -> str:
        """The cursor for what `runs`, of which questions see those that are told, are like now.

        Costs as much as runs changed since the last one.
        """
        unnoted, self._unnoted = self._unnoted, set()
        if unnoted is not None and not unnoted:
            return self._ledger.note(self._name, {})
        known = self._ledger.names(self._name)
        gone: dict[str, Mark | None] = dict.fromkeys(known - {run.id for run in runs})
        new = [run for run in runs if (unnoted is None or run in unnoted or run.id not in known) and is_told(run)]
        for run in new:
            if run in alive:
                run.note_printed()
        marks = self._resting.marks() if len(new) > MANY else {}
        return self._ledger.note(self._name, {**gone, **{run.id: run.mark_of(marks) for run in new}})

    def past(self, cursor: str) -> Past | None:
        """What its runs were like when a cursor was given."""
        return self._ledger.past(self._name, cursor)
