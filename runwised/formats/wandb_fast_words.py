"""A window of a W&B log, held so that any four bytes anywhere can be read in thousands of places by one gather."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Ints

Flags: TypeAlias = NDArray[np.bool_]
Octets: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint32]

WORD = 4
_SLACK = bytes(160)
"""Stands behind the last byte, so that what is read there by mistake is harmless."""


class Window:
    """Some bytes, and their *words*: the little-endian uint32 that begins at every byte."""

    def __init__(self, parts: list[memoryview | bytes]) -> None:
        self.text = b"".join([*parts, _SLACK])
        self.octets: Octets = np.frombuffer(self.text, np.uint8)
        self._words: Words = np.empty(len(self.text) - WORD, np.uint32)
        for phase in range(WORD):
            of_phase = self._words[phase::WORD]
            of_phase[:] = np.frombuffer(self.text, "<u4", len(of_phase), phase)

    def take(self, at: Ints, out: Words | None = None) -> Words:
        """The words at some places, of the shape of `at`."""
        return self._words.take(at, mode="clip", out=out)
