"""One-dimensional arrays an index is made of: the read side they share, and the one that grows in memory."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Ints

Scalar = TypeVar("Scalar", bound=np.generic)
Scalar_co = TypeVar("Scalar_co", bound=np.generic, covariant=True)

SLAB = 1 << 18
"""Elements of a long array that are gone through at a time."""
ROOM = 16
"""Elements a growing array begins with."""


class Array(Protocol[Scalar_co]):
    """What questions need of an array, whether it lies in memory or in a file."""

    def __len__(self) -> int: ...

    def item(self, index: int) -> Any:
        """One element, as a Python number."""

    def slice(self, start: int, stop: int) -> NDArray[Scalar_co]:
        """Elements [start, stop); never changes afterwards, not to be written to."""

    def take(self, indices: Ints) -> NDArray[Scalar_co]:
        """The elements at `indices`, which must not decrease."""

    def find(self, value: int, start: int, stop: int) -> int:
        """First index in [start, stop) whose element is not below `value`, else `stop`; elements must increase."""


class Rooms(Protocol):
    """Where growing arrays have their memory."""

    def make(self, data: NDArray[Any], length: int, room: int) -> NDArray[Any]:
        """Room for so many elements; the first `length` are those of `data`, the others anything."""

    def trim(self) -> None:
        """What was made has been gone through for `SLAB` elements or so: it need not be held in memory."""


class Heap:
    """Ordinary memory."""

    def make(self, data: NDArray[Any], length: int, room: int) -> NDArray[Any]:
        """As `Rooms`."""
        made = np.empty(room, data.dtype)
        made[:length] = data[:length]
        return made

    def trim(self) -> None:
        """As `Rooms`: there is no other place for it."""


class Vector(Generic[Scalar]):
    """An array that grows at its end by half its length at a time, and can be cut back."""

    __slots__ = ("_data", "_length", "_shared")

    rooms: ClassVar[Rooms] = Heap()
    """Of all of them; a process that indexes more than its memory holds sets another one before it begins."""

    def __init__(self, items: NDArray[Scalar]) -> None:
        self._data = items
        self._length = len(items)
        self._shared = True

    @classmethod
    def copy_of(cls, stored: Array[Scalar], kind: type[Scalar]) -> Vector[Scalar]:
        """One with the elements of an array of any kind."""
        copy = cls.empty(kind)
        copy._move(0, len(stored))
        for start in range(0, len(stored), SLAB):
            stop = min(start + SLAB, len(stored))
            copy._data[start:stop] = stored.slice(start, stop)
            cls.rooms.trim()
        copy._length = len(stored)
        return copy

    @classmethod
    def empty(cls, kind: type[Scalar]) -> Vector[Scalar]:
        """A new one without elements."""
        return cls(np.empty(0, kind))

    def __len__(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        """Memory held, room to grow included."""
        return self._data.nbytes

    @property
    def live(self) -> NDArray[Scalar]:
        """All elements, for use before the next change only."""
        return self._data[: self._length]

    def item(self, index: int) -> Any:
        """As `Array.item`."""
        return self._data.item(index)

    def slice(self, start: int, stop: int) -> NDArray[Scalar]:
        """As `Array.slice`."""
        self._shared = True
        part = self._data[start:stop]
        part.flags.writeable = False
        return part

    def take(self, indices: Ints) -> NDArray[Scalar]:
        """As `Array.take`."""
        return self._data.take(indices)

    def find(self, value: int, start: int, stop: int) -> int:
        """As `Array.find`."""
        return start + int(np.searchsorted(self._data[start:stop], value))

    def append(self, items: NDArray[Scalar]) -> None:
        """Put `items` behind the last element."""
        if not len(items):
            return
        stop = self._length + len(items)
        if stop > len(self._data):
            self._move(self._length, max(stop, self._length + self._length // 2, ROOM))
        self._data[self._length : stop] = items
        self._length = stop

    def insert(self, places: Ints, items: NDArray[Scalar]) -> None:
        """Put each item before the element that stands at its place now; places do not decrease."""
        if len(places) and places[0] == self._length:
            self.append(items)
        elif len(places):
            self._data = np.insert(self.live, places, items)
            self._length, self._shared = len(self._data), False

    def put(self, places: Ints, items: NDArray[Scalar]) -> None:
        """Replace the elements at `places`; slices given out before stay as they were."""
        if len(places):
            if self._shared:
                self._move(self._length, max(self._length, ROOM))
            self._data[places] = items

    def remove(self, places: Ints) -> None:
        """Take out the elements at `places`, which increase; slices given out before stay as they were."""
        if len(places) and places[0] + len(places) == self._length:
            self.truncate(int(places[0]))
        elif len(places):
            self._data = np.delete(self.live, places)
            self._length, self._shared = len(self._data), False

    def truncate(self, length: int) -> None:
        """Keep the first `length` elements; slices given out before stay as they were."""
        if length >= self._length:
            return
        if self._shared:
            self._move(length, max(length, ROOM))
        self._length = length

    def _move(self, length: int, room: int) -> None:
        self._data = self.rooms.make(self._data, length, room)
        self._shared = False
