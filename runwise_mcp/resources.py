"""Resources: a run's page, and one of its curves."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

import mcp_types as types
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.history import History
from runwise_protocol.queries.run import ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.query import Query

from runwise_mcp.answering import Ask
from runwise_mcp.visible import shown

RUN = "runwise://run/{id}"
CURVE = "runwise://run/{id}/{key}"
PAGE = 100
"""Resources on a page of the list."""

_PREFIX = "runwise://run/"

TEMPLATES = [
    types.ResourceTemplate(name="run", uri_template=RUN, description="A run on one page.", mime_type="text/plain"),
    types.ResourceTemplate(name="curve", uri_template=CURVE, description="A metric's curve.", mime_type="text/plain"),
]


class Address(NamedTuple):
    """What a URI names."""

    run: str
    key: str | None

    @property
    def query(self) -> Query:
        """What is asked to read it."""
        return ShowRun(run=self.run) if self.key is None else History(run=self.run, keys=(self.key,))


def parse(uri: str) -> Address:
    """What a URI names. Raises RunwiseError."""
    run, slash, key = uri.removeprefix(_PREFIX).partition("/")
    if not uri.startswith(_PREFIX) or not run or (slash and not key):
        raise RunwiseError(Kind.NOT_FOUND, f"no resource {uri[:100]!r}; expected {RUN} or {CURVE}")
    return Address(unquote(run), unquote(key) if slash else None)


def address(run: str) -> str:
    """The URI of a run."""
    return _PREFIX + quote(run, safe="")


async def listed(ask: Ask, cursor: str | None) -> types.ListResourcesResult:
    """The runs, newest first, a page at a time: a cursor is the id of the last one shown."""
    reply, _ = await ask(ListRuns())
    runs = reply.runs
    start = 0
    if cursor is not None:
        start = next((at + 1 for at, run in enumerate(runs) if run.id == cursor), len(runs))
    page = runs[start : start + PAGE]
    found = [
        types.Resource(name=shown(run.name), uri=address(run.id), description=run.state, mime_type="text/plain")
        for run in page
    ]
    more = page[-1].id if start + PAGE < len(runs) else None
    return types.ListResourcesResult(resources=found, next_cursor=more)


async def read(ask: Ask, uri: str) -> types.ReadResourceResult:
    """The text of a resource. Raises RunwiseError."""
    _, text = await ask(parse(uri).query)
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, text=text, mime_type="text/plain")])
