"""Bounds what is held in memory of runs that lie in sidecars: what can be read again is given back when nobody asks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")

MOST_BYTES = 32 << 20
"""What all runs together hold that can be read again, about."""
MOST_BYTES_AMID = 2 << 20
"""The same amid the indexing of thousands: what stays of each comes to lie between, and would keep it in use."""
ASKED_SECONDS = 60.0
"""Who asked for a run soon asks again."""


class Sleeper(Protocol):
    """Who holds something that can be read again."""

    asked_at: float
    """When it was last asked, on the monotonic clock."""

    @property
    def weight(self) -> int:
        """Bytes it holds of that, about."""

    def rest(self) -> None:
        """Give it back."""


class Awake:
    """Those that hold something, the first to wake first."""

    def __init__(self) -> None:
        self._weights: dict[Sleeper, int] = {}
        self._total = 0
        self._latest: Sleeper | None = None
        self._now = 0.0
        self.is_amid = False
        """Whether thousands of runs are being indexed."""

    @property
    def most_bytes(self) -> int:
        """What all together may hold now."""
        return MOST_BYTES_AMID if self.is_amid else MOST_BYTES

    def now(self) -> float:
        """The monotonic clock to a second: the same object for all, which keeps no memory of its own in use."""
        now = time.monotonic()
        if now - self._now >= 1.0:
            self._now = now
        return self._now

    def woke(self, sleeper: Sleeper) -> None:
        """It holds something now. Where it is too much together, the one that woke just before it goes to rest.

        Questions go through all runs in one order: was it the one awake for the longest, none would be awake when its
        turn comes again.
        """
        if self._latest is not None and self._latest is not sleeper and self._latest in self._weights:
            self._weigh(self._latest)  # by now it has all that its question made it hold
        self._latest = sleeper
        weight = sleeper.weight
        self._total += weight - self._weights.pop(sleeper, 0)
        while self._total > self.most_bytes and self._weights:
            self.rest(next(reversed(self._weights)))
        self._weights[sleeper] = weight

    def _weigh(self, sleeper: Sleeper) -> None:
        weight = sleeper.weight
        self._total += weight - self._weights[sleeper]
        self._weights[sleeper] = weight

    def tidy(self, *, unasked: float = ASKED_SECONDS) -> None:
        """Have those go to rest that nobody asked for so many seconds, and of too many those asked the longest ago."""
        since = time.monotonic() - unasked if unasked else math.inf
        self._weights = {sleeper: sleeper.weight for sleeper in self._weights}
        self._total = sum(self._weights.values())
        for sleeper in sorted(self._weights, key=lambda each: each.asked_at):
            if sleeper.asked_at < since or self._total > self.most_bytes:
                self.rest(sleeper)

    def rest(self, sleeper: Sleeper) -> None:
        """Nobody will ask for it soon."""
        self._total -= self._weights.pop(sleeper, 0)
        if self._latest is sleeper:
            self._latest = None
        sleeper.rest()


class Remembering(Protocol):
    """Who has a place for what is worked out once for many questions."""

    @property
    def memo(self) -> dict[str, Any]:
        """What was worked out, by name."""


class remembered(Generic[T]):  # noqa: N801 - used like `property`
    """A property that is worked out once, until `memo` is emptied: of a thousand runs each is asked many times."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> remembered[T]: ...

    @overload
    def __get__(self, instance: Remembering, owner: type) -> T: ...

    def __get__(self, instance: Remembering | None, owner: type) -> remembered[T] | T:
        if instance is None:
            return self
        memo = instance.memo
        try:
            found: T = memo[self._name]
        except KeyError:
            found = memo[self._name] = self._work(instance)
        return found
