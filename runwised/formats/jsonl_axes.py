"""Step and wall time of the rows of a JSON-lines log: which keys tell them, from which row on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from runwised.formats import step_keys
from runwised.formats.record import NO_STEP, Ints, Row
from runwised.formats.step_keys import ROWS_TO_CHOOSE, Steps, as_step
from runwised.formats.wall_time import epoch_seconds


class Span(NamedTuple):
    """What holds for the rows from one place in the source on."""

    offset: int
    step_key: str
    """Empty: no key tells the step, they are all metrics."""
    time_key: str
    counts: bool
    """Whether the step key's value is the step; else it is only no metric."""


class Axes(msgspec.Struct):
    """Takes rows in file order, tells their steps and times, and remembers what it took for what.

    Of the first rows each may name a better key than was known; a key that settings name may come at any time. This
    is a reader's whole memory: msgspec encodes it for `Resume.state`.
    """

    rows: int = 0
    """Rows taken, counted up to `ROWS_TO_CHOOSE`."""
    steps: Steps | None = None
    spans: list[Span] = []
    """In order of their offsets; before the first nothing is a step or a time."""

    @property
    def settled(self) -> bool:
        """Whether no row can change what is known, but by a hinted key that was never there."""
        return self.rows >= ROWS_TO_CHOOSE and (self.steps is None or self.steps.settled)

    @property
    def now(self) -> Span:
        """What holds for the next row, as far as is known."""
        return self.spans[-1] if self.spans else _NOTHING

    def is_row(self, logged: Mapping[str, Any]) -> bool:
        """Whether an object looks like a row of this log, not like a value within one: it names its step or time."""
        span = self.now
        if span.step_key or span.time_key:
            return span.step_key in logged or span.time_key in logged
        return step_keys.choose(logged) is not None or step_keys.choose_time(logged) is not None

    def awaits(self, keys: Iterable[str], hint: str) -> bool:
        """Whether one of these (escaped) keys is the hinted one, which has not told a step yet."""
        return bool(hint) and not self._follows(hint) and any(step_keys.rank(key, hint) == -1 for key in keys)

    def take_each(self, offsets: Ints, steps: Ints) -> Ints:
        """The steps of many rows once `settled`: from what their step key says, `NO_STEP` where that is nothing."""
        if self.steps is None:
            return steps
        taken = self.steps.take_each(steps)
        counted = np.flatnonzero(taken != NO_STEP)
        if not self.now.counts and len(counted):
            self._note(int(offsets[counted[0]]))
        return taken

    def take(self, offset: int, values: dict[str, Any], hint: str) -> tuple[int, float]:
        """Step and wall time of the next row; what was used is taken out of its values."""
        if self.rows < ROWS_TO_CHOOSE or (hint and not self._follows(hint)):
            self._choose(offset, values, hint)
        self.rows = min(self.rows + 1, ROWS_TO_CHOOSE)
        if not self.spans:
            return NO_STEP, math.nan
        span = self.spans[-1]
        logged = values.get(span.step_key)
        step, time = _take_out(span, values)
        if step == NO_STEP or self.steps is None:
            return step, time
        phase = self.steps.phase
        metrics = () if self.steps.settled else [key for key, value in values.items() if type(value) in (int, float)]
        step = self.steps.take(step, metrics)
        if self.steps.dropped:
            values[span.step_key] = logged
        if self.steps.phase != phase:
            self._note(offset)
        return step, time

    def row(self, offset: int, values: dict[str, Any]) -> Row:
        """The row at this place, which may be any that was taken; `NO_STEP` where its value counted for nothing."""
        number = bisect_right(self.spans, offset, key=lambda span: span.offset)
        span = self.spans[number - 1] if number else _NOTHING
        step, time = _take_out(span, values)
        return Row(step if span.counts else NO_STEP, time, values)

    def _follows(self, hint: str) -> bool:
        return self.steps is not None and step_keys.rank(self.steps.key, hint) == -1

    def _note(self, offset: int) -> None:
        """The step key has become worth something else with the row at this place."""
        assert self.steps is not None
        key = "" if self.steps.dropped else self.steps.key
        self._hold(Span(offset, key, self.now.time_key, self.steps.phase != "same"))

    def _choose(self, offset: int, values: Mapping[str, Any], hint: str) -> None:
        span = self.now
        key = _step_key(values, hint)
        better = _better(step_keys.rank(key, hint), step_keys.rank(self.steps.key, hint) if self.steps else None)
        if better and (self.rows < ROWS_TO_CHOOSE or step_keys.rank(key, hint) == -1):
            self.steps = Steps(key)
            span = span._replace(step_key=key, counts=True)
        time_key = step_keys.choose_time(key for key, value in values.items() if _is_time(key, value)) or ""
        if self.rows < ROWS_TO_CHOOSE and _better(step_keys.time_rank(time_key), step_keys.time_rank(span.time_key)):
            span = span._replace(time_key=time_key)
        self._hold(span._replace(offset=offset))

    def _hold(self, span: Span) -> None:
        if span[1:] == self.now[1:]:
            return
        if self.spans and self.spans[-1].offset == span.offset:
            self.spans.pop()
        self.spans.append(span)


_NOTHING = Span(0, "", "", counts=True)


def _take_out(span: Span, values: dict[str, Any]) -> tuple[int, float]:
    step, time = as_step(values.get(span.step_key)) if span.step_key else None, math.nan
    if step is not None:
        del values[span.step_key]
    if span.time_key and not math.isnan(time := epoch_seconds(values.get(span.time_key))):
        del values[span.time_key]
    return NO_STEP if step is None else step, time


def _step_key(values: Mapping[str, Any], hint: str) -> str:
    """The best step key that holds a step."""
    ranked = (
        key for key, value in values.items() if step_keys.rank(key, hint) is not None and as_step(value) is not None
    )
    return step_keys.choose(ranked, hint) or ""


def _is_time(key: str, value: Any) -> bool:
    return step_keys.time_rank(key) is not None and not math.isnan(epoch_seconds(value))


def _better(new: int | None, known: int | None) -> bool:
    return new is not None and (known is None or new < known)
