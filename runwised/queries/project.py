"""`ProjectView`: all runs of one project, as the questions see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runwised.index.kept import Past
from runwised.index.view import RunView
from runwised.settings import RunwiseConfig


class LogView(Protocol):
    """One log, or one run of a store."""

    @property
    def path(self) -> str:
        """Absolute."""

    @property
    def run_id(self) -> str:
        """As names say; the run itself may know better."""

    @property
    def format(self) -> str:
        """Name of its format or store."""


class PassedView(Protocol):
    """A file that is not read, or several of one folder and kind; then its path is a pattern."""

    @property
    def path(self) -> str:
        """Absolute."""

    @property
    def reason(self) -> str:
        """Why it is not read."""

    @property
    def files(self) -> int:
        """How many."""


class PlaceView(Protocol):
    """A folder, or a database, where logs are looked for."""

    @property
    def path(self) -> str:
        """Absolute."""

    @property
    def exists(self) -> bool:
        """Whether it is there."""

    @property
    def sources(self) -> Sequence[LogView]:
        """The logs in it."""

    @property
    def passed(self) -> Sequence[PassedView]:
        """What else is in it."""


class ProjectView(Protocol):
    """All runs found under one project root, as they were when the question arrived."""

    @property
    def root(self) -> str:
        """Absolute path."""

    @property
    def now(self) -> float:
        """Epoch seconds when the question arrived."""

    @property
    def config(self) -> RunwiseConfig:
        """The project's `runwise.json`, or the defaults."""

    @property
    def runs(self) -> Sequence[RunView]:
        """Newest first, by start of the latest segment."""

    @property
    def unindexed(self) -> int:
        """Runs that are not indexed yet (indexing goes on)."""

    @property
    def places(self) -> Sequence[PlaceView]:
        """Where logs are looked for."""

    @property
    def named(self) -> str | None:
        """What the question called the project (``-C``), and commands that go on must; None: nothing."""

    @property
    def notes(self) -> Sequence[str]:
        """One line each for what is unusual: a root that does not answer, a cache that cannot be written …"""

    def cursor(self) -> str:
        """The cursor that stands for what all runs are like now."""

    def past(self, cursor: str) -> Past | None:
        """What they were like when a cursor was given; None: it is not known, or no more."""
