"""A small daemon whose engine answers with what it was asked; a state asked for makes it do other things.

Run with one argument: the fields of its `Plan`, and of its `Limits` under "limits", as JSON. Says ``ready``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import anyio
import anyio.abc
import msgspec
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import ListRuns
from runwise_protocol.queries.runs import RunList
from runwise_protocol.query import Look, Query, Reply, Where

from runwised.server import lifecycle
from runwised.server.dispatch import Say

LINE = "x" * 1023 + "\n"


class Written(NamedTuple):
    reply: Reply
    chunks: Iterator[str]
    exit_status: int


class Echo:
    """Answers at once, unless the state asked for is one of those below."""

    def __init__(self) -> None:
        self.abandoned = 0
        self.stalled = 0.0
        self.wedged = False

    async def ask(self, query: Query, look: Look, where: Where, say: Say) -> Written:
        asked = query if isinstance(query, ListRuns) else ListRuns()
        reply = RunList(runs=[], total=asked.limit or 0)
        match asked.state:
            case "raise":
                raise ZeroDivisionError("on purpose")
            case "refuse":
                raise RunwiseError(Kind.AMBIGUOUS, "two runs are called so", "runwise list")
            case "say":
                say(lambda: b"@1 30.0")
                await self._wait()
            case "wait":
                await self._wait()
            case "hold":
                while not os.path.exists(f"{where.cwd}/go"):  # noqa: PTH110
                    await anyio.sleep(0.01)
            case "stall":
                self.stalled = 1e6
            case "wedge":
                self.wedged = True
                print("blocking", flush=True)
                time.sleep(60)
            case "block":
                print("blocking", flush=True)
                time.sleep(60)
            case "long":
                return Written(reply, iter([LINE] * (asked.limit or 1)), 0)
            case "break":
                return Written(reply, self._breaking(), 0)
        return Written(reply, iter([f"{query.command} {where.cwd} {look.dress} {look.width}\n"]), 3)

    async def _wait(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.abandoned += 1

    def _breaking(self) -> Iterator[str]:
        yield LINE * 100
        raise RunwiseError(Kind.UNREADABLE, "the source changed", "ask again")

    def status(self) -> dict[str, Any]:
        return {"abandoned": self.abandoned}

    def counts(self) -> dict[str, int]:
        return {"echoes": 1}

    async def demo(self) -> str:
        return "/demo"

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        await anyio.sleep_forever()

    @property
    def stalled_seconds(self) -> float:
        return self.stalled

    def reload(self) -> None:
        print("reloaded", flush=True)

    async def close(self) -> None:
        print("closed", flush=True)

    def rescue(self) -> None:
        print("rescued", flush=True)
        if self.wedged:
            time.sleep(60)


if __name__ == "__main__":
    plan = msgspec.convert(json.loads(sys.argv[1]), lifecycle.Plan)
    try:
        lifecycle.live(plan, Echo, lambda: print("ready", flush=True))
    except RunwiseError as error:
        print(error.message, error.hint, sep="\n", flush=True)
        os._exit(error.kind.exit_status)
    os._exit(0)
