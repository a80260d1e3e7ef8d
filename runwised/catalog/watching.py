"""Which folders are watched, how quickly events are handed on, and whom they wake."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import anyio

from runwised.catalog.attention import Attention
from runwised.catalog.holdings import SWEEP_SECONDS, Holdings
from runwised.catalog.mounts import Mounts
from runwised.catalog.place import Place
from runwised.catalog.watch import CALM, MOST_FOLDERS, QUICK, Beat, follow

_log = logging.getLogger(__name__)

LINGER_SECONDS = 30.0
"""Who waited once soon waits again: to watch otherwise costs more than to go on."""


class Watching:
    """Watches roots and the folders of running runs; `stir` is called when something happened there."""

    def __init__(
        self, projects: Mapping[Place, Holdings], mounts: Mounts, attention: Attention, stir: Callable[[], None]
    ) -> None:
        self._projects = projects
        self._mounts = mounts
        self._attention = attention
        self._stir = stir
        self._watched: frozenset[str] = frozenset()
        """Folders whose changes are reported."""
        self._unwatched = ""
        """Why not all are that could be."""
        self._changed = anyio.Event()
        self._quick_until = 0.0

    def check(self) -> None:
        """Other folders may have to be watched now."""
        self._changed.set()

    @contextmanager
    def quickly(self) -> Iterator[None]:
        """Have events handed on quickly, and ticks too, for somebody who waits."""
        self._attention.begin()
        self.check()
        try:
            yield
        finally:
            self._quick_until = time.monotonic() + LINGER_SECONDS
            self.check()

    @property
    def beat(self) -> Beat:
        """How quickly events are handed on: quickly where somebody waits, or did until just now."""
        return QUICK if self._attention.is_wanted or time.monotonic() < self._quick_until else CALM

    @property
    def notes(self) -> list[str]:
        """Why not all is watched that could be."""
        return [self._unwatched] if self._unwatched else []

    def told(self, holdings: Holdings) -> Iterator[str]:
        """A line for each root of a project, and one for what is behind."""
        place, now = holdings.place, time.monotonic()
        every = f"looked at every {SWEEP_SECONDS:g} s and when asked"
        for folder in place.wandb_dirs + place.logs_dirs:
            kind = self._mounts.kind(folder)
            if self._mounts.reports(folder) and not os.path.isdir(folder):  # others may not answer
                how = "not there"
            elif folder in self._watched:
                how = "changes are reported"
            else:
                why = "" if self._mounts.reports(folder) else f", {kind or 'its file system'} reports no changes"
                how = every + why
            yield f"{folder} ({kind or 'unknown'}): {how}"
        running = set(holdings.running)
        unwatched = len(running - self._watched)
        said = [f"{len(running)} running"]
        said += [f"{unwatched} of them {every}"] if unwatched else []
        said += [f"{holdings.behind} not looked into yet"] if holdings.behind else []
        yield f"{place.root}: last sweep {now - holdings.looked_at:.1f} s ago; {', '.join(said)}"

    async def run(self) -> None:
        """Watch the folders where runs are or may begin, and those of running runs."""
        while True:
            folders, beat = self._to_watch()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, folders, self._heed, beat, self._heed_all, self._watch_stands)
                while self._to_watch() == (folders, beat):
                    self._changed = anyio.Event()
                    with anyio.move_on_after(LINGER_SECONDS if beat is QUICK else math.inf):
                        await self._changed.wait()
                tasks.cancel_scope.cancel()

    def _to_watch(self) -> tuple[list[str], Beat]:
        """The folders, those first whose runs somebody waits for, and how quickly events are handed on."""
        roots = [folder for place in self._projects for folder in place.wandb_dirs + place.logs_dirs]
        running = [folder for holdings in self._projects.values() for folder in holdings.running]
        folders = dict.fromkeys([*self._attention.folders(), *roots, *running, *self._attention.consoles()])
        reporting = [folder for folder in folders if self._mounts.reports(folder)]
        return sorted(reporting[:MOST_FOLDERS]), self.beat

    def _watch_stands(self, watched: Sequence[str], why: str) -> None:
        if why and why != self._unwatched:
            _log.warning("%s", why)
        self._watched, self._unwatched = frozenset(watched), why

    def _heed_all(self) -> None:
        self._attention.heed_all()
        self._stir()

    def _heed(self, paths: set[str]) -> None:
        self._attention.heed(paths)
        if any(path.endswith(".wandb") or os.path.isdir(path) for path in paths):
            self._stir()
