"""The queue of runs to be indexed, and the worker processes that do it.

Workers are plain child processes fed through their stdin: they may be niced and ended when idle, they go away by
themselves when the daemon is killed, and a parser that takes all memory takes only itself down. (A pool of the
standard library leaves its children waiting for ever when the parent is killed; anyio's keeps idle ones.)
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from runwised.catalog.run import Run
from runwised.catalog.worker import Done, Job, Source

IDLE_SECONDS = 10.0
"""A worker without work for this long is let go."""
AGAIN_SECONDS = 5.0
LONGEST_REPLY = 1 << 20
COMMAND = "import sys; sys.path[:] = {path!r}; from runwised.catalog.worker import main; main()"

_log = logging.getLogger(__name__)
_turns = itertools.count()


class Result(NamedTuple):
    """What became of a run."""

    done: Done
    sidecar: bytes
    """The index, where it could not be saved."""


class Ingest:
    """Indexes runs: those that were asked for first, then the newest."""

    def __init__(self, workers: int, place: Callable[[Run], str], finish: Callable[[Run, Result], None]) -> None:
        self.workers = workers
        self.active = False
        """Whether anybody works on the queue."""
        self.working: set[Run] = set()
        self._waiting: dict[Run, tuple[int, float]] = {}
        self._place = place
        self._finish = finish
        self._more = anyio.Event()
        self._moved_at = time.monotonic()
        """When a worker last began or finished a run."""

    @property
    def stalled_seconds(self) -> float:
        """How long all that are being worked on have been."""
        return time.monotonic() - self._moved_at if self.working else 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self.working)

    def __contains__(self, run: Run) -> bool:
        return run in self._waiting or run in self.working

    def put(self, run: Run, *, urgent: bool = False) -> None:
        """Have a run indexed; nothing happens when it is being worked on already."""
        if run in self.working:
            return
        rank = self._waiting.get(run, (0, 0.0))[0]
        self._waiting[run] = (min(rank, -next(_turns)) if urgent else rank, -run.newest.started)
        self._more.set()

    def drop(self, run: Run) -> None:
        """It need not be indexed any more."""
        self._waiting.pop(run, None)

    async def run(self) -> None:
        """Work until cancelled."""
        self.active = True
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(self.workers):
                    tasks.start_soon(self._serve)
        finally:
            self.active = False

    async def _serve(self) -> None:
        while True:
            await self._until_work()
            try:
                worker = await _start_worker()
            except (OSError, RuntimeError) as error:  # no process, or no thread to look after it
                _log.warning("no worker process could be started: %s", error)
                await anyio.sleep(AGAIN_SECONDS)
                continue
            async with worker:
                try:
                    await self._feed(worker)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        worker.kill()

    async def _until_work(self) -> None:
        while not self._waiting:
            self._more = anyio.Event()
            await self._more.wait()

    async def _feed(self, process: Process) -> None:
        """Give a worker one run after the other, until there has been nothing to do for a while, or it broke."""
        assert process.stdout is not None
        answers = BufferedByteReceiveStream(process.stdout)
        while True:
            with anyio.move_on_after(IDLE_SECONDS) as idle:
                await self._until_work()
            if idle.cancelled_caught:
                return
            if not self._waiting:
                continue
            run = min(self._waiting, key=lambda waiting: self._waiting[waiting])
            del self._waiting[run]
            self.working.add(run)
            self._moved_at = time.monotonic()
            try:
                result = await self._index(run, process, answers)
            finally:
                self.working.discard(run)
                self._moved_at = time.monotonic()
            self._finish(run, result)
            if result.done.broken:
                return

    async def _index(self, run: Run, process: Process, answers: BufferedByteReceiveStream) -> Result:
        assert process.stdin is not None
        job = Job([Source.of(log) for log in run.logs_at_last], self._place(run))
        try:
            # The standard library's JSON: names of files need not be UTF-8.
            await process.stdin.send(json.dumps(msgspec.to_builtins(job)).encode() + b"\n")
            done = msgspec.convert(json.loads(await answers.receive_until(b"\n", LONGEST_REPLY)), Done)
            return Result(done, await answers.receive_exactly(done.size) if done.size else b"")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, anyio.IncompleteRead):
            return Result(Done(error="the worker process died", broken=True), b"")


async def _start_worker() -> Process:
    path = [os.path.abspath(folder) for folder in sys.path if folder]
    return await anyio.open_process(
        [sys.executable, "-I", "-c", COMMAND.format(path=path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        cwd="/",
        start_new_session=True,
    )
