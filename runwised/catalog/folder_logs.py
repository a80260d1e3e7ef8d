"""The logs that lie in one folder, and which run each of them belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence

from runwised.catalog.checkpoints import STATE_NAME, States, states, step_in
from runwised.catalog.heads import Heads
from runwised.catalog.listing import Candidate, Listing, Settled
from runwised.catalog.naming import LooseSource, run_ids
from runwised.catalog.passed import Passed, Tally
from runwised.catalog.stored import Asked, StoredRuns

MOST_FILES = 2000
"""Files of one root that are looked into; those whose names say what they are do not count."""


class Root:
    """What one look finds below one root."""

    def __init__(self, path: str, base: str, label: str) -> None:
        self.path, self.label = path, label
        self.base = base
        """What the names of its runs are relative to: itself, or the folder it is in."""
        self.exists = False
        self.sources: list[LooseSource] = []
        self.passed: list[Passed] = []
        self.notes: dict[str, None] = {}
        self.opened = self.listed = 0

    def home(self, path: str) -> str:
        """What the runs of a folder are called by."""
        return os.path.basename(path) if path == self.base else os.path.relpath(path, self.base)

    def take(self, asked: Asked) -> None:
        """The runs of a store."""
        self.sources += asked.sources
        if asked.note:
            self.notes[asked.note] = None

    def note(self, text: str) -> None:
        """Say it once."""
        self.notes[text] = None


class FolderLogs:
    """Looks into the files of folders."""

    def __init__(self, heads: Heads, stores: StoredRuns) -> None:
        self._heads = heads
        self._stores = stores

    def take(self, root: Root, path: str, listing: Listing) -> Sequence[int]:
        """Put the folder's logs, and what was passed over, to the root's.

        Gives the numbers of checkpoint folders that are none.
        """
        if listing.settled is not None and listing.settled.base == root.base:
            self._take_again(root, listing.settled)
            return ()
        before = len(root.sources), len(root.passed)
        tally = Tally(path)
        files = self._recognised(root, path, listing, tally)
        is_settled = len(files) == len(listing.files) and not listing.databases and not listing.checkpoints
        chosen = self._states(path, listing, files)
        if chosen is not None:
            files = self._with_state(files, chosen, tally, path)
            root.passed += chosen.older
        named = [(os.path.basename(each), kind) for each, kind in files]
        ids = run_ids(root.home(path), named, is_root=path == root.base) if named else []
        root.sources += [
            LooseSource(each, "", path, run_id, kind) for (each, kind), run_id in zip(files, ids, strict=True)
        ]
        for name in listing.databases:
            asked = self._stores.runs(os.path.join(path, name), path)
            root.take(asked)
            if not asked.is_store:
                tally.add(name, "a database of another kind")
        root.passed += [*listing.passed, *tally.passed()]
        if is_settled and chosen is None:
            opened = [os.path.join(path, candidate.name) for candidate in listing.files if not candidate.format]
            listing.settled = Settled(root.base, root.sources[before[0] :], root.passed[before[1] :], opened)
        return chosen.plain if chosen else ()

    def _take_again(self, root: Root, settled: Settled) -> None:
        root.sources += settled.sources
        root.passed += settled.passed
        root.opened += len(settled.opened)
        for path in settled.opened:
            self._heads.keep(path)

    def take_states(self, root: Root, path: str, listing: Listing) -> None:
        """Only the folder's Trainer states: its other files are none of the root's."""
        tally = Tally(path)
        own = [candidate for candidate in listing.files if candidate.name == STATE_NAME]
        files = [(os.path.join(path, STATE_NAME), own[0].format)] if own else []
        chosen = self._states(path, listing, files) or States("", (), ())
        found = self._state(chosen, tally, path)
        root.sources += [LooseSource(each, "", path, root.home(path), kind) for each, kind in found]
        root.passed += [*chosen.older, *tally.passed()]

    def _recognised(self, root: Root, path: str, listing: Listing, tally: Tally) -> list[tuple[str, str]]:
        """Path and format of each file that is a log."""
        files = []
        for candidate in listing.files:
            kind, reason = candidate.format, ""
            if not kind:
                kind, reason = self._look_into(root, path, candidate)
            if kind:
                files.append((os.path.join(path, candidate.name), kind))
            else:
                tally.add(candidate.name, reason)
        return files

    def _look_into(self, root: Root, path: str, candidate: Candidate) -> tuple[str, str]:
        if root.opened >= MOST_FILES:
            root.note(f"{root.path}: more than {MOST_FILES} files, the rest is not looked into")
            return "", f"over the limit of {MOST_FILES} files"
        root.opened += 1
        is_state = candidate.name == STATE_NAME
        head = self._heads.look(os.path.join(path, candidate.name), candidate.inode, anew=is_state)
        return head.format, head.reason

    def _states(self, path: str, listing: Listing, files: Sequence[tuple[str, str]]) -> States | None:
        """Which Trainer state counts; None where there is none at all."""
        own = os.path.join(path, STATE_NAME)
        step = None
        if any(each == own for each, _ in files):
            head = self._heads.look(own, None, anew=True)
            step = step_in(head.data) if head.data else None
        if step is None and not listing.checkpoints:
            return None
        return states(path, step, listing.checkpoints)

    def _with_state(
        self, files: Sequence[tuple[str, str]], chosen: States, tally: Tally, path: str
    ) -> list[tuple[str, str]]:
        """The files with the state that counts instead of the folder's own."""
        own = os.path.join(path, STATE_NAME)
        kept = [(each, kind) for each, kind in files if each != own]
        told = [chosen.newest, *(passed.path for passed in chosen.older)]
        if len(kept) < len(files) and own not in told:
            tally.add(STATE_NAME, "empty")
        return kept + self._state(chosen, tally, path)

    def _state(self, chosen: States, tally: Tally, path: str) -> list[tuple[str, str]]:
        """Path and format of the state that counts."""
        if not chosen.newest:
            return []
        head = self._heads.look(chosen.newest, None, anew=True)
        if head.format:
            return [(chosen.newest, head.format)]
        tally.add(os.path.relpath(chosen.newest, path), head.reason)
        return []
