"""`Everywhere`: the runs of several projects as those of one, for `list --all`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, cast

from runwise_protocol.errors import Kind, RunwiseError

from runwised.index.kept import Mark, Past
from runwised.index.view import RunView
from runwised.queries.project import PlaceView, ProjectView
from runwised.render.numbers import plural
from runwised.render.untrusted import clean
from runwised.settings import RunwiseConfig

_MOST_NOTES = 3
_MOST_NAMED = 8
"""Projects that an error names."""


class Views(Protocol):
    """What is known of all projects."""

    @property
    def projects(self) -> Sequence[ProjectView]:
        """Those that were looked at, at least once."""

    @property
    def runs(self) -> Sequence[tuple[RunView, ProjectView]]:
        """Newest first, each with its project."""

    @property
    def late(self) -> int:
        """How many projects are as they were when last looked at."""

    @property
    def unseen(self) -> int:
        """Projects that were not looked at."""

    @property
    def now(self) -> float:
        """Epoch seconds when the question arrived."""


class Away:
    """A run of one of several projects: a `RunView` that knows where it is at home."""

    def __init__(self, own: RunView, home: ProjectView) -> None:
        self.own = own
        self.home = home

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


class Everywhere:
    """A `ProjectView` of several projects. Their settings differ: none of them count here."""

    def __init__(self, views: Views) -> None:
        self._projects = views.projects
        self.root = "all known projects"
        self.now = views.now
        self.config = RunwiseConfig()
        self.runs = tuple(cast(RunView, Away(run, home)) for run, home in views.runs)
        self.unindexed = sum(view.unindexed for view in views.projects)
        self.places: Sequence[PlaceView] = ()
        self.named: str | None = None
        self.labels = _labels([view.root for view in views.projects])
        self.notes = tuple(_notes(views, self.labels))

    def cursor(self) -> str:
        """See `ProjectView`. It stands for all projects: that of the last one does, they are noted in one ledger."""
        return [view.cursor() for view in self._projects][-1] if self._projects else ""

    def past(self, cursor: str) -> Past | None:
        """See `ProjectView`; by what runs are `known_by`."""
        found = {view.root: view.past(cursor) for view in self._projects}
        pasts = {root: past for root, past in found.items() if past is not None}
        if not pasts:
            return None
        marks: dict[str, Mark] = {}
        for root, past in pasts.items():
            marks.update((known_as(name, root), mark) for name, mark in (past.marks or {}).items())
        return Past(marks, frozenset(root for root in found if root not in pasts or pasts[root].marks is None))


def home_of(run: RunView) -> ProjectView | None:
    """The project of a run among those of several; None among those of one."""
    return run.home if isinstance(run, Away) else None


def known_by(run: RunView) -> str:
    """What tells a run from all others of its view: its id, among several projects together with the root."""
    home = home_of(run)
    return known_as(run.id, home.root if home else None)


def known_as(run_id: str, root: str | None) -> str:
    """The same of a run that may be gone."""
    return run_id if root is None else f"{root}\0{run_id}"


def _labels(roots: Sequence[str]) -> dict[str, str]:
    """By root, as much of the end of its path as no other has."""
    labels: dict[str, str] = {}
    parts = {root: root.strip("/").split("/") for root in roots}
    for length in range(1, max(map(len, parts.values()), default=0) + 1):
        ends = {root: "/".join(parts[root][-length:]) for root in roots if root not in labels}
        every = Counter("/".join(found[-length:]) for found in parts.values())
        labels.update((root, end) for root, end in ends.items() if every[end] == 1)
    return labels


def _notes(views: Views, labels: dict[str, str]) -> list[str]:
    """What is not in the answer, then what the projects themselves say."""
    said = [f"{plural(views.unseen, 'project')} not looked at yet: ask again"] if views.unseen else []
    said += [f"{plural(views.late, 'project')} as last looked at, not as of now"] if views.late else []
    own = [f"{labels.get(view.root, view.root)}: {note}" for view in views.projects for note in view.notes]
    said += own[:_MOST_NOTES]
    return [*said, *([f"{len(own) - _MOST_NOTES} more remarks about projects"] if len(own) > _MOST_NOTES else [])]


def no_such_project(reason: str, roots: Sequence[str]) -> RunwiseError:
    """The error for a project that is not there."""
    labels = [clean(label)[:100] for label in list(_labels(roots).values())[:_MOST_NAMED]]
    known = f"; known: {', '.join(labels)}" if labels else ""
    return RunwiseError(Kind.NOT_FOUND, f"{clean(reason)[:300]}{known}", "runwise list --all")


def several_projects(name: str, roots: Sequence[str]) -> RunwiseError:
    """The error for a name that several projects have."""
    labels = [clean(label)[:100] for label in list(_labels(roots).values())[:_MOST_NAMED]]
    message = f"'{clean(name)[:100]}' is ambiguous: {', '.join(labels)}"
    return RunwiseError(Kind.AMBIGUOUS, message, "runwise list --all")
