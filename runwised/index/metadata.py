"""Everything a run's log says beside rows and console: who it is, how it was set up, how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runwised.formats.record import (
    Alert,
    Damage,
    Definition,
    Exit,
    Facts,
    Identity,
    Link,
    Mark,
    Patch,
    Path,
    Resume,
    escape,
)

DEPTH = 100
"""Nesting up to which config and summary are kept; nothing that walks them later runs out of stack."""
TOO_DEEP = "nested too deep to show"


class SourceState(msgspec.Struct, omit_defaults=True):
    """What is known of one source (segment) of a run, beside its rows."""

    key: str
    """The caller's name for it."""
    resume: Resume = Resume()
    size: int = 0
    """Its length when it was read up to `resume`, bytes."""
    exits: list[Exit] = []
    marks: list[Mark] = []
    links: list[str] = []
    """Folders where it says other logs of the run lie."""
    rank: int = 0
    session: int = -1
    """Which start of the program wrote it, among the sources of its rank; -1 while that does not matter."""
    first_time: float | None = None
    last_time: float | None = None
    """The first row's time, and the latest of all rows, epoch seconds."""
    row_step: int | None = None
    """The step of its last row by key: a row without one gets the next."""
    last_step: int | None = None
    """The step it has reached, since it last went back."""
    purge: int | None = None
    """The step from which on it takes everything back, while it has no row that tells when it was begun."""


class Metadata(msgspec.Struct, omit_defaults=True):
    """A run's metadata, merged from all its sources."""

    identity: Identity = Identity()
    created: float | None = None
    facts: dict[str, Any] = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    definitions: dict[str, Definition] = {}
    alerts: list[Alert] = []
    damage: dict[str, int] = {}
    damage_count: int = 0
    sources: list[SourceState] = []

    def fold(
        self, batch: Patch | Identity | Facts | Definition | Exit | Alert | Mark | Link | Damage, source: SourceState
    ) -> None:
        """Take in one batch of a source."""
        match batch:
            case Patch():
                patch(self.config if batch.target == "config" else self.summary, batch)
            case Identity():
                self._identify(batch)
            case Facts():
                self.facts.update((name, _within(value, DEPTH)) for name, value in batch.fields.items())
            case Definition():
                self.definitions[f"{'glob' if batch.glob else 'key'} {batch.key}"] = batch
            case Exit():
                source.exits.append(batch)
            case Alert():
                self.alerts.append(batch)
            case Mark():
                source.marks.append(batch)
            case Link():
                source.links.append(batch.folder)
            case Damage():
                self.damage[batch.reason] = self.damage.get(batch.reason, 0) + batch.length
                self.damage_count += 1

    def _identify(self, later: Identity) -> None:
        said = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
        self.identity = msgspec.structs.replace(self.identity, **said)
        if self.created is None:
            self.created = later.start_time


def patch(tree: dict[str, Any], change: Patch) -> None:
    """Apply a change to a nested dict: every set in order, then every removal."""
    for path, value in change.sets:
        *parents, last = _cut(path)
        _parent(tree, parents)[last] = _within(value, DEPTH)
    for path in change.removes:
        *parents, last = _cut(path)
        node: Any = tree
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)


def _parent(tree: dict[str, Any], parents: Sequence[str]) -> dict[str, Any]:
    """The dict at `parents`, made where it is missing or something else stands in the way."""
    for part in parents:
        child = tree.get(part)
        if not isinstance(child, dict):
            child = tree[part] = {}
        tree = child
    return tree


def _cut(path: Path) -> Path:
    """A path of at most `DEPTH` elements: those behind are joined to one."""
    return path if len(path) <= DEPTH else (*path[: DEPTH - 1], escape(path[DEPTH - 1 :]))


def _within(value: Any, depth: int) -> Any:
    """The value, containers below `depth` replaced by a note."""
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return TOO_DEEP
    if isinstance(value, dict):
        return {name: _within(part, depth - 1) for name, part in value.items()}
    return [_within(part, depth - 1) for part in value]
