"""Reads single records back from where the index says they stand: exact rows, and what the program printed."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, TypeVar

from runwised.catalog.opening import open_source
from runwised.catalog.slot import IndexSlot
from runwised.catalog.stores import StoreChangedError
from runwised.formats.console import resolve, shortened
from runwised.formats.record import NO_STEP, Ints, Resume, Row, Text
from runwised.index.view import Line, Unreadable

T = TypeVar("T")

WINDOW_BYTES = 256 << 10
RECORD_BYTES = 16 << 10
"""How much is first tried for a record whose length is not known."""
CHUNKS_AT_ONCE = 1024
RECORDS_AT_ONCE = 4096


class SourceWindow:
    """A source opened to read records in rising order; a context manager."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._base = 0
        self._data = b""
        try:
            self._descriptor = open_source(path)
        except OSError as error:
            raise Unreadable(path, error.strerror or str(error)) from error

    def __enter__(self) -> SourceWindow:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def record(self, offset: int, about: int, decode: Callable[[bytes], T | None]) -> T:
        """What `decode` makes of the record at `offset`, given as many bytes as it wants; `about` are tried first."""
        while True:
            data = self._bytes(offset, about)
            try:
                found = decode(data)
            except ValueError as error:
                raise Unreadable(self.path, f"changed at byte {offset}: {error}") from error
            if found is not None:
                return found
            if len(data) < about:
                raise Unreadable(self.path, f"ends in the middle of the record at byte {offset}")
            about *= 4

    def _bytes(self, offset: int, length: int) -> bytes:
        start = offset - self._base
        if start < 0 or start + length > len(self._data):
            try:
                self._data = os.pread(self._descriptor, max(length, WINDOW_BYTES), offset)
            except OSError as error:
                raise Unreadable(self.path, f"byte {offset}: {error.strerror}") from error
            self._base, start = offset, 0
        return self._data[start : start + length]


def read_records(slot: IndexSlot, records: Ints) -> Iterator[tuple[int, Row]]:
    """History records by number, in rising order, as they were logged. Raises Unreadable."""
    at = 0
    while at < len(records):
        source, _ = _locate(slot, int(records[at]))
        stop = at
        places: list[int] = []
        while stop < len(records) and (found := _locate(slot, int(records[stop])))[0] == source:
            places.append(found[1])
            stop += 1
            if len(places) == RECORDS_AT_ONCE:
                break
        log = slot.logs[source]
        rows = _of_store(slot, source, places) if log.file_format is None else _of_file(slot, source, places)
        for number, row in zip(records[at:stop].tolist(), rows, strict=True):
            yield number, _settled(slot, number, row)
        at = stop


def _of_file(slot: IndexSlot, source: int, places: Sequence[int]) -> Iterator[Row]:
    log, resume = slot.logs[source], _resume(slot, source)
    assert log.file_format is not None
    with SourceWindow(log.path) as window:
        for offset, following in zip(places, (*places[1:], -1), strict=True):
            about = min(following - offset, WINDOW_BYTES) if following > offset else RECORD_BYTES
            yield window.record(offset, about, partial(log.file_format.row, offset=offset, resume=resume))


def _of_store(slot: IndexSlot, source: int, places: Sequence[int]) -> Iterator[Row]:
    log = slot.logs[source]
    try:
        yield from log.store.rows(log.path, log.store_key, _resume(slot, source).state, places)
    except (OSError, StoreChangedError) as error:
        raise Unreadable(log.name, str(error)) from error


def read_rows(slot: IndexSlot, start: int, stop: int) -> Iterator[tuple[int, Row]]:
    """Rows by number in [start, stop). Raises Unreadable.

    Where rows are known by their steps, each is put together from all its records: of these what is still served.
    """
    records = slot.ask(lambda index: index.history.records_of(start, stop))
    if not slot.ask(lambda index: index.history.by_step):
        yield from read_records(slot, records)
        return
    rows: dict[int, Row] = {}
    for number, row in read_records(slot, records):
        if left := _served(slot, row, _locate(slot, number)[0]):
            put(rows, row._replace(values=left))
    yield from sorted(rows.items())


def put(rows: dict[int, Row], row: Row) -> None:
    """Add what is served of a record to the row of its step, whose time is the latest of them."""
    before = rows.get(row.step, row)
    time = max((time for time in (before.time, row.time) if math.isfinite(time)), default=math.nan)
    rows[row.step] = Row(row.step, time, {**before.values, **row.values})


def _served(slot: IndexSlot, row: Row, source: int) -> dict[str, Any]:
    return {
        key: value
        for key, value in row.values.items()
        if slot.ask(lambda index: index.history.holds(key, row.step, source))  # noqa: B023 - asked at once
    }


def _locate(slot: IndexSlot, number: int) -> tuple[int, int]:
    return slot.ask(lambda index: index.locate(number))


def _resume(slot: IndexSlot, source: int) -> Resume:
    return slot.ask(lambda index: index.sources[source].resume)


def _settled(slot: IndexSlot, number: int, row: Row) -> Row:
    """A record gets the step the index gave it, where it does not tell one itself."""
    if row.step != NO_STEP:
        return row
    return row._replace(step=slot.ask(lambda index: index.history.record_step(number)))


def read_texts(slot: IndexSlot, source: int, start: int = 0) -> Iterator[Text]:
    """A source's console chunks from the `start`-th on, in file order. Raises Unreadable."""
    yield from _texts(slot, source, start, None)


def begun_before(slot: IndexSlot, source: int, chunk: int) -> Iterator[Text]:
    """What stands before a chunk of the lines that go on in it, at most one of each stream. Raises Unreadable.

    No further back than `CHUNKS_AT_ONCE`.
    """
    held: dict[bool, Text] = {}
    for text in _texts(slot, source, max(chunk - CHUNKS_AT_ONCE, 0), chunk):
        before = held.get(text.stderr, text._replace(text=""))
        _, newline, rest = text.text.rpartition("\n")
        line = text._replace(text=rest) if newline else before._replace(text=before.text + rest)
        held[text.stderr] = line._replace(text=shortened(line.text))
    yield from (text for text in held.values() if text.text)


def _texts(slot: IndexSlot, source: int, start: int, stop: int | None) -> Iterator[Text]:
    console = slot.ask(lambda index: index.console(source))
    log, resume = slot.logs[source], _resume(slot, source)
    assert log.file_format is not None
    with SourceWindow(log.path) as window:
        for offset, size in zip(console.offsets[start:stop].tolist(), console.sizes[start:stop].tolist(), strict=True):
            yield window.record(
                offset, size + RECORD_BYTES, partial(log.file_format.text, offset=offset, resume=resume)
            )


def read_lines(slot: IndexSlot, source: int, *, newest_first: bool) -> Iterator[Line]:
    """A source's console lines. Backwards, cursor movements reach no further than one stretch. Raises Unreadable."""
    if not newest_first:
        yield from assemble(_texts(slot, source, 0, None))
        return
    begun: list[Text] = []
    count = len(slot.ask(lambda index: index.console(source)).offsets)
    for stop in range(count, 0, -CHUNKS_AT_ONCE):
        start = max(stop - CHUNKS_AT_ONCE, 0)
        chunks = [*_texts(slot, source, start, stop), *begun]
        if start:
            begun, chunks = cut_first_lines(chunks)
        yield from reversed(list(assemble(chunks)))


def read_lines_between(slot: IndexSlot, source: int, start: float, stop: float) -> Iterator[Line]:
    """A source's console lines as they were printed in [start, stop), epoch seconds. Raises Unreadable.

    The first chunk is found by halving: chunks are written in the order of their times.
    """
    count = len(slot.ask(lambda index: index.console(source)).offsets)
    first = bisect_left(range(count), start, key=lambda at: next(_texts(slot, source, at, at + 1)).time)
    yield from assemble(takewhile(lambda text: text.time < stop, _texts(slot, source, first, None)))


def assemble(chunks: Iterable[Text]) -> Iterator[Line]:
    """The lines that chunks in the order they were written leave behind."""
    return (Line(*line) for line in resolve(chunks))


def cut_first_lines(chunks: Sequence[Text]) -> tuple[list[Text], list[Text]]:
    """Chunks up to the first line end of each stream, and the rest.

    The first belong to lines that were begun before: they go behind the chunks that stand before these.
    """
    begun: list[Text] = []
    rest: list[Text] = []
    ended: set[bool] = set()
    for chunk in chunks:
        if chunk.stderr in ended:
            rest.append(chunk)
            continue
        head, newline, tail = chunk.text.partition("\n")
        begun.append(chunk._replace(text=head + newline))
        if newline:
            ended.add(chunk.stderr)
            rest.append(chunk._replace(text=tail))
    return begun, rest
