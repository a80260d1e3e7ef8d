"""What a reader of a table remembers: its dialect, every header with where it began to hold, and what the steps are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

import msgspec

from runwised.formats.csv_cells import exact
from runwised.formats.csv_records import Shape
from runwised.formats.record import Resume, escape
from runwised.formats.step_keys import ROWS_TO_CHOOSE, Steps, as_step, choose, choose_time

MOST_LAYOUTS, MOST_NAMES = 256, 1 << 20
"""Of a table whose header changes more often, or to names of more characters altogether, rows under the earliest
headers are not read back."""


class Layout(msgspec.Struct, array_like=True, dict=True):
    """The columns from a byte of the source on."""

    offset: int
    names: list[str]
    """Empty for a column without a name, which is left out."""
    step: int = -1
    """The column of the step; -1: none."""
    time: int = -1
    """The column of the wall time; -1: none."""
    chosen: bool = False
    """Whether `step` and `time` have been found, or are known to be missing."""
    tried: int = 0
    """How many rows could not tell."""

    @cached_property
    def keys(self) -> list[str]:
        """The columns' keys; empty where there is no name."""
        return [escape((name,)) for name in self.names]


class Memory(msgspec.Struct):
    """The state of a reader, as msgspec encodes it."""

    delimiter: str = ","
    width: int = 0
    first: str = ""
    """With `width`, what the first header tells; see `Shape`."""
    layouts: list[Layout] = []
    """In the order of their offsets; the last one holds for rows to come."""
    steps: Steps | None = None

    @classmethod
    def of(cls, resume: Resume) -> Memory:
        """What a resume point holds. Raises ValueError when it is no reader's of tables."""
        return msgspec.msgpack.decode(resume.state, type=cls) if resume.state else cls()

    @property
    def shape(self) -> Shape:
        """What framing needs to know."""
        return Shape(self.delimiter.encode(), self.width, self.first.encode())

    def begin(self, offset: int, delimiter: bytes, names: list[str]) -> None:
        """The first header stands at `offset`."""
        self.delimiter, self.width, self.first = delimiter.decode(), len(names), names[0]
        self.add(Layout(offset, names))

    def add(self, layout: Layout) -> None:
        """From `layout.offset` on, these are the columns."""
        self.layouts.append(layout)
        del self.layouts[:-MOST_LAYOUTS]
        left = MOST_NAMES
        for number in range(len(self.layouts) - 1, -1, -1):
            left -= sum(len(name) + 1 for name in self.layouts[number].names)
            if left < 0:
                del self.layouts[: min(number + 1, len(self.layouts) - 1)]
                break

    def at(self, offset: int) -> Layout:
        """The columns of a row at `offset`. Raises ValueError when they are not known."""
        number = bisect_right(self.layouts, offset, key=lambda layout: layout.offset)
        if not number:
            raise ValueError(f"no header before byte {offset}")
        return self.layouts[number - 1]

    def choose(self, cells: Sequence[bytes], hint: str, offset: int) -> bool:
        """Find the columns of step and wall time by a first row, at `offset`; False: it does not tell.

        The key that held the steps so far goes before others, the hinted one before all. A column whose number is not
        whole holds none. One with text may be damaged: then the next row is asked, `ROWS_TO_CHOOSE` times.
        """
        layout = self.layouts[-1]
        values = [exact(cell) for cell in cells]
        fit: dict[str, int] = {}
        unsure: set[str] = set()
        for column, (name, value) in enumerate(zip(layout.keys, values, strict=True)):
            if name and (value is None or as_step(value) is not None):
                fit[name] = column
            elif name and isinstance(value, str) and layout.tried < ROWS_TO_CHOOSE:
                unsure.add(name)
        key = choose([key for key in layout.keys if key in fit or key in unsure], hint)
        if not hint and self.steps is not None and self.steps.key in fit:
            key = self.steps.key
        if key is not None and key in unsure:
            layout.tried += 1
            return False
        if layout.tried:
            layout = Layout(offset, layout.names)
            self.add(layout)
        layout.chosen = True
        time = choose_time(key for key in layout.keys if key)
        layout.time = -1 if time is None else layout.keys.index(time)
        if key is not None:
            if self.steps is None or self.steps.key != key:
                self.steps = Steps(key)
            layout.step = -1 if self.steps.dropped else fit[key]
        return True

    def drop_step(self, offset: int) -> None:
        """From the row at `offset` on, the column of the step is one like others."""
        layout = self.layouts[-1]
        self.add(Layout(offset, layout.names, -1, layout.time, chosen=True))

    def ambiguous(self, step: int) -> bool:
        """Whether a row with this step may have been one whose step did not count."""
        return self.steps is not None and step == self.steps.first
