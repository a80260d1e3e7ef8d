"""The reader of TensorBoard's event files, and the file as a `Format`."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from runwised.formats.protowire import WireError
from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Damage,
    Hints,
    Identity,
    Patch,
    Probe,
    Purge,
    Resume,
    Row,
    Rows,
    Text,
)
from runwised.formats.tfevents_alike import Alike, alike
from runwised.formats.tfevents_fast import Scalars, scalars
from runwised.formats.tfevents_rows import EventRows
from runwised.formats.tfevents_steps import StepNumbers, is_numbered
from runwised.formats.tfevents_values import Event, decode_event
from runwised.formats.tfrecord import Framed, RecordLog, read_record, record_size
from runwised.formats.tfrecord_bulk import FOOT_BYTES, HEAD_BYTES

_BULK_RECORDS = 24
"""From so many records on the bulk path is faster."""
_DATED = re.compile(r"tfevents\.\d")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class _Decoded(NamedTuple):
    """What records hold: what was decoded at once, and the other events one by one, None for what cannot be read."""

    scalars: Scalars | None
    alike: list[Alike]
    events: list[tuple[int, Event | None]]


class TfEventsReader:
    """Reads one event file; see `runwised.formats.record.Reader`."""

    def __init__(self, resume: Resume | None = None, *, lost: bool = False) -> None:
        """`lost`: the place to begin at need not be the start of a record."""
        self._log = RecordLog(resume.offset if resume else 0, lost=lost)
        self._numbers = StepNumbers(resume.state if resume else b"")

    @property
    def resume(self) -> Resume:
        """The first record not delivered, and which tags may be without steps."""
        return Resume(self._log.offset, self._numbers.state)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give what the events they complete say."""
        batches: list[Batch] = []
        for found in self._log.feed(data):
            if isinstance(found, Damage):
                batches.append(found)
            else:
                self._read(found, batches)
        return batches

    def close(self) -> list[Batch]:
        """Nothing: a record without its end may still grow."""
        return []

    def _read(self, framed: Framed, batches: list[Batch]) -> None:
        """What records say: the rows end where a session starts."""
        decoded = _decode(framed)
        events = [(record, event) for record, event in decoded.events if event]
        purges = {record: event.step for record, event in events if _is_restart(framed, record, event)}
        if not purges:
            self._tell(framed, decoded, batches)
            return
        for start, stop in pairwise(sorted({0, *purges, len(framed.starts)})):
            if start in purges:
                batches.append(Purge(framed.place(start), purges[start]))
                self._numbers.settle()
            part = framed.cut(start, stop)
            self._tell(part, _decode(part), batches)

    def _tell(self, framed: Framed, decoded: _Decoded, batches: list[Batch]) -> None:
        """What records say, but for starts of sessions."""
        rows = EventRows(framed.offset + framed.starts)
        if decoded.scalars is not None:
            rows.add_scalars(decoded.scalars)
        for group in decoded.alike:
            rows.add_alike(group)
        for record, event in decoded.events:
            if event is None:
                size = HEAD_BYTES + int(framed.lengths[record]) + FOOT_BYTES
                batches.append(Damage(framed.place(record), size, "unreadable event"))
                continue
            if event.config:
                batches.append(Patch("config", event.config))
            rows.add(record, event)
        batches += rows.build(self._numbers)


def _is_restart(framed: Framed, record: int, event: Event) -> bool:
    """Whether the program says here that it goes on from a step; the first event of a file cannot."""
    return event.starts and event.step > 0 and framed.place(record) > 0


def _decode(framed: Framed) -> _Decoded:
    count = len(framed.starts)
    rest = np.ones(count, np.bool_)
    found: Scalars | None = None
    groups: list[Alike] = []
    if count >= _BULK_RECORDS:
        found = scalars(framed)
        rest[found.records] = False
        groups = alike(framed, np.flatnonzero(rest))
        for group in groups:
            rest[group.records] = False
    events: list[tuple[int, Event | None]] = []
    for record in np.flatnonzero(rest).tolist():
        try:
            events.append((record, decode_event(framed.payload(record))))
        except WireError:
            events.append((record, None))
    return _Decoded(found, groups, events)


class TfEventsLog:
    """TensorBoard's event file as a `runwised.formats.record.Format`."""

    name = "tfevents"
    rewritten = console = False
    together = True
    tells_end = False

    def matches(self, filename: str, head: bytes) -> bool:
        """By its name, and by the sum of its first record's length as soon as that is there."""
        if "tfevents" not in filename or filename.endswith(".profile-empty"):
            return False
        size = record_size(head)
        return size > 0 or (size == 0 and _DATED.search(filename) is not None)

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> TfEventsReader:  # noqa: ARG002 - the protocol's
        """See `runwised.formats.record.Format`."""
        return TfEventsReader(resume)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:  # noqa: ARG002
        """Hyperparameters from the head; step, time and last values from the whole records of the tail."""
        config: dict[str, Any] = {}
        for batch in TfEventsReader().feed(head):
            if isinstance(batch, Patch):
                config |= {path[0]: value for path, value in batch.sets}
        step = time = None
        summary: dict[str, Any] = {}
        for batch in TfEventsReader(Resume(tail_offset), lost=tail_offset > 0).feed(tail):
            if isinstance(batch, Rows):
                step = int(batch.steps[-1])
                known = batch.times[~np.isnan(batch.times)]
                time = float(known[-1]) if len(known) else time
                summary |= _last_values(batch)
        return Probe(Identity(), {}, config, summary, step, time, None, header=record_size(head) > 0)

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The event whose record begins at ``data[0]``; see the protocol."""
        payload = read_record(data)
        if payload is None:
            return None
        event = decode_event(payload)
        if not event.values:
            raise ValueError(f"the event at byte {offset} logs nothing")
        told = not is_numbered(resume.state, event.step, event.values)
        return Row(event.step if told else NO_STEP, event.time, event.values)

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """These files hold no console text."""
        raise ValueError(f"no console chunk at byte {offset} of an event file")


def _last_values(rows: Rows) -> dict[str, Any]:
    """The last value of each tag."""
    values = {_tag(column.key): float(column.values[-1]) for column in rows.columns}
    return values | {_tag(other.key): json.loads(other.last) for other in rows.others}


def _tag(key: str) -> str:
    return _ESCAPED.sub(r"\1", key)


TFEVENTS = TfEventsLog()
