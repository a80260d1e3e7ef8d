"""Looks at once at the runs that somebody waits for: when something happens to their files, and every now and then."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator

import anyio

from runwised.catalog.holdings import Holdings
from runwised.catalog.mounts import Mounts
from runwised.catalog.run import Run

TICK_SECONDS = 2.0
"""Between two looks at a run that is waited for: events are only hints, and the death of a process gives none."""
POLL_SECONDS = 0.25
"""The same where the file system reports no changes, and between two looks for new runs."""
READ_SECONDS = 0.05
"""What is read of it at once."""


class Attention:
    """Follows the runs in `holdings()` that have followers; `mounts` know which file systems report changes,
    `answers` whether a project's disk answers at all."""

    def __init__(
        self,
        holdings: Callable[[], Iterable[Holdings]],
        mounts: Mounts,
        answers: Callable[[Holdings], Awaitable[bool]],
    ) -> None:
        self._holdings = holdings
        self._mounts = mounts
        self._answers = answers
        self._touched: set[str] = set()
        self._anything = False
        self._happened = anyio.Event()
        self._begun = anyio.Event()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for any run."""
        return any(holdings.changes.any for holdings in self._holdings())

    def folders(self) -> list[str]:
        """Where the runs that are waited for lie, and where new ones may come up."""
        waited = [holdings for holdings in self._holdings() if holdings.changes.any]
        runs = [folder for holdings in waited for run in _followed(holdings) for folder in _folders(run)]
        return [*runs, *(folder for holdings in waited for folder in holdings.place.wandb_dirs)]

    def consoles(self) -> list[str]:
        """Where the runs that are waited for keep what they print, where that is not beside their logs."""
        files = (run.console_file for holdings in self._holdings() for run in _followed(holdings))
        return [os.path.dirname(path) for path in files if path]

    def heed(self, paths: set[str]) -> None:
        """Something happened to these paths."""
        if self.is_wanted:
            self._touched |= paths
            self._happened.set()

    def begin(self) -> None:
        """Somebody waits from now on."""
        self._begun.set()

    def heed_all(self) -> None:
        """Nobody knows what happened."""
        self._anything = True
        self._happened.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._on_events)
            tasks.start_soon(self._on_ticks)

    async def _reachable(self) -> list[Holdings]:
        """The projects somebody waits for whose disks answer."""
        waited = [holdings for holdings in self._holdings() if holdings.changes.any]
        return [holdings for holdings in waited if await self._answers(holdings)]

    async def _on_events(self) -> None:
        while True:
            await self._happened.wait()
            self._happened = anyio.Event()
            touched, self._touched = self._touched, set()
            parents = {os.path.dirname(path) for path in touched}
            anything, self._anything = self._anything, False
            for holdings in await self._reachable():
                if holdings.changes.all and not parents.isdisjoint(holdings.place.wandb_dirs):
                    await holdings.admit(READ_SECONDS)
                runs = [run for run in _followed(holdings) if anything or _is_touched(run, touched, parents)]
                if runs:
                    await holdings.attend(runs, READ_SECONDS)

    async def _on_ticks(self) -> None:
        waited = 0.0
        while True:
            if not self.is_wanted:
                self._begun = anyio.Event()
                await self._begun.wait()
            await anyio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            is_due = waited >= TICK_SECONDS
            if is_due:
                waited = 0.0
            for holdings in await self._reachable():
                if holdings.changes.all:
                    await holdings.admit(READ_SECONDS)
                runs = list(_followed(holdings)) if holdings.changes.any else []
                if not is_due:
                    runs = [run for run in runs if not self._mounts.reports(run.newest.found.folder)]
                if runs:
                    await holdings.attend(runs, READ_SECONDS)


def _followed(holdings: Holdings) -> Iterator[Run]:
    """The runs somebody waits for; of those who wait for any run, only the living are looked at: others are swept."""
    if holdings.changes.any:
        for run in holdings.alive():
            if holdings.changes.follows(run.id):
                yield run


def _folders(run: Run) -> list[str]:
    return list({part.found.folder: None for part in run.every})


def _is_touched(run: Run, paths: set[str], parents: set[str]) -> bool:
    if run.console_file in paths:
        return True
    return any(part.path in paths if part.path else part.found.folder in parents for part in run.every)
