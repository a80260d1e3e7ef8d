"""What a run's program printed: as its log holds it, or the file beside it that reaches further."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from runwised.catalog.named_run import NamedRun
from runwised.catalog.output_log import find_output_log, goes_on_after, read_lines_from
from runwised.catalog.output_log import read_lines as read_lines_of_file
from runwised.catalog.output_log import read_texts as read_texts_of_file
from runwised.catalog.readback import assemble, read_lines, read_lines_between, read_texts
from runwised.catalog.segment import Segment
from runwised.formats.record import Ints, Text
from runwised.index.view import Line


class PrintingRun(NamedRun):
    """See `runwised.index.view.RunView` for what the properties of that name say."""

    __slots__ = ()

    @property
    def console_end(self) -> int:
        """See `RunView`."""
        part = self._starts[-1] if self._starts else None
        if part is None:
            return -1
        path = _console_file(part)
        return -1 - int(self._chunk_sizes(part).sum()) if path is None else _size(path)

    def console_from(self, end: int) -> Iterator[Line]:
        """See `RunView`. Raises Unreadable."""
        part = self._starts[-1] if self._starts else None
        if part is None:
            return
        path, source = _console_file(part), self._source(part)
        if path is not None:
            yield from read_lines_from(path, end if 0 < end <= _size(path) else 0)
        elif source is not None:
            chunk = int(np.searchsorted(np.cumsum(self._chunk_sizes(part)), -1 - end, "right")) if end < 0 else 0
            yield from assemble(read_texts(self.slot, source, chunk))

    def _chunk_sizes(self, part: Segment) -> Ints:
        """Bytes of each console chunk in the segment's log, as far as it is indexed."""
        source = self._source(part)
        return np.empty(0, np.int64) if source is None else self.slot.ask(lambda index: index.console(source).sizes)

    def console(self, *, newest_first: bool = False) -> Iterator[Line]:
        """See `RunView`. Raises Unreadable."""
        for part in reversed(self._starts) if newest_first else self._starts:
            source, path = self._console(part)
            if path is not None:
                yield from read_lines_of_file(path, newest_first=newest_first)
            elif source is not None:
                yield from read_lines(self.slot, source, newest_first=newest_first)

    def console_between(self, start: float, stop: float) -> Iterator[Line]:
        """See `RunView`. Raises Unreadable."""
        for part in self._starts:
            source = None if part.is_console else self._source(part)
            if source is not None:
                yield from read_lines_between(self.slot, source, start, stop)

    def texts(self) -> Iterator[Text]:
        """See `RunView`. Raises Unreadable."""
        for part in self._starts:
            source, path = self._console(part)
            if path is not None:
                yield from read_texts_of_file(path)
            elif source is not None:
                yield from read_texts(self.slot, source)

    @property
    def _starts(self) -> list[Segment]:
        """What holds console lines, oldest first: of W&B's each folder (before 0.10 it kept two files in one)."""
        if not self._is_wandb:
            return [part for part in self.parts if part.is_console]
        return list({part.found.folder: part for part in self.parts}.values())

    def _console(self, part: Segment) -> tuple[int | None, str | None]:
        """The segment's number as a source, and its ``output.log`` where that reaches further than the source."""
        if part.is_console:
            return None, part.path
        source = self._source(part)
        path = find_output_log(part.found.folder)
        if path is None or source is None:
            return source, path
        last = next(read_lines(self.slot, source, newest_first=True), None)
        return source, path if last is None or goes_on_after(path, last) else None

    def _source(self, part: Segment) -> int | None:
        read = self.slot.logs[: len(self.slot.offsets)]
        return next((number for number, log in enumerate(read) if log.name == part.path), None)


def _console_file(part: Segment) -> str | None:
    """What the newest lines are read from, where that is a file of text."""
    return part.path if part.is_console else find_output_log(part.found.folder)


def _size(path: str) -> int:
    """Bytes in a file; 0 while it is gone."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
