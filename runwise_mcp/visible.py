"""Text that programs wrote, where it does not come from the daemon's own pages: without what cannot be seen."""

from __future__ import annotations

import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_SHOWN = 80


def visible(text: str) -> str:
    """The same on one line, without control, bidirectional, zero-width and other characters that are not seen."""
    return "".join(letter for letter in " ".join(text.split()) if unicodedata.category(letter) not in _UNSEEN)


def shown(name: str) -> str:
    """A name, of bounded length."""
    seen = visible(name)
    return seen if len(seen) <= _SHOWN else seen[: _SHOWN - 1] + "…"
