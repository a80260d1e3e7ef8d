"""The runs that tracking libraries keep in stores of their own; a store is asked again only when it changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from runwised.catalog.naming import LooseSource

_COMPANIONS = ("-wal", "-journal")
"""Endings of the files that belong to a database's own."""

Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Listed(Protocol):
    """One of a store's runs; see `runwised.catalog.stores.StoredRun`."""

    @property
    def key(self) -> str:
        """Which of the store's runs."""

    @property
    def run_id(self) -> str:
        """What its writer calls it."""

    @property
    def name(self) -> str | None:
        """A better name."""


class Lists(Protocol):
    """What is needed here of a store; see `runwised.catalog.stores.Store`."""

    @property
    def name(self) -> str:
        """What it is called where sources are told."""

    def list_runs(self, path: str) -> Sequence[Listed]:
        """Its runs. Raises OSError."""


FindStore: TypeAlias = Callable[[str], Lists | None]
"""The store that is at a path, or None."""


class Asked(NamedTuple):
    """What a path holds as a store."""

    sources: tuple[LooseSource, ...]
    is_store: bool
    note: str = ""
    """Why its runs could not be listed, or not anew."""


class StoredRuns:
    """What was last known of each store."""

    def __init__(self, find_store: FindStore) -> None:
        self._find_store = find_store
        self._before: dict[str, tuple[Signature, Asked]] = {}
        self._known: dict[str, tuple[Signature, Asked]] = {}

    def begin(self) -> None:
        """A look begins: what is not asked for in it is forgotten after it."""
        self._before, self._known = self._known, {}

    def runs(self, path: str, folder: str) -> Asked:
        """The runs of the store at `path`, whose run folder is `folder`; those known before where it cannot be read."""
        signature = signature_at(path)
        known = self._before.get(path)
        if known is None or known[0] != signature or known[1].note:
            known = signature, self._ask(path, folder, known[1] if known else Asked((), is_store=False))
        self._known[path] = known
        return known[1]

    def stirred(self) -> bool:
        """Whether any store changed since it was asked."""
        return any(signature_at(path) != signature for path, (signature, _) in self._known.items())

    def _ask(self, path: str, folder: str, before: Asked) -> Asked:
        try:
            store = self._find_store(path)
            if store is None:
                return Asked((), is_store=False)
            found = store.list_runs(path)
        except OSError as error:
            return before._replace(is_store=True, note=f"{path}: {error.strerror or error}")
        sources = (LooseSource(path, run.key, folder, run.run_id, store.name, run.name or "") for run in found)
        return Asked(tuple(sources), is_store=True)


def signature_at(path: str) -> Signature:
    """What the files of a store are compared by: inode, size and time of each that is there."""
    found = _stat(path)
    is_file = found is not None and stat.S_ISREG(found.st_mode)
    every = [found, *(_stat(path + ending) for ending in _COMPANIONS if is_file)]
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) if each else None for each in every)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def no_store(path: str) -> None:
    """A `FindStore` that knows no store."""
    del path
