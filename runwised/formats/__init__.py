"""Log formats: bytes in, batches out. Pure: no file, clock or socket."""

from __future__ import annotations

from functools import cache

from runwised.formats.record import Format
from runwised.formats.wandb_run import WANDB


@cache
def all_formats() -> tuple[Format, ...]:
    """Every format, asked in this order. Of two sources of one run, the format named first knows its numbers better.

    All but W&B's own are imported with the first file that is none of its logs: a start would take a tenth longer.
    """
    from runwised.formats.csv_table import CSV
    from runwised.formats.jsonl import JSONL
    from runwised.formats.textlog import TEXTLOG
    from runwised.formats.tfevents import TFEVENTS
    from runwised.formats.trainer_state import TRAINER_STATE
    from runwised.formats.wandb_legacy import LEGACY_EVENTS, LEGACY_HISTORY

    return WANDB, LEGACY_HISTORY, LEGACY_EVENTS, TRAINER_STATE, JSONL, CSV, TFEVENTS, TEXTLOG


def choose(filename: str, head: bytes) -> Format | None:
    """The format of a file with this name that begins with these bytes (at most 4 KiB, maybe none), or None."""
    if WANDB.matches(filename, head):
        return WANDB
    return next((log for log in all_formats() if log.matches(filename, head)), None)


def recognise(name: str, head: bytes) -> str:
    """Name of the format of a file with this name that begins with these bytes; empty where it is no log."""
    form = choose(name, head)
    return form.name if form else ""
