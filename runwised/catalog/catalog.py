"""`Catalog`: the runs of every project that is asked about, fresh when asked, kept warm in the background."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from runwised.catalog.annotations import NotKept, Overlay
from runwised.catalog.attention import Attention
from runwised.catalog.changes import Follower
from runwised.catalog.disks import Disks, DiskSilent
from runwised.catalog.everything import Everything, KnownProjects, is_found_alone
from runwised.catalog.growth import INLINE_BYTES, MANY, NEW_SHARE, Growth
from runwised.catalog.holdings import SWEEP_SECONDS, Holdings
from runwised.catalog.ledger import Ledger
from runwised.catalog.mounts import Mounts
from runwised.catalog.named import locate_named
from runwised.catalog.pace import Pace
from runwised.catalog.place import Place, Settings, Settled, locate
from runwised.catalog.processes import Holders
from runwised.catalog.project import Project
from runwised.catalog.pruning import LIMITS, Limits
from runwised.catalog.run import Run
from runwised.catalog.saving import Saving
from runwised.catalog.store import remove_strays
from runwised.catalog.stores import close_stores
from runwised.catalog.upkeep import PACK_SECONDS, Upkeep, steadily
from runwised.catalog.watching import Watching
from runwised.index.kept import Annotation

_log = logging.getLogger(__name__)

LEDGER = "ledger"
"""Name of the file that cursors are looked up in."""
VIEW_SECONDS = 0.75
"""What a first look at a project may take; what is not read by then follows in the background."""
AGAIN_SECONDS = 0.15
"""The same for later looks."""
LEAST_SECONDS = 0.02
"""The same for one of many projects."""
ABREAST = 8
"""Of many projects, so many are looked at at once."""
GLIMPSE_SECONDS = 0.75
"""What finding the runs of those projects may take for which there was no time: nothing is read of them."""
BACKGROUND_SECONDS = 0.01
"""What the background reads at once; a question waits no longer than that."""
INDEXED_SECONDS = 60.0
FORGET_SECONDS = 3600.0
"""A project nobody asked about for this long is not kept warm any more."""
MOST_NAMED = 32
"""Files and folders that questions named and that are kept warm."""
SLICES = 6
"""The background looks at one in so many of the runs that are over, while nobody waits: a question looks at all."""
REST = 20
"""The background rests this many times as long as a look took, but no longer than until it is to look again anyway."""


_Numbered: TypeAlias = tuple[int, tuple[Settled, Holdings]]
"""A project's place in a list, and what is held of it."""


class Catalog:
    """All projects. `cache` is the folder for sidecars, `state` for what no log says; None: both stay in memory."""

    def __init__(
        self,
        cache: Path | None,
        state: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        workers: int | None = None,
        inline_bytes: int = INLINE_BYTES,
        limits: Limits = LIMITS,
    ) -> None:
        self._clock = clock
        self._state = state
        self._mounts = Mounts()
        self._known = KnownProjects(state, self._mounts.reports)
        self._settings = Settings()
        self._holders = Holders()
        self._projects: dict[Place, Holdings] = {}
        self._growth = Growth(cache, workers or os.cpu_count() or 1, inline_bytes, self._owe)
        self._growth.store.prepare()
        if state is not None:
            remove_strays(str(state))
        self._saving = Saving(self._growth)
        self._upkeep = Upkeep(self._projects, self._growth, self._saving, limits, self._look_again)
        self._disks = Disks(self._mounts)
        self._attention = Attention(self._projects.values, self._mounts, self._disks.answers)
        self._watching = Watching(self._projects, self._mounts, self._attention, self._look_again)
        self._ledger = Ledger(state / LEDGER if state else None)
        self._stir = anyio.Event()
        self._looking_since = 0.0
        """When the look at all projects began that goes on; 0 between two."""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Index, sweep, watch and save until cancelled."""
        async with anyio.create_task_group() as tasks:
            for work in (
                self._growth.ingest.run,
                self._freshen,
                self._upkeep.run,
                self._watching.run,
                self._attention.run,
            ):
                tasks.start_soon(steadily, work)
            task_status.started()

    async def view(self, cwd: str, environ: Mapping[str, str]) -> Project:
        """The project a question from `cwd` is about, as it is now. Raises NoProject and DiskSilent."""
        await self._disks.ask_around(cwd, environ, self._settings)
        settled = locate(cwd, environ, self._settings)
        is_new = settled.place not in self._projects
        project = await self._look(settled)
        if is_new and project.runs and is_found_alone(settled.place, self._settings):
            await anyio.to_thread.run_sync(self._known.remember, project.root)
        return project

    async def root(self, cwd: str, environ: Mapping[str, str]) -> str:
        """Root of the project a question from `cwd` is about. Raises NoProject and DiskSilent."""
        await self._disks.ask_around(cwd, environ, self._settings)
        return locate(cwd, environ, self._settings).place.root

    async def recent(self) -> list[str]:
        """Roots of the projects that were ever asked about, the latest first; some may be gone."""
        whole = [holdings for place, holdings in self._projects.items() if not place.only and holdings.runs]
        whole.sort(key=lambda holdings: -holdings.asked_at)
        known = await anyio.to_thread.run_sync(self._known.roots)
        return list(dict.fromkeys([*(holdings.place.root for holdings in whole), *known]))

    async def view_of(self, path: str, cwd: str) -> Project:
        """What is at a path, absolute or from `cwd`, and nothing else, as it is now. Raises NoLog and DiskSilent."""
        await self._disks.ask_at(path, cwd, self._settings)
        return await self._look(locate_named(path, cwd, self._settings))

    async def find(self, name: str, cwd: str) -> str:
        """A folder (absolute or from `cwd`), or the root of the known project whose path ends so.

        Raises NoSuchProject and SeveralProjects.
        """
        return await anyio.to_thread.run_sync(self._known.find, name, cwd)

    async def view_all(self) -> Everything:
        """Every project that was ever asked about, as far as a first look at one may take; new ones go first."""
        settled, silent = await self._known.places(self._settings, VIEW_SECONDS)
        known = [(found, self._hold(found)) for found in settled]
        held = [(found, holdings) for found, holdings in known if await self._disks.answers(holdings)]
        held.sort(key=lambda pair: pair[1].was_looked_at)
        rest = deque(enumerate(held))
        looked = await self._look_at_all(rest, time.monotonic() + VIEW_SECONDS)
        late = [holdings.project() for _, (_, holdings) in rest if holdings.was_looked_at]
        deadline = time.monotonic() + GLIMPSE_SECONDS
        for at, (found, holdings) in rest:
            if not holdings.was_looked_at and time.monotonic() < deadline:
                looked[at] = await self._look(found, 0.0, 0.0)
        seen = [looked[at] for at in sorted(looked)]
        self._stir.set()
        unseen = len(settled) + silent - len(seen) - len(late)
        return Everything((*seen, *late), len(late), unseen, self._clock())

    async def _look_at_all(self, rest: deque[_Numbered], deadline: float) -> dict[int, Project]:
        """Look at several projects at once, as most of it is waiting; those that the time did not allow are left."""
        looked: dict[int, Project] = {}

        async def go_on() -> None:
            while rest and (left := deadline - time.monotonic()) > 0:
                share = left * ABREAST / (len(rest) + ABREAST)
                at, (found, _) = rest.popleft()
                with suppress(DiskSilent):  # one of those that were not seen
                    looked[at] = await self._look(found, max(share, LEAST_SECONDS), 0.0)

        async with anyio.create_task_group() as tasks:
            for _ in range(ABREAST):
                tasks.start_soon(go_on)
        return looked

    async def annotate(self, project: Project, run_id: str, change: Callable[[Annotation], Annotation]) -> Project:
        """Change what the user says of a run, and give the project with it. Raises NotKept, and what `change` does."""
        run = next(run for run in project.runs if run.id == run_id)
        overlay = project.holdings.overlay
        try:
            said = await anyio.to_thread.run_sync(overlay.edit, run_id, run.own_id, change, project.holdings.origins)
        except OSError as error:
            raise NotKept(f"cannot write {overlay.path}: {error.strerror or error}") from error
        overlay.refresh()
        return project._replace(notes=(*project.notes, said)) if said else project

    async def _look(self, settled: Settled, seconds: float = VIEW_SECONDS, share: float = NEW_SHARE) -> Project:
        holdings = self._hold(settled)
        running = holdings.running
        await self._disks.ask_for(holdings)
        await holdings.refresh(min(AGAIN_SECONDS, seconds) if holdings.runs else seconds, share)
        if holdings.running != running:
            self._watching.check()
        if holdings.behind > MANY:
            self._growth.awake.is_amid = True
        if holdings.behind:
            self._stir.set()
        return holdings.project()

    def _hold(self, settled: Settled) -> Holdings:
        """The runs of a place, from now on known; they are looked at in the background, if not before."""
        holdings = self._projects.get(settled.place)
        if holdings is None:
            overlay = Overlay(None if settled.place.only else self._state, settled.place.root)
            holdings = Holdings(settled.place, self._holders, self._growth, self._ledger, self._clock, overlay)
            self._projects[settled.place] = holdings
            self._bound()
            self._watching.check()
        holdings.settings = settled
        holdings.asked_at = time.monotonic()
        return holdings

    def _bound(self) -> None:
        """Have the files and folders forgotten that questions named long ago, however many were since."""
        named = [holdings for place, holdings in self._projects.items() if place.only]
        for holdings in sorted(named, key=lambda known: known.asked_at)[:-MOST_NAMED]:
            holdings.asked_at = -math.inf
            self._stir.set()

    async def indexed(
        self, project: Project, run_ids: Sequence[str], seconds: float = INDEXED_SECONDS, *, if_short: bool = False
    ) -> Project:
        """The same project once these runs have their whole index (or, with `if_short`, the short ones among them)."""
        holdings, wanted = project.holdings, set(run_ids)
        with anyio.move_on_after(seconds):
            while True:
                missing = [run for run in holdings.runs if run.id in wanted and not run.is_whole]
                if if_short:
                    missing = [run for run in missing if run.unread_bytes <= self._growth.inline_bytes]
                if not missing:
                    break
                for run in missing:
                    await self._index(run)
                wanted.difference_update(run.id for run in missing if run.lacks_memory)
                await self._disks.ask_for(holdings)
                await holdings.refresh(AGAIN_SECONDS)
        return holdings.project()._replace(named=project.named)

    @contextmanager
    def follow(self, project: Project, run_ids: Iterable[str] | None) -> Iterator[Follower]:
        """Be woken when one of these runs changes, or any of the project (None); they are looked at closely then."""
        with project.holdings.changes.follow(run_ids) as follower, self._watching.quickly():
            yield follower

    @contextmanager
    def follow_all(self, projects: Iterable[Project]) -> Iterator[Follower]:
        """Be woken when any run of these projects changes, or is new."""
        follower = Follower()
        with ExitStack() as stack:
            for project in projects:
                stack.enter_context(project.holdings.changes.follow(None, follower))
            stack.enter_context(self._watching.quickly())
            yield follower

    def repair(self, run: Run) -> None:
        """The run's index is not to be trusted: make it anew from the sources."""
        run.slot.clear()
        run.changed()
        self._owe(run)

    def counts(self) -> dict[str, int]:
        """How much there is, and to do; touches no disk."""
        runs = sum(len(holdings.runs) for holdings in self._projects.values())
        return {"projects": len(self._projects), "runs": runs, "to index": len(self._growth.ingest)}

    def status(self) -> dict[str, Any]:
        """How it is, for a person; JSON."""
        runs = self._runs()
        troubles = [trouble for trouble in (self._known.trouble, self._ledger.trouble) if trouble]
        return {
            "projects": sorted(place.logs_dirs[0] if place.only else place.root for place in self._projects),
            "runs": len(runs),
            "indexed": sum(run.indexed for run in runs),
            "waiting": len(self._growth.ingest),
            "in_memory": sum(run.slot.warm is not None for run in runs),
            "restored": self._growth.restored,
            "read_bytes": self._growth.read_bytes,
            "cache": self._growth.store.folder,
            "watching": [told for holdings in self._projects.values() for told in self._watching.told(holdings)],
            "gathered_ms": self._watching.beat.debounce,
            "notes": [
                *troubles,
                *(note for holdings in self._projects.values() for note in holdings.notes()),
                *self._disks.notes,
                *self._watching.notes,
            ],
        }

    @property
    def stalled_seconds(self) -> float:
        """How long a look at all projects, or all workers, have been at one thing without getting on with it."""
        looking = time.monotonic() - self._looking_since if self._looking_since else 0.0
        return max(looking, self._growth.ingest.stalled_seconds)

    def reload(self) -> None:
        """Forget what was learned of settings and mounts, and look at every project again."""
        self._settings.forget()
        self._mounts.forget()
        self._watching.check()
        self._stir.set()

    def rescue(self) -> None:
        """Save what can be saved while the loop hangs; on another thread, and nothing is done after it."""
        self._saving.rescue(self._runs())

    async def close(self) -> None:
        """Save what is worth saving, and give all files back."""
        await self._saving.tidy(self._runs(), at_once=True)
        for holdings in self._projects.values():
            await holdings.pack(PACK_SECONDS)
        self._growth.store.close()
        self._ledger.close()
        await anyio.to_thread.run_sync(close_stores)

    def _look_again(self) -> None:
        self._stir.set()

    def _runs(self) -> list[Run]:
        return [run for holdings in self._projects.values() for run in holdings.runs]

    def _owe(self, run: Run) -> None:
        for holdings in self._projects.values():
            holdings.owe(run)
            if holdings.changes.follows(run.id):
                self._stir.set()

    async def _index(self, run: Run) -> None:
        """Index one run here when it is short or nobody else does it, else wait for the next a worker has done."""
        if (self._growth.is_quick(run) or not self._growth.ingest.active) and run not in self._growth.ingest.working:
            self._growth.ingest.drop(run)
            with anyio.CancelScope(shield=True):  # who asked may go away, what was read has been read
                if run.slot.filled:
                    await self._growth.bring_up(run, Pace(INDEXED_SECONDS))
                elif not await self._growth.read_on(run, Pace(INDEXED_SECONDS)):
                    await self._growth.read_on(run, Pace(INDEXED_SECONDS))
                run.changed()
            return
        self._growth.ingest.put(run, urgent=True)
        await self._growth.wait_finished()

    async def _freshen(self) -> None:
        """Look at every project again when something stirs, and at least every `SWEEP_SECONDS`."""
        rest = 0.0
        while True:
            with anyio.move_on_after(SWEEP_SECONDS - rest):
                await self._stir.wait()
            self._stir = anyio.Event()
            started, self._looking_since = time.perf_counter(), time.monotonic()
            looked, is_behind = 0.0, False
            for place, holdings in list(self._projects.items()):
                if time.monotonic() - holdings.asked_at > FORGET_SECONDS and not holdings.changes.any:
                    await self._saving.tidy(holdings.runs, at_once=True)
                    await holdings.pack(PACK_SECONDS)
                    self._projects.pop(place)
                    continue
                if not await self._disks.answers(holdings):
                    continue
                began = time.perf_counter()
                await holdings.refresh(BACKGROUND_SECONDS, slices=1 if holdings.changes.any else SLICES)
                looked += time.perf_counter() - began
                while holdings.behind and time.perf_counter() - started < SWEEP_SECONDS:
                    await holdings.catch_up(BACKGROUND_SECONDS)
                is_behind = is_behind or bool(holdings.behind)
            self._watching.check()
            self._looking_since = 0.0
            rest = min(looked * REST, SWEEP_SECONDS)
            if is_behind:
                self._stir.set()  # to be gone on with, once the other projects were looked at
                rest = 0.0
            await anyio.sleep(rest)
