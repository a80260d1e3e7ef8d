"""What trackio keeps in its tables: logged rows, system samples, configs and alerts, decoded to batches.

Metrics and configs are JSON (a blob or text) in which NaN and the infinities are strings; nested dicts stay nested.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from runwised.formats.json_value import decode_json
from runwised.formats.record import NO_STEP, Alert, Batch, Damage, Facts, Identity, Patch, Row, escape
from runwised.formats.rows_builder import RowsBuilder
from runwised.formats.step_keys import Steps
from runwised.formats.wall_time import epoch_seconds
from runwised.formats.wandb_items import flatten

SqlRow = tuple[int, Any, Any, Any]
"""id, timestamp, step (None for a system sample), metrics."""

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def decode_rows(table: Literal["history", "system"], rows: Iterable[SqlRow], steps: Steps) -> list[Batch]:
    """Rows of ``metrics`` or ``system_metrics`` in the order of their ids, as one `Rows` and what damage there is."""
    builder = RowsBuilder(table)
    damage: list[Batch] = []
    stamp, seconds = None, math.nan
    for number, timestamp, step, metrics in rows:
        try:
            values = decode_metrics(metrics)
        except ValueError as error:
            damage.append(Damage(number, _length(metrics), str(error)))
            continue
        served = steps.take(_step(step), values) if table == "history" else NO_STEP
        if timestamp != stamp:  # rows are written in lots of one time
            stamp, seconds = timestamp, epoch_seconds(timestamp)
        builder.add(number, served, seconds, values)
    built = builder.build()
    return [*damage, built._replace(by_key=table == "history")] if len(built.offsets) else damage


def decode_row(timestamp: Any, metrics: Any) -> Row:
    """One row of ``metrics``, exact; what counts as its step the reader alone knows. Raises ValueError."""
    return Row(NO_STEP, epoch_seconds(timestamp), decode_metrics(metrics))


def decode_metrics(metrics: Any) -> dict[str, Any]:
    """Values of one logged row by escaped key. Raises ValueError when it is no JSON object."""
    logged = _decode_object(metrics)
    values: dict[str, Any] = {}
    for key, value in logged.items():
        if type(value) is dict:
            values.update((escape(path), inner) for path, inner in flatten([((key,), value)]))
        else:
            values[_escape_one(key)] = value
    return values


def describe(run_id: str, name: str | None, project: str, started: float | None, config: Any) -> list[Batch]:
    """Who a run is and how it was set up; `config` is the JSON of table ``configs``, or None where there is none.

    Keys that begin with ``_`` are trackio's own (``_Username``, ``_Created``, ``_Group``).
    """
    told: dict[str, Any] = {}
    damage: list[Batch] = []
    if config is not None:
        try:
            told = _decode_object(config)
        except ValueError as error:
            damage.append(Damage(0, _length(config), f"config: {error}"))
    created = epoch_seconds(told.get("_Created"))
    group, user = told.get("_Group"), told.get("_Username")
    identity = Identity(
        run_id=run_id,
        name=name,
        project=project,
        group=group if isinstance(group, str) else None,
        start_time=started if math.isnan(created) else created,
    )
    batches: list[Batch] = [identity, *damage]
    if isinstance(user, str):
        batches.append(Facts({"username": user}))
    own = [((key,), value) for key, value in told.items() if not key.startswith("_")]
    return [*batches, Patch("config", own)] if own else batches


def decode_alert(number: int, title: Any, text: Any, level: Any) -> Alert:
    """A row of table ``alerts``."""
    return Alert(number, str(title or ""), str(text or ""), str(level or "warn").upper())


@lru_cache(4096)
def _escape_one(key: str) -> str:
    return escape((key,))


def _decode_object(value: Any) -> dict[str, Any]:
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    decoded = decode_json(data) if isinstance(data, bytes) else None
    if not isinstance(decoded, dict):
        raise ValueError("a row is no JSON object")
    return {key: inner if type(inner) is float else _number(inner) for key, inner in decoded.items()}


def _number(value: Any) -> Any:
    """The value with the strings that stand for numbers JSON lacks turned into those."""
    if isinstance(value, str):
        return _NUMBERS.get(value, value)
    if isinstance(value, dict):
        return {key: _number(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    return value


def _step(step: Any) -> int | None:
    return step if type(step) is int and step != NO_STEP else None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 1
