"""In the background: saves what is due, gives memory back, puts runs to rest, keeps the cache small."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping

import anyio
import anyio.to_thread

from runwised.catalog import allocator
from runwised.catalog.growth import Growth
from runwised.catalog.holdings import Holdings
from runwised.catalog.ingest import AHEAD
from runwised.catalog.place import Place
from runwised.catalog.pruning import Limits, prune
from runwised.catalog.saving import Saving
from runwised.catalog.store import remove_strays
from runwised.catalog.stores import close_idle_stores

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""When work that broke is begun again."""
TIDY_SECONDS = 5.0
AMID_SECONDS = 1.0
"""The same amid the indexing of many runs: what is known of them takes least memory in the manifest."""
PRUNE_SECONDS = 86_400.0
PACK_SECONDS = 0.5
"""What putting runs that are over into the manifest of a project may take at once."""
TIDY_ANYWAY = 12
"""While nobody asks and nothing is read, memory is tidied every so many times only, once there was nothing to do."""


class Upkeep:
    """Looks after what all projects hold; `stir` is called where there is something to read again."""

    def __init__(
        self,
        projects: Mapping[Place, Holdings],
        growth: Growth,
        saving: Saving,
        limits: Limits,
        stir: Callable[[], None],
    ) -> None:
        self._projects = projects
        self._growth = growth
        self._saving = saving
        self._limits = limits
        self._stir = stir

    async def run(self) -> None:
        """Work until cancelled."""
        pruned_at = -math.inf
        before: object = None
        passed = 0
        is_amid = False
        while True:
            # First: whoever started us waits for an answer.
            await anyio.sleep(AMID_SECONDS if is_amid else TIDY_SECONDS)
            if (folder := self._growth.store.folder) and time.monotonic() - pruned_at > PRUNE_SECONDS:
                pruned_at = time.monotonic()
                await anyio.to_thread.run_sync(clean, folder, self._limits)
            projects = list(self._projects.values())
            asked_at = max((holdings.asked_at for holdings in projects), default=0.0)
            now = self._growth.read_bytes, self._growth.restored, asked_at
            passed = passed + 1 if now == before else 0
            if passed % TIDY_ANYWAY == 0:  # to look through ten thousand runs for nothing was most of an idle day
                worked = await self._saving.tidy(run for holdings in projects for run in holdings.runs)
                is_amid = len(self._growth.ingest) > AHEAD
                for holdings in projects:
                    is_amid |= not await holdings.pack(PACK_SECONDS) or holdings.behind > AHEAD
                    if holdings.behind:
                        self._stir()
                before = None if worked or is_amid else now
                self._growth.awake.is_amid &= is_amid
                if not worked and not is_amid:
                    await anyio.to_thread.run_sync(allocator.give_back)
            self._growth.awake.tidy()
            await anyio.to_thread.run_sync(close_idle_stores)


def clean(folder: str, limits: Limits) -> None:
    """Remove from the cache folder what killed writers left, and what it need not keep."""
    remove_strays(folder)
    prune(folder, limits)


async def steadily(work: Callable[[], Awaitable[None]]) -> None:
    """Do endless work; begin it again when it broke."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - the boundary: answers do not need the background, and must not end with it
            _log.exception("the catalog's background broke")
        await anyio.sleep(AGAIN_SECONDS)
