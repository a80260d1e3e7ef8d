"""Which key of a log that is free to choose its own tells the step, which the wall time, and when a step is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any, Literal

import msgspec
import numpy as np

from runwised.formats.record import NO_STEP, Ints

STEP_KEYS = (
    "step",
    "global_step",
    "_step",
    "iteration",
    "iter",
    "training_iteration",
    "num_updates",
    "trainer/global_step",
    "timesteps_total",
    "time/total_timesteps",
    "epoch",
)
"""Keys whose values are steps, the best first; in other letters (``Step``) a key comes right after this spelling."""

TIME_KEYS = ("time", "timestamp", "ts", "_timestamp", "wall_time", "date")
"""Keys whose values may be wall times (see `runwised.formats.wall_time`), the best first."""

ROWS_TO_CHOOSE = 16
"""A source whose first rows, that many, hold no step key has none: a reader then stops looking."""

_STEP_RANKS = {key: place for place, key in enumerate(STEP_KEYS)}
_TIME_RANKS = {key: place for place, key in enumerate(TIME_KEYS)}
_WHOLE = re.compile(r"([+-]?[0-9]{1,19})(?:\.0*)?")
_EPOCH = re.compile(r"(?:^|[/_.\- ])epochs?$", re.IGNORECASE)
_MOST_FIRST_KEYS = 64


def choose(keys: Iterable[str], hint: str = "") -> str | None:
    """The step key among the (escaped) keys of a row: the hinted one, escaped or not, else the best known; or None."""
    return _best(keys, lambda key: rank(key, hint))


def rank(key: str, hint: str = "") -> int | None:
    """How good a step key is, less is better: -1 the hinted one, then as in `STEP_KEYS`; None: it is none."""
    if hint and hint in (key, re.sub(r"\\(.)", r"\1", key)):
        return -1
    return _rank(key, _STEP_RANKS)


def choose_time(keys: Iterable[str]) -> str | None:
    """The best known time key among the (escaped) keys of a row, or None; whether its value is a time is not asked."""
    return _best(keys, time_rank)


def time_rank(key: str) -> int | None:
    """How good a time key is, less is better, as in `TIME_KEYS`; None: it is none."""
    return _rank(key, _TIME_RANKS)


def as_step(value: Any) -> int | None:
    """The step a logged value is: an integer, a whole float or their text; None for all else and beyond int64."""
    if type(value) is float:
        whole = int(value) if value.is_integer() else None
    elif type(value) is int:
        whole = value
    elif isinstance(value, str) and len(value) < 64 and (found := _WHOLE.fullmatch(value.strip())):
        whole = int(found[1])
    else:
        return None
    return whole if whole is not None and NO_STEP < whole < 2**63 else None


class Steps(msgspec.Struct):
    """Rows' steps by one key, and what a key is worth that does not count.

    A program that never sets its step logs the same one with every row, and each row would take back the last. So:
    when the second row repeats the first one's step and logs one of its metrics again, the key does not count. An
    epoch is then never a step (`dropped`); any other key is none as long as it stays what it was. Rows without the
    key have no part in this, nor have known step and time keys that stand beside it. msgspec encodes this object as
    it is: a small one, to be kept in `Resume.state`.
    """

    key: str
    phase: Literal["start", "first", "same", "free", "dropped"] = "start"
    first: int = NO_STEP
    first_keys: list[str] = []
    """Some metrics of the first row, until the second one has come."""

    @property
    def settled(self) -> bool:
        """Whether `take_each` may be used: the first two rows with a step have been seen."""
        return self.phase not in ("start", "first")

    @property
    def dropped(self) -> bool:
        """Whether the key is no step key any more, but a metric like others, from the row on that was taken last."""
        return self.phase == "dropped"

    def take(self, step: int | None, metrics: Collection[str]) -> int:
        """The step of the next row, or `NO_STEP`: from what its key says (None: nothing) and its metrics' keys."""
        if step is None or self.phase == "dropped":
            return NO_STEP
        if self.phase == "start":
            self.phase, self.first = "first", step
            named = (key for key in metrics if rank(key) is None and time_rank(key) is None)
            self.first_keys = list(islice(named, _MOST_FIRST_KEYS))
        elif self.phase == "first":
            stuck = step == self.first and any(key in metrics for key in self.first_keys)
            self.phase = "free" if not stuck else "dropped" if _EPOCH.search(self.key) else "same"
            self.first_keys = []
        elif self.phase == "same" and step != self.first:
            self.phase = "free"
        return step if self.phase in ("first", "free") else NO_STEP

    def take_each(self, steps: Ints) -> Ints:
        """`take` for many rows, once `settled`; `NO_STEP` stands for None. Shape (n,) to shape (n,)."""
        if self.phase == "free":
            return steps
        if self.phase == "same":
            moved = np.flatnonzero((steps != self.first) & (steps != NO_STEP))
            if len(moved):
                self.phase = "free"
                return np.concatenate((np.full(moved[0], NO_STEP, np.int64), steps[moved[0] :]))
        return np.full(len(steps), NO_STEP, np.int64)


def _rank(key: str, places: dict[str, int]) -> int | None:
    place = places.get(key.lower())
    return None if place is None else 2 * place + (key not in places)


def _best(keys: Iterable[str], rank_of: Callable[[str], int | None]) -> str | None:
    ranked = [(place, key) for key in keys if (place := rank_of(key)) is not None]
    return min(ranked, key=lambda each: each[0])[1] if ranked else None
