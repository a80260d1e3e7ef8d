"""`since`: what is new since a cursor was given."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import msgspec
from msgspec import Meta

from runwise_protocol.duration import Length, seconds, spelled
from runwise_protocol.queries.diagnose import CurveEvent
from runwise_protocol.query import Number, Query, Reply, Word


class NewBest(msgspec.Struct, kw_only=True):
    """A main metric that is better than it ever was."""

    key: str
    value: Number
    step: int
    before: Number | None
    """The best until then."""


class Change(msgspec.Struct, kw_only=True):
    """What is new of one run."""

    id: str
    name: str
    change: Literal["new", "went on", "gone", "is"]
    """``is``: the answer tells all there is, not what is new."""
    state: str
    proof: str
    was: str | None
    """Its state then, where it is another one."""
    step: int | None
    from_step: int | None
    """The step then."""
    records: int
    """Rows logged since; with `anew` all of them."""
    anew: bool
    """Its log was begun anew: another one lies there, or less of it. What is told is of that one, not since the
    cursor."""
    restarts: int
    """Starts of the program since."""
    metrics: dict[str, Number]
    """Latest values of the main metrics, where rows were logged."""
    bests: list[NewBest]
    events: list[CurveEvent]
    """Findings that nobody could have made then."""
    errors: list[str]
    """The last new console lines that speak of an error; secrets in them are hidden."""
    error_lines: int
    """How many there are."""
    trouble: str | None
    """Why what it printed cannot be read."""
    root: str | None
    """The project's folder, where the news are of all projects."""


class News(Reply, kw_only=True):
    """Answer to `since`."""

    cursor: str
    """Stands for what is told here: ask with it the next time."""
    full: bool
    """All there is: there was no cursor to go from."""
    unknown: bool
    """The cursor that was given is not known (any more)."""
    runs: list[Change]
    """State changes first, then new runs, then the others; empty: nothing is new."""
    states: dict[str, int]
    """With `full`: how many runs there are in each state."""


class Since(Query, frozen=True, kw_only=True, tag="since"):
    """Tell what is new since a cursor: runs, states, bests, anomalies, progress, console errors; nothing: no output.

    Answers about live runs end with a cursor (@c7xk). Without one, or with one that is not known any more, all that is
    going on is told, once.
    """

    command: ClassVar = "since"
    tool: ClassVar = "changes_since"
    reply: ClassVar = News
    budget: ClassVar = 300

    cursor: Annotated[Word | None, Meta(description="Cursor, as answers end with.", extra={"positional": True})] = None
    runs: Annotated[
        tuple[Word, ...],
        Meta(description="Only these runs.", max_length=50, extra={"flags": ("-r", "--run")}),
    ] = ()
    all: Annotated[
        bool,
        Meta(description="Of every project that was ever asked about.", extra={"flags": ("-a", "--all")}),
    ] = False
    wait: Annotated[
        Length | None,
        Meta(description="Where nothing is new, wait for it: 30s, 9m.", extra={"flags": ("--wait",)}),
    ] = None

    @property
    def patience(self) -> float:
        """See `Query`."""
        return seconds(self.wait) if self.wait else 0.0

    def resumed(self, said: str) -> Self:
        """See `Query`."""
        try:
            return msgspec.structs.replace(self, wait=spelled(min(float(said.partition(" ")[2]), self.patience)))
        except ValueError:
            return self
