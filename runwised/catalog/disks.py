"""Whether disks answer: what hangs on one must not keep the questions about others waiting.

A server that is gone lets every look at a file of its file system wait, for minutes or for ever. So before anything is
looked at where that can happen, a thread looks at it first, and may be left behind.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import anyio
import anyio.to_thread

from runwised.catalog.holdings import Holdings
from runwised.catalog.mounts import Mounts
from runwised.catalog.named import NoLog, locate_named
from runwised.catalog.place import NoProject, Settings, locate

PATIENCE_SECONDS = 2.0
MOST_LOGS = 64
"""Runs whose logs are looked at first."""


class DiskSilent(Exception):  # noqa: N818 - a finding, worded as one
    """The file system mounted at `point` has not answered for `seconds`."""

    def __init__(self, point: str, seconds: float) -> None:
        self.point = point
        super().__init__(f"{point} does not answer (for {seconds:.0f} s)")


class Disks:
    """The file systems that can hang: those of other machines, and of programs."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._limiter = anyio.CapacityLimiter(math.inf)
        self._hanging: dict[str, float] = {}
        """Since when somebody waits for it, by mount point."""

    @property
    def notes(self) -> list[str]:
        """A line for each that does not answer."""
        now = time.monotonic()
        silent = [(point, now - since) for point, since in list(self._hanging.items())]
        return [str(DiskSilent(point, waited)) for point, waited in silent if waited >= PATIENCE_SECONDS]

    async def ask_for(self, holdings: Holdings) -> None:
        """Before a project is looked at. Raises DiskSilent."""
        place = holdings.place
        runs = islice(holdings.alive(), MOST_LOGS)
        logs = [part.found.path for run in runs for part in run.parts if part.found.path]
        paths = [*([] if place.only else [place.root]), *place.wandb_dirs, *place.logs_dirs, *logs]
        await self._ask(paths, partial(_stat_all, paths))

    async def answers(self, holdings: Holdings) -> bool:
        """Whether a project can be looked at without hanging."""
        try:
            await self.ask_for(holdings)
        except DiskSilent:
            return False
        return True

    async def ask_around(self, cwd: str, environ: Mapping[str, str], settings: Settings) -> None:
        """Before the project is looked for that a question is about. Raises DiskSilent."""
        named = [path for value in environ.values() for path in value.split(os.pathsep)]
        await self._ask([cwd, *named], partial(_quietly, locate, cwd, environ, settings))

    async def ask_at(self, path: str, cwd: str, settings: Settings) -> None:
        """Before what a question names is looked at. Raises DiskSilent."""
        named = os.path.join(cwd, os.path.expanduser(path))
        await self._ask([named], partial(_quietly, locate_named, path, cwd, settings))

    async def _ask(self, paths: Iterable[str], look: Callable[[], object]) -> None:
        """Have a thread take a look first that may hang; `paths` say where. Raises DiskSilent when it does.

        Costs nothing where all the paths lie on disks of this machine. One that hangs is not asked again before it
        has answered, so no more threads hang than there are such disks, about.
        """
        points = {self._mounts.point(path) for path in paths if not self._mounts.reports(path)}
        for point in points:
            self._check(point)
        if not points:
            return
        with anyio.move_on_after(PATIENCE_SECONDS):
            await anyio.to_thread.run_sync(self._look, points, look, abandon_on_cancel=True, limiter=self._limiter)
            return
        raise DiskSilent(min(points), PATIENCE_SECONDS)

    def _check(self, point: str) -> None:
        since = self._hanging.get(point)
        if since is not None and time.monotonic() - since >= PATIENCE_SECONDS:
            raise DiskSilent(point, time.monotonic() - since)

    def _look(self, points: Iterable[str], look: Callable[[], object]) -> None:
        began = time.monotonic()
        for point in points:
            self._hanging.setdefault(point, began)
        try:
            look()
        finally:
            for point in points:
                self._hanging.pop(point, None)


def _stat_all(paths: Sequence[str]) -> None:
    for path in paths:
        os.path.exists(path)


def _quietly(locating: Callable[..., object], *words: object) -> None:
    """Look where a project would be looked for; whether there is one is found out afterwards."""
    with suppress(NoProject, NoLog):
        locating(*words)
