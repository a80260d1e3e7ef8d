"""Numbers in lines of text: where they stand, what a line looks like without them, and their exact values.

A *shape* is a line in which every run of digits is replaced by one ``0``. What a line means is decided by its shape
alone (`runwised.formats.text_shapes`), so lines of one shape are read together, as columns: each number is the same
runs of digits, counted from the line's first.

Values are those of Python's ``float``: digits up to 2**53 and a power of ten up to 22 are both exact in a float64, so
one product or quotient of the two is rounded once (Clinger, "How to read floating point numbers accurately", 1990).
More digits are divided in twice the precision (T. J. Dekker, "A floating-point technique for extending the available
precision", 1971). Everything else goes through ``float`` itself.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runwised.formats.record import Floats, Ints

_PAD = 24
"""Line ends before the text, so that the 24 bytes that end with a run of digits can always be read."""
_NEWLINE = 10
_ENDS = bytes.maketrans(b"\r\b", b"\n\n")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_BAR = re.compile(rb"%\|[^|0\n]*\|")
_NUMBERED_BAR = re.compile(rb"%\|[^|0\n]*0[^|0\n]*\|")
_SPECIAL = re.compile(rb"nan(?![a-z])"), re.compile(rb"inf(?:inity)?(?![a-z])")
_EXACT = 2**53
_MOST_DIGITS = 18
_TOO_LARGE = -1
_EXACT_POWER = 22
_SPLIT = float(2**27 + 1)
_POWERS = np.array([float(f"1e{power}") for power in range(_EXACT_POWER + 1)])
_INT_POWERS = np.array([10**power for power in range(19)])
_WORD = np.dtype("<u8")
_LEFT = np.array([0] + [(2**64 - 1) << 8 * (8 - size) & (2**64 - 1) for size in range(1, 9)], np.uint64)
"""By the number of digits in the last bytes of eight: a mask that keeps them."""


class Number(NamedTuple):
    """How one number is written, in runs of digits: the ones before the point, after it, and of the exponent."""

    run: int
    """Its first run, counted from the line's first."""
    whole: int = 1
    """Runs before the point: more than one where commas part the thousands."""
    fraction: bool = False
    exponent: int = 0
    """Sign of the power of ten, or 0 when there is none."""
    negative: bool = False
    constant: float | None = None
    """Not made of digits: NaN, an infinity."""

    @property
    def runs(self) -> int:
        """How many runs of digits it is made of."""
        return self.whole + self.fraction + abs(self.exponent)

    @property
    def integer(self) -> bool:
        """Written without point and exponent."""
        return self.constant is None and not self.fraction and not self.exponent


class TextBlock:
    """Whole records (each ends with a line feed, carriage return or backspace), with their runs of digits."""

    def __init__(self, text: bytes) -> None:
        if b"\r" in text or b"\b" in text:
            text = text.translate(_ENDS)
        self._text = b"\n" * _PAD + text
        self._bytes = np.frombuffer(self._text, np.uint8)
        digit = (self._bytes - np.uint8(48)) < 10
        edges = np.flatnonzero(digit[1:] != digit[:-1])
        edges += 1
        self._starts, self._ends = edges[0::2], edges[1::2]
        keep = ~digit
        keep[self._starts] = True
        shapes = self._bytes[keep][_PAD:-1].tobytes().translate(_DIGITS)
        if b"%|" in shapes:
            shapes = _NUMBERED_BAR.sub(b"%|0|", _BAR.sub(b"%||", shapes))
        self.shapes = shapes.split(b"\n")
        """Every record's shape, in file order; progress bars are drawn empty."""
        ends = np.flatnonzero(self._bytes[_PAD - 1 :] == _NEWLINE)
        self.offsets: Ints = ends[:-1]
        """Where each record begins."""
        self.sizes: Ints = ends[1:] - ends[:-1] - 1

        self.first_runs: Ints = np.searchsorted(self._starts, ends[:-1] + _PAD)
        """Number of the first run of digits at or behind the start of each record."""

    @property
    def speaking(self) -> Ints:
        """The records that hold a number: digits, NaN or an infinity."""
        counts = np.diff(self.first_runs, append=len(self._starts))
        silent = np.flatnonzero(counts == 0).tolist()
        shapes = self.shapes
        if silent and _special(b"\n".join([shapes[record] for record in silent])):
            for record in silent:
                counts[record] = _special(shapes[record])
        return np.flatnonzero(counts)

    def digits(self, run: int) -> bytes:
        """The text of one run of digits."""
        return self._text[self._starts[run] : self._ends[run]]

    @cached_property
    def run_sizes(self) -> Ints:
        """Number of digits of each run."""
        return self._ends - self._starts

    @cached_property
    def run_values(self) -> Ints:
        """Value of each run; `_TOO_LARGE` from 10**18 on."""
        sizes = self.run_sizes
        words = np.ndarray((len(self._text) - 7,), _WORD, self._text, strides=(1,))
        values = _eight_digits(words[self._ends - 8] & _LEFT[np.minimum(sizes, 8)])
        for passed in (8, 16):
            longer = np.flatnonzero(sizes > passed)
            if not len(longer):
                return values
            above = _eight_digits(words[self._ends[longer] - passed - 8] & _LEFT[np.minimum(sizes[longer] - passed, 8)])
            values[longer] += np.minimum(above, 99 if passed == 16 else above) * 10**passed
            if passed == 16:
                values[longer[(above > 99) | (sizes[longer] > 24)]] = _TOO_LARGE
        return values

    def integers(self, first: Ints, number: Number) -> tuple[Ints, NDArray[np.bool_]]:
        """A number without point and exponent, of the lines whose runs begin at `first`; and where it is exact."""
        value = self._joined(first + number.run, number.whole)
        return (-value if number.negative else value), value != _TOO_LARGE

    def floats(self, first: Ints, number: Number) -> Floats:
        """The value of one number in each of the lines whose runs begin at `first`."""
        if number.constant is not None:
            return np.full(len(first), number.constant)
        run = first + number.run
        value = self._joined(run, number.whole + number.fraction)
        power = -self.run_sizes[run + (number.whole + number.fraction - 1)] if number.fraction else np.zeros_like(run)
        if number.exponent:
            last = self.run_values[run + (number.runs - 1)]
            power = power + number.exponent * np.where((last < 0) | (last > 999), 999, last)
        odd = (value < 0) | (value > _EXACT) | (np.abs(power) > _EXACT_POWER)
        scale = _POWERS[np.minimum(np.abs(power), _EXACT_POWER)]
        found: Floats = value / scale
        if number.exponent > 0:
            found = np.where(power < 0, found, value * scale)
        if odd.any():
            long = np.flatnonzero((value > _EXACT) & (power <= 0) & (power >= -_EXACT_POWER))
            found[long], sure = _quotients(value[long], scale[long])
            odd[long] = ~sure
            for at in np.flatnonzero(odd).tolist():
                found[at] = self._one(int(run[at]), number)
        return np.negative(found) if number.negative else found

    def _joined(self, run: Ints, runs: int) -> Ints:
        """Neighbouring runs as one integer; `_TOO_LARGE` from 10**18 on."""
        value, size = self.run_values[run], self.run_sizes[run]
        for more in range(1, runs):
            added = self.run_sizes[run + more]
            below = self.run_values[run + more]
            large = (value < 0) | (below < 0) | ((value > 0) & (size + added > _MOST_DIGITS))
            value = value * _INT_POWERS[np.minimum(added, _MOST_DIGITS)] + below
            value[large] = _TOO_LARGE
            size = size + added
        return value

    def _one(self, run: int, number: Number) -> float:
        digits = [self.digits(at) for at in range(run, run + number.runs)]
        text = b"".join(digits[: number.whole])
        if number.fraction:
            text += b"." + digits[number.whole]
        if number.exponent:
            text += (b"e" if number.exponent > 0 else b"e-") + digits[-1]
        return float(text)


def _special(text: bytes) -> bool:
    """Whether NaN or an infinity stands in a text."""
    lower = text.lower()
    return any(special.search(lower) for special in _SPECIAL)


def _quotients(value: Ints, power: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Integers up to 10**18 by exact powers of ten, correctly rounded where the second array says so.

    The quotient is the sum of two floats, off by far less than the distance that is kept from the middle between two
    neighbours, where that would matter.
    """
    high = value.astype(np.float64)
    low = (value - high.astype(np.int64)).astype(np.float64)
    first = high / power
    product = first * power
    first_high, power_high = _upper_half(first), _upper_half(power)
    first_low, power_low = first - first_high, power - power_high
    error = (
        (first_high * power_high - product) + first_high * power_low + first_low * power_high
    ) + first_low * power_low
    second = (((high - product) - error) + low) / power
    found = first + second
    off = np.abs(second - (found - first))
    half = np.spacing(found) / 2
    return found, (np.abs(off - half) > half * 2**-20) & (np.abs(off - half / 2) > half * 2**-20)


def _upper_half(value: Floats) -> Floats:
    """The upper 26 bits of a float's 53."""
    spread = value * _SPLIT
    upper: Floats = spread - (spread - value)
    return upper


def _eight_digits(words: NDArray[np.uint64]) -> Ints:
    """The decimal value of up to eight ASCII digits at the end of each word, the bytes before them zero.

    Neighbours are joined to numbers of two, then four, then eight digits.
    """
    words = words & np.uint64(0x0F0F0F0F0F0F0F0F)
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    words = (words * np.uint64(10000) + (words >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
    return words.astype(np.int64)
