"""MLflow's SQLite store (``mlflow.db``): runs by rowid of their points."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runwised.catalog.identity import Seen
from runwised.catalog.stores.contract import Piece, StoreChangedError, StoredRun
from runwised.catalog.stores.cursors import decode, encode, proof_of
from runwised.catalog.stores.databases import ENDINGS, Databases, look_at, peek_tables, text_of
from runwised.formats.mlflow import RunInfo, describe, seconds_of, status_of
from runwised.formats.mlflow_points import SqlDecoder, SqlPoint, StepNumbers, build_rows, decode_sql_value
from runwised.formats.record import NO_STEP, Batch, Row, escape
from runwised.formats.wall_time import epoch_seconds

if TYPE_CHECKING:
    import sqlite3

_TABLES = frozenset({"experiments", "runs", "metrics", "params", "tags"})
_ROWS_AT_ONCE = 500
_RUNS = """
SELECT runs.run_uuid, runs.name, experiments.name, runs.start_time, tags.value
FROM runs LEFT JOIN experiments ON experiments.experiment_id = runs.experiment_id
LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'mlflow.runName'
WHERE coalesce(runs.lifecycle_stage, 'active') <> 'deleted'
AND coalesce(experiments.lifecycle_stage, 'active') <> 'deleted'
ORDER BY runs.start_time, runs.rowid
"""
_RUN = """
SELECT runs.name, experiments.name, runs.status, runs.start_time, runs.end_time, runs.user_id, runs.source_name
FROM runs LEFT JOIN experiments ON experiments.experiment_id = runs.experiment_id WHERE runs.run_uuid = ?
"""
_POINT = "SELECT rowid, key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ?"
_PARAMS = "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key"
_TAGS = "SELECT key, value FROM tags WHERE run_uuid = ? ORDER BY key"


class _Cursor(msgspec.Struct, array_like=True):
    rowid: int = -(2**63)
    """The point read last."""
    proof: int = 0
    said: int = 0
    """Proof of all that was said of the run beside its points."""
    status: str = ""
    steps: dict[str, tuple[int, int]] = {}


class _Found(NamedTuple):
    info: RunInfo | None
    anchor: SqlPoint | None
    points: list[SqlPoint]


class MlflowDatabase:
    """See `runwised.catalog.stores.contract.Store`; keys are run uuids, offsets rowids of the table ``metrics``."""

    name = "mlflow-db"
    tells_end = True

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def matches(self, path: str) -> bool:
        """By its ending and its tables."""
        if not path.endswith(ENDINGS):
            return False
        tables = peek_tables(path)
        return tables.keys() >= _TABLES and "run_uuid" in tables["metrics"]

    def list_runs(self, path: str) -> list[StoredRun]:
        """Runs that are not deleted, nor their experiment, by start."""
        found = self._databases.query(path, _list)
        return [
            StoredRun(str(uuid), str(uuid), text_of(name) or text_of(tag), text_of(experiment), seconds_of(started))
            for uuid, name, experiment, started, tag in found
        ]

    def look(self, path: str, key: str) -> Seen | None:  # noqa: ARG002 - all runs are in one file
        """Database and log together."""
        return look_at(path)

    def read(self, path: str, key: str, cursor: bytes, most: int) -> Piece:
        """Points in the order of their rowids, in which they were committed."""
        at = decode(cursor, _Cursor)
        info, anchor, points = self._databases.query(path, partial(_find, key, at.rowid), most)
        if cursor and (info is None or (at.proof and (anchor is None or proof_of(anchor) != at.proof))):
            raise StoreChangedError(f"{path}: the last point read of run {key} is gone")
        if info is None:
            raise FileNotFoundError(errno.ENOENT, f"no run {key} in it", path)
        batches: list[Batch] = []
        said = proof_of(info)
        if said != at.said:
            if at.status != info.status and RunInfo("", status=at.status).has_ended:
                raise StoreChangedError(f"{path}: run {key} had ended and goes on")
            batches += describe(info, at.status)
            at.said, at.status = said, info.status
        if points:
            decoder = SqlDecoder()
            decoded, damage = decoder.decode(points)
            batches += damage
            if len(decoded.offsets):
                batches.append(build_rows(decoded, decoder.names, StepNumbers(at.steps)))
            at.rowid, at.proof = points[-1][0], proof_of(points[-1])
        return Piece(batches, encode(at), len(points))

    def rows(self, path: str, key: str, cursor: bytes, offsets: Sequence[int]) -> Iterator[Row]:  # noqa: ARG002
        """Points by rowid."""
        for start in range(0, len(offsets), _ROWS_AT_ONCE):
            wanted = offsets[start : start + _ROWS_AT_ONCE]
            found = self._databases.query(path, partial(_by_rowid, key, wanted))
            for offset in wanted:
                if offset not in found:
                    raise StoreChangedError(f"{path}: point {offset} of run {key} is gone")
                name, value, time, is_nan = found[offset]
                yield Row(NO_STEP, epoch_seconds(time), {escape((str(name),)): decode_sql_value(value, is_nan)})

    def close(self) -> None:
        """Close the databases."""
        self._databases.close()


def _list(connection: sqlite3.Connection, _: int) -> list[tuple[Any, ...]]:
    return connection.execute(_RUNS).fetchall()


def _find(key: str, after: int, connection: sqlite3.Connection, most: int) -> _Found:
    run = connection.execute(_RUN, (key,)).fetchone()
    anchor = connection.execute(f"{_POINT} AND rowid = ?", (key, after)).fetchone()
    points = connection.execute(f"{_POINT} AND rowid > ? ORDER BY rowid LIMIT ?", (key, after, most)).fetchall()
    if run is None:
        return _Found(None, anchor, points)
    name, experiment, status, started, ended, user, program = run
    info = RunInfo(
        run_id=key,
        name=text_of(name),
        experiment=text_of(experiment),
        status=status_of(status),
        started=seconds_of(started),
        ended=seconds_of(ended),
        user=text_of(user),
        program=text_of(program),
        params=_texts(connection.execute(_PARAMS, (key,))),
        tags=_texts(connection.execute(_TAGS, (key,))),
    )
    return _Found(info, anchor, points)


def _texts(pairs: sqlite3.Cursor) -> dict[str, str]:
    return {str(key): "" if value is None else str(value) for key, value in pairs}


def _by_rowid(key: str, offsets: Sequence[int], connection: sqlite3.Connection, _: int) -> dict[int, tuple[Any, ...]]:
    marks = ",".join(itertools.repeat("?", len(offsets)))
    found = connection.execute(f"{_POINT} AND rowid IN ({marks})", (key, *offsets))
    return {rowid: (name, value, time, is_nan) for rowid, name, value, time, _, is_nan in found}
