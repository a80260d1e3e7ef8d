"""What is kept of a run beside its index: how far it was, what the user says of it, what answers worked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a run was at some moment, in positions that stay what they are however its index is made."""

    records: int
    """Of its history, voided ones too; -1 while it was not indexed."""
    step: int | None
    state: str
    """As its condition says, but for one that has only started and whose process lives: that runs."""
    exit_code: int | None
    segments: int
    console: int
    """See `RunView.console_end`."""
    beginning: int = 0
    """Another number, another log: of how its first source begins; 0: not known, or nothing to tell logs apart by."""


class Past(NamedTuple):
    """What a project's runs were like at some moment."""

    marks: Mapping[str, Mark] | None
    """By run id (of several projects: by what a run is `known_by`); None: nobody had looked at the project yet."""
    unseen: frozenset[str] = frozenset()
    """Of several projects: the roots of those nobody had looked at yet."""


class Annotation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the user says of a run with `tag` and `note`; the run's log says nothing of it."""

    added: tuple[str, ...] = ()
    """Tags the log does not give it."""
    removed: tuple[str, ...] = ()
    """Tags the log gives it."""
    note: str = ""

    def tags(self, logged: Sequence[str]) -> tuple[str, ...]:
        """The run's tags, of those that were logged: each once."""
        return tuple(tag for tag in dict.fromkeys([*logged, *self.added]) if tag not in self.removed)

    def notes(self, logged: str | None) -> str | None:
        """The run's notes: those that were logged, then the user's own."""
        return "\n".join(text for text in (logged, self.note) if text) or None


class Memory(Protocol):
    """What answers keep with a run, so as not to work it out again; nothing here knows what it is."""

    @property
    def folds(self) -> dict[str, Any]:
        """Kept as long as the run's index is the same or goes on (see `Table.altered` for what goes back)."""

    note: bytes
    """Kept on disk too, whatever becomes of the index: it must say itself what it was made from. Empty: none."""
