"""Finds what many summary records come to, reading of their values only the last of each path.

Of all that is set by a row of summary records only the last value of each path can matter: every later set of a path
does again whatever an earlier one did, to what stands below it and to its parents. So the keys of all items are read,
and few values. Removals, and media whose leaves belong together, come as patches of single records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runwised.formats.record import Patch, Path
from runwised.formats.wandb_fast_items import Items
from runwised.formats.wandb_fast_keys import KeyTable
from runwised.formats.wandb_fast_values import decode_value
from runwised.formats.wandb_fast_words import Window


class SummaryChanges:
    """Takes windows of summary records in file order; gives few patches that do the same."""

    def __init__(self) -> None:
        self._sets: dict[Path, Any] = {}
        self._done: list[Patch] = []

    def add(self, window: Window, items: Items, table: KeyTable, lanes: int, odd: Mapping[int, Patch]) -> None:
        """Take the regular records among `lanes` of a window, and, by their lanes, the patches of the odd ones."""
        start = 0
        for lane in (*sorted(odd), lanes):
            if start < lane:
                self._add_latest(window, items.between(start, lane), table)
            if lane in odd:
                self._add_patch(odd[lane])
            start = lane + 1

    def take(self) -> list[Patch]:
        """Everything since the last call."""
        self._end(())
        done, self._done = self._done, []
        return done

    def _add_latest(self, window: Window, items: Items, table: KeyTable) -> None:
        """Set the last value of each key, in the order of the log."""
        latest = np.full(len(table), -1)
        latest[items.keys] = np.arange(len(items.keys))
        for at in np.sort(latest[latest >= 0]).tolist():
            value = decode_value(window, int(items.values[at]), int(items.sizes[at]))
            self._set(table.paths[items.keys[at]], value)

    def _add_patch(self, patch: Patch) -> None:
        for path, value in patch.sets:
            self._set(path, value)
        if patch.removes:
            self._end(patch.removes)

    def _set(self, path: Path, value: Any) -> None:
        self._sets.pop(path, None)
        self._sets[path] = value

    def _end(self, removes: Sequence[Path]) -> None:
        if self._sets or removes:
            self._done.append(Patch("summary", list(self._sets.items()), removes))
            self._sets = {}
