"""`Project`: the runs of one place as they were when a question arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runwised.catalog.loose import Looked
from runwised.catalog.run import Run
from runwised.index.kept import Past
from runwised.settings import RunwiseConfig

if TYPE_CHECKING:
    from runwised.catalog.holdings import Holdings


class Project(NamedTuple):
    """A project as it was when a question arrived; see `runwised.queries.project.ProjectView`."""

    root: str
    now: float
    config: RunwiseConfig
    runs: tuple[Run, ...]
    unindexed: int
    notes: tuple[str, ...]
    holdings: Holdings
    """Where it was taken from."""
    named: str | None = None
    """See `runwised.queries.project.ProjectView`."""

    @property
    def places(self) -> list[Looked]:
        """Where logs are looked for, what was found there and what was passed over."""
        return self.holdings.places()

    def cursor(self) -> str:
        """See `ProjectView`."""
        return self.holdings.cursor()

    def past(self, cursor: str) -> Past | None:
        """See `ProjectView`."""
        return self.holdings.past(cursor)
