"""The bulk path of the W&B log reader: what is regular in a large piece of a log, read with few calls.

`harvest` takes whole good records from the beginning of a piece and stops before the first thing that is not plain; the
general reader (`runwised.formats.wandb_run`) goes on there, and both give the same batches. Single odd records among
regular ones are decoded as the general reader does it, and keep their place in the order.

A piece is framed at once, then read in windows small enough for the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from runwised.formats.blocklog import CHUNK_HEADER
from runwised.formats.protowire import WireError, fields, length_delimited
from runwised.formats.record import Batch, Ints
from runwised.formats.wandb_fast_frames import Chunks, find_chunks
from runwised.formats.wandb_fast_items import identify, open_all, walk
from runwised.formats.wandb_fast_keys import KeyTable
from runwised.formats.wandb_fast_rows import RowsJoiner, decode_rows
from runwised.formats.wandb_fast_summary import SummaryChanges
from runwised.formats.wandb_fast_words import Flags, Octets, Window
from runwised.formats.wandb_items import history_row
from runwised.formats.wandb_records import HISTORY, RUN, SUMMARY, Envelope, decode_patch, open_record

PIECE_BYTES = 8 << 20
"""How much of a log is best given at a time."""

_WINDOW_BYTES = 1 << 20
_LARGEST_WINDOW = 4 << 20
_WINDOW_RECORDS = 256
"""Of fewer records a window is made larger."""
_KEPT_BYTES = 24 << 20
_FEW_ROWS = 8
_MANY_ODD = 64
"""More odd summary records than this in a window, and all of them are decoded as the general reader does it."""
_RUN_SUMMARY = length_delimited(5)


_T = TypeVar("_T")


class Harvest(NamedTuple):
    """What was read from the beginning of a piece."""

    consumed: int
    """Bytes of the piece that were read as whole good records."""
    batches: list[Batch]
    """Rows in file order, and changes of the summary."""
    rest: list[tuple[int, bytes]]
    """Every other record, in file order: the offset of its first chunk in the source, and its payload."""
    last_num: int
    """`Record.num` of the last record consumed."""


def harvest(data: memoryview, offset: int, origin: int) -> Harvest | None:
    """Read a piece of a log that stands at `offset`, where a record begins, or the padding before it.

    `origin` is that of the block grid, 0 or 7. None: what the piece begins with is not for the bulk path.
    """
    if not np.little_endian:
        return None
    if len(data) > _WINDOW_BYTES:
        _keep_pages()
    chunks = find_chunks(data, offset, origin)
    return _Piece(data, offset, chunks).read() if len(chunks.heads) else None


def _keep_pages() -> None:
    """Have the C library keep the memory of one window for the next, rather than give it back and fetch it anew.

    glibc maps a large block anew each time, until one as large or larger has been freed (``man mallopt``,
    M_MMAP_THRESHOLD). Without this a sixth of the time is spent in the system, on fresh pages.
    """
    np.empty(_KEPT_BYTES, np.uint8)


class _Unfit(Exception):  # noqa: N818 - not an error: the general reader takes over
    """A record the bulk path must stop before."""

    def __init__(self, record: int) -> None:
        self.record = record


class _Piece:
    """The records of a piece, and what has been read of them so far."""

    def __init__(self, data: memoryview, offset: int, chunks: Chunks) -> None:
        self._data = data
        self._offset = offset
        self._chunks = chunks
        self._firsts, self._lasts = chunks.records()
        self._heads, self._stops = chunks.heads[self._firsts], chunks.ends[self._lasts]
        self._table = KeyTable()
        self._rows = RowsJoiner()
        self._summary = SummaryChanges()
        self._rest: list[tuple[int, bytes]] = []
        self._num = 0

    def read(self) -> Harvest | None:
        done, total = 0, len(self._heads)
        mean_bytes = int(self._stops[-1]) // total
        window_bytes = min(max(_WINDOW_BYTES, _WINDOW_RECORDS * mean_bytes), _LARGEST_WINDOW)
        while done < total:
            stop = int(self._heads.searchsorted(self._heads[done] + window_bytes))
            try:
                self._read_window(done, min(stop, total))
                done = min(stop, total)
            except _Unfit as unfit:
                total = unfit.record
        if not done:
            return None
        batches: list[Batch] = [*self._rows.take(), *self._summary.take()]
        return Harvest(int(self._stops[done - 1]), batches, self._rest, self._num)

    def _read_window(self, start: int, stop: int) -> None:
        """Read records [start, stop). Raises _Unfit, and then has kept nothing of them."""
        window, begins, ends = self._window(start, stop)
        opened = open_all(window, begins, ends)
        self._check_numbers(start, opened.nums)
        kinds, bodies = opened.kinds, opened.bodies
        rest, unlike = self._look_singly(start, kinds)
        rows, changes = np.flatnonzero(kinds == HISTORY), np.flatnonzero(kinds == SUMMARY)
        lanes = np.concatenate((rows, changes))
        walked = walk(window, bodies[lanes], ends[lanes], len(rows))
        if unlike:
            walked.good[np.isin(lanes, unlike)] = False
        items, odd = identify(window, walked, self._table)
        odd_rows, odd_changes = odd[: len(rows)], odd[len(rows) :]
        stepped = walked.stepped[: len(rows)] & ~odd_rows
        decoded = decode_rows(window, items.between(0, len(rows)), stepped, odd_rows, self._table)
        if start == 0 and len(rows) > _FEW_ROWS and 2 * np.count_nonzero(odd_rows) > len(rows):
            raise _Unfit(0)
        if np.count_nonzero(odd_changes) > _MANY_ODD:
            odd_changes[:] = True
        general_rows = self._decode(start, rows, odd_rows, lambda record: history_row(record.body))
        patches = self._decode(start, changes, odd_changes, lambda record: decode_patch(record.body))
        self._rows.add(self._heads[start + rows] + self._offset, decoded, general_rows)
        patches = {len(rows) + index: patch for index, patch in patches.items()}
        self._summary.add(window, items.between(len(rows), len(lanes)), self._table, len(lanes), patches)
        self._rest += rest
        self._num = int(opened.nums[-1])

    def _window(self, start: int, stop: int) -> tuple[Window, Ints, Ints]:
        """Records [start, stop), and where each begins and ends; those of several chunks stand joined at the end."""
        base, last = int(self._heads[start]), int(self._stops[stop - 1])
        begins = self._heads[start:stop] + (CHUNK_HEADER - base)
        ends = self._stops[start:stop] - base
        parts: list[memoryview | bytes] = [self._data[base:last]]
        size = last - base
        for record in np.flatnonzero(self._firsts[start:stop] != self._lasts[start:stop]).tolist():
            parts.append(self._payload(start + record))
            begins[record] = size
            size += len(parts[-1])
            ends[record] = size
        return Window(parts), begins, ends

    def _payload(self, record: int) -> bytes:
        chunks = slice(self._firsts[record], self._lasts[record] + 1)
        heads, ends = self._chunks.heads[chunks].tolist(), self._chunks.ends[chunks].tolist()
        return b"".join([self._data[head + CHUNK_HEADER : end] for head, end in zip(heads, ends, strict=True)])

    def _check_numbers(self, start: int, nums: Ints) -> None:
        """Every record has a number, and none is missing: the general reader counts what was lost."""
        expected = np.arange(1, len(nums) + 1) + (self._num or nums[0] - 1)
        wrong = (nums != expected) | (nums == 0)
        if wrong.any():
            raise _Unfit(start + int(wrong.argmax()))

    def _look_singly(self, start: int, kinds: Octets) -> tuple[list[tuple[int, bytes]], list[int]]:
        """What is neither row nor summary; and rows and summary records that do not look like one, put into `kinds`."""
        rest: list[tuple[int, bytes]] = []
        unlike: list[int] = []
        for at in np.flatnonzero((kinds != HISTORY) & (kinds != SUMMARY)).tolist():
            payload = self._payload(start + at)
            if kinds[at] == 0:
                kinds[at] = kind = self._kind(start + at, payload)
                if kind in (HISTORY, SUMMARY):
                    unlike.append(at)
                    continue
            rest.append((self._offset + int(self._heads[start + at]), payload))
        return rest, unlike

    def _kind(self, record: int, payload: bytes) -> int:
        """What a record that is not plain holds. Raises _Unfit when that cannot be told, or changes the summary too."""
        try:
            opened = open_record(payload)
            if opened.kind != RUN or all(tag != _RUN_SUMMARY for tag, _ in fields(opened.body)):
                return opened.kind
        except WireError:
            pass
        raise _Unfit(record)

    def _decode(self, start: int, records: Ints, odd: Flags, decode: Callable[[Envelope], _T]) -> dict[int, _T]:
        """The odd ones of some records of a window, as the general reader decodes them, by their index in `records`."""
        decoded = {}
        for index in np.flatnonzero(odd).tolist():
            record = start + int(records[index])
            try:
                decoded[index] = decode(open_record(self._payload(record)))
            except WireError:
                raise _Unfit(record) from None
        return decoded
