"""All runs of one project, brought up to what is on disk whenever a question asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence

import anyio
import anyio.to_thread

from runwised.catalog.annotations import Overlay
from runwised.catalog.changes import Changes
from runwised.catalog.discover import Discovery, Found
from runwised.catalog.grouping import group, label, may_be_several, newest_first, order_of, part_linked
from runwised.catalog.growth import NEW_SHARE, Growth
from runwised.catalog.ledger import Ledger
from runwised.catalog.loose import Looked
from runwised.catalog.noting import Noting
from runwised.catalog.pace import Pace, alone
from runwised.catalog.place import Place, Settled
from runwised.catalog.processes import Holders, lives
from runwised.catalog.project import Project
from runwised.catalog.resting import Resting
from runwised.catalog.run import NOT_READ, Run
from runwised.catalog.segment import Segment
from runwised.catalog.slot import IndexLostError
from runwised.formats import recognise
from runwised.formats.record import NO_HINTS, Hints
from runwised.index.kept import Past
from runwised.settings import RunwiseConfig

SWEEP_SECONDS = 10.0
"""How often folders where no run is yet are looked into."""
SLACK_SECONDS = 1.0
AT_ONCE = 4
"""Runs that are read into at once: disks answer several requests in hardly more time than one."""
MOST_NOTES = 3
WORDS_SECONDS = 60.0
"""How long after a program last printed what it prints is looked for, even if its run is over by then."""
REST = 20
"""Looking for new runs rests this many times as long as it took."""


class Holdings:
    """The runs of one project."""

    def __init__(
        self,
        place: Place,
        holders: Holders,
        growth: Growth,
        ledger: Ledger,
        clock: Callable[[], float],
        overlay: Overlay,
    ) -> None:
        self.place = place
        self.overlay = overlay
        """What the user says of the runs."""
        self.runs: tuple[Run, ...] = ()
        """Newest first."""
        self.settings = Settled(place, RunwiseConfig())
        self.running: tuple[str, ...] = ()
        """Folders of the runs that are running."""
        self.asked_at = time.monotonic()
        self.changes = Changes()
        self.looked_at = 0.0
        """When all its logs were last looked at, on the monotonic clock."""
        self._lock = anyio.Lock()
        self._discovery = Discovery(place, recognise)
        self._holders = holders
        self._growth = growth
        self._clock = clock
        self._found: list[Found] = []
        self._segments: dict[str, Segment] = {}
        self._open: dict[Run, None] = {}
        """Runs about which something may still change without a change of their files."""
        self._due: dict[Run, None] = {}
        """Runs that are not what is on disk, as far as is known."""
        self._swept_at = 0.0
        self._admits_at = 0.0
        self._turn = 0
        self._refreshed_from = 0.0
        """When the last look at all logs began, on the monotonic clock."""
        self._hints = NO_HINTS
        self._resting = Resting(growth.store, growth.awake, "" if place.only else place.root)
        self._noting = Noting(ledger, place.logs_dirs[0] if place.only else place.root, self._resting)

    @property
    def was_looked_at(self) -> bool:
        """Whether anything is known of it yet."""
        return self._swept_at > 0

    @property
    def behind(self) -> int:
        """How many runs have not even been looked into."""
        return len(self._due)

    def owe(self, run: Run) -> None:
        """Look at this run again, even if its files seem the same."""
        if run in self._open or run in self.runs:
            self._due[run] = None
            self._open[run] = None

    def alive(self) -> list[Run]:
        """The runs of which something may still change though their files do not: above all those that go on."""
        return list(self._open)

    def project(self) -> Project:
        """The runs as they are, for one question."""
        self.overlay.refresh(len(self.runs), self.origins)
        unindexed = sum(not run.slot.filled and run.size > 0 and not run.trouble for run in self._open)
        self.runs = newest_first(self.runs)
        return Project(
            root=self.place.root,
            now=self._clock(),
            config=self.settings.config,
            runs=tuple(run for run in self.runs if self._is_told(run)),
            unindexed=unindexed,
            notes=tuple(self.notes()),
            holdings=self,
        )

    def origins(self, ids: Collection[str]) -> dict[str, str]:
        """See `annotations.Origins`."""
        return {run.id: run.origin for run in self.runs if run.id in ids or run.own_id in ids}

    def _is_told(self, run: Run) -> bool:
        return bool(self.place.only) or not run.says_nothing

    def cursor(self) -> str:
        """The cursor that stands for what all runs are like now. Costs as much as runs changed since the last one."""
        return self._noting.cursor(self.runs, self._is_told, self._open)

    def past(self, cursor: str) -> Past | None:
        """What its runs were like when a cursor was given."""
        return self._noting.past(cursor)

    def places(self) -> list[Looked]:
        """Where logs are looked for; see `Discovery.places`."""
        return self._discovery.places()

    def notes(self) -> list[str]:
        """One line each for what is unusual."""
        errors = [run.trouble for run in self._open if run.trouble]
        notes = [*self.settings.notes, *self._discovery.notes, *errors[:MOST_NOTES]]
        notes += [told for told in (self.overlay.trouble, self.overlay.news, self._growth.store.note) if told]
        if len(errors) > MOST_NOTES:
            notes.append(f"{len(errors) - MOST_NOTES} more runs cannot be read")
        return notes

    async def refresh(self, seconds: float, share: float = NEW_SHARE, *, slices: int = 1) -> None:
        """Look at every log, and read what is new, as far as the time allows: a whole log only in this share of it.

        Who came before somebody else's look began, and waited for it, has what it found. With `slices` only one
        in so many of the runs that are over is looked at, the others in the next calls.
        """
        came = time.monotonic()
        async with alone(self._lock):
            if self._refreshed_from > came and not self._due:
                return
            began, now = time.monotonic(), self._clock()
            await self._look(Pace(seconds), now, slices)
            if slices == 1:
                self._refreshed_from = began
            left = await self._bring_up(Pace(seconds), share) if self._due else set()
            await self._bring_up(Pace(seconds), share, self._growth.unknown(self.runs))
            await self._settle_all(seconds, share, now, left)

    async def _settle_all(self, seconds: float, share: float, now: float, left: set[Run]) -> None:
        """Settle, and work on the runs that a worker finished since it was their turn, but not on those `left`."""
        pace = Pace(seconds)
        await self._settle(pace, now)
        while (late := [run for run in self._due if run not in left]) and not pace.spent():
            left |= await self._bring_up(pace, share, late)
            await self._settle(pace, now, late)

    async def catch_up(self, seconds: float) -> None:
        """Read on where the last look stopped, without another one; what runs are doing is worked out at the end."""
        async with alone(self._lock):
            await self._growth.hand_over(self._due, Pace(seconds))
            await self._bring_up(Pace(seconds), 1.0)
            if not self._due:
                await self._settle(Pace(seconds), self._clock())

    async def admit(self, seconds: float) -> None:
        """Take in the runs that have begun, and nothing else."""
        if time.monotonic() < self._admits_at:
            return
        async with alone(self._lock):
            began = time.monotonic()
            found = self._discovery.look(deep=False)
            self._admits_at = time.monotonic() + REST * (time.monotonic() - began)
            if found is self._found:
                return
            now, before = self._clock(), set(self.runs)
            await self._match(found, now, Pace(seconds))
            new = [run for run in self.runs if run not in before]
            await self._bring_up(Pace(seconds), 1.0, new)
            await self._settle(Pace(seconds), now, new)

    async def attend(self, runs: Sequence[Run], seconds: float) -> None:
        """Look at these runs alone, and read what is new of them, as far as the time allows."""
        async with alone(self._lock):
            now = self._clock()
            kept = [run for run in runs if run in self.runs]
            self._hear(kept)
            changed = [run for run in kept if run.look(now) or run.is_due_again or run in self._due]
            self._due.update(dict.fromkeys(changed))
            await self._bring_up(Pace(seconds), 1.0, changed)
            dead = {pid for pid in {run.current.pid for run in kept} if pid is not None and not lives(pid)}
            gone = [run for run in kept if run.current.pid in dead]
            await self._settle(Pace(seconds), now, {*changed, *gone})

    async def _bring_up(self, pace: Pace, share: float = NEW_SHARE, runs: Iterable[Run] | None = None) -> set[Run]:
        """Work on what is due, or on these runs: first what has an index already. Gives those there was no time for."""
        due = sorted(self._due if runs is None else runs, key=lambda run: not run.slot.filled)
        left, before = set(due), dict[Run, list[object]]()
        for start in range(0, len(due), AT_ONCE):
            if pace.spent():
                break
            some = due[start : start + AT_ONCE]
            before.update((run, order_of(run)) for run in some)
            async with anyio.create_task_group() as tasks:
                for run in some:
                    tasks.start_soon(self._bring_up_one, run, pace, share, left)
        self._open.update(dict.fromkeys(before))
        is_other = any(order_of(run) != order for run, order in before.items())
        for run in before:
            if run.slot.warm is None:  # of thousands nobody asks for any but a few
                self._growth.awake.rest(run.slot)
        if is_other:
            self._regroup()
        return left

    def _tell(self, run: Run) -> None:
        """It is not what it was."""
        self._noting.tell(run)
        if self.changes.any:
            self.changes.tell(run.id)

    def _hear(self, runs: Iterable[Run]) -> None:
        """Tell of those that have printed: that is news though their logs stand still."""
        for run in runs:
            if run.has_printed():
                self._tell(run)

    async def _bring_up_one(self, run: Run, pace: Pace, share: float, left: set[Run]) -> None:
        self._due.pop(run, None)  # before: a worker that finishes meanwhile has it looked at once more
        done = False
        try:
            done = await self._growth.bring_up(run, pace, share)
        finally:
            if done:
                left.discard(run)
            else:
                self._due[run] = None
        run.changed()
        self._tell(run)

    async def _look(self, pace: Pace, now: float, slices: int) -> None:
        self._heed_hints()
        deep = time.monotonic() - self._swept_at > SWEEP_SECONDS - SLACK_SECONDS
        found = self._discovery.look(deep=deep)
        if deep:
            self._swept_at = time.monotonic()
        is_first = not self._segments
        if found is not self._found:
            await self._match(found, now, pace)
        self.looked_at = time.monotonic()
        if is_first:  # all of them have just been looked at
            return
        self._turn = (self._turn + 1) % slices
        for run in [run for at, run in enumerate(self.runs) if at % slices == self._turn or run in self._open]:
            if run in self._open and run.current is not NOT_READ:
                self._hear([run])
            if run.look(now) or run.is_due_again:
                self._due[run] = None
                for part in run.parts:
                    if part.seen is None:
                        self._discovery.forget(part.found.folder)
            await pace.breathe()

    def _heed_hints(self) -> None:
        """What the settings say of logs has changed: those that heed it are read anew."""
        config = self.settings.config
        hints = Hints(config.schema.step_key or "", config.log_templates)
        if hints == self._hints:
            return
        self._hints = hints
        for run in self.runs:
            heeding = run.take_hints(hints)
            if heeding and run.slot.filled:
                self._lose(run)

    async def _match(self, found: list[Found], now: float, pace: Pace) -> None:
        """Have a segment for each log; where several may be one run, look into them to tell."""
        self._found = found
        by_key = {log.key: log for log in found}
        kept = {key: old for key, old in self._segments.items() if key in by_key and by_key[key].is_same_log(old.found)}
        renamed = [segment for key, segment in kept.items() if segment.found != by_key[key]]
        for segment in renamed:
            segment.found = by_key[segment.found.key]
        for run in [run for run in self.runs if renamed and not set(renamed).isdisjoint(run.parts)]:
            run.changed()
        new = {key: Segment(log) for key, log in by_key.items() if key not in kept}
        if not new and not renamed and len(kept) == len(self._segments):
            return
        is_first = not self._segments
        self._segments = kept | new
        for segment in new.values():
            if (seen := self._discovery.fresh.get(segment.path)) is not None:
                segment.met(seen)
            else:
                segment.look(now)
            await pace.breathe()
        if is_first:
            await self._resting.introduce(new.values())
        for segment in may_be_several(self._segments.values()):
            if segment.said_start is None and not pace.spent():
                await segment.read_probe()
        self._regroup()
        if is_first:
            self._put_to_rest()

    def _put_to_rest(self) -> None:
        """Runs that are as the manifest has them need not be looked into."""
        rested = [run for run in self._due if self._resting.put_to_rest(run)]
        self._growth.restored += len(rested)
        self._due = {run: None for run in self._due if run.slot.shelved is None}
        self._open = {run: None for run in self._open if not run.is_over}
        self._resting.forget()
        if any(run.links for run in rested):
            self._regroup()

    async def pack(self, seconds: float) -> bool:
        """Put runs that are over since into the manifest, and look for the sidecars it tells of; False: not all yet."""
        done = await self._resting.pack(self.runs, Pace(seconds))
        for run in await self._resting.missing(Pace(seconds)):
            self._lose(run)
        return done

    def _lose(self, run: Run) -> None:
        """Its index is not to be had any more."""
        run.slot.clear()
        run.is_restored = False
        run.changed()
        self.owe(run)

    def _regroup(self) -> None:
        """Make, change and drop runs until they are what the segments say."""
        known = {run.parts[0]: run for run in self.runs}
        linked = {folder: run.parts[0] for run in self.runs for folder in run.links}
        own, others = part_linked(self._segments.values(), linked)
        runs = [self._run(parts, known.get(parts[0])) for parts in group(own)]
        for run in runs:
            run.take_linked(others.get(run.parts[0], []))
        before, after = set(self.runs), set(runs)
        for run in before - after:
            self._due.pop(run, None)
            self._growth.drop(run)
        self._due.update(dict.fromkeys(run for run in runs if run not in before))
        self.runs = newest_first(runs)
        self._open = dict.fromkeys(self.runs)
        label(self.runs)
        for run in before ^ after:
            self._tell(run)

    def _run(self, parts: list[Segment], known: Run | None) -> Run:
        if known is not None and known.parts == tuple(parts):
            return known
        run = Run(self.place.root, parts, self._holders, self._growth.awake)
        run.overlay = self.overlay
        run.take_hints(self._hints)
        if known is not None:
            run.take_over(known)
        return run

    async def _settle(self, pace: Pace, now: float, runs: Iterable[Run] | None = None) -> None:
        """Work out what these runs are doing, or all of which that is not certain."""
        unsettled = [run for run in (self._open if runs is None else runs) if not run.is_settled(now)]
        new_at = max((run.newest.changed_at for run in unsettled if run.current is NOT_READ), default=0.0)
        if unsettled and (self._holders.stale or self._holders.predates(new_at)):
            await anyio.to_thread.run_sync(self._holders.look)
        for run in unsettled:
            before = run.current
            try:
                run.settle(now)
            except IndexLostError:
                run.changed()
                self.owe(run)
            if (run.current.state, run.current.pid) != (before.state, before.pid):  # one without data may die, too
                self._tell(run)
            if not run.is_going_on:
                self._growth.awake.rest(run.slot)
            await pace.breathe()
        for run in [run for run in self._open if run.is_over and run.printed_at <= now - WORDS_SECONDS]:
            del self._open[run]
            self._growth.awake.rest(run.slot)
        self.running = tuple(run.newest.found.folder for run in self._open if run.current.state == "running")
