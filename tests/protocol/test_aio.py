"""The client for anyio gives what the blocking one gives, to several tasks at once."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import anyio
import pytest
from runwise_protocol.aio import AsyncClient
from runwise_protocol.client import Client
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import Latest, ListRuns, ShowRun
from runwise_protocol.queries.wait import WaitFor
from runwise_protocol.query import Where

from tests.mcp.daemons import until_answering

WHERE = Where(cwd=str(Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished"))


@pytest.fixture(autouse=True)
def environment(daemon_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)


def test_tasks_that_ask_at_once_get_each_their_own_answer() -> None:
    texts: dict[str, str] = {}

    async def ask(client: AsyncClient, query: Latest | ListRuns) -> None:
        texts[query.command] = str(await client.ask(query, where=WHERE))

    async def main() -> None:
        async with AsyncClient() as client, anyio.create_task_group() as group:
            for query in (Latest(), ListRuns()):
                group.start_soon(ask, client, query)

    anyio.run(main)
    with Client.connect(start=False) as client:
        assert texts == {query.command: str(client.ask(query, where=WHERE)) for query in (Latest(), ListRuns())}


def test_streams_verbs_and_errors_are_those_of_the_blocking_client() -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            out = io.BytesIO()
            assert await client.write(Latest(), None, WHERE, out) == 0
            assert out.getvalue().decode() == str(await client.ask(Latest(), where=WHERE))
            assert set(await client.control("ping")) == {"version", "pid"}
            with pytest.raises(RunwiseError, match="no run 'nobody'"):
                await client.ask(ShowRun(run="nobody"), where=WHERE)

    anyio.run(main)


def test_a_question_is_taken_back_by_who_is_cancelled_and_the_next_one_is_answered(daemon_env: dict[str, str]) -> None:
    async def main() -> str:
        async with AsyncClient() as client:
            await client.control("ping")
            async with anyio.create_task_group() as group:
                group.start_soon(partial(client.ask, WaitFor(until="loss < 0", timeout="9m"), where=WHERE))
                await anyio.to_thread.run_sync(until_answering, 1, daemon_env)
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(until_answering, 0, daemon_env)
            return str(await client.ask(Latest(), where=WHERE))

    assert anyio.run(main)
