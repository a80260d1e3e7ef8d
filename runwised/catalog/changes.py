"""Who waits for which runs of a project to change, and is woken when they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import anyio


class Follower:
    """Somebody who waits."""

    def __init__(self) -> None:
        self._woken = anyio.Event()

    async def changed(self) -> None:
        """Return once something changed since this last returned (or since the following began)."""
        await self._woken.wait()
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Something changed."""
        self._woken.set()


class Changes:
    """The followers of one project's runs, by run id; under None stand those of all runs, new ones too."""

    def __init__(self) -> None:
        self._followers: dict[str | None, dict[Follower, None]] = {}

    @property
    def any(self) -> bool:
        """Whether anybody waits."""
        return bool(self._followers)

    @property
    def all(self) -> bool:
        """Whether somebody waits for any run, new ones too."""
        return None in self._followers

    def follows(self, run_id: str) -> bool:
        """Whether somebody waits for this run."""
        return None in self._followers or run_id in self._followers

    @contextmanager
    def follow(self, run_ids: Iterable[str] | None, follower: Follower | None = None) -> Iterator[Follower]:
        """Be woken when one of these runs changes; None: when any does, or comes or goes. A `follower` of other
        projects may be given, to be woken by this one too."""
        names: list[str | None] = [None] if run_ids is None else list(dict.fromkeys(run_ids))
        follower = follower or Follower()
        for name in names:
            self._followers.setdefault(name, {})[follower] = None
        try:
            yield follower
        finally:
            for name in names:
                self._followers[name].pop(follower)
                if not self._followers[name]:
                    del self._followers[name]

    def tell(self, run_id: str) -> None:
        """This run has changed, is new, or is gone."""
        for name in (run_id, None):
            for follower in self._followers.get(name, ()):
                follower.wake()
