"""Numbers points that were logged without a step: TensorBoard's writers put them all at one.

A tag whose second point repeats the step of its first counts up from there for as long as the step stays that one. A
tag that has moved on is settled: a step that goes back is then one that the program went back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

import msgspec
import numpy as np

from runwised.formats.record import Ints

_MOST_TAGS = 4096
"""Tags remembered; what comes after them keeps its steps."""
_DIGEST_BYTES = 8
_HIGHEST = 2**63 - 1


class _State(msgspec.Struct, frozen=True, array_like=True):
    settled: bytes = b""
    """Digests of the tags that have moved on, one behind the other."""
    open: tuple[tuple[bytes, int, int], ...] = ()
    """The others: digest, the step they stay at, the last number given."""
    counted: tuple[tuple[bytes, int], ...] = ()
    """Those of the settled that counted before: digest, the step they stayed at."""


class StepNumbers:
    """The tags of one file, and how far each has counted."""

    def __init__(self, state: bytes = b"") -> None:
        known = msgspec.msgpack.decode(state, type=_State) if state else _State()
        cuts = range(0, len(known.settled), _DIGEST_BYTES)
        self._settled = {known.settled[cut : cut + _DIGEST_BYTES] for cut in cuts}
        self._open = {digest: (first, last) for digest, first, last in known.open}
        self._counted = dict(known.counted)
        self._settled_keys: set[str] = set()
        """Keys known to be settled, so that they need not be digested again."""

    @property
    def state(self) -> bytes:
        """What a new one must know."""
        if not self._settled and not self._open:
            return b""
        still = tuple((digest, *counted) for digest, counted in self._open.items())
        return msgspec.msgpack.encode(_State(b"".join(sorted(self._settled)), still, tuple(self._counted.items())))

    def number(self, steps: Ints, tags: Mapping[str, Ints]) -> None:
        """Take in events in file order and give those without a step of their own a number, in place.

        `steps` has one step an event; `tags` tells which events, in order, hold a value of each key. An event takes
        the number of the tag that has counted farthest.
        """
        waiting: dict[int, list[bytes]] = {}
        moved: list[tuple[str, bytes]] = []
        unsettled = [(int(events[0]), key) for key, events in tags.items() if key not in self._settled_keys]
        for _, key in sorted(unsettled):
            events, digest = tags[key], _digest(key)
            if not self._is_open(digest, int(steps[events[0]])):
                if digest in self._settled:
                    self._settled_keys.add(key)
                continue
            away = np.flatnonzero(steps[events] != self._open[digest][0])
            if len(away):
                moved.append((key, digest))
            for event in events[: away[0] if len(away) else len(events)].tolist():
                waiting.setdefault(event, []).append(digest)
        for event in sorted(waiting):
            self._count(event, waiting[event], steps)
        for key, digest in moved:
            self._settle(digest)
            self._settled_keys.add(key)

    def settle(self) -> None:
        """The program has told a step itself: no tag seen so far is without."""
        for digest in list(self._open):
            self._settle(digest)

    def _settle(self, digest: bytes) -> None:
        first, last = self._open.pop(digest)
        if last > first:
            self._counted[digest] = first
        self._settled.add(digest)

    def _is_open(self, digest: bytes, first: int) -> bool:
        """Whether a tag may still be without steps; one that is new begins at `first`."""
        if digest in self._open:
            return True
        if digest in self._settled or len(self._open) + len(self._settled) >= _MOST_TAGS:
            return False
        self._open[digest] = first, first - 1
        return True

    def _count(self, event: int, digests: list[bytes], steps: Ints) -> None:
        number = min(max(self._open[digest][1] + 1 for digest in digests), _HIGHEST)
        steps[event] = number
        for digest in digests:
            self._open[digest] = self._open[digest][0], number


def is_numbered(state: bytes, step: int, keys: Iterable[str]) -> bool:
    """Whether an event that says `step` may have got another number, as far as a later `state` tells."""
    counted = _counted(state) if state else frozenset()
    return bool(counted) and any((_digest(key), step) in counted for key in keys)


@lru_cache(maxsize=8)
def _counted(state: bytes) -> frozenset[tuple[bytes, int]]:
    known = msgspec.msgpack.decode(state, type=_State)
    return frozenset((*known.counted, *((digest, first) for digest, first, last in known.open if last > first)))


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()
