"""`Answers`: the engine behind the socket: the catalog's runs and the answers to questions, put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.abc
import anyio.to_thread
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.annotate import Annotate
from runwise_protocol.queries.local import PathQuery
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.since import Since
from runwise_protocol.query import Look, Query, Where

from runwised.catalog.annotations import NotKept
from runwised.catalog.catalog import Catalog
from runwised.catalog.demo import prepare as prepare_demo
from runwised.catalog.disks import DiskSilent
from runwised.catalog.everything import Everything, NoSuchProject, SeveralProjects
from runwised.catalog.named import NoLog, NotThere
from runwised.catalog.place import NoProject
from runwised.catalog.project import Project
from runwised.catalog.slot import IndexLostError
from runwised.index.view import Unreadable
from runwised.queries.annotate import change
from runwised.queries.everywhere import Everywhere, no_such_project, several_projects
from runwised.queries.patience import AnyPatience
from runwised.queries.resolve import resolve
from runwised.queries.respond import Written, needed, patience, respond
from runwised.server.dispatch import Say, nothing_to_say

REST = 10
"""Looking for what is new in all projects rests this many times as long as it took."""
EVERYWHERE_SECONDS = 3.0
"""Longest wait for the indexes of runs of all projects."""


class Answers:
    """Answers questions from a catalog; see `runwised.server.dispatch.Engine`.

    A run's index grows in place, so an answer (or a piece of a stream) is made in one go, on the loop.
    """

    def __init__(self, catalog: Catalog, cache: Path) -> None:
        self._catalog = catalog
        self._cache = cache

    async def ask(self, query: Query, look: Look, where: Where, say: Say = nothing_to_say) -> Written:
        """Answer from what is on disk now, or once what the query waits for has happened. Raises RunwiseError."""
        try:
            return await self._ask(query, look, where, say)
        except _FINDINGS as error:
            raise _told(error) from error

    async def _ask(self, query: Query, look: Look, where: Where, say: Say) -> Written:
        if isinstance(query, ListRuns | Since) and query.all:
            return await self._respond_everywhere(query, look, say)
        view = await self._view(query, where)
        if isinstance(query, Annotate):
            run = resolve(query.run, view)
            view = await self._catalog.annotate(view, run.id, change(query, run))
        patient = patience(query)
        if patient is not None:
            query, view = await self._until(query, view, patient, say)
        try:
            return await self._respond(query, view, look)
        except IndexLostError:
            for run in view.runs:
                if not run.indexed:
                    self._catalog.repair(run)
            return await self._respond(query, view, look)

    async def _view(self, query: Query, where: Where) -> Project:
        """The project a question is asked in, or what it names by a path."""
        if where.project is not None:
            folder = await self._catalog.find(where.project, where.cwd)
            view = await self._view(query, Where(cwd=folder))
            return view._replace(named=where.project)
        if not isinstance(query, PathQuery):
            return await self._catalog.view(where.cwd, where.environ)
        from runwised.queries import local  # asked seldom, and it brings much with it

        local.check(query)
        if query.path is not None:
            return await self._catalog.view_of(query.path, where.cwd)
        try:
            return await self._catalog.view(where.cwd, where.environ)
        except NoProject as error:
            raise RunwiseError(Kind.NOT_FOUND, error.reason, f"runwise {query.command} PATH") from error

    async def _until(self, query: Query, view: Project, patient: AnyPatience, say: Say) -> tuple[Query, Project]:
        """The question as it is to be answered, and the runs, once there is something to answer or the time is over."""
        ends = anyio.current_time() + query.patience
        first = needed(query, view)
        view = await self._catalog.indexed(view, first.runs, query.patience, if_short=first.if_short)
        patient.check(query, view)
        if patient.is_over(query, view):
            return query, view
        cursor = view.cursor()
        query = patient.from_cursor(query, cursor)
        say(lambda: f"{cursor} {ends - anyio.current_time():.1f}".encode())
        with self._catalog.follow(view, patient.runs(query, view)) as follower:
            while (left := ends - anyio.current_time()) > 0 and not patient.is_over(query, view):
                again = patient.again(query, view)
                with anyio.move_on_after(left if again is None else min(left, again)):
                    await follower.changed()
                view = view.holdings.project()
        return query, view

    async def _respond(self, query: Query, view: Project, look: Look) -> Written:
        first = needed(query, view)
        if first.runs:
            view = await self._catalog.indexed(view, first.runs, if_short=first.if_short)
            for run in view.runs:
                if run.id in first.runs and run.trouble and not run.history.row_count and not first.if_short:
                    raise RunwiseError(Kind.UNREADABLE, run.trouble, "runwise list")
        written = respond(query, view, look)
        return Written(written.reply, _guarded(written.chunks), written.exit_status)

    async def _respond_everywhere(self, query: Query, look: Look, say: Say) -> Written:
        """Answer of all projects. Where values decide, what is not indexed yet is waited for only so long."""
        found = await self._catalog.view_all()
        ids = needed(query, Everywhere(found)).runs
        deadline = time.monotonic() + EVERYWHERE_SECONDS
        waited = [
            await self._catalog.indexed(project, ids, deadline - time.monotonic(), if_short=True) if ids else project
            for project in found.projects
        ]
        found = found._replace(projects=tuple(waited))
        patient = patience(query)
        if patient is not None:
            query, found = await self._until_everywhere(query, found, patient, say)
        written = respond(query, Everywhere(found), look)
        return Written(written.reply, _guarded(written.chunks), written.exit_status)

    async def _until_everywhere(
        self, query: Query, found: Everything, patient: AnyPatience, say: Say
    ) -> tuple[Query, Everything]:
        """As `_until`, of all projects together."""
        ends = anyio.current_time() + query.patience
        if patient.is_over(query, Everywhere(found)):
            return query, found
        cursor = Everywhere(found).cursor()
        query = patient.from_cursor(query, cursor)
        say(lambda: f"{cursor} {ends - anyio.current_time():.1f}".encode())
        with self._catalog.follow_all(found.projects) as follower:
            while (left := ends - anyio.current_time()) > 0:
                began = time.perf_counter()
                if patient.is_over(query, Everywhere(found)):
                    break
                rest = (time.perf_counter() - began) * REST
                with anyio.move_on_after(left):
                    await follower.changed()
                    await anyio.sleep(rest)  # all runs of all projects are compared each time
                found = found.again(time.time())
        return query, found

    async def root(self, where: Where) -> str | None:
        """Root of the project that a question from there is about; None where there is none."""
        try:
            return await self._catalog.root(where.cwd, where.environ)
        except (NoProject, DiskSilent):
            return None

    async def recent(self) -> list[str]:
        """Roots of the projects that were ever asked about, the latest first; some may be gone."""
        return await self._catalog.recent()

    def status(self) -> dict[str, Any]:
        """How the catalog is."""
        return self._catalog.status()

    def counts(self) -> dict[str, int]:
        """How many projects and runs are known, and how many of these wait for their index."""
        return self._catalog.counts()

    async def demo(self) -> str:
        """Copy the demonstration project to the cache. Raises RunwiseError."""
        try:
            return str(await anyio.to_thread.run_sync(prepare_demo, self._cache))
        except OSError as error:
            message = f"cannot write the demonstration project: {error}"
            raise RunwiseError(Kind.UNREADABLE, message, "export RUNWISE_CACHE_DIR=/a/folder/of/yours") from error

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Index, watch and save until cancelled."""
        await self._catalog.run(task_status=task_status)

    @property
    def stalled_seconds(self) -> float:
        """How long the background has been at one thing without getting on with it."""
        return self._catalog.stalled_seconds

    def reload(self) -> None:
        """Forget what was learned of settings and mounts, and look at everything again."""
        self._catalog.reload()

    async def close(self) -> None:
        """Save what is worth saving."""
        await self._catalog.close()

    def rescue(self) -> None:
        """Save what can be saved while the loop hangs."""
        self._catalog.rescue()


def _guarded(chunks: Iterator[str]) -> Iterator[str]:
    try:
        yield from chunks
    except (Unreadable, IndexLostError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> RunwiseError:
    return RunwiseError(Kind.UNREADABLE, str(error), "runwise list")


_FINDINGS = (DiskSilent, NoLog, NoProject, SeveralProjects, NotKept, Unreadable, IndexLostError)


def _told(error: Exception) -> RunwiseError:
    """What the catalog found, in the words of an answer."""
    from runwised.queries import local

    match error:
        case NotThere():
            return local.not_there(error.path, error.nearest)
        case NoLog():
            return local.no_log(error.path, error.reason)
        case NoSuchProject():
            return no_such_project(error.reason, error.roots)
        case NoProject():
            return RunwiseError(Kind.NOT_FOUND, error.reason, "cd to a project, or try runwise demo")
        case SeveralProjects():
            return several_projects(error.name, error.roots)
        case DiskSilent():
            return RunwiseError(Kind.UNREADABLE, str(error), "runwise daemon status")
        case NotKept():
            return RunwiseError(Kind.UNREADABLE, str(error), "export RUNWISE_STATE_DIR=/a/folder/of/yours")
    return _unreadable(error)
