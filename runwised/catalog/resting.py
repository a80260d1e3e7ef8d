"""The runs of one project that are over: taken from its manifest when the daemon starts, put there as they end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import anyio.to_thread

from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Stamped
from runwised.catalog.manifest import Glimpse, Manifest, Rested, Shelf
from runwised.catalog.pace import Pace
from runwised.catalog.run import Run
from runwised.catalog.segment import Segment
from runwised.catalog.shelved import Shelved
from runwised.catalog.slot import IndexLostError
from runwised.catalog.store import Store
from runwised.catalog.tracked import compare
from runwised.index.kept import Mark
from runwised.index.sidecar import SidecarDamaged, SidecarVersion
from runwised.index.view import Condition

AT_ONCE = 64
"""Runs that are put into the manifest with one write."""


class _Kept(NamedTuple):
    """A run the manifest knows, all of whose sources are as they were."""

    parts: tuple[Segment, ...]
    known: Glimpse
    shelved: Shelved


class Resting:
    """What keeps a project's manifest. `root` is its root; empty where it is to have none."""

    def __init__(self, store: Store, awake: Awake, root: str) -> None:
        self._store = store
        self._awake = awake
        self._manifest = Manifest(store.manifest_path(root) if root else "")
        self._known: dict[Segment, _Kept] = {}
        self._conditions: dict[Condition, Condition] = {}
        """Each once: of thousands of runs nearly all ended in the same way."""
        self._unchecked: list[Run] = []
        """Runs put to rest by the manifest alone."""

    async def introduce(self, segments: Iterable[Segment]) -> None:
        """Have sources that are as the manifest knows them know of themselves what their logs say."""
        if self._manifest.path:
            await anyio.to_thread.run_sync(self._introduce, {part.path: part for part in segments})

    def _introduce(self, by_path: Mapping[str, Segment]) -> None:
        for known, offset in self._manifest.load():
            try:
                parts = tuple([by_path[source.file.path] for source in known.sources])
            except KeyError:
                continue  # one is gone
            if not all(map(_is_same, parts, known.sources)):
                continue
            for part, source in zip(parts, known.sources, strict=True):
                part.take(source)
            known.condition = self._conditions.setdefault(known.condition, known.condition)
            known.sources = []
            self._known[parts[0]] = _Kept(parts, known, self._shelve(offset, parts))

    def _shelve(self, offset: int, parts: tuple[Segment, ...]) -> Shelved:
        assert self._manifest.shelf is not None
        return Shelved(self._manifest.shelf, offset, parts, self._store)

    def put_to_rest(self, run: Run) -> bool:
        """Have a run be as it was; False where the manifest does not know it as it is."""
        kept = self._known.get(run.parts[0])
        if kept is None or kept.parts != run.parts or run.slot.filled:
            return False
        is_at_rest = run.rest_as(kept.known, kept.shelved)
        if is_at_rest:
            self._unchecked.append(run)
        return is_at_rest

    def forget(self) -> None:
        """Every run that may be in it was seen."""
        self._known = {}

    def marks(self) -> dict[tuple[Shelf, int], Mark]:
        """How far each run was that stands there, by where it does."""
        shelf = self._manifest.shelf
        if shelf is None:
            return {}
        with contextlib.suppress(OSError):  # who cannot be found there is asked itself
            return {(shelf, offset): known.mark for known, offset, _ in shelf.runs()}
        return {}

    async def missing(self, pace: Pace) -> list[Run]:
        """Runs at rest whose sidecars are not those the manifest tells of, as far as the time allows.

        A start does not wait for that: most are never asked for, and who is asks for its sidecar itself.
        """
        found = []
        while self._unchecked and not pace.spent():
            run = self._unchecked.pop()
            if run.slot.shelved is not None and not run.slot.shelved.has_sidecar():
                found.append(run)
            await pace.breathe()
        return found

    async def pack(self, runs: Sequence[Run], pace: Pace) -> bool:
        """Put those into the manifest that are over since; False where the time did not allow all."""
        if not self._manifest.path or not self._store.usable:
            return True
        due = [run for run in runs if not run.was_packed and not run.is_going_on and run.slot.is_in_file]
        try:
            for start in range(0, len(due), AT_ONCE):
                if pace.spent():
                    return False
                await self._pack(due[start : start + AT_ONCE], pace)
            if self._manifest.is_stale(len(runs)):
                await self._compact(runs)
        except OSError as error:
            self._store.failed(error)
        return True

    async def _pack(self, runs: Sequence[Run], pace: Pace) -> None:
        """Put those there that can be. Raises OSError."""
        packed: list[tuple[Run, Rested, bytes]] = []
        for run in runs:
            run.was_packed = True  # or cannot be: it is not looked at again unless it changes
            # A sidecar that cannot be read is none: whoever asks for the run next has it made anew.
            with contextlib.suppress(OSError, SidecarDamaged, SidecarVersion, IndexLostError):
                rested = run.rested()
                if rested is not None:
                    packed.append((run, rested, run.slot.head()))
            self._awake.rest(run.slot)
            await pace.breathe()
        try:
            offsets = await anyio.to_thread.run_sync(self._manifest.add, [each[1:] for each in packed])
        except OSError:
            for run, _, _ in packed:
                run.was_packed = False
            raise
        self._put_on_shelf(packed, offsets)

    def _put_on_shelf(self, packed: Sequence[tuple[Run, Rested, bytes]], offsets: Sequence[int | None]) -> None:
        """Have those that did not change meanwhile hold no more than where they stand."""
        for (run, rested, _), offset in zip(packed, offsets, strict=True):
            if offset is not None and run.was_packed:
                rested.condition = self._conditions.setdefault(rested.condition, rested.condition)
                run.rest_as(rested, self._shelve(offset, run.parts))

    async def _compact(self, runs: Sequence[Run]) -> None:
        """Write it anew without what is out of date. Raises OSError."""
        standing: list[tuple[Run, Rested, bytes]] = []
        for run in runs:
            with contextlib.suppress(OSError):  # whoever asks for the run has it made anew
                if run.slot.shelved is not None:
                    standing.append((run, *run.slot.shelved.take_down()[1:]))
        offsets = await anyio.to_thread.run_sync(self._manifest.replace, [each[1:] for each in standing])
        self._put_on_shelf(standing, offsets)


def _is_same(part: Segment, source: Stamped) -> bool:
    return part.is_readable and compare(part, source.file) == "same"
