"""What a question sees of a run: read-only, exact, and cheap whatever the run's length.

Positions and numbers. A run's rows have a *number*: their order over all its sources, from 0, for ever the same.
When a later row goes back to a step that was already logged, the rows from that step on are *voided*: the program
took them back. The rows that are left, the *served* rows, have strictly increasing steps, and are counted by
*position*, from 0 without gaps. Every method here speaks of served rows unless it says otherwise.

Where each key takes back its own points (`Table.by_step`), what was logged one by one is a *record*, a row is a step
with all that is served of its records, and its number is the step. Elsewhere rows and records are the same.

Names. `names` are what a person sees: the plain path ``opt.lr``. Only where two different paths print alike does the
one with a dot inside an element show its escaped form ``opt\\.lr``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from runwised.formats.record import Alert, Definition, Floats, Ints, Row, Text
from runwised.index.kept import Annotation, Mark, Memory

State: TypeAlias = Literal[
    "running", "finished", "failed", "crashed", "killed", "preempted", "ended", "empty", "unknown"
]


class Stats(msgspec.Struct, array_like=True, kw_only=True):
    """Exact statistics of one metric over all its served points; steps and row numbers are those of the points.

    `min`, `max`, `mean` and `std` are of the finite values only and None when there is none. `std` is the population
    standard deviation (divided by the number of finite values).
    """

    count: int
    nonfinite: int
    first: float
    last: float
    first_step: int
    last_step: int
    last_row: int
    last_finite: float | None = None
    min: float | None = None
    min_step: int | None = None
    min_row: int | None = None
    max: float | None = None
    max_step: int | None = None
    max_row: int | None = None
    mean: float | None = None
    m2: float = 0.0
    """Sum of squared differences from the mean, in units of ``4**m2_scale``."""
    m2_scale: int = 0
    """Not 0 only where squares of huge or tiny values leave the range of a float64."""
    first_nonfinite_step: int | None = None

    @property
    def std(self) -> float | None:
        """Population standard deviation of the finite values."""
        finite = self.count - self.nonfinite
        half = self.m2_scale // 2
        return math.sqrt(self.m2 / finite) * 2.0**half * 2.0 ** (self.m2_scale - half) if finite else None


class Buckets(NamedTuple):
    """A curve as consecutive groups of points; all arrays have shape (b,), empty groups are left out.

    `min`, `max`, `mean` are of the finite values (NaN when a group has none); `first` and `last` may be non-finite.
    """

    slot: Ints
    """Which of the equal shares of the asked range the group falls in (by its first point), from 0."""
    n: Ints
    nonfinite: Ints
    min: Floats
    max: Floats
    mean: Floats
    first: Floats
    last: Floats
    row_from: Ints
    row_to: Ints
    """Numbers of the first and the last row in the group (inclusive)."""
    step_from: Ints
    step_to: Ints
    time_from: Floats
    time_to: Floats


class Series(NamedTuple):
    """Points of one metric; all arrays have shape (n,)."""

    rows: Ints
    steps: Ints
    times: Floats
    values: Floats


class Other(msgspec.Struct, frozen=True):
    """What a key holds beside numbers."""

    kind: str
    count: int
    last: str
    """JSON text (bare NaN and Infinity allowed)."""
    last_step: int


class Source(NamedTuple):
    """One file a run is read from."""

    path: str
    """Relative to the project root where it lies below it, else absolute."""
    format: str
    size_bytes: int
    unread_bytes: int
    """Bytes in the file when the question arrived that the answer does not stand on."""
    incomplete_bytes: int = 0
    """Bytes at its end that were read and are only the beginning of a line or record."""


class Rewind(NamedTuple):
    """The row `row` went back to `to_step` when `from_step` had been reached; `voided` rows were taken back."""

    row: int
    from_step: int
    to_step: int
    voided: int


class Line(NamedTuple):
    """One console line, carriage returns resolved: a progress bar is its last state."""

    time: float
    """Epoch seconds of its first chunk; NaN when not known."""
    stderr: bool
    text: str


class Table(Protocol):
    """Rows and the columns over them; the run's history, or its system samples."""

    @property
    def row_count(self) -> int:
        """Served rows."""

    @property
    def total_rows(self) -> int:
        """All records, voided ones too."""

    @property
    def names(self) -> Sequence[str]:
        """Numeric metrics in the order of their first appearance; those that begin with ``_`` are left out."""

    @property
    def others(self) -> Mapping[str, Other]:
        """Keys that hold other values (a key of mixed type is in `names` too)."""

    def stats(self, name: str) -> Stats:
        """Exact statistics; KeyError when there is no such metric."""

    def altered(self, name: str) -> int:
        """A number that differs when a metric has lost points it served, or gained some between them, since it was
        asked for before; the same while it only goes on. KeyError when there is no such metric.
        """

    def position(self, step: int) -> int:
        """Position of the first served row at or after `step`; `row_count` when there is none."""

    def steps(self, start: int, stop: int) -> Ints:
        """Steps of the rows at positions [start, stop)."""

    def times(self, start: int, stop: int) -> Floats:
        """Epoch seconds of the rows at positions [start, stop)."""

    def numbers(self, start: int, stop: int) -> Ints:
        """Row numbers of the rows at positions [start, stop)."""

    @property
    def by_step(self) -> bool:
        """Whether each key takes back its own points: a row is then a step, whatever records it came with, and its
        number is the step; records are still counted in file order."""

    def records(self, numbers: Ints) -> Ints:
        """The newest record of each of these rows (increasing); the same numbers unless `by_step`."""

    def records_of(self, start: int, stop: int) -> Ints:
        """The records of the rows with numbers in [start, stop), in file order; voided ones are among them."""

    def record_step(self, record: int) -> int:
        """The step of a record."""

    def series(self, name: str, start: int = 0, stop: int | None = None) -> Series:
        """All points of a metric among the rows at positions [start, stop)."""

    def sample(self, name: str, most: int, start: int = 0, stop: int | None = None) -> Buckets:
        """The metric over positions [start, stop) in at most `most` groups, every point in exactly one.

        Cost grows with `most`, not with the number of points. Group edges may be off the equal shares by less than a
        quarter of a share (they lie on kept bucket edges); each group's own rows, steps and count are exact. Ranges
        of at most 4 * `most` points are grouped exactly.
        """


class Unreadable(Exception):  # noqa: N818 - a finding, worded as one
    """A source cannot be read back; `path` and `reason` say which and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Condition(NamedTuple):
    """What a run is doing, and how that is known."""

    state: State
    """``ended``: it is over, and its log is of a kind that does not say how."""
    proof: str
    """One short clause: ``exit code 0``, ``pid 4711 is gone``, ``no growth for 3 h, host trainbox``."""
    exit_code: int | None
    pid: int | None = None


class RunView(Protocol):
    """One logical run, over all its sources."""

    @property
    def id(self) -> str:
        """The run id."""

    @property
    def name(self) -> str:
        """What the user called it; the id when it has no name."""

    @property
    def project(self) -> str | None:
        """W&B project, or the folder's name for other logs."""

    @property
    def entity(self) -> str | None:
        """W&B entity (team or user)."""

    @property
    def group(self) -> str | None:
        """Group."""

    @property
    def job_type(self) -> str | None:
        """Job type."""

    @property
    def notes(self) -> str | None:
        """What the user wrote about it, logged and `annotation` together."""

    @property
    def tags(self) -> Sequence[str]:
        """Tags, logged and `annotation` together."""

    @property
    def annotation(self) -> Annotation:
        """Which part of its tags and notes was not logged."""

    @property
    def sweep_id(self) -> str | None:
        """Sweep it belongs to."""

    @property
    def host(self) -> str | None:
        """Host it ran on."""

    @property
    def created(self) -> float | None:
        """Epoch seconds: start of the first segment."""

    @property
    def updated(self) -> float | None:
        """Epoch seconds: last logged row, or the last growth of a source when that is later."""

    @property
    def condition(self) -> Condition:
        """State, with its proof."""

    @property
    def sources(self) -> Sequence[Source]:
        """The files it is read from, oldest segment first."""

    @property
    def segments(self) -> int:
        """How many times the program was started under this id."""

    @property
    def indexed(self) -> bool:
        """False: only the head and the tail of the log have been read so far; `history` and `system` are empty then,
        `step`, `config` and `summary` are what those told."""

    @property
    def step(self) -> int | None:
        """Last step."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where it ran: os, python, host, program, args, git, gpu …"""

    @property
    def packages(self) -> Mapping[str, str]:
        """Versions of the Python packages that were installed when it was started last; empty when not known."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration, nested, bookkeeping left out."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Summary as W&B would show it, nested."""

    @property
    def from_console(self) -> Sequence[str]:
        """Metrics that are known only from what the program printed."""

    @property
    def definitions(self) -> Sequence[Definition]:
        """What define_metric said."""

    @property
    def alerts(self) -> Sequence[Alert]:
        """Alerts raised."""

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """Where the step went back."""

    @property
    def damage(self) -> Mapping[str, int]:
        """Bytes passed over, by reason."""

    @property
    def memory(self) -> Memory:
        """What answers keep with it."""

    @property
    def history(self) -> Table:
        """The logged metrics."""

    @property
    def system(self) -> Table:
        """System samples (cpu, memory, gpu …); their steps are sample numbers."""

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        """Exact rows by *number* in [start, stop), read back from the sources. Where the history is `by_step`, a row
        is made of what is served of all its records; else voided rows are given too."""

    def records(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        """Exact records in file order, [start, stop), voided ones too, read back from the sources."""

    @property
    def heard(self) -> float | None:
        """Epoch seconds of the program's own last sign: its last row, or what it printed. System samples are none."""

    @property
    def console_end(self) -> int:
        """Where the console of the newest segment ends now; negative where it is read from the log itself."""

    def console_from(self, end: int, *, ended: bool = False) -> Iterator[Line]:
        """Console lines of the newest segment that were not whole at a `console_end`; all of them where that was
        another's. With `ended` without a last one that has no end yet."""

    @property
    def mark(self) -> Mark:
        """How far it is."""

    def console(self, *, newest_first: bool = False) -> Iterator[Line]:
        """Console lines, from the log or from output.log, whichever reaches further."""

    def console_between(self, start: float, stop: float) -> Iterator[Line]:
        """Console lines printed in [start, stop), epoch seconds, oldest first: what was printed of them by then. Only
        those whose times the log tells; the rest of the console is not read."""

    def texts(self) -> Iterator[Text]:
        """Console chunks as the program wrote them."""
