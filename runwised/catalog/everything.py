"""Every project that was ever asked about: their roots, kept in the state folder, and all of their runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from runwised.catalog.place import NoProject, Place, Settings, Settled, locate
from runwised.catalog.project import Project
from runwised.catalog.run import Run
from runwised.catalog.state_files import locked, read_whole
from runwised.catalog.store import write_file

_log = logging.getLogger(__name__)

MOST_PROJECTS = 1000
_NAME = "projects"
_NO_VARIABLES: Mapping[str, str] = {}


class SeveralProjects(Exception):  # noqa: N818 - a finding, worded as one
    """The paths of several known projects end with `name`."""

    def __init__(self, name: str, roots: Sequence[str]) -> None:
        self.name = name
        self.roots = roots
        super().__init__(f"{name}: {', '.join(roots)}")


class NoSuchProject(NoProject):
    """No folder, and no known project, is called so; `roots` are the known ones."""

    def __init__(self, name: str, roots: Sequence[str]) -> None:
        super().__init__(name, f"no folder '{name}', and no known project's path ends so")
        self.roots = roots


class Everything(NamedTuple):
    """All projects as they were when a question arrived."""

    projects: tuple[Project, ...]
    late: int
    """How many of them (the last ones) were not looked at this time: they are as they were known."""
    unseen: int
    """Projects that could not be looked at in time."""
    now: float

    def again(self, now: float) -> Everything:
        """The same projects, as far as they were looked at since."""
        return self._replace(projects=tuple(view.holdings.project() for view in self.projects), now=now)

    @property
    def runs(self) -> list[tuple[Run, Project]]:
        """Newest first, by start of the latest segment, each with its project."""
        every = [(run, project) for project in self.projects for run in project.runs]
        return sorted(every, key=lambda pair: -pair[0].newest.started)


class KnownProjects:
    """The roots of projects with runs that were asked about, the latest that was new first; one a line in a file."""

    def __init__(self, state: Path | None, is_near: Callable[[str], bool] = lambda path: bool(path)) -> None:
        self._is_near = is_near
        """Whether a path lies on a disk that always answers."""
        self._path = os.path.join(state, _NAME) if state is not None else ""
        self._own: dict[str, None] = {}
        self.trouble = ""
        """Why the roots cannot be written down."""
        self._silent: set[str] = set()
        """Roots on disks that once did not answer."""

    def remember(self, root: str) -> None:
        """Put a root first, and let those go that are gone; nothing is written where it is first already.

        Where that cannot be written, only this process knows.
        """
        if root in self._own:
            return
        self._own[root] = None
        if not self._path or "\n" in root:
            return
        try:
            with locked(os.path.dirname(self._path)):
                lines_before = self._lines()
                if lines_before[:1] == [root]:
                    return
                others = [known for known in lines_before if known != root and self._may_be(known)]
                lines = "".join(f"{known}\n" for known in [root, *others][:MOST_PROJECTS])
                write_file(self._path, [os.fsencode(lines)])
            self.trouble = ""
        except OSError as error:
            self.trouble = f"{self._path} cannot be written: {error.strerror or error}"
            _log.warning("%s cannot be written: %s", self._path, error)

    def _may_be(self, known: str) -> bool:
        return not self._is_near(known) or os.path.isdir(known)

    def roots(self) -> list[str]:
        """All of them; some may be gone."""
        return list(dict.fromkeys([*reversed(self._own), *(self._read() if self._path else [])]))

    async def places(self, settings: Settings, seconds: float) -> tuple[list[Settled], int]:
        """Where a project still is, and how many are not known in time: a disk that does not answer holds up the rest,
        but only once.
        """
        roots = sorted(await anyio.to_thread.run_sync(self.roots), key=self._silent.__contains__)
        answered: list[Settled | None] = []
        with anyio.move_on_after(seconds):
            await anyio.to_thread.run_sync(_settle_all, roots, settings, answered, abandon_on_cancel=True)
        self._silent.update(roots[len(answered) :][:1])
        found = list(answered)
        return [settled for settled in found if settled], len(roots) - len(found)

    def find(self, name: str, cwd: str) -> str:
        """The folder of that name (absolute or from `cwd`), or the one known root whose path ends so.

        Raises NoSuchProject and SeveralProjects.
        """
        folder = os.path.normpath(os.path.join(cwd, os.path.expanduser(name)))
        if os.path.isdir(folder):
            return folder
        roots = self.roots()
        found = [root for root in roots if root.endswith(f"/{name.strip('/')}") and os.path.isdir(root)]
        if len(found) == 1:
            return found[0]
        raise SeveralProjects(name, found) if found else NoSuchProject(name, roots)

    def _lines(self) -> list[str]:
        """Raises OSError: what cannot be read must not be written over."""
        try:
            return [line for line in os.fsdecode(read_whole(self._path)).split("\n") if line.startswith("/")]
        except FileNotFoundError:
            return []

    def _read(self) -> list[str]:
        try:
            return self._lines()
        except OSError as error:
            _log.warning("%s cannot be read: %s", self._path, error)
            return []


def _settle_all(roots: Sequence[str], settings: Settings, answered: list[Settled | None]) -> None:
    answered.extend(_settle(root, settings) for root in roots)


def _settle(root: str, settings: Settings) -> Settled | None:
    try:
        settled = locate(root, _NO_VARIABLES, settings)
    except NoProject:
        return None
    return settled if settled.place.root == root else None


def is_found_alone(place: Place, settings: Settings) -> bool:
    """Whether the project is the same when it is asked about from its root, without any variables."""
    found = _settle(place.root, settings)
    return found is not None and found.place == place
