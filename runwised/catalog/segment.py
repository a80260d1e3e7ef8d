"""One source of a run: what was last seen of its file, and what the file's head and tail say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anyio.to_thread
from msgspec.structs import asdict, replace

from runwised.catalog.discover import Found
from runwised.catalog.feeds import Log, Stamped, is_store, kind_named
from runwised.catalog.identity import Seen, look
from runwised.catalog.opening import open_source, read_head
from runwised.catalog.stores import Store
from runwised.formats import choose
from runwised.formats.record import NO_HINTS, Exit, Format, Hints, Identity, Probe

HEAD_BYTES = 64 << 10
TAIL_BYTES = 128 << 10
CHOICE_BYTES = 4096
STORED_BYTES = 64 << 10
"""What one run of a store is taken for, at most: its database's size says nothing of it."""
SHORTEST_BYTES = 7
"""A file shorter than any header is one that has only just been made."""


class Segment:
    """One start of a run's program, and the log it left."""

    __slots__ = (
        "_closed", "_format", "_probed", "_store", "_told", "asked", "error", "found", "grown_at", "hints",
        "path", "probe", "run_id", "said_start", "seen",
    )  # fmt: skip

    def __init__(self, found: Found) -> None:
        self.found = found
        self.path = found.path if not found.format else found.key
        """The log, of a store's run with its key; empty while there is none."""
        self.hints: Hints = NO_HINTS
        """What the project's settings say of it."""
        self.seen: Seen | None = None
        self.asked = 0
        """Its size when a question last asked."""
        self.grown_at: float | None = None
        """When we saw it grow, epoch seconds."""
        self.probe: Probe | None = None
        self.run_id: str | None = None
        """As the log itself says; None while that is not known."""
        self.said_start: float | None = None
        self.error = ""
        """Why it cannot be read."""
        self._closed: Seen | None = None
        """What was seen of it when it could not be read."""
        self._told: Seen | None = None
        """What the last `look` told of; it may have been looked at again since."""
        self._probed: Seen | None = None
        self._format: Format | None = None
        kind = kind_named(found.format) if found.format else None
        self._store: Store | None = None
        if kind is not None and is_store(kind):
            self._store = kind  # type: ignore[assignment]
        elif kind is not None:
            self._format = kind  # type: ignore[assignment]

    @property
    def is_stored(self) -> bool:
        """Whether it is a run of a store."""
        return self._store is not None

    @property
    def size(self) -> int:
        """Bytes in the log when it was last looked at."""
        size = self.seen.size if self.seen else 0
        return size if self._store is None else min(size, STORED_BYTES)

    @property
    def changed_at(self) -> float:
        """Modification time of the log, epoch seconds; 0 while there is none."""
        return self.seen.mtime_ns / 1e9 if self.seen else 0.0

    @property
    def started(self) -> float:
        """Epoch seconds: as the log says, else as the folder's name does, else when the file was last changed."""
        return self.said_start or self.found.started or self.changed_at

    @property
    def said_id(self) -> str:
        """The run id, as the log says or else the names of its folder and file."""
        return self.run_id or self.found.run_id

    def take(self, said: Stamped) -> None:
        """What the log says of itself, as its index or the manifest has it."""
        named = self.found.run_id
        self.run_id = named if said.run_id == named else said.run_id
        self.said_start = said.started

    @property
    def is_probed(self) -> bool:
        """Whether the probe stands on the file as it was last seen."""
        return self._probed is not None and self._probed == self.seen

    @property
    def is_readable(self) -> bool:
        """Whether it is there, and not as it was when it could not be read."""
        return self.seen is not None and self.seen != self._closed

    def close(self, error: OSError) -> None:
        """It cannot be read until it changes."""
        self._closed, self.error = self.seen, f"{error.filename}: {error.strerror}"

    def look(self, now: float) -> bool:
        """One stat; whether anything changed since the last one here: what `look_again` saw was told to nobody."""
        before = self._told
        if not self.path:
            return False
        if self._store is not None:
            return self._look_into_store(self._store, now)
        found = look(self.path)
        if found == before:
            self.seen = before
            return False
        self.seen = self._told = found
        self.asked = self.size
        if before is not None and found is not None and found.size > before.size:
            self.grown_at = now
        return True

    def met(self, seen: Seen) -> None:
        """It was found just now, and this is what was seen of it."""
        self.seen = self._told = seen
        self.asked = self.size

    def _look_into_store(self, store: Store, now: float) -> bool:
        before = self._told
        self.seen = self._told = store.look(self.found.path, self.found.store_key)
        self.asked = self.size
        if self.seen == before:
            return False
        if before is not None and self.seen is not None:
            self.grown_at = now
        return True

    @property
    def goes_on_beside(self) -> bool:
        """Whether it may be written while later sources of its run are."""
        form = self.choose_format()
        return self._store is not None or (form is not None and form.together)

    @property
    def tells_end(self) -> bool:
        """Whether its writer says when it ends; taken for so while its format is not known."""
        form = self._store or self.choose_format()
        return form is None or form.tells_end

    @property
    def is_console(self) -> bool:
        """Whether it is what the program printed."""
        return self._format is not None and self._format.console

    @property
    def is_rewritten(self) -> bool:
        """Whether its writer writes it anew as a whole."""
        return self._format is not None and self._format.rewritten

    def look_again(self) -> None:
        """One stat more, in the middle of a question; the next `look` still tells what changed."""
        if self._store is not None:
            self.seen = self._store.look(self.found.path, self.found.store_key)
        else:
            self.seen = look(self.path) if self.path else None

    async def read_probe(self) -> None:
        """Read the head and the tail, on another thread: disks may be slow. `error` says when that fails."""
        if self.is_probed:
            return
        self._probed, self.error, self.probe = self.seen, "", None
        if self.seen is None or not self.seen.size or self._store is not None:
            return
        try:
            ends = await anyio.to_thread.run_sync(_read_ends, self.path)
        except OSError as error:
            self.error = f"{self.path}: {error.strerror}"
            return
        form = self.choose_format()
        if form is None:
            self.error = self.error or f"{self.path}: not a log of a known format"
            return
        try:
            self.probe = form.probe(*ends, self.hints)
        except Exception as error:  # noqa: BLE001 - the boundary: one log must not keep the others from their answer
            self.error = f"{self.path}: cannot be probed: {error!r}"
            return
        self.run_id = self.probe.identity.run_id
        self.said_start = self.probe.identity.start_time
        self.check_start()

    def check_start(self) -> None:
        """Set `error` where W&B's log says nothing and its first bytes are why: others were chosen by these."""
        form = self.choose_format()
        if self.found.format or self.run_id is not None or form is None or self.size < SHORTEST_BYTES:
            return
        try:
            head = read_head(self.path, CHOICE_BYTES)
        except OSError as error:
            self.error = f"{self.path}: {error.strerror}"
            return
        if not form.probe(head, head, 0).header:
            self.error = f"{self.path}: does not begin as a {form.name} log does"

    def forget_probe(self) -> None:
        """The index knows more."""
        self.probe = self._probed = None

    def choose_format(self) -> Format | None:
        """How the log is read, by its name or else by its first bytes; None where no format knows it."""
        if self._format is None and self.path and self._store is None:
            name = os.path.basename(self.path)
            self._format = choose(name, b"")
            if self._format is None:
                try:
                    self._format = choose(name, read_head(self.path, CHOICE_BYTES))
                except OSError as error:
                    self.error = f"{self.path}: {error.strerror}"
        return self._format

    @property
    def format_name(self) -> str:
        """Name of the log's format or store; empty where none knows it."""
        form = self._store or self.choose_format()
        return form.name if form else ""

    def log(self) -> Log | None:
        """The source to index; None while there is nothing to read."""
        return self.source() if self.is_readable else None

    def source(self) -> Log | None:
        """The same, whatever became of the file; None while it is not known how it is read."""
        form = self._store or self.choose_format()
        return Log(self.found.path, form, self.found.store_key, self.hints) if form else None


def _read_ends(path: str) -> tuple[bytes, bytes, int]:
    descriptor = open_source(path)
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, HEAD_BYTES, 0)
        offset = max(size - TAIL_BYTES, 0)
        return head, os.pread(descriptor, TAIL_BYTES, offset), offset
    finally:
        os.close(descriptor)


class Told(NamedTuple):
    """What the heads and tails of all segments of a run say together; later segments win."""

    identity: Identity
    created: float | None
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    step: int | None
    time: float | None
    exit: Exit | None
    preempting: bool


def merge(segments: Sequence[Segment]) -> Told:
    """Put the probes together."""
    probes = [segment.probe for segment in segments if segment.probe is not None]
    identity = Identity()
    facts: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for probe in probes:
        said = {name: value for name, value in asdict(probe.identity).items() if value is not None}
        identity = replace(identity, **said)
        facts.update(probe.facts)
        summary.update(probe.summary)
    last = probes[-1] if probes and segments[-1].probe is not None else None
    starts = [probe.identity.start_time for probe in probes if probe.identity.start_time is not None]
    return Told(
        identity,
        starts[0] if starts else None,
        facts,
        next((probe.config for probe in reversed(probes) if probe.config), {}),
        summary,
        next((probe.step for probe in reversed(probes) if probe.step is not None), None),
        next((probe.time for probe in reversed(probes) if probe.time is not None), None),
        last.exit if last else None,
        last is not None and last.preempting,
    )
