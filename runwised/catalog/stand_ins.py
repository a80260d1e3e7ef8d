"""What else W&B keeps of a run beside its log: read where the log itself holds no rows."""

from __future__ import annotations

import os

from runwised.catalog.discover import Found
from runwised.catalog.output_log import find_output_log
from runwised.catalog.segment import Segment
from runwised.formats import choose

CONSOLE = "text"
"""Name of the format of ``output.log``."""


def find_stand_ins(log: Found) -> list[Segment]:
    """Event files saved with the run, else its console."""
    files = os.path.join(log.folder, "files")
    try:
        names = sorted(os.listdir(files))
    except OSError:
        names = []
    kinds = ((name, choose(name, b"")) for name in names)
    found = [(os.path.join(files, name), kind.name) for name, kind in kinds if kind is not None and kind.together]
    if not found:
        console = find_output_log(log.folder)
        found = [(console, CONSOLE)] if console else []
    return [Segment(Found(path, log.folder, log.run_id, 0.0, kind)) for path, kind in found]
