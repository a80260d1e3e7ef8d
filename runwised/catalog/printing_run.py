"""What a run's program printed: as its log holds it, or the file beside it that reaches further."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from runwised.catalog.awake import Awake
from runwised.catalog.named_run import NamedRun
from runwised.catalog.output_log import CONSOLE, find_output_log, goes_on_after, line_start
from runwised.catalog.output_log import read_lines as read_lines_of_file
from runwised.catalog.output_log import read_texts as read_texts_of_file
from runwised.catalog.readback import assemble, begun_before, read_lines, read_lines_between, read_texts
from runwised.catalog.segment import Segment
from runwised.formats.console import shortened
from runwised.formats.record import Ints, Text
from runwised.index.view import Line


class PrintingRun(NamedRun):
    """See `runwised.index.view.RunView` for what the properties of that name say."""

    __slots__ = ("_printed",)

    def __init__(self, segments: Sequence[Segment], awake: Awake) -> None:
        super().__init__(segments, awake)
        self._printed: tuple[int, int] | None = None
        """Size and time (ns) of the console file beside the newest log when it was looked at last, or when somebody
        first noted how far it was; None: neither."""

    @property
    def console_file(self) -> str:
        """Where the newest start keeps its console beside its log; empty where none does."""
        return os.path.join(self.newest.found.folder, CONSOLE) if self._is_wandb else ""

    @property
    def printed_at(self) -> float:
        """When it last printed, epoch seconds, as `has_printed` saw it; 0 where that never looked."""
        return self._printed[1] / 1e9 if self._printed else 0.0

    def has_printed(self) -> bool:
        """One stat of the console beside its log: whether it is not as it was at the last one."""
        if not self._is_wandb:
            return False  # what others print is one of their sources
        before, self._printed = self._printed, self._look_at_console()
        return before is not None and before != self._printed

    def note_printed(self) -> None:
        """Somebody takes down how far it is: what is printed from now on is new."""
        if self._printed is None and self._is_wandb:
            self._printed = self._look_at_console()

    def _look_at_console(self) -> tuple[int, int]:
        try:
            found = os.stat(find_output_log(self.newest.found.folder) or self.console_file)
        except OSError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    @property
    def console_end(self) -> int:
        """See `RunView`."""
        part = self._starts[-1] if self._starts else None
        if part is None:
            return -1
        path = _console_file(part)
        return -1 - int(self._chunk_sizes(part).sum()) if path is None else _size(path)

    def console_from(self, end: int, *, ended: bool = False) -> Iterator[Line]:
        """See `RunView`. Raises Unreadable."""
        texts = self._texts_from(end)
        yield from assemble(_ended(texts) if ended else texts)

    def _texts_from(self, end: int) -> Iterator[Text]:
        """What was printed from the start of the lines on that were not whole at `end`."""
        part = self._starts[-1] if self._starts else None
        if part is None:
            return
        path, source = _console_file(part), self._source(part)
        if path is not None:
            yield from read_texts_of_file(path, line_start(path, end) if 0 < end <= _size(path) else 0)
        elif source is not None:
            chunk = int(np.searchsorted(np.cumsum(self._chunk_sizes(part)), -1 - end, "right")) if end < 0 else 0
            yield from begun_before(self.slot, source, chunk)
            yield from read_texts(self.slot, source, chunk)

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


def _ended(texts: Iterable[Text]) -> Iterator[Text]:
    """Without the last line of each stream, as long as it has no end."""
    held: dict[bool, str] = {}
    for text in texts:
        whole, newline, rest = (held.get(text.stderr, "") + text.text).rpartition("\n")
        held[text.stderr] = shortened(rest)
        if newline:
            yield text._replace(text=whole + newline)


def _console_file(part: Segment) -> str | None:
    """What the newest lines are read from, where that is a file of text."""
    return part.path if part.is_console else find_output_log(part.found.folder)


def _size(path: str) -> int:
    """Bytes in a file; 0 while it is gone."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
