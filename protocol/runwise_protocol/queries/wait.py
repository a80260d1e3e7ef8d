"""`wait`: answers when a condition comes to hold."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import msgspec
from msgspec import Meta

from runwise_protocol.duration import Length, seconds, spelled
from runwise_protocol.query import Number, Query, Reply, Word


class Progress(msgspec.Struct, kw_only=True):
    """How far a run is that was waited for."""

    id: str
    name: str
    state: str
    step: int | None
    total_steps: int | None
    """Where the run's configuration or its logs tell."""
    eta_seconds: float | None
    """To the last of them, at the present rate."""
    metrics: dict[str, Number]
    """Latest values of what the condition is about, or else of the main metrics."""
    missing: list[str]
    """Metrics of the condition that the run has not logged."""


class Waited(Reply, kw_only=True):
    """Answer to `wait`."""

    fired: bool
    """False: the time was over first, or the runs were."""
    over: bool
    """All the runs are over, and it has not come to pass."""
    clause: str | None
    """The part of the condition that came to hold."""
    run: str | None
    """Id of the run that it holds for; with --all the last one."""
    key: str | None
    """The metric or property it is about."""
    step: int | None
    value: Number | str | None
    cursor: str
    """Stands for all that was known when this was answered."""
    name: str | None
    runs: list[Progress]
    """The runs waited for, newest first; those that are over left out, unless all are."""

    @property
    def exit_status(self) -> int:
        """What the command exits with: 1 when it has not come to pass."""
        return 0 if self.fired else 1


class WaitFor(Query, frozen=True, kw_only=True, tag="wait"):
    """Wait until a condition holds for a run: EXPR as list --where takes, and new(KEY), anomaly, stalled>10m.

    Answers at once where it holds already, else as soon as it does, or the runs are over. A metric's value counts from
    when the waiting began: one that met the condition in between is found, at its step. Without RUN: the runs that go
    on, and those that begin.
    """

    command: ClassVar = "wait"
    tool: ClassVar = "wait_for"
    reply: ClassVar = Waited
    budget: ClassVar = 200

    runs: Annotated[
        tuple[Word, ...],
        Meta(description="Runs: ids, unique prefixes or names.", max_length=50, extra={"positional": True}),
    ] = ()
    until: Annotated[
        Word,
        Meta(description="What is waited for: val/loss<2.1 or state!=running.", extra={"flags": ("-u", "--until")}),
    ] = "state!=running"
    timeout: Annotated[Length, Meta(description="Longest wait: 90s, 9m, 2h.", extra={"flags": ("-t", "--timeout")})] = (
        "9m"
    )
    any: Annotated[bool, Meta(description="Until it holds for one of the runs (this is what is done anyway).")] = False
    all: Annotated[bool, Meta(description="Until it holds, or has held, for each of them.")] = False
    since: Annotated[
        Word | None,
        Meta(description="Cursor from which new() and anomaly count, and values; else they do from now."),
    ] = None

    @property
    def patience(self) -> float:
        """See `Query`."""
        return seconds(self.timeout)

    def resumed(self, said: str) -> Self:
        """See `Query`."""
        cursor, _, left = said.partition(" ")
        try:
            return msgspec.structs.replace(self, since=cursor, timeout=spelled(min(float(left), seconds(self.timeout))))
        except ValueError:
            return self
