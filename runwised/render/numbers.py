"""Numbers, ages and sizes in as few characters as keep them true.

Agent dress: no zero before the point, no exponent for ordinary magnitudes, a column's scale in its head. Both
dresses: whole numbers plain, at least `digits` significant digits of the rest, more where values that differ would
print alike; ``nan`` and ``inf`` as such. A value that is not whole never prints as a bare whole number while its
digits reach past the point: .99996 is ``1.0000``, not ``1``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

Dress: TypeAlias = Literal["agent", "human"]

_MOST_DIGITS = 10
_FEW = 20
"""Up to so many values all that differ print differently; in longer columns nine of ten neighbours do."""


def number(value: float | None, *, digits: int = 4, dress: Dress = "agent") -> str:
    """One number; None is ``-``."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(int(value))
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = abs(value)
    if value == int(value) and size < 1e15:
        return str(int(value))
    if size >= 10 ** max(9, digits) or size < (1e-6 if dress == "agent" else 1e-4):
        return _exponent(value, digits)
    text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    if "." in text and text.rstrip("0")[-1] != ".":
        text = text.rstrip("0")
    return _bare(text) if dress == "agent" else text


def exact(value: float, *, dress: Dress = "agent") -> str:
    """A number in all its digits."""
    if isinstance(value, int) or not math.isfinite(value):
        return number(value)
    mantissa, _, power = repr(value).partition("e")
    mantissa = _bare(mantissa.removesuffix(".0")) if dress == "agent" else mantissa
    return f"{mantissa}e{int(power)}" if power else mantissa


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(power)}"


def _bare(text: str) -> str:
    """Without the zero before the point."""
    if text.startswith("0."):
        return text[1:]
    return f"-{text[2:]}" if text.startswith("-0.") else text


def column(
    values: Sequence[float | None], *, digits: int = 4, dress: Dress = "agent", scale: bool = True
) -> tuple[str, list[str]]:
    """Numbers that stand under one another, and what to put behind their head: the scale, such as ``_e-6``.

    Only the agent dress scales: a value of ``294`` under ``lr_e-6`` is .000294. Without `scale`, no column does.
    """
    power = _scale(values) if scale and dress == "agent" else 0
    if power:
        values = [value if value is None else _shifted(value, -power) for value in values]
    cells = [number(value, digits=digits, dress=dress) for value in values]
    while digits < _MOST_DIGITS and _alike(values, cells):
        digits += 1
        cells = [number(value, digits=digits, dress=dress) for value in values]
    return (f"_e{power}" if power else ""), cells


def _shifted(value: float, power: int) -> float:
    """The value times a power of ten, exact as far as its decimal digits go: 6e-5 becomes 60, not 59.99999999999999."""
    mantissa, _, exponent = repr(float(value)).partition("e")
    return float(f"{mantissa}e{int(exponent or 0) + power}") if math.isfinite(value) else value


def _alike(values: Sequence[float | None], cells: Sequence[str]) -> bool:
    """Whether values that differ print alike: any of a few, or more than a tenth of the neighbours."""
    if len(values) <= _FEW:
        shown = {(value, cell) for value, cell in zip(values, cells, strict=True) if value == value}
        return len({cell for _, cell in shown}) < len({value for value, _ in shown})
    pairs = list(zip(values, values[1:], cells, cells[1:], strict=False))
    differ = [(one, other) for before, after, one, other in pairs if before != after and before == before]
    return sum(one == other for one, other in differ) * 10 > len(differ)


def _scale(values: Sequence[float | None]) -> int:
    """The power of ten that a column all tiny or all huge is divided by; else 0."""
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value) and value != 0]
    if not sizes or all(size == int(size) for size in sizes):
        return 0
    if max(sizes) < 1e-3:
        return 3 * math.floor(math.log10(max(sizes)) / 3)
    return 3 * math.floor(math.log10(min(sizes)) / 3) if min(sizes) >= 1e6 else 0


def formatted(value: float | None, spec: str | None, *, digits: int = 4, dress: Dress = "agent") -> str:
    """A number in the format a schema gives it (``.4f``, ``.1%``); the ordinary one without or with a wrong one."""
    if spec and isinstance(value, int | float) and math.isfinite(value):
        try:
            return format(value, spec)
        except ValueError:
            pass  # a specification Python does not know: the ordinary format says the value all the same
    return number(value, digits=digits, dress=dress)


def duration(seconds: float | None) -> str:
    """``41s``, ``5m``, ``2h10``, ``3d4h``, ``45d``."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 1:
        return f"{whole}s"
    if hours < 1:
        return f"{minutes}m"
    if days < 1:
        return f"{hours}h{minutes % 60:02d}" if minutes % 60 else f"{hours}h"
    return f"{days}d{hours % 24}h" if hours % 24 and days < 10 else f"{days}d"


def age(seconds: float | None) -> str:
    """How long ago; a moment ahead of the clock is ``now``."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    return f"{duration(seconds)} ago" if seconds >= 1 else "now"


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count_bytes: int) -> str:
    """``512 B``, ``1.2 kB``, ``98 MB``: decimal units, two digits."""
    amount, units = float(count_bytes), ["TB", "GB", "MB", "kB", "B"]
    unit = units.pop()
    while amount >= 999.5 and units:
        amount, unit = amount / 1000, units.pop()
    return f"{amount:.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:.0f} {unit}"
