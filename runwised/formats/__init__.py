"""Log formats: bytes in, batches out. Pure: no file, clock or socket."""

from __future__ import annotations

from runwised.formats.record import Format
from runwised.formats.wandb_legacy import LEGACY_EVENTS, LEGACY_HISTORY
from runwised.formats.wandb_run import WANDB

FORMATS: tuple[Format, ...] = (WANDB, LEGACY_HISTORY, LEGACY_EVENTS)
"""Every format, asked in this order."""


def choose(filename: str, head: bytes) -> Format | None:
    """The format of a file with this name that begins with these bytes (at most 4 KiB, maybe none), or None."""
    return next((log for log in FORMATS if log.matches(filename, head)), None)
