"""Stores: databases and folders in which a tracking library keeps many runs together."""

from __future__ import annotations

from functools import cache

from runwised.catalog.stores.contract import Piece, Store, StoreChangedError, StoredRun
from runwised.catalog.stores.databases import Databases

__all__ = [
    "Piece",
    "Store",
    "StoreChangedError",
    "StoredRun",
    "all_stores",
    "close_idle_stores",
    "close_stores",
    "find_store",
]

_DATABASES = Databases()


@cache
def all_stores() -> tuple[Store, ...]:
    """Every kind of store, asked in this order; imported with the first file or folder that may be one."""
    from runwised.catalog.stores.mlflow_db import MlflowDatabase
    from runwised.catalog.stores.mlflow_folder import MlflowFolder
    from runwised.catalog.stores.trackio_db import TrackioDatabase

    return MlflowFolder(), MlflowDatabase(_DATABASES), TrackioDatabase(_DATABASES)


def find_store(path: str) -> Store | None:
    """The kind of store that is at `path`, or None."""
    return next((store for store in all_stores() if store.matches(path)), None)


def close_idle_stores() -> None:
    """Let go of databases nobody has asked for a while."""
    _DATABASES.close_idle()


def close_stores() -> None:
    """Let go of all databases and delete the copies made of them."""
    _DATABASES.close()
