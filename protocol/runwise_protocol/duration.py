"""A length of time as it is typed: ``90s``, ``9m``, ``1h30m``."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from msgspec import Meta

from runwise_protocol.expression_tree import UNITS

_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
LONGEST_SECONDS = 30 * 86400.0

Length: TypeAlias = Annotated[str, Meta(pattern=r"^(?:\d{1,9}(?:\.\d{1,9})?[dhms]){1,4}$", max_length=80)]
"""What a field of a query takes."""


def seconds(length: str) -> float:
    """How long it is, at most `LONGEST_SECONDS`."""
    return min(sum(float(count) * UNITS[unit] for count, unit in _PART.findall(length)), LONGEST_SECONDS)


def spelled(length: float) -> str:
    """The same the other way round, to a tenth of a second."""
    return f"{max(round(length, 1), 0.1)}s"
