"""The command lines an answer hands on, as the runs it is about can be asked for: by their names, or through a path."""

from __future__ import annotations

from collections.abc import Sequence

from runwised.index.kept import Past
from runwised.index.view import RunView
from runwised.queries.everywhere import Everywhere
from runwised.queries.project import PlaceView, ProjectView
from runwised.render.command import command
from runwised.render.page import Page
from runwised.settings import RunwiseConfig

_PARTS = {"run": (), "keys": ("--keys",), "stats": ("--stats",), "history": ("--history",)}
"""How a question with a path asks for what other commands show."""
_OPTIONS = frozenset({"-k", "-n"})
"""Flags such a question takes besides; each has a value."""
_ROW_TOKENS = 60
"""No line of a list costs more, as a rule."""


class NamedView:
    """Some of a view's runs, those a question means that may name a path: a `ProjectView`."""

    def __init__(self, view: ProjectView, runs: Sequence[RunView], verb: str, path: str | None) -> None:
        """`verb` and `path`: the command that asks for these runs, and what it names; None: the project."""
        self._view = view
        self.runs = runs
        self.verb = verb
        self.path = path

    @property
    def root(self) -> str:
        """See `ProjectView`."""
        return self._view.root

    @property
    def now(self) -> float:
        """See `ProjectView`."""
        return self._view.now

    @property
    def config(self) -> RunwiseConfig:
        """See `ProjectView`."""
        return self._view.config

    @property
    def unindexed(self) -> int:
        """See `ProjectView`."""
        waiting = sum(not run.indexed and any(part.size_bytes for part in run.sources) for run in self.runs)
        return min(waiting, self._view.unindexed)

    @property
    def places(self) -> Sequence[PlaceView]:
        """See `ProjectView`."""
        return self._view.places

    @property
    def named(self) -> str | None:
        """See `ProjectView`."""
        return self._view.named

    @property
    def notes(self) -> Sequence[str]:
        """See `ProjectView`."""
        return self._view.notes

    def cursor(self) -> str:
        """See `ProjectView`."""
        return self._view.cursor()

    def past(self, cursor: str) -> Past | None:
        """See `ProjectView`."""
        return self._view.past(cursor)


def there(view: ProjectView) -> tuple[str, ...]:
    """The flag with which a command line names the view's project, where it must."""
    return () if view.named is None else ("-C", view.named)


def onward(view: ProjectView, verb: str, name: str, *options: str | int | None) -> str:
    """The command that shows more of the run `name`, with ``runwise``; empty where a path's runs cannot be asked so."""
    if not isinstance(view, NamedView) or view.path is None:
        return command("runwise", verb, name, *options, *there(view))
    if verb not in _PARTS or not _OPTIONS.issuperset(map(str, options[::2])):
        return ""
    which = ("-r", name) if len(view.runs) > 1 else ()
    return command("runwise", view.verb, view.path, *which, *_PARTS[verb], *options, *there(view))


def propose(page: Page, view: ProjectView, verb: str, name: str, *options: str | int | None) -> None:
    """Propose that command as the next one, if there is one."""
    line = onward(view, verb, name, *options)
    if line:
        page.next(line)


def pointing(text: str, line: str) -> str:
    """A text, and the command that shows what it speaks of, if there is one."""
    return f"{text}: {line}" if line else text


def listing(view: ProjectView) -> str:
    """The command that lists the view's runs, with ``runwise``."""
    if isinstance(view, Everywhere):
        return "runwise list --all"
    if not isinstance(view, NamedView):
        return command("runwise", "list", *there(view))
    return command("runwise", view.verb, view.path, *there(view))


def whole_listing(view: ProjectView, again: str, total: int) -> str:
    """The command that lists every run of `total`, with ``runwise``; `again`: the same for a project."""
    if not isinstance(view, NamedView):
        return f"runwise {again}"
    return f"{listing(view)} --budget {min(300 + total * _ROW_TOKENS, 1_000_000)}"
