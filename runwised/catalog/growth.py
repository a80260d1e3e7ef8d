"""Brings one run's index up to what is on disk: restores it, reads on in place, or has a worker do it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from weakref import WeakSet

import anyio
import anyio.to_thread

from runwised.catalog import allocator
from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Log, SourceChangedError, still_begins
from runwised.catalog.ingest import Ingest, Result
from runwised.catalog.pace import Pace
from runwised.catalog.run import Run
from runwised.catalog.slot import IndexSlot
from runwised.catalog.store import SidecarFile, Store
from runwised.catalog.warm import Warm
from runwised.index.sidecar import Sidecar, SidecarDamaged, SidecarVersion

INLINE_BYTES = 4 << 20
"""More than this is not read by the process that answers questions."""
LARGE_BYTES = 512 << 20
"""The index of a longer log is not taken into the memory of that process."""
NEW_BYTES = 256 << 10
"""A log never seen that is longer than this is only probed before the first answer."""
NEW_SHARE = 0.25
"""Share of a question's time that goes into reading logs never seen; the rest is for probes."""
PIECE_SECONDS = 0.01
LEAST_PIECE_BYTES = 32 << 10
MANY = 3000
"""Of more new logs than this the process that answers questions reads none but for the first answer."""
MOST_PROBED = 1024
"""What is known of so many of those that wait is worth its memory."""
STALLED_SECONDS = 5.0
"""Workers that do not get on for this long are given no more."""
MOST_WARM = 64
"""Of indexes in memory; beyond, new ones wait as bytes until they are saved: they are read faster than disks sync."""
MOST_FAILURES = 3
KEPT_BYTES = 128 << 20
"""What sidecars that cannot be saved may take in memory: beyond, runs are indexed when they are asked for."""


class Growth:
    """What all runs of all projects share: the cache, the queue, and the limits."""

    def __init__(self, cache: Path | None, workers: int, inline_bytes: int, owe: Callable[[Run], None]) -> None:
        self.store = Store(cache)
        self.awake = Awake()
        self._warm: WeakSet[Warm] = WeakSet()
        self.ingest = Ingest(workers, self.sidecar_path, self._finish)
        self.read_bytes = 0
        """Bytes of sources read, here and by workers."""
        self.restored = 0
        """Indexes taken from sidecars."""
        self.inline_bytes = inline_bytes
        self.owe = owe
        self._finished = anyio.Event()

    async def bring_up(self, run: Run, pace: Pace, share: float = NEW_SHARE) -> bool:
        """Do for a run what can be done within the time; what takes long is put in the queue.

        A log never seen is read in `share` of the time. False: it is short, but there was no time left.
        """
        if run in self.ingest:
            await self._wait_for_worker(run, pace)
            return True
        if not run.slot.filled and not run.is_restored:
            await self._restore(run)
        if run.slot.filled and await self._go_on(run, pace):
            return True
        run.slot.clear()
        is_short = self._is_short(run)
        in_time = is_short and not pace.spent(share)
        if in_time and await self.read_on(run, pace):
            if await self._go_on(run, pace):
                return True
            run.slot.clear()  # of bytes that are no more: nothing is known rather than that
        for part in run.parts:
            await part.read_probe()
        if is_short and not in_time and not run.failures:
            return False
        if run.size and run.logs and not run.failures and not run.is_dropped:
            self.ingest.put(run)
        return True

    def _is_short(self, run: Run) -> bool:
        return bool(run.logs) and run.size <= min(NEW_BYTES, self.inline_bytes) and not run.is_dropped

    async def hand_over(self, due: dict[Run, None], pace: Pace) -> None:
        """Where many logs were never seen, have the workers read the short ones, too, and take them from those due."""
        if len(due) <= MANY or not self.ingest.active or self.ingest.stalled_seconds > STALLED_SECONDS:
            return
        for run in list(due):
            if pace.spent():
                return
            if not (run.slot.filled or run.failures or run in self.ingest) and self._is_short(run):
                if not run.is_restored and os.path.exists(self._path(run)):
                    return  # to read sidecars takes little
                run.is_restored = True
                self.ingest.put(run)
                del due[run]
            await pace.breathe()

    def unknown(self, runs: Iterable[Run]) -> list[Run]:
        """The first of those that wait for a worker and of which not even the ends of their logs were read."""
        if not len(self.ingest):
            return []
        waiting = islice((run for run in runs if not run.slot.filled and run in self.ingest), MOST_PROBED)
        return [run for run in waiting if not all(part.is_probed for part in run.parts)]

    async def _wait_for_worker(self, run: Run, pace: Pace) -> None:
        """What is known of a run that a worker reads stands for now, unless it is of bytes that are no more.

        Where little is new that is read here: what is known of a short log would be all that an answer says of it.
        """
        _drop_overwritten(run)
        if run.slot.filled and self.is_quick(run) and not run.is_written_anew and await self.read_on(run, pace):
            self.ingest.drop(run)
            _drop_overwritten(run)
        if not run.slot.filled:
            for part in run.parts:
                await part.read_probe()

    async def _go_on(self, run: Run, pace: Pace) -> bool:
        """Bring the index there is up to what is on disk; False when it is of no use any more."""
        state = run.compare()
        if state == "changed":
            return await self._renew(run)
        if state == "grown" and not await self._read_more(run, pace):
            return False
        # Where no rows have been found others stand in, which are only known now.
        return not run.begins_stand_ins or await self._read_more(run, pace)

    async def _read_more(self, run: Run, pace: Pace) -> bool:
        if not self.is_quick(run):
            self.ingest.put(run)
            return True
        return await self.read_on(run, pace)

    def is_quick(self, run: Run) -> bool:
        """Whether what is new of a run is read by the process that answers questions, and its index held there."""
        return run.unread_bytes <= self.inline_bytes and (run.slot.warm is not None or run.size <= LARGE_BYTES)

    async def _renew(self, run: Run) -> bool:
        """Read a run anew whose writer writes whole files; what was known stands until the new one is whole."""
        if not run.is_written_anew or run.size > self.inline_bytes:
            return False
        slot = run.slot
        slot.logs = run.logs
        try:
            warm = await anyio.to_thread.run_sync(_read_anew, slot.logs, run.size)
        except SourceChangedError:
            run.hold()
            return True
        except OSError as error:
            return not self._goes_on(run, error) and slot.filled
        reaches = warm.index.history.total_rows >= slot.ask(lambda index: index.history.total_rows)
        if not (warm.is_whole and reaches) and not run.is_at_rest:
            run.hold()
            return True
        self.read_bytes += warm.read_bytes
        slot.put_warm(warm)
        run.learn(warm.stamped)
        return True

    async def read_on(self, run: Run, pace: Pace) -> bool:
        """Read all that is new, here; False when it turned out that the run must be read from its start."""
        slot = run.slot
        slot.logs = run.logs
        self._path(run)
        try:
            if slot.warm is None:
                warm = await anyio.to_thread.run_sync(_read_apart, slot, run.size)
                read = warm.read_bytes
            else:
                warm = slot.warm
                async with slot.lock:
                    read = -warm.read_bytes
                    await _read_in_place(warm, slot.logs, run.size, pace)
                    read += warm.read_bytes
        except SourceChangedError:
            slot.clear()
            return False
        except Exception as error:  # noqa: BLE001 - the boundary: what one log meets in a reader must not end the rest
            if isinstance(error, OSError) and not allocator.is_spent(error):
                return await self.read_on(run, pace) if self._goes_on(run, error) else slot.filled
            slot.clear()
            if allocator.is_spent(error):
                self._wait_for_memory(run)
            else:
                run.fail(f"{run.newest.path}: cannot be indexed: {error!r}")
            return False
        self.read_bytes += read
        is_new = slot.warm is None and not warm.is_thawed
        slot.put_warm(warm)
        run.learn(warm.stamped)
        self._warm.add(warm)
        if is_new and len(self._warm) > MOST_WARM:
            slot.put_away(self.store.keep(warm.parts()))
        return True

    def _wait_for_memory(self, run: Run) -> None:
        """There is none to index it: not the log's fault. A worker tries it again, and no question waits for that."""
        self.awake.tidy(unasked=0)
        run.lacks_memory = True
        self.ingest.put(run)

    def _goes_on(self, run: Run, error: OSError) -> bool:
        """A source could not be read: whether to begin anew with the others, instead of keeping what is known."""
        if run.leave_out(error):
            run.slot.clear()
            return True
        run.fail(f"{error.filename or run.newest.path}: {error.strerror}")
        return False

    def sidecar_path(self, run: Run) -> str:
        """Where a run's sidecar is to be written; empty when it is not to be."""
        return "" if run.slot.is_locked or not self.store.usable else self._path(run)

    async def wait_finished(self) -> None:
        """Wait until a worker has finished some run."""
        await self._finished.wait()

    def drop(self, run: Run) -> None:
        """The run is no more."""
        self.ingest.drop(run)

    def _path(self, run: Run) -> str:
        """Where a run's sidecar is; from then on the run knows, and with it where its note is."""
        if not run.slot.place:
            run.slot.place = self.store.path_of(run.parts[0].found)
        return run.slot.place

    async def _restore(self, run: Run) -> None:
        run.is_restored = True
        path = self._path(run)
        if not os.path.exists(path):
            return
        run.slot.logs = run.logs
        try:
            # Opened on a thread, put in place here: to hold something is to have others give back what they hold.
            run.slot.put_file(*await anyio.to_thread.run_sync(self._open, path))
        except (OSError, SidecarDamaged):
            return
        except SidecarVersion as error:
            run.slot.is_locked = error.newer
            return
        self.restored += 1
        run.learn(run.slot.stamped)

    def _open(self, path: str) -> tuple[SidecarFile, Sidecar]:
        file = self.store.open(path)
        return file, Sidecar(file.read_at, file.size)

    def _finish(self, run: Run, result: Result) -> None:
        self.read_bytes += result.done.read_bytes
        logs = run.logs_at_last  # the worker has put another sidecar in the place of the one that was known
        if result.done.disk_error:
            self.store.failed(OSError(0, result.done.disk_error))
        if result.done.error:
            path = result.done.unreadable
            if result.done.is_changed and run.failures + 1 < MOST_FAILURES:
                run.fail("")  # it is being written over: no trouble unless that goes on
            elif not (path and run.leave_out(OSError(0, result.done.error, path))):
                run.fail(f"{path}: {result.done.error}" if path else result.done.error)
            if run.failures < MOST_FAILURES:
                self.ingest.put(run)
        else:
            self._take(run, logs, result.sidecar)
        run.changed()
        self.owe(run)
        self._finished.set()
        self._finished = anyio.Event()

    def _take(self, run: Run, logs: Sequence[Log], sidecar: bytes) -> None:
        if run.slot.warm is not None and run.compare() == "same":
            run.slot.is_saved = False  # all there is was read here meanwhile, and the sidecar holds what the worker saw
            return
        run.slot.logs = logs
        try:
            run.slot.put_file(self.store.keep([sidecar]) if sidecar else self.store.open(self._path(run)))
        except (OSError, SidecarDamaged, SidecarVersion) as error:
            run.fail(str(error))
            return
        run.learn(run.slot.stamped)
        _drop_overwritten(run)


def _drop_overwritten(run: Run) -> None:
    """Have no index at all rather than one of bytes that have been written over; whole files are held, see `Run`."""
    if not run.slot.filled or run.is_written_anew:
        return
    became = run.compare()
    if became == "changed" or (became == "grown" and not all(map(still_begins, run.slot.fingerprints, run.slot.logs))):
        run.slot.clear()


def _read_apart(slot: IndexSlot, end: int) -> Warm:
    """Make an index nobody else sees yet; meant for a thread, so that nobody waits for it either."""
    return _read(slot.thaw(), slot.logs, end)


def _read_anew(logs: Sequence[Log], end: int) -> Warm:
    return _read(Warm(logs), logs, end)


def _read(warm: Warm, logs: Sequence[Log], end: int) -> Warm:
    warm.extend(logs)
    while warm.is_behind(end) and warm.step():
        pass
    return warm


async def _read_in_place(warm: Warm, logs: Sequence[Log], end: int, pace: Pace) -> None:
    """Fold what is new into an index that questions read between two pieces, each as large as is quickly folded."""
    warm.extend(logs)
    while warm.is_behind(end):
        started = time.perf_counter()
        if not warm.step(warm.piece_bytes):
            return
        if time.perf_counter() - started > PIECE_SECONDS:
            warm.piece_bytes = max(warm.piece_bytes // 2, LEAST_PIECE_BYTES)
        await pace.breathe()
