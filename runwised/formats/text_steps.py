"""The step of each line of a text log: what the line says, or what was printed before it.

A line without a step belongs to the last one printed. A counter that starts again in every epoch (``epoch 2 step 10``,
a progress bar) goes on where the epoch before ended. A dict, as Hugging Face's Trainer prints it, belongs to where the
training's progress bar stands. A step that cannot be one (printed twice at the start with the same metric) is no step:
such rows are numbered by the index.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import NO_STEP, Ints
from runwised.formats.text_shapes import Kind

NONE = -1
"""In place of a number that a line does not say."""


class Said(msgspec.Struct):
    """What the lines of a block say of their place; every array has one element a line, in file order."""

    kinds: NDArray[np.int8]
    steps: Ints
    totals: Ints
    epochs: Ints
    asides: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    """Whether it holds metrics."""
    keys: Sequence[frozenset[bytes]]
    """By code: the metrics of a shape."""
    codes: Ints


def _following(said: Said) -> NDArray[np.bool_]:
    """Where a counter within an epoch only goes on: such a line's step is the one before and the difference."""
    laps = (said.kinds == Kind.BAR) | ((said.kinds == Kind.STEP) & (said.epochs != NONE))
    laps &= said.rows & ~said.asides & (said.steps != NONE)
    follows = np.zeros(len(laps), np.bool_)
    follows[1:] = laps[1:] & laps[:-1] & (said.steps[1:] > said.steps[:-1])
    for same in (said.kinds, said.epochs, said.totals):
        follows[1:] &= same[1:] == same[:-1]
    return follows


class Laps(msgspec.Struct, array_like=True):
    """A counter that starts again in every epoch, laid out in one line."""

    first_epoch: int = NONE
    epoch: int = NONE
    n: int = NONE
    placed: int = NONE
    stride: int = 1
    base: int = 0
    lapped: bool = False
    """It did start again."""

    def place(self, epoch: int, n: int, total: int) -> int:
        """The step of the counter's `n` (of `total`, if that is known) in an epoch."""
        if self.first_epoch == NONE or epoch < self.first_epoch:
            self.first_epoch, self.base = epoch, 0
        elif epoch > self.epoch:
            if n <= self.n and not self.lapped:
                self.lapped = True
            if self.lapped:
                if total > 0:
                    self.base = (epoch - self.first_epoch) * total
                else:
                    self.base = self.placed + self.stride - n
        elif epoch < self.epoch and self.lapped:
            passed = self.epoch - self.first_epoch
            lap = total if total > 0 else self.base // passed if passed else 0
            self.base = (epoch - self.first_epoch) * lap
        if epoch == self.epoch and n > self.n:
            self.stride = n - self.n
        self.epoch, self.n = epoch, n
        self.placed = self.base + n
        return self.placed


class Progress(msgspec.Struct, array_like=True):
    """How far the program is, as far as its lines say; all that a reader has to remember of them."""

    last: int = NONE
    """The last step printed."""
    counts: bool = False
    """Something else than epochs was printed as a step."""
    epoch: int = NONE
    """The last epoch printed as a line's step."""
    total: int = NONE
    first: int = NONE
    first_keys: list[bytes] = []
    """The first row with a step."""
    settled: bool = False
    """Whether its step is one has been decided."""
    repeated: int = NONE
    """The step at the start that was none."""
    repeats: bool = False
    """It still is what is printed."""
    no_epochs: bool = False
    """Epochs are no steps."""
    numbered: bool = False
    """Lines without any step are numbered."""
    loose_keys: list[bytes] = []
    """The metrics of the first of them."""
    bar: int = NONE
    bar_total: int = NONE
    bar_used: bool = False
    """A row took its step from the bar: no other bar takes its place."""
    bar_epoch: int = 0
    """How often a progress bar without an epoch was full and began again."""
    laps: Laps = msgspec.field(default_factory=Laps)
    bar_laps: Laps = msgspec.field(default_factory=Laps)

    def steps(self, said: Said) -> Ints:
        """The step of each line of the next block."""
        if self._plain(said):
            return self._plain_steps(said)
        steps = np.empty(len(said.kinds), np.int64)
        leaders = np.flatnonzero(~_following(said))
        told = (said.kinds, said.steps, said.totals, said.epochs, said.asides, said.rows, said.codes)
        lines = zip(leaders.tolist(), *(column[leaders].tolist() for column in told), strict=True)
        ends = [*leaders[1:].tolist(), len(steps)]
        for (at, kind, n, total, epoch, aside, row, code), end in zip(lines, ends, strict=True):
            step = self._step(kind, n, total, epoch, aside, said.keys[code] if row else None)
            steps[at] = step
            if end > at + 1:
                steps[at + 1 : end] = said.steps[at + 1 : end] + (step - n)
                self._follow(kind, said.steps[end - 2 : end].tolist(), total, step - n)
        return steps

    def _follow(self, kind: int, last: list[int], total: int, base: int) -> None:
        """A counter went on within its epoch; the last two values of it are given."""
        laps = self.bar_laps if kind == Kind.BAR else self.laps
        laps.n, laps.stride, laps.placed = last[1], last[1] - last[0], last[1] + base
        self.last = laps.placed
        if kind == Kind.BAR and total == self.bar_total:
            self.bar = last[1]

    def _plain(self, said: Said) -> bool:
        """Whether all lines say their step themselves, or belong to the one before."""
        if not self.settled or not self.counts or self.repeats or self.numbered:
            return False
        loose = said.kinds == Kind.LOOSE
        stepped = (said.kinds == Kind.STEP) & (said.epochs == NONE) & (said.steps != NONE)
        return bool((loose | stepped).all())

    def _plain_steps(self, said: Said) -> Ints:
        stepped = said.kinds == Kind.STEP
        totals = np.flatnonzero(stepped & (said.totals != NONE) & ~said.asides)
        if len(totals):
            self.total = int(said.totals[totals[-1]])
        steps = said.steps
        if not stepped.all():
            before = np.maximum.accumulate(np.where(stepped, np.arange(len(stepped)), -1))
            steps = np.where(before < 0, self.last, steps[before])
        self.last = int(steps[-1])
        return steps

    def _step(self, kind: int, n: int, total: int, epoch: int, aside: bool, keys: frozenset[bytes] | None) -> int:
        if kind == Kind.STEP or kind == Kind.EPOCH or kind == Kind.COUNT:
            return self._counted(kind, n, total, epoch, aside, keys)
        if kind == Kind.BAR:
            return self._bar(n, total, epoch, aside, keys)
        if kind == Kind.DICT:
            if n != NONE:
                self._watch(n, total)
            if self.bar == NONE or (not self.bar_used and n == NONE and self.bar >= self.bar_total):
                return self.last if self.counts else NO_STEP
            self.bar_used = True
            self.last = self.bar
            return self.bar
        return self._loose(keys or frozenset())

    def _counted(self, kind: int, n: int, total: int, epoch: int, aside: bool, keys: frozenset[bytes] | None) -> int:
        if n == NONE:
            return NO_STEP
        if kind == Kind.COUNT and epoch == NONE:
            epoch = self.epoch
        if epoch != NONE:
            if aside:
                return max(self.last, 0)
            n = self.laps.place(epoch, n, total)
        elif total != NONE and not aside:
            self.total = total
        if kind == Kind.EPOCH:
            self.epoch = n
        else:
            self.counts = True
        if kind != Kind.EPOCH or not self.counts:
            self.last = n
        return n if keys is None or aside or epoch != NONE else self._believed(kind, n, keys)

    def _believed(self, kind: int, n: int, keys: frozenset[bytes]) -> int:
        """The step, unless it is none."""
        if not self.settled:
            if self.first == NONE:
                self.first, self.first_keys = n, sorted(keys)
                return n
            self.settled = True
            if n == self.first and not keys.isdisjoint(self.first_keys):
                self.no_epochs = kind == Kind.EPOCH
                self.repeats = kind != Kind.EPOCH
                self.repeated = n
            self.first_keys = []
        if kind == Kind.EPOCH:
            return NO_STEP if self.no_epochs else n
        if self.repeats and n != self.repeated:
            self.repeats = False
        return NO_STEP if self.repeats else n

    def _bar(self, n: int, total: int, epoch: int, aside: bool, keys: frozenset[bytes] | None) -> int:
        if aside:
            return max(self.last, 0)
        self._watch(n, total)
        if keys is None:
            return n
        if epoch == NONE:
            if n < self.bar_laps.n and self.bar_laps.n == total:
                self.bar_epoch += 1
            epoch = self.bar_epoch
        self.last = self.bar_laps.place(epoch, n, total)
        self.counts = True
        return self.last

    def _watch(self, n: int, total: int) -> None:
        """Which of several bars is the training's: the longer one, until a row took its step from it."""
        finished = self.bar >= self.bar_total
        if total == self.bar_total or (not self.bar_used and (total > self.bar_total or finished)):
            self.bar, self.bar_total = n, total

    def _loose(self, keys: frozenset[bytes]) -> int:
        if self.no_epochs and not self.counts:
            return NO_STEP
        if self.last != NONE:
            return self.last
        if self.bar != NONE:
            return self.bar
        if self.numbered or not keys.isdisjoint(self.loose_keys):
            self.numbered = True
            return NO_STEP
        if not self.loose_keys:
            self.loose_keys = sorted(keys)
        return 0
