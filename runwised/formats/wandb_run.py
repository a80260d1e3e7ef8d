"""The reader of W&B's transaction log (`run-<id>.wandb`), and the log as a `Format`."""

from __future__ import annotations

import msgspec

from runwised.formats import wandb_fast
from runwised.formats.blocklog import FILE_HEADER, UNSETTLED, BlockLog, Found, Framed, read_record
from runwised.formats.protowire import WireError
from runwised.formats.record import NO_HINTS, NO_STEP, Batch, Damage, Hints, Probe, Resume, Row, Text
from runwised.formats.wandb_batches import Batches
from runwised.formats.wandb_items import history_row
from runwised.formats.wandb_probe import probe_log
from runwised.formats.wandb_records import CONSOLE, HISTORY, STATS, decode_stats, decode_text, open_record

_BULK_BYTES = 256 << 10
_STRIDE_BYTES = 64 << 10


class _State(msgspec.Struct, frozen=True, array_like=True):
    """What a reader remembers beside its offset."""

    origin: int = UNSETTLED
    edge: int = 0
    num: int = 0
    """Number of the last good record."""


def _state(resume: Resume | None) -> _State:
    return msgspec.msgpack.decode(resume.state, type=_State) if resume and resume.state else _State()


class WandbReader:
    """Reads one transaction log; see `runwised.formats.record.Reader`.

    Summary changes within one feed come as few patches, so how many there are depends on the pieces; what they add
    up to does not.
    """

    def __init__(self, resume: Resume | None = None) -> None:
        state = _state(resume)
        self._log = BlockLog(resume.offset if resume else 0, state.origin, state.edge)
        self._num = state.num
        self._lost: Damage | None = None
        self._batches = Batches()

    @property
    def resume(self) -> Resume:
        """The first record not delivered, and what must be known to read it."""
        state = _State(self._log.origin, self._log.edge, self._num)
        return Resume(self._log.offset, msgspec.msgpack.encode(state))

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give what they complete."""
        self._log.feed(data)
        stride = _STRIDE_BYTES
        while True:
            position, pending = self._log.position, self._log.pending
            budget = stride
            if pending >= _BULK_BYTES and not self._log.clean:
                budget = 0  # to the end of one record: there the bulk path can begin
            elif pending >= _BULK_BYTES and self._harvest() < pending // 4:
                stride = budget = 2 * stride  # so that a log full of odd things is not offered over and over
            for found in self._log.take(budget):
                self._add(found)
            if self._log.position == position:
                return self._batches.take()

    def close(self) -> list[Batch]:
        """Damage with nothing behind it. A torn tail is not reported, and waits for the rest of its record."""
        for lost in self._log.close():
            self._batches.put(lost)
        return self._batches.take()

    def _harvest(self) -> int:
        """Let the bulk path take what is regular; how many bytes it took."""
        with self._log.view() as view:
            harvest = wandb_fast.harvest(view, self._log.position, self._log.origin)
        if harvest is None:
            return 0
        self._batches.end_rows()
        for batch in harvest.batches:
            self._batches.put(batch)
        for offset, payload in harvest.rest:
            self._add(Framed(offset, payload))
        self._num = harvest.last_num or self._num
        self._log.advance(harvest.consumed)
        return harvest.consumed

    def _add(self, found: Found) -> None:
        if isinstance(found, Damage):
            self._lost = found
            return
        try:
            record = open_record(found.payload)
            self._report_lost(record.num)
            self._batches.add(record, found.offset)
        except WireError:
            self._report_lost(0)
            self._batches.put(Damage(found.offset, len(found.payload), "unreadable record"))
            return
        self._num = record.num or self._num

    def _report_lost(self, num: int) -> None:
        """Tell the damage before record `num`, with how many records it took."""
        if self._lost is None:
            return
        missing = num - self._num - 1
        if missing > 0 and self._num:
            count = f"{missing} record{'s' if missing > 1 else ''} lost"
            self._lost = self._lost._replace(reason=f"{self._lost.reason}, {count}")
        self._batches.put(self._lost)
        self._lost = None


class WandbLog:
    """W&B's transaction log as a `runwised.formats.record.Format`."""

    name = "wandb"
    rewritten = console = together = False
    tells_end = True

    def matches(self, filename: str, head: bytes) -> bool:
        """By its name, whatever is in it, or by the first bytes of its header."""
        return filename.endswith(".wandb") or head[:4] == FILE_HEADER[:4]

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> WandbReader:  # noqa: ARG002 - the protocol's
        """See `runwised.formats.record.Format`."""
        return WandbReader(resume)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:  # noqa: ARG002
        """See `runwised.formats.record.Format`."""
        return probe_log(head, tail, tail_offset)

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        """The logged row, or the system sample, whose record begins at ``data[0]``; see the protocol."""
        payload = read_record(data, offset, _state(resume).origin)
        if payload is None:
            return None
        record = open_record(payload)
        if record.kind == HISTORY:
            return Row(*history_row(record.body))
        if record.kind == STATS:
            return Row(NO_STEP, *decode_stats(record.body))
        raise ValueError(f"no row at byte {offset}, but a record of kind {record.kind}")

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:
        """The console chunk whose record begins at ``data[0]``; see the protocol."""
        payload = read_record(data, offset, _state(resume).origin)
        if payload is None:
            return None
        record = open_record(payload)
        if record.kind not in CONSOLE:
            raise ValueError(f"no console chunk at byte {offset}, but a record of kind {record.kind}")
        return decode_text(record.kind, record.body)


WANDB = WandbLog()
