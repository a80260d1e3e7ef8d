"""`config` and `notes`: what was set and what was written about a run."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from runwise_protocol.query import Keys, Query, Reply, RunRef


class ConfigReply(Reply, kw_only=True):
    """Answer to `config`: nested, secrets hidden unless asked for."""

    run: str
    config: dict[str, Any]
    hidden: list[str]
    """Keys whose values look like secrets and are not shown."""


class ShowConfig(Query, frozen=True, kw_only=True, tag="config"):
    """Show a run's configuration, nested keys joined with dots."""

    command: ClassVar = "config"
    reply: ClassVar = ConfigReply
    budget: ClassVar = 400

    run: RunRef = None
    keys: Keys = ()
    show_secrets: Annotated[bool, Meta(description="Show values that look like tokens, keys or passwords.")] = False


class NotesReply(Reply, kw_only=True):
    """Answer to `notes`."""

    run: str
    name: str
    notes: str | None
    """Logged and one's own together."""
    tags: list[str]
    """Logged and one's own together."""
    group: str | None
    alerts: list[dict[str, str]]
    added: list[str]
    """Tags of one's own."""
    removed: list[str]
    """Logged tags that were taken off."""
    note: str
    """One's own part of the notes: its end."""


class ShowNotes(Query, frozen=True, kw_only=True, tag="notes"):
    """Show a run's notes, tags, group and alerts."""

    command: ClassVar = "notes"
    reply: ClassVar = NotesReply
    budget: ClassVar = 300

    run: RunRef = None
