"""`Answers`: the engine behind the socket: the catalog's runs and the answers to questions, put together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.abc
import anyio.to_thread
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.local import PathQuery
from runwise_protocol.query import Look, Query, Where

from runwised.catalog.catalog import Catalog
from runwised.catalog.demo import prepare as prepare_demo
from runwised.catalog.holdings import Project
from runwised.catalog.named import NoLog, NotThere
from runwised.catalog.place import NoProject
from runwised.catalog.readback import Unreadable
from runwised.catalog.slot import IndexLostError
from runwised.queries.local import check, no_log, not_there
from runwised.queries.respond import Written, needed, respond


class Answers:
    """Answers questions from a catalog; see `runwised.server.dispatch.Engine`.

    A run's index grows in place, so an answer (or a piece of a stream) is made in one go, on the loop.
    """

    def __init__(self, catalog: Catalog, cache: Path) -> None:
        self._catalog = catalog
        self._cache = cache

    async def ask(self, query: Query, look: Look, where: Where) -> Written:
        """Answer from what is on disk now. Raises RunwiseError."""
        try:
            view = await self._view(query, where)
            try:
                return await self._respond(query, view, look)
            except IndexLostError:
                for run in view.runs:
                    if not run.indexed:
                        self._catalog.repair(run)
                return await self._respond(query, view, look)
        except NotThere as error:
            raise not_there(error.path, error.nearest) from error
        except NoLog as error:
            raise no_log(error.path, error.reason) from error
        except NoProject as error:
            raise RunwiseError(Kind.NOT_FOUND, error.reason, "cd to a project, or try runwise demo") from error
        except (Unreadable, IndexLostError) as error:
            raise _unreadable(error) from error

    async def _view(self, query: Query, where: Where) -> Project:
        """The project a question is asked in, or what it names by a path."""
        if not isinstance(query, PathQuery):
            return await self._catalog.view(where.cwd, where.environ)
        check(query)
        if query.path is not None:
            return await self._catalog.view_of(query.path, where.cwd)
        try:
            return await self._catalog.view(where.cwd, where.environ)
        except NoProject as error:
            raise RunwiseError(Kind.NOT_FOUND, error.reason, f"runwise {query.command} PATH") from error

    async def _respond(self, query: Query, view: Project, look: Look) -> Written:
        first = needed(query, view)
        if first.runs:
            view = await self._catalog.indexed(view, first.runs, if_short=first.if_short)
            for run in view.runs:
                if run.id in first.runs and run.trouble and not run.history.row_count and not first.if_short:
                    raise RunwiseError(Kind.UNREADABLE, run.trouble, "runwise list")
        written = respond(query, view, look)
        return Written(written.reply, _guarded(written.chunks), written.exit_status)

    def status(self) -> dict[str, Any]:
        """How the catalog is."""
        return self._catalog.status()

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

    async def close(self) -> None:
        """Save what is worth saving."""
        await self._catalog.close()


def _guarded(chunks: Iterator[str]) -> Iterator[str]:
    try:
        yield from chunks
    except (Unreadable, IndexLostError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> RunwiseError:
    return RunwiseError(Kind.UNREADABLE, str(error), "runwise list")
