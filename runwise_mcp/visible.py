"""Names that programs gave, where they do not come from the daemon's own pages."""

from __future__ import annotations

from runwise_protocol.harmless import clean

_SHOWN = 80


def shown(name: str) -> str:
    """A name without what cannot be seen, of bounded length."""
    seen = clean(name).strip()
    return seen if len(seen) <= _SHOWN else seen[: _SHOWN - 1] + "…"
