"""Logs that lie outside W&B's folders: whatever a format or a store of the registries recognises is a run's source."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

from runwised.catalog.checkpoints import STATE_NAME
from runwised.catalog.folder_logs import FolderLogs, Root
from runwised.catalog.heads import Heads
from runwised.catalog.listing import MOST_ENTRIES, Listing, Recognise, list_folder, signature_of
from runwised.catalog.naming import LooseSource, distinct, is_generic
from runwised.catalog.passed import Passed, reason_by_mode, reason_by_name
from runwised.catalog.stored import FindStore, StoredRuns, no_store

DEEPEST = 4
"""Levels below a root at which logs are still looked for."""
MOST_FOLDERS = 10_000
"""Folders of one root that are listed."""
MOST_TOP = 500
"""Folders of the project's own that are looked into for a Trainer's states."""

_STORED = re.compile(r"[0-9a-f]{32}")
"""The name of an MLflow run's folder."""
_MLFLOW = "mlruns"
_MLFLOW_OWN = frozenset({"models", "artifacts"})
"""Folders beside MLflow's experiments and runs that hold none."""


class Looked(NamedTuple):
    """One place where logs are looked for."""

    path: str
    exists: bool
    sources: Sequence[LooseSource]
    passed: Sequence[Passed]


class LooseLogs:
    """The logs below some folders (or in some databases), and what a whole project's own folders show of a Trainer.

    A deep look costs one stat for each folder that did not change and for each file that is no log yet.
    """

    def __init__(
        self, roots: Sequence[str], recognise: Recognise, *, project: str = "", find_store: FindStore = no_store
    ) -> None:
        self.sources: list[LooseSource] = []
        """The same list as before where nothing changed."""
        self.run_folders: list[str] = []
        """Folders of W&B runs that were met and not looked into."""
        self.looked: list[Looked] = []
        """Each root, with what was found there."""
        self.notes: list[str] = []
        self._named = roots
        self._project = project
        self._recognise = recognise
        self._heads = Heads(recognise)
        self._stores = StoredRuns(find_store)
        self._here = FolderLogs(self._heads, self._stores)
        self._before: dict[str, Listing] = {}
        self._listings: dict[str, Listing] = {}
        self._visited: set[tuple[int, ...]] = set()
        self._near: list[str] = []
        """Folders that hold logs or may soon, and those they lie in, below the roots."""

    @property
    def passed(self) -> list[Passed]:
        """What was not read, and why."""
        return [passed for root in self.looked for passed in root.passed]

    def look(self, *, deep: bool = True) -> None:
        """Find them all anew; unless `deep`, only where a folder that holds some, or one of them, changed."""
        if not deep and self._listings and not self._stirred():
            return
        self._before, self._listings = self._listings, {}
        self._visited = set()
        self.run_folders = []
        self._heads.begin()
        self._stores.begin()
        roots = [Root(path, path, self._label(path)) for path in self._named]
        for root in roots:
            self._look_at(root)
        if self._project:
            roots += self._trainers()
        sources = distinct([(root.label, root.sources) for root in roots])
        self.sources = self.sources if sources == self.sources else sources
        self.looked = self._told(roots)
        self.notes = [note for root in roots for note in root.notes]
        self._near = self._near_of(roots)

    def _label(self, path: str) -> str:
        """What tells the runs of this root from those of another."""
        below = self._project.rstrip(os.sep) + os.sep
        inside = self._project and path.startswith(below)
        return path.removeprefix(below) if inside else os.path.basename(path)

    def _told(self, roots: Sequence[Root]) -> list[Looked]:
        """Each root with its sources as they are called now."""
        rest = iter(self.sources)
        told = [Looked(root.path, root.exists, [next(rest) for _ in root.sources], root.passed) for root in roots]
        return [place for place in told if place.exists or place.path != self._project]

    def _stirred(self) -> bool:
        for path in self._near:
            try:
                signature = signature_of(os.stat(path))
            except OSError:
                signature = None
            known = self._listings.get(path)
            if (known is None) != (signature is None) or (known and signature and not known.still(signature)):
                return True
        return self._stores.stirred() or self._heads.stirred()

    def _near_of(self, roots: Sequence[Root]) -> list[str]:
        near = dict.fromkeys(root.path for root in roots if not root.exists or root.path in self._listings)
        for root in roots:
            for source in root.sources:
                inside = source.folder in self._listings
                folder = source.folder if inside else os.path.dirname(source.folder)
                while folder in self._listings and folder not in near:
                    near[folder] = None
                    folder = os.path.dirname(folder)
        return list(near)

    def _look_at(self, root: Root) -> None:
        try:
            found = os.stat(root.path)
        except OSError:
            return
        root.exists = True
        if stat.S_ISDIR(found.st_mode):
            if self._is_stored(root, root.path, os.path.basename(root.path)):
                return
            self._walk(root, root.path, 0, _below_mlflow(root.path, None))
        elif stat.S_ISREG(found.st_mode):
            self._look_at_file(root)
        else:
            root.passed.append(Passed(root.path, reason_by_mode(found.st_mode)))

    def _look_at_file(self, root: Root) -> None:
        """A root may be a database, or a single log, whose folder has the better name where its own says nothing."""
        folder, name = os.path.split(root.path)
        asked = self._stores.runs(root.path, folder)
        root.take(asked)
        if asked.is_store:
            return
        head = self._heads.look(root.path, None)
        if head.format:
            stem = os.path.splitext(name)[0]
            title = os.path.basename(folder) if is_generic(stem) else ""
            root.sources.append(LooseSource(root.path, "", folder, stem, head.format, title))
        else:
            root.passed.append(Passed(root.path, reason_by_name(name) or head.reason))

    def _walk(self, root: Root, path: str, level: int, mlflow: int | None) -> None:
        """Look into a folder and those below it; `mlflow` counts levels below a folder where MLflow keeps its runs."""
        listing = self._list(root, path)
        if listing is None or listing.signature[:2] in self._visited:
            return
        self._visited.add(listing.signature[:2])
        plain: Sequence[int] = ()
        if mlflow is None:
            plain = self._here.take(root, path, listing)
        for name in listing.wandb_folders:
            within = self._list(root, os.path.join(path, name))
            self.run_folders += [os.path.join(path, name, run) for run in within.run_folders] if within else []
        self.run_folders += [os.path.join(path, run) for run in listing.run_folders]
        below = [*listing.folders, *(f"checkpoint-{number}" for number in plain)]
        below = [name for name in below if not self._is_stored(root, os.path.join(path, name), name)]
        if mlflow is not None:
            below = [name for name in below if mlflow == 0 and name not in _MLFLOW_OWN]
        elif below and level >= DEEPEST:
            root.passed.append(Passed(os.path.join(path, "*", ""), f"deeper than {DEEPEST} levels", len(below)))
            root.note(f"{root.path}: folders more than {DEEPEST} levels below it are not looked at")
            return
        for name in below:
            self._walk(root, os.path.join(path, name), level + 1, _below_mlflow(name, mlflow))

    def _is_stored(self, root: Root, path: str, name: str) -> bool:
        """Whether this is the folder of one run of a store; then its run is taken."""
        if not _STORED.fullmatch(name):
            return False
        asked = self._stores.runs(path, path)
        root.take(asked)
        if asked.is_store and not asked.sources and not asked.note:
            root.passed.append(Passed(path, "a run that was deleted"))
        return asked.is_store

    def _list(self, root: Root, path: str) -> Listing | None:
        """The folder as it is now; None when it is gone or cannot be read."""
        if path in self._listings:
            return self._listings[path]
        if root.listed >= MOST_FOLDERS:
            root.note(f"{root.path}: more than {MOST_FOLDERS} folders, the rest is not looked at")
            return None
        try:
            signature = signature_of(os.stat(path))
            listing = self._before.get(path)
            if listing is None or not listing.still(signature):
                listing = list_folder(path, signature, self._recognise)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            root.note(f"{path}: {error.strerror}")
            return None
        root.listed += 1
        if listing.is_truncated:
            root.note(f"{path}: more than {MOST_ENTRIES} entries, the rest is not looked at")
        self._listings[path] = listing
        return listing

    def _trainers(self) -> list[Root]:
        """The project's own folders that a Trainer saves to, and the project itself where it does."""
        own = Root(self._project, self._project, "")
        listing = self._list(own, self._project)
        if listing is None or listing.signature[:2] in self._visited:
            return []
        found = [own]
        if listing.checkpoints or _holds_state(listing):
            own.exists = True
            self._here.take_states(own, self._project, listing)
        if len(listing.folders) > MOST_TOP:
            own.note(f"{self._project}: more than {MOST_TOP} folders, the rest is not searched for a Trainer's states")
        for name in listing.folders[:MOST_TOP]:
            path = os.path.join(self._project, name)
            top = self._list(own, path)
            if top and top.signature[:2] not in self._visited and (top.checkpoints or _holds_state(top)):
                root = Root(path, self._project, "")
                self._look_at(root)
                found.append(root)
        return found


def _below_mlflow(path: str, above: int | None) -> int | None:
    """Levels below a folder where MLflow keeps its runs; `above`: of the folder this one is in."""
    if above is not None:
        return above + 1
    return 0 if os.path.basename(path) == _MLFLOW else None


def _holds_state(listing: Listing) -> bool:
    return any(candidate.name == STATE_NAME for candidate in listing.files)
