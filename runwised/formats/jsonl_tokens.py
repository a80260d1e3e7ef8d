"""NaN and Infinity in JSON, which a strict parser refuses or takes for texts, respelled as numbers that nobody logs,
and back.

A run that has diverged logs NaN in every row; this lets its rows be decoded like any others.
"""

from __future__ import annotations

import math

import numpy as np

from runwised.formats.record import Floats

_NUMBERS = {
    b"NaN": b"-3.9402135672104e-281",
    b"Infinity": b"-3.9402135672105e-281",
    b"-Infinity": b"-3.9402135672106e-281",
}
_VALUES = {float(number): float(token) for token, number in _NUMBERS.items()}
_SPELLINGS = [
    (colon + spelled, colon + number)
    for token, number in _NUMBERS.items()
    for colon in (b": ", b":")
    for spelled in (token, b'"' + token + b'"')
]


def respell(lines: bytes) -> tuple[bytes, int]:
    """The lines with numbers for the tokens that follow a colon, and how many there were."""
    count = 0
    for token, number in _SPELLINGS:
        respelled = lines.replace(token, number)
        count += (len(respelled) - len(lines)) // (len(number) - len(token))
        lines = respelled
    return lines, count


def restore(matrix: Floats) -> int:
    """Put NaN and infinities back, in place; how many there were.

    If that is not how many were respelled, some stood in a text, or were no tokens.
    """
    count = 0
    for number, value in _VALUES.items():
        found = matrix == number
        count += int(np.count_nonzero(found))
        matrix[found] = value
    return count


def restored(value: object) -> float | None:
    """The NaN or infinity that a number stands for, if it does."""
    return _VALUES.get(value) if type(value) is float else None


def is_token(value: object) -> bool:
    """Whether JSON can spell a value only by a token."""
    return type(value) is float and not math.isfinite(value)
