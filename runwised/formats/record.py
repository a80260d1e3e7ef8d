"""The vocabulary between readers and the index: what a log can say, as data.

A reader turns bytes into *batches*. A batch never holds a file handle, a clock or an exception; damage is a
batch like any other. Everything a batch says is absolute: offsets count bytes from the start of the source.

Keys. A metric's key is a path (``["opt", "betas", "b1"]``); here it is one string, the path's elements joined with
``.`` after `escape` has put a backslash before every dot and backslash inside an element. So two different paths are
never the same key; what a person sees is made in `runwised.index.view`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Path: TypeAlias = tuple[str, ...]

NO_STEP = -(2**63)
"""The step of a row that carries none (shared-mode W&B rows, system samples): the index numbers such rows itself."""


def escape(path: Sequence[str]) -> str:
    """Join a path's elements to one key; injective: different paths give different keys."""
    return ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in path)


class Column(NamedTuple):
    """One metric's numbers within a batch."""

    key: str
    rows: Ints | None
    """Row numbers within the batch, increasing; None when the metric is in every row."""
    values: Floats
    """One float64 a row named; NaN and infinities are values."""


class Other(NamedTuple):
    """What one key holds within a batch beside numbers: text, booleans, null, lists, media."""

    key: str
    rows: Ints
    kind: str
    """Of the last: ``string``, ``bool``, ``null``, ``list``, or a media ``_type`` (``histogram``, ``image-file`` …)."""
    last: bytes
    """The last value as JSON text (bare NaN and Infinity allowed); cut to null when longer than 64 KiB."""


class Rows(NamedTuple):
    """Consecutive logged rows as columns. ``n`` rows: `offsets`, `steps`, `times` have shape (n,)."""

    table: Literal["history", "system"]
    offsets: Ints
    """Byte offset of the row's record in its source."""
    steps: Ints
    """Step, or `NO_STEP`."""
    times: Floats
    """Epoch seconds; NaN when the row has none."""
    columns: tuple[Column, ...]
    others: tuple[Other, ...] = ()
    by_key: bool = False
    """What a step that goes back takes back: every key that is logged again its own points from there on (True), or
    all rows (False). By key, rows of one step are shown as one."""


class Purge(NamedTuple):
    """The program says that it goes on from `step`: every key of its history loses its points from there on."""

    offset: int
    step: int


class Patch(NamedTuple):
    """A change to the config or the summary: first every set in order, then every removal (of a whole subtree)."""

    target: Literal["config", "summary"]
    sets: Sequence[tuple[Path, Any]]
    """Values as `json.loads` gives them (int exact, NaN as float); a set replaces whatever stood at the path."""
    removes: Sequence[Path] = ()


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who the run is, as far as one record says; later records win field by field, None says nothing."""

    run_id: str | None = None
    name: str | None = None
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] | None = None
    sweep_id: str | None = None
    host: str | None = None
    start_time: float | None = None
    """Epoch seconds."""
    starting_step: int | None = None
    resumed: bool | None = None
    forked_from: str | None = None


class Facts(NamedTuple):
    """Where and how the program runs (os, python, host, program, args, gpu, git, wandb version …); later fields win."""

    fields: Mapping[str, Any]


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A metric's own description (W&B define_metric)."""

    key: str
    """The key, or with `glob` a pattern that ends in ``*``."""
    glob: bool = False
    step_key: str | None = None
    goal: Literal["minimize", "maximize"] | None = None
    summary: tuple[str, ...] = ()
    hidden: bool = False


class Console(NamedTuple):
    """Console chunks: where they stand, not their text. All arrays have shape (n,)."""

    offsets: Ints
    times: Floats
    stderr: NDArray[np.bool_]
    sizes: Ints
    """Length of each chunk's text, bytes."""


class Exit(NamedTuple):
    """The end of a run (or, with `not_complete`, of one of its writers)."""

    offset: int
    code: int
    runtime_seconds: float | None = None
    not_complete: bool = False


class Alert(NamedTuple):
    """A message the program raised."""

    offset: int
    title: str
    text: str
    level: str


class Mark(NamedTuple):
    """A bare fact of the log's own life: ``header`` (it was started), ``closed`` (ended cleanly), ``preempting``."""

    offset: int
    kind: Literal["header", "closed", "preempting"]


class Link(NamedTuple):
    """The log says where another one of the same run lies (event files that its writer copies from)."""

    offset: int
    folder: str
    """As the program named it: maybe relative to where it was started."""


class Damage(NamedTuple):
    """Bytes that could not be read and were passed over."""

    offset: int
    length: int
    reason: str


Batch: TypeAlias = Rows | Purge | Patch | Identity | Facts | Definition | Console | Exit | Alert | Mark | Link | Damage


class Hints(msgspec.Struct, frozen=True):
    """What the project's settings say of its logs; readers of formats that say it themselves pass it over."""

    step_key: str = ""
    """The key whose values are the steps; empty: it is recognised."""
    templates: tuple[str, ...] = ()
    """Lines of a text log as they look, with ``{name}`` where a number stands and ``{step}`` where the step does."""


NO_HINTS = Hints()


class Resume(msgspec.Struct, frozen=True):
    """Where to read on: everything before `offset` has been delivered whole."""

    offset: int = 0
    state: bytes = b""
    """The reader's own memory, opaque to everyone else."""


class Row(NamedTuple):
    """One logged row, exact: values as `json.loads` gives them, by escaped key."""

    step: int
    """`NO_STEP` where the record alone does not tell it."""
    time: float
    values: Mapping[str, Any]


class Text(NamedTuple):
    """One console chunk's text, as the program wrote it."""

    time: float
    stderr: bool
    text: str


class Reader(Protocol):
    """An incremental parser of one source.

    Feed it the source's bytes in order, beginning at ``resume.offset``, in pieces of any size. Batches are the same
    whatever the pieces were, up to where one `Rows` ends and the next begins. No exception leaves `feed`.
    """

    @property
    def resume(self) -> Resume:
        """Where a new reader can take over; never inside a record that has not been delivered."""

    def feed(self, data: bytes | bytearray | memoryview) -> Iterable[Batch]:
        """Take the next bytes; give what they complete, in file order."""

    def close(self) -> Iterable[Batch]:
        """The source has ended for good as far as is known: give what is readable of what was held back.

        The reader stays usable: `resume` does not move past a torn tail, and feeding more bytes goes on from there.
        """


class Probe(NamedTuple):
    """What the head and the tail of a source say without reading the middle."""

    identity: Identity
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    """The last known values, as far as the tail shows them; nested."""
    step: int | None
    time: float | None
    exit: Exit | None
    header: bool
    """The log was started (its header is there)."""
    closed: bool = False
    preempting: bool = False


class Format(Protocol):
    """One log format: pure functions on bytes. Registered in `runwised.formats.all_formats`."""

    name: str
    rewritten: bool
    """Its writers write the file anew as a whole: while a new one is being written, what the last one said stands."""
    console: bool
    """It is what a program printed: its lines are the run's console."""
    together: bool
    """Several sources of one run may be written at the same time (else: each begins when the one before has ended)."""
    tells_end: bool
    """Its writers say when they end: a run that is silent without such a word died."""

    def matches(self, filename: str, head: bytes) -> bool:
        """Whether a file of this name that begins with these bytes (at most 4 KiB, maybe none) is ours."""

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> Reader:
        """A reader at the start of the source, or where another stopped."""

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        """A first answer from the first 64 KiB and the last 128 KiB (or what there is) of the source."""

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The exact row whose record begins at ``data[0]``, which stands at `offset`; None: more bytes are needed.

        Raises ValueError when there is no whole row record at that place (the source changed under us).
        """

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:
        """The console chunk whose record begins at ``data[0]``; None and ValueError as for `row`."""
