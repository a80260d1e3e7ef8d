"""An index in memory together with the feeds that fill it: reads sources piece by piece, and can be saved.

Logs that are starts of one program (W&B's segments) are read one after the other, and only the newest goes on. All
others are written at the same time: each is read to its end before the next one is begun, and all of them go on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from runwised.catalog.feeds import Feed, Log, SourceChangedError, Stamped, open_feed
from runwised.catalog.identity import Fingerprint
from runwised.formats.record import Batch, Hints, Identity, Rows
from runwised.index import sidecar
from runwised.index.growing_table import SourcesOverlap
from runwised.index.run_index import RunIndex
from runwised.index.sidecar import Sidecar, SidecarDamaged

PIECE_BYTES = 256 << 10
GENERATION = 4
"""To be raised whenever a reader or the index sees more in the same bytes: older sidecars are built anew then."""


class Stamp(msgspec.Struct, array_like=True):
    """What a sidecar was made from."""

    generation: int
    sources: list[Stamped]
    """In the order they were read."""
    hints: list[Hints]


class Warm:
    """One run's index and the feeds of its sources."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs = list(logs)
        self.index = RunIndex()
        self.piece_bytes = PIECE_BYTES
        """What it is good to read at once."""
        self.is_thawed = False
        """Whether it goes on with what a sidecar holds."""
        self.read_bytes = 0
        """Bytes of sources read since it is in memory."""
        self._feeds: list[Feed] = []
        self._turn = 0
        """The source that was read last."""

    @classmethod
    def thaw(cls, file: Sidecar, logs: Sequence[Log]) -> Warm:
        """Go on where a sidecar ends.

        Raises SidecarDamaged, and SourceChangedError when it was not made from these logs or they have changed.
        """
        stamp = stamp_of(file)
        begun = logs[: len(stamp.sources)]
        if [source.file.path for source in stamp.sources] != [log.name for log in begun]:
            raise SourceChangedError("made from other files")
        if stamp.hints != [log.hints for log in begun] or [source.rank for source in file.sources] != _ranks(begun):
            raise SourceChangedError("made by other settings")
        warm = cls(logs)
        warm.index, warm.is_thawed = file.thaw(), True
        for log, stamped, source in zip(logs, stamp.sources, warm.index.sources, strict=False):
            warm._feeds.append(open_feed(log, stamped, source.resume))
        return warm

    @property
    def stamped(self) -> list[Stamped]:
        """Each source as it was at the end of its last whole record."""
        return [feed.stamped for feed in self._feeds]

    @property
    def read_to(self) -> list[Fingerprint]:
        """Each source as it was where reading stopped."""
        return [feed.read_to for feed in self._feeds]

    @property
    def offsets(self) -> list[int]:
        """Bytes of each source that the index stands on."""
        return [feed.read_to.offset for feed in self._feeds]

    @property
    def is_whole(self) -> bool:
        """Whether no source ends in the middle of a record."""
        return all(log.file_format is None or feed.resume.offset == feed.read_to.offset for log, feed in self._pairs())

    def is_behind(self, end: int) -> bool:
        """Whether there is more to read of sources that are `end` bytes long together."""
        return sum(self.offsets) < end or any(feed.is_behind() for log, feed in self._pairs())

    def extend(self, logs: Sequence[Log]) -> None:
        """More sources were found. Raises SourceChangedError when they do not come after those known."""
        count = len(self.logs)
        if list(logs[:count]) != self.logs or _ranks(logs)[:count] != _ranks(self.logs):
            raise SourceChangedError("another source comes first")
        self.logs = list(logs)

    def step(self, piece_bytes: int = PIECE_BYTES) -> int:
        """Read and fold the next piece; gives its length, 0 when everything has been read.

        Raises OSError, and SourceChangedError when the index is of no use any more.
        """
        while True:
            for number in self._turns():
                if read := self._read(number, piece_bytes):
                    self._turn = number
                    return read
            if len(self._feeds) == len(self.logs):
                return 0
            self._start_next()

    def read_all(self, piece_bytes: int = PIECE_BYTES) -> Iterator[int]:
        """Read what was there at the beginning, piece after piece: a writer that is faster must not keep us for ever.

        Gives the length of each piece. Raises as `step`.
        """
        ends = sum(os.stat(log.path).st_size for log in self.logs if log.file_format)
        left = any(log.file_format is None for log in self.logs)
        while (left or self.is_behind(ends)) and (read := self.step(piece_bytes)):
            yield read

    def parts(self) -> list[bytes]:
        """The index as a sidecar, to be written part after part."""
        return sidecar.encode(self.index, self._stamp())

    def parts_into(self, keep: Callable[[bytes], Any]) -> bytes:
        """What its sidecar begins with; all that follows goes to `keep`, piece after piece."""
        return sidecar.encode_into(self.index, self._stamp(), keep)

    def _stamp(self) -> bytes:
        stamp = Stamp(GENERATION, self.stamped, [log.hints for log in self.logs[: len(self._feeds)]])
        return json.dumps(msgspec.to_builtins(stamp)).encode()

    def _pairs(self) -> Iterator[tuple[Log, Feed]]:
        return zip(self.logs, self._feeds, strict=False)

    def _turns(self) -> list[int]:
        """The sources that can have more, first the one that was read last."""
        begun = range(len(self._feeds))
        alone = [number for number in begun if not self.logs[number].together]
        open_ones = [number for number in begun if self.logs[number].together or number == alone[-1]]
        return sorted(open_ones, key=lambda number: (number < self._turn, number))

    def _start_next(self) -> None:
        number = len(self._feeds)
        log = self.logs[number]
        if log.together and self._has_rows_alone():
            raise SourceChangedError("a log that others were to stand in for has rows by now")
        feed = open_feed(log)
        if number and not log.together:
            self._feeds[-1].close(lambda batch: self._fold(batch, number - 1))
        self.index.start_source(log.name, _ranks(self.logs)[number])
        self._feeds.append(feed)

    def _read(self, number: int, piece_bytes: int) -> int:
        feed = self._feeds[number]
        read = feed.read(piece_bytes, lambda batch: self._fold(batch, number))
        self.index.set_resume(number, feed.resume, feed.read_to.offset)
        self.read_bytes += read
        return read

    def _fold(self, batch: Batch, number: int) -> None:
        if isinstance(batch, Identity):
            said = self._feeds[number].stamped
            said.run_id = batch.run_id or said.run_id
            said.started = batch.start_time or said.started
        if isinstance(batch, Rows) and batch.table == "history" and not batch.by_key and self._stands_in():
            raise SourceChangedError("a log that had no rows has some now")
        try:
            self.index.fold(batch, number)
        except SourcesOverlap as error:
            raise SourceChangedError(f"{error} goes on beside a later one") from error

    def _has_rows_alone(self) -> bool:
        """Whether a log has rows that is not read together with others."""
        sources = self.index.history.rows.stretches.sources
        return any(not self.logs[source].together for source in sources)

    def _stands_in(self) -> bool:
        """Whether other sources stand in for a log without rows."""
        return any(log.together for log in self.logs[: len(self._feeds)])


def _ranks(logs: Sequence[Log]) -> list[int]:
    """Of each source how many formats of this run know its numbers better: the order of first appearance."""
    order = list(dict.fromkeys(log.format.name for log in logs))
    return [order.index(log.format.name) for log in logs]


def stamp_of(file: Sidecar) -> Stamp:
    """What a sidecar was made from. Raises SidecarDamaged, also for a stamp of another generation."""
    try:
        stamp = msgspec.convert(json.loads(file.stamp), Stamp)
    except (ValueError, RecursionError) as error:
        raise SidecarDamaged(f"stamp: {error}") from error
    if stamp.generation != GENERATION:
        raise SidecarDamaged(f"generation {stamp.generation}, expected {GENERATION}")
    return stamp
