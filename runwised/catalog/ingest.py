"""The queue of runs to be indexed, and the worker processes that do it.

Workers are plain child processes fed through their stdin: they may be niced and ended when idle, they go away by
themselves when the daemon is killed, and a parser that takes all memory takes only itself down. (A pool of the
standard library leaves its children waiting for ever when the parent is killed; anyio's keeps idle ones.)
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import anyio
import msgspec
from anyio.abc import Process
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream

from runwised.catalog.run import Run
from runwised.catalog.worker import Done, Job, Source

IDLE_SECONDS = 10.0
"""A worker without work for this long is let go."""
AGAIN_SECONDS = 5.0
AHEAD, AHEAD_BYTES = 64, 1 << 20
"""A worker is given so many runs at once, of so many bytes: it goes on while this process answers somebody."""
LONGEST_REPLY = 1 << 20
COMMAND = "import sys; sys.path[:] = {path!r}; from runwised.catalog.worker import main; main()"

_log = logging.getLogger(__name__)
_turns = itertools.count()
_Rank: TypeAlias = tuple[int, float]


class Result(NamedTuple):
    """What became of a run."""

    done: Done
    sidecar: bytes
    """The index, where it could not be saved."""


class Ingest:
    """Indexes runs: those that were asked for first, then the newest.

    Of a worker that dies the first run it has not answered for is to blame; those behind it wait again.
    """

    def __init__(self, workers: int, place: Callable[[Run], str], finish: Callable[[Run, Result], None]) -> None:
        self.workers = workers
        self.active = False
        """Whether anybody works on the queue."""
        self.working: set[Run] = set()
        """Runs that workers are at."""
        self._given: set[Run] = set()
        """Those, and the ones that are the same workers' next."""
        self._waiting: dict[Run, _Rank] = {}
        self._queue: list[tuple[_Rank, int, Run]] = []
        """A heap of those that wait, and of some that do not any more."""
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
        return len(self._waiting) + len(self._given)

    def __contains__(self, run: Run) -> bool:
        return run in self._waiting or run in self._given

    def put(self, run: Run, *, urgent: bool = False) -> None:
        """Have a run indexed; nothing happens when it is being worked on already."""
        if run in self._given:
            return
        asked = self._waiting.get(run, (0, 0.0))[0]
        self._wait(run, (min(asked, -next(_turns)) if urgent else asked, -run.newest.started))

    def _wait(self, run: Run, rank: _Rank) -> None:
        if self._waiting.get(run) != rank:
            self._waiting[run] = rank
            heapq.heappush(self._queue, (rank, next(_turns), run))
        self._more.set()

    def drop(self, run: Run) -> None:
        """It need not be indexed any more."""
        self._waiting.pop(run, None)
        if run not in self.working:
            self._given.discard(run)  # it is read all the same, but not again when the worker breaks before
        if not self._waiting:
            self._queue.clear()

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
            if self._more.is_set():  # else other workers wait for it already
                self._more = anyio.Event()
            await self._more.wait()

    async def _feed(self, process: Process) -> None:
        """Give a worker runs, some at once, until there has been nothing to do for a while, or it broke."""
        assert process.stdout is not None
        answers = BufferedByteReceiveStream(process.stdout)
        while True:
            with anyio.move_on_after(IDLE_SECONDS) as idle:
                await self._until_work()
            if idle.cancelled_caught:
                return
            batch = self._next()
            self._given.update(batch)
            try:
                jobs = [self._job(run) for run in batch]
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_send, jobs, process)
                    is_broken = await self._receive(batch, answers)
                    tasks.cancel_scope.cancel()
            finally:
                again = {run: rank for run, rank in batch.items() if run in self._given}
                self._given.difference_update(batch)
                for run, rank in again.items():
                    self._wait(run, rank)
            if is_broken:
                return

    def _next(self) -> dict[Run, _Rank]:
        """Who is next, with those after it that are short and leave as many to each other worker."""
        batch: dict[Run, _Rank] = {}
        most, left = min(AHEAD, math.ceil(len(self._waiting) / self.workers)), AHEAD_BYTES
        while self._queue and len(batch) < most:
            rank, _, run = self._queue[0]
            if self._waiting.get(run) == rank:
                size = sum(AHEAD_BYTES if part.is_stored else part.size for part in run.parts)
                if batch and size > left:
                    break
                batch[run] = self._waiting.pop(run)
                left -= size
            heapq.heappop(self._queue)
        return batch

    def _job(self, run: Run) -> bytes:
        job = Job([Source.of(log) for log in run.logs_at_last], self._place(run))
        # The standard library's JSON: names of files need not be UTF-8.
        return json.dumps(msgspec.to_builtins(job)).encode() + b"\n"

    async def _receive(self, batch: dict[Run, _Rank], answers: BufferedByteReceiveStream) -> bool:
        """Tell what becomes of each, and take it from the batch; whether the worker broke."""
        for run in list(batch):
            self.working.add(run)
            self._moved_at = time.monotonic()
            try:
                result = await _result(answers)
            finally:
                self.working.discard(run)
            del batch[run]
            self._given.discard(run)
            self._moved_at = time.monotonic()
            self._finish(run, result)
            if result.done.broken:
                return True
            await checkpoint()
        return False


async def _send(jobs: Sequence[bytes], process: Process) -> None:
    assert process.stdin is not None
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # no answer comes, either
        for job in jobs:
            await process.stdin.send(job)


async def _result(answers: BufferedByteReceiveStream) -> Result:
    try:
        done = msgspec.convert(json.loads(await answers.receive_until(b"\n", LONGEST_REPLY)), Done)
        return Result(done, await answers.receive_exactly(done.size) if done.size else b"")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, anyio.IncompleteRead):
        return Result(Done(error="the worker process died", broken=True), b"")
    except (anyio.DelimiterNotFound, ValueError) as error:  # of another version, or somebody else's words in between
        _log.warning("a worker gave no answer that can be read: %s", error)
        return Result(Done(error="the worker process gave no answer that can be read", broken=True), b"")


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
