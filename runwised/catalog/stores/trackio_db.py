"""trackio's SQLite store (``PROJECT.db``): runs by id of their logged rows, system samples and alerts.

Before trackio 0.24 the tables had no ``run_id``: a run then is its name.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runwised.catalog.identity import Seen
from runwised.catalog.stores.contract import Piece, StoreChangedError, StoredRun
from runwised.catalog.stores.cursors import decode, encode, proof_of
from runwised.catalog.stores.databases import ENDINGS, Databases, look_at, peek_tables, text_of
from runwised.formats.record import Row
from runwised.formats.step_keys import Steps
from runwised.formats.trackio import SqlRow, decode_alert, decode_row, decode_rows, describe
from runwised.formats.wall_time import epoch_seconds

if TYPE_CHECKING:
    import sqlite3

_COLUMNS = frozenset({"timestamp", "run_name", "step", "metrics"})
_ROWS_AT_ONCE = 500
_FEW = 20_000
"""So many new rows of all runs are looked through by id; more are found by the run's own index."""


class _Cursor(msgspec.Struct, array_like=True):
    row: int = 0
    proof: int = 0
    sample: int = 0
    alert: int = 0
    said: int = 0
    """Proof of all that was said of the run beside its rows."""
    steps: Steps = msgspec.field(default_factory=lambda: Steps("step"))


class _Found(NamedTuple):
    exists: bool
    name: str | None
    started: str | None
    config: Any
    anchor: SqlRow | None
    rows: list[SqlRow]
    samples: list[SqlRow]
    alerts: list[tuple[int, Any, Any, Any]]


class TrackioDatabase:
    """See `runwised.catalog.stores.contract.Store`; keys are run ids (or names), offsets ids in ``metrics``."""

    name = "trackio"
    tells_end = False

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def matches(self, path: str) -> bool:
        """By its ending and the columns of its table ``metrics``."""
        if not path.endswith(ENDINGS):
            return False
        return set(re.findall(r"\w+", peek_tables(path).get("metrics", ""))) >= _COLUMNS

    def list_runs(self, path: str) -> list[StoredRun]:
        """Runs that have logged anything or have a config, by their first row."""
        project = _project(path)
        found = self._databases.query(path, _list)
        runs = [
            StoredRun(key, key, name, project, None if math.isnan(started) else started)
            for key, name, started in ((key, name, epoch_seconds(first)) for key, name, first in found)
        ]
        return sorted(runs, key=lambda run: run.started or 0.0)

    def look(self, path: str, key: str) -> Seen | None:  # noqa: ARG002 - all runs are in one file
        """Database and log together."""
        return look_at(path)

    def read(self, path: str, key: str, cursor: bytes, most: int) -> Piece:
        """Rows in the order of their ids, then system samples, then alerts."""
        at = decode(cursor, _Cursor)
        found = self._databases.query(path, partial(_find, key, at), most)
        if at.proof and (found.anchor is None or proof_of(found.anchor) != at.proof):
            raise StoreChangedError(f"{path}: the last row read of run {key} is gone or another")
        if not found.exists:
            raise FileNotFoundError(errno.ENOENT, f"no run {key} in it", path)
        batches = []
        said = proof_of(found.name, found.started, found.config)
        if said != at.said:
            started = epoch_seconds(found.started)
            start = None if math.isnan(started) else started
            batches += describe(key, found.name, _project(path), start, found.config)
            at.said = said
        if found.rows:
            batches += decode_rows("history", found.rows, at.steps)
            at.row, at.proof = found.rows[-1][0], proof_of(found.rows[-1])
        if found.samples:
            batches += decode_rows("system", found.samples, at.steps)
            at.sample = found.samples[-1][0]
        if found.alerts:
            batches += [decode_alert(*alert) for alert in found.alerts]
            at.alert = found.alerts[-1][0]
        return Piece(batches, encode(at), len(found.rows) + len(found.samples) + len(found.alerts))

    def rows(self, path: str, key: str, cursor: bytes, offsets: Sequence[int]) -> Iterator[Row]:  # noqa: ARG002
        """Rows by id."""
        for start in range(0, len(offsets), _ROWS_AT_ONCE):
            wanted = offsets[start : start + _ROWS_AT_ONCE]
            found = self._databases.query(path, partial(_by_id, key, wanted))
            for offset in wanted:
                try:
                    yield decode_row(*found[offset])
                except (KeyError, ValueError):
                    raise StoreChangedError(f"{path}: row {offset} of run {key} is gone or another") from None

    def close(self) -> None:
        """Close the databases."""
        self._databases.close()


def _project(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(column[1] for column in connection.execute(f"PRAGMA table_info({table})"))


def _who(columns: frozenset[str]) -> str:
    return "run_id" if "run_id" in columns else "run_name"


def _list(connection: sqlite3.Connection, _: int) -> list[tuple[str, str | None, Any]]:
    """Key, name and first time of each run; the index on the key is hopped through, not scanned."""
    listed: dict[str, tuple[str, str | None, Any]] = {}
    for table, time, order in (("metrics", "timestamp", "step"), ("configs", "created_at", "id")):
        columns = _columns(connection, table)
        who = _who(columns)
        if not columns >= {who, "run_name", time, order}:
            continue
        keys = f"""
            WITH RECURSIVE keys(key) AS (
                SELECT min({who}) FROM {table}
                UNION ALL SELECT (SELECT min({who}) FROM {table} WHERE {who} > keys.key) FROM keys WHERE key IS NOT NULL
            ) SELECT key, (SELECT run_name FROM {table} WHERE {who} = key ORDER BY {order} LIMIT 1),
            (SELECT {time} FROM {table} WHERE {who} = key ORDER BY {order} LIMIT 1) FROM keys WHERE key IS NOT NULL"""
        for key, name, first in connection.execute(keys).fetchall():
            listed.setdefault(str(key), (str(key), text_of(name), first))
    return list(listed.values())


def _find(key: str, at: _Cursor, connection: sqlite3.Connection, most: int) -> _Found:
    who = _who(_columns(connection, "metrics"))
    anchor = connection.execute(
        f"SELECT id, timestamp, step, metrics FROM metrics WHERE {who} = ? AND id = ?", (key, at.row)
    ).fetchone()
    rows = _new(connection, "metrics", "id, timestamp, step, metrics", key, at.row, most)
    samples, alerts = [], []
    if len(rows) < most:
        samples = _new(connection, "system_metrics", "id, timestamp, NULL, metrics", key, at.sample, most - len(rows))
    if len(rows) + len(samples) < most:
        left = most - len(rows) - len(samples)
        alerts = _new(connection, "alerts", "id, title, text, level", key, at.alert, left)
    config = None
    columns = _columns(connection, "configs")
    if "config" in columns:
        asked = f"SELECT run_name, created_at, config FROM configs WHERE {_who(columns)} = ? ORDER BY id DESC LIMIT 1"
        config = connection.execute(asked, (key,)).fetchone()
    # By step, not by time or id: trackio has had an index on that from its beginning.
    asked = f"SELECT run_name, timestamp FROM metrics WHERE {who} = ? ORDER BY step LIMIT 1"
    first = connection.execute(asked, (key,)).fetchone()
    name, started = first or (config[:2] if config else (None, None))
    exists = first is not None or config is not None
    return _Found(exists, text_of(name), started, config[2] if config else None, anchor, rows, samples, alerts)


def _new(connection: sqlite3.Connection, table: str, what: str, key: str, after: int, most: int) -> list[Any]:
    """Rows of a run with an id above `after`, by id; none where there is no such table."""
    columns = _columns(connection, table)
    if "id" not in columns:
        return []
    who = _who(columns)
    newest = connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0
    if newest - after <= _FEW:
        # The unary plus keeps the index on the run out of it.
        asked = f"SELECT {what} FROM {table} WHERE id > ? AND +{who} = ? ORDER BY id LIMIT ?"
        return connection.execute(asked, (after, key, most)).fetchall()
    asked = f"""SELECT {what} FROM {table} WHERE id IN (
        SELECT id FROM {table} WHERE {who} = ? AND id > ? ORDER BY id LIMIT ?) ORDER BY id"""
    return connection.execute(asked, (key, after, most)).fetchall()


def _by_id(key: str, offsets: Sequence[int], connection: sqlite3.Connection, _: int) -> dict[int, tuple[Any, Any]]:
    who = _who(_columns(connection, "metrics"))
    marks = ",".join("?" * len(offsets))
    asked = f"SELECT id, timestamp, metrics FROM metrics WHERE {who} = ? AND id IN ({marks})"
    return {number: (time, metrics) for number, time, metrics in connection.execute(asked, (key, *offsets))}
