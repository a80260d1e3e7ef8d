"""`Places`: which project a session's questions are about."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.query import Where

from runwise_mcp.answering import Answering

_DECIDING = ("RUNWISE_PROJECT_ROOT", "RUNWISE_WANDB_DIR", "RUNWISE_LOGS_DIR")
"""Variables that name a project by themselves."""


class Choice(NamedTuple):
    """From where to ask."""

    where: Where
    named: str | None
    """The project's root, where an answer should name it: others could have been meant."""


class Places:
    """Chooses: what is named, else $RUNWISE_PROJECT_ROOT, the client's roots, its folder, the most recent project."""

    def __init__(self, answering: Answering, start: Where) -> None:
        self._answering = answering
        self._start = start

    async def choose(self, project: str | None, roots: Sequence[str]) -> Choice:
        """From where to ask a question. Raises RunwiseError where there is no project."""
        if project is not None:
            return await self._named(folder_of(project) or project)
        if any(name in self._start.environ for name in _DECIDING):
            return Choice(self._start, None)
        found = [(at, root) for at in self._candidates(roots) if (root := await self._answering.root(at)) is not None]
        if not found:
            return await self._last()
        where, root = found[0]
        return Choice(where, root if len({root for _, root in found}) > 1 else None)

    def _candidates(self, roots: Sequence[str]) -> Iterable[Where]:
        """The client's roots; where it has none its folder, with the variables it was started with."""
        if not roots:
            return (self._start,)
        return (_without_variables(folder) for folder in roots)

    async def _named(self, project: str) -> Choice:
        """A folder, or what the path of a project that was asked about ends with."""
        folder = os.path.normpath(os.path.join(self._start.cwd, os.path.expanduser(project)))  # noqa: PTH111, PTH118 - never raise
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            return Choice(Where(cwd=self._start.cwd, project=project), None)
        where = _without_variables(folder)
        if await self._answering.root(where) is None:
            raise RunwiseError(Kind.NOT_FOUND, f"project: no logs in {folder} or above it", "analyze_local_log")
        return Choice(where, None)

    async def _last(self) -> Choice:
        """The project that was asked about last, by whomever."""
        for root in await self._answering.recent():
            if await self._answering.root(_without_variables(root)) is not None:
                return Choice(_without_variables(root), root)
        message = f"no project in {self._start.cwd} or above it, and none was asked about before"
        raise RunwiseError(Kind.NOT_FOUND, message, "project=/its/folder, or set RUNWISE_PROJECT_ROOT")


def folder_of(uri: str) -> str | None:
    """The folder that a file URI names."""
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None


def _without_variables(folder: str) -> Where:
    """From a folder, whatever project the client's own variables name."""
    return Where(cwd=folder)
