"""`ProjectView`: all runs of one project, as the questions see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runwised.index.view import RunView
from runwised.settings import RunwiseConfig


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
    def notes(self) -> Sequence[str]:
        """One line each for what is unusual: a root that does not answer, a cache that cannot be written …"""
