"""The runs of one project that are over: taken from its manifest when the daemon starts, put there as they end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import anyio.to_thread

from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Stamped
from runwised.catalog.manifest import Head, Manifest, Rested
from runwised.catalog.pace import Pace
from runwised.catalog.run import Run
from runwised.catalog.segment import Segment
from runwised.catalog.slot import IndexLostError
from runwised.catalog.store import Store, signature_at
from runwised.catalog.tracked import compare
from runwised.index.sidecar import SidecarDamaged, SidecarVersion
from runwised.index.view import Condition


class _Kept(NamedTuple):
    """A run the manifest knows, all of whose sources are as they were."""

    parts: tuple[Segment, ...]
    rested: Rested
    head: Head | None


class Resting:
    """What keeps a project's manifest. `root` is its root; empty where it is to have none."""

    def __init__(self, store: Store, awake: Awake, root: str) -> None:
        self._store = store
        self._awake = awake
        self._manifest = Manifest(store.manifest_path(root) if root else "")
        self._known: dict[Segment, _Kept] = {}

    async def introduce(self, segments: Iterable[Segment]) -> None:
        """Have sources that are as the manifest knows them know of themselves what their logs say."""
        if self._manifest.path:
            await anyio.to_thread.run_sync(self._introduce, {part.path: part for part in segments})

    def _introduce(self, by_path: Mapping[str, Segment]) -> None:
        conditions: dict[Condition, Condition] = {}
        for rested, head in self._manifest.load():
            parts = [by_path.get(source.file.path) for source in rested.sources]
            pairs = [(part, source) for part, source in zip(parts, rested.sources, strict=True) if part is not None]
            if len(pairs) < len(parts) or any(not _is_same(part, source) for part, source in pairs):
                continue
            if not self._has_sidecar(pairs[0][0], rested):
                continue
            for part, source in pairs:
                part.run_id = part.found.run_id if source.run_id == part.found.run_id else source.run_id
                part.said_start = source.started
            rested.condition = conditions.setdefault(rested.condition, rested.condition)
            rested.sources = []
            self._known[pairs[0][0]] = _Kept(tuple(part for part, _ in pairs), rested, head)

    def _has_sidecar(self, first: Segment, rested: Rested) -> bool:
        """Whether its sidecar is where this cache keeps it, and is the one that was there.

        A cache may have been copied, or moved: what lies elsewhere is not its own. Devices are numbered anew.
        """
        found = signature_at(rested.place) if rested.place == self._store.path_of(first.found) else None
        if found is None or found[1:] != rested.signature[1:]:
            return False
        rested.signature = found
        return True

    def put_to_rest(self, run: Run) -> bool:
        """Have a run be as it was; False where the manifest does not know it as it is."""
        kept = self._known.get(run.parts[0])
        if kept is None or kept.parts != run.parts or run.slot.filled:
            return False
        rested = kept.rested
        run.was_packed = run.rest_as(rested, self._store.known(rested.place, rested.signature, kept.head))
        return run.was_packed

    def forget(self) -> None:
        """Every run that may be in it was seen."""
        self._known = {}

    async def pack(self, runs: Sequence[Run], pace: Pace) -> None:
        """Put those into the manifest that are over since, as far as the time allows."""
        if not self._manifest.path or not self._store.usable:
            return
        entries: list[tuple[Rested, bytes]] = []
        packed: list[Run] = []
        for run in runs:
            if run.was_packed or run.slot.file is None or run.is_going_on:
                continue
            if pace.spent():
                break
            run.was_packed = True  # or cannot be: it is not looked at again unless it changes
            # A sidecar that cannot be read is none: whoever asks for the run next has it made anew.
            with contextlib.suppress(OSError, SidecarDamaged, SidecarVersion, IndexLostError):
                rested = run.rested()
                if rested is not None:
                    entries.append((rested, run.slot.head()))
                    packed.append(run)
            self._awake.rest(run.slot)
            await pace.breathe()
        try:
            await anyio.to_thread.run_sync(self._manifest.add, entries)
            if self._manifest.is_stale(len(runs)):
                await anyio.to_thread.run_sync(self._compact, {run.parts[0].path for run in runs})
        except OSError as error:
            for run in packed:
                run.was_packed = False
            self._store.failed(error)

    def _compact(self, paths: set[str]) -> None:
        """Write it anew without what is out of date. Raises OSError."""
        last = {rested.sources[0].file.path: (rested, head) for rested, head in self._manifest.load()}
        kept = [each for path, each in last.items() if path in paths]
        self._manifest.replace((rested, _read(head)) for rested, head in kept)


def _read(head: Head | None) -> bytes:
    try:
        return head.read() if head is not None else b""
    except OSError:  # it stands in the sidecar as well
        return b""


def _is_same(part: Segment, source: Stamped) -> bool:
    return part.is_readable and compare(part, source.file) == "same"
