"""Off the hot path: saves what was folded in memory, and keeps what stays in memory within a bound."""

from __future__ import annotations

import time
from collections.abc import Iterable

import anyio
import anyio.to_thread

from runwised.catalog.growth import KEPT_BYTES, Growth
from runwised.catalog.run import Run
from runwised.index.sidecar import SidecarDamaged, SidecarVersion

WARM_BYTES = 48 << 20
"""What all indexes in memory may take together, about."""
ABREAST = 8
"""Runs saved at once: most of it is waiting for the disk."""
PAUSE_SECONDS = 30.0
BYTES_A_SECOND = 1 << 20
"""A live run's sidecar is written again after `PAUSE_SECONDS`; those of all live runs not faster than this together."""


class Saving:
    """Looks after the indexes of all runs."""

    def __init__(self, growth: Growth) -> None:
        self._growth = growth
        self._paid_at = 0.0
        """When the disk has had the time for what was written of live runs, on the monotonic clock."""

    async def tidy(self, runs: Iterable[Run], *, at_once: bool = False) -> bool:
        """Save what is due, and take from memory what is too much there. Whether anything was there."""
        known = sorted((run for run in runs if _is_at_work(run)), key=lambda run: run.slot.saved_at)
        for start in range(0, len(known), ABREAST):
            async with anyio.create_task_group() as tasks:
                for run in known[start : start + ABREAST]:
                    tasks.start_soon(self._tidy, run, at_once)
        known.sort(key=lambda run: run.slot.asked_at)
        await self._bound_warm(known)
        self._bound_kept(known)
        return bool(known)

    async def _tidy(self, run: Run, at_once: bool) -> None:
        over = run.current.state != "running"
        if run.slot.warm is not None and not run.slot.is_saved:
            if at_once or over:
                await self._save(run)
            elif self._is_due(run):
                await self._save(run)
                self._paid_at = max(self._paid_at, time.monotonic()) + run.slot.saved_bytes / BYTES_A_SECOND
        if over:
            self._unload(run)
        await self._save_kept(run)
        if over or at_once:
            await self._save_note(run)

    def rescue(self, runs: Iterable[Run]) -> None:
        """Save what is due while nothing else can be done any more, but for runs that are just being worked on."""
        for run in list(runs):
            slot, path = run.slot, self._growth.sidecar_path(run)
            if slot.warm is not None and not slot.is_saved and path and not slot.lock.statistics().locked:
                self._growth.store.write(path, slot.warm.parts())
            elif slot.kept is not None and path:
                self._growth.store.write(path, [slot.kept.data])

    async def _bound_warm(self, runs: Iterable[Run]) -> None:
        total = sum(run.slot.warm.index.nbytes for run in runs if run.slot.warm is not None)
        for run in runs:
            if total > WARM_BYTES and run.slot.warm is not None:
                total -= run.slot.warm.index.nbytes
                if run.slot.is_saved or await self._save(run):
                    self._unload(run)

    def _bound_kept(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if self._growth.store.kept_bytes > KEPT_BYTES and run.slot.kept is not None:
                run.is_dropped = True
                run.slot.clear()
                self._growth.owe(run)

    def _is_due(self, run: Run) -> bool:
        now = time.monotonic()
        return now >= self._paid_at and now - run.slot.saved_at > PAUSE_SECONDS

    async def _save(self, run: Run) -> bool:
        """Write the sidecar; what is folded after it was encoded is saved the next time."""
        slot, path = run.slot, self._growth.sidecar_path(run)
        if slot.warm is None or not path:
            return False
        warm = slot.warm
        async with slot.lock:
            read = warm.read_bytes
            parts = await anyio.to_thread.run_sync(warm.parts)
        slot.saved_at, slot.saved_bytes = time.monotonic(), sum(map(len, parts))
        if await anyio.to_thread.run_sync(self._growth.store.write, path, parts):
            slot.is_saved = slot.warm is warm and warm.read_bytes == read
        return slot.is_saved

    async def _save_kept(self, run: Run) -> None:
        """Put into the cache what waits in memory: it could not be written, or not so fast."""
        kept = run.slot.kept
        path = self._growth.sidecar_path(run) if kept is not None else None
        if kept is None or not path or not await anyio.to_thread.run_sync(self._growth.store.write, path, [kept.data]):
            return
        if run.slot.kept is kept:
            self._replace(run, path)

    async def _save_note(self, run: Run) -> None:
        if not run.slot.has_news:
            return
        memory, note = run.slot.memory, run.slot.memory.note
        if not self._growth.sidecar_path(run):
            return
        if await anyio.to_thread.run_sync(self._growth.store.write, memory.path, [note]):
            memory.is_new = memory.note is not note

    def _unload(self, run: Run) -> None:
        """Have the saved sidecar stand for the index in memory; where none could be saved, its bytes."""
        slot = run.slot
        if slot.warm is None:
            return
        path = self._growth.sidecar_path(run)
        if not path:
            slot.put_away(self._growth.store.keep(slot.warm.parts()))
        elif slot.is_saved:
            self._replace(run, path)

    def _replace(self, run: Run, path: str) -> None:
        try:
            run.slot.put_away(self._growth.store.open(path))
        except (OSError, SidecarDamaged, SidecarVersion):
            run.slot.is_saved = False


def _is_at_work(run: Run) -> bool:
    """Whether there is anything of it in memory that may have to be saved: of ten thousand it is so of few."""
    slot = run.slot
    return slot.warm is not None or slot.kept is not None or slot.has_news
