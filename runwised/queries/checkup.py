"""A run's checkup: every point of its metrics is looked at, once; what was found, and what could not be judged.

What is known of each metric is kept with the run and goes on with what comes; what was found is kept on disk too. A
question about a run that has not changed costs a look at its statistics, one about a run that has grown the new points.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np

from runwised.analysis.curve import Event
from runwised.analysis.detect import findings, late, ordered
from runwised.analysis.roles import Role, Roles, recognise
from runwised.analysis.stalls import KEY as STALLS_KEY
from runwised.analysis.stalls import LEAST_ROWS
from runwised.analysis.usage import LEAST_SAMPLES
from runwised.index.view import RunView, Stats, Table
from runwised.queries.folding import fold_of, stalls_of
from runwised.queries.keysel import main_metrics
from runwised.queries.machine import machine_events, machine_roles
from runwised.settings import RunwiseConfig

_VERSION = 2
"""To be raised whenever the detectors say something else of the same points: what is on disk is then made anew."""
_LEAST_POINTS: dict[Role, int] = {
    "loss": 12,
    "validation": 12,
    "score": 12,
    "validation_score": 12,
    "gradient": 16,
    "throughput": 24,
    "duration": 24,
    "learning_rate": 5,
    "gpu_memory": LEAST_SAMPLES,
    "host_memory": LEAST_SAMPLES,
    "utilisation": LEAST_SAMPLES,
}
"""Finite points from which on the detectors of a role say something."""
_KINDS: dict[Role, tuple[str, ...]] = {
    "loss": ("divergence", "spike", "frozen", "plateau"),
    "validation": ("divergence", "overfitting", "spike", "frozen"),
    "score": ("divergence", "plateau"),
    "validation_score": ("divergence", "overfitting"),
    "gradient": ("gradient_explosion", "gradient_vanishing", "spike"),
    "throughput": ("throughput_drop",),
    "duration": ("throughput_drop",),
    "learning_rate": ("learning_rate",),
    "gpu_memory": ("memory",),
    "host_memory": ("memory",),
    "utilisation": ("low_utilisation",),
}
_NO_DAMAGE = frozenset({"plateau", "throughput_drop", "stalled", "memory", "low_utilisation"})
"""Kinds that leave a run's weights as good as they were."""
_DOUBTFUL = 0.5
"""Confidence up to which values that are not finite may be a metric that was never computed."""
_MAIN = 6
_KEY = "checkup"


class Checkup(NamedTuple):
    """What was found on a run's curves."""

    events: list[Event]
    """By onset."""
    bad: list[Event]
    """Of these, for each metric the first that did damage, by onset."""
    last_good: int | None
    keys: int
    points: int
    kinds: list[str]
    finite_only: list[str]
    too_short: list[str]
    judged: bool
    """Whether the course of a loss could be judged."""


class _Note(NamedTuple):
    digest: bytes
    """Of all that the checkup stands on."""
    found: Checkup


def checkup(run: RunView, config: RunwiseConfig, now: float | None = None) -> Checkup:
    """Look at every served point that was not looked at yet.

    Curves are read where their role, or a value that is not finite, asks for it; of all other metrics the exact
    statistics say that every value is finite. `now` (epoch seconds): tell, too, whether a running one has stalled.
    """
    main = main_metrics(run, config, _MAIN)
    digest = _digest(run, main, config)
    note = run.memory.folds.get(_KEY) or _recalled(run.memory.note)
    if note is None or note.digest != digest:
        note = _Note(digest, _made(run, config, main))
        run.memory.note = _written(note)
    run.memory.folds[_KEY] = note
    if now is None or run.condition.state != "running":
        return note.found
    events = [*note.found.events, *stalls_of(run).lasting(now, *_breaks(run))]
    return note.found._replace(events=sorted(events, key=lambda found: found.step))


def _digest(run: RunView, main: Sequence[str], config: RunwiseConfig) -> bytes:
    """Of the settings, and of the statistics and the last row of each table: not a point changes without these."""
    told = blake2b(digest_size=16)
    said = [_VERSION, config.anomaly_detection, config.schema.loss_key, main, run.segments, run.indexed]
    told.update(msgspec.msgpack.encode(said))
    for table in (run.history, run.system):
        count = table.row_count
        last = table.times(count - 1, count).tolist() if count else []
        metrics = [(name, table.stats(name)) for name in table.names]
        told.update(msgspec.msgpack.encode([count, table.total_rows, last, metrics]))
    return told.digest()


def _written(note: _Note) -> bytes:
    data = msgspec.msgpack.encode(note)
    return zlib.crc32(data).to_bytes(4, "little") + data


def _recalled(data: bytes) -> _Note | None:
    """What was kept on disk; None when there is nothing, it is harmed, or another version wrote it."""
    if int.from_bytes(data[:4], "little") != zlib.crc32(data[4:]):
        return None
    try:
        return msgspec.msgpack.decode(data[4:], type=_Note)
    except msgspec.MsgspecError:
        return None


def _breaks(run: RunView) -> tuple[int, set[int]]:
    """How often its program was started again, and the steps to which it went back."""
    return run.segments - 1, {rewind.to_step for rewind in run.rewinds}


def _made(run: RunView, config: RunwiseConfig, main: Sequence[str]) -> Checkup:
    table = run.history
    names = list(table.names)
    roles = recognise(names, loss_key=config.schema.loss_key)
    parts = roles.parts
    counts = {name: table.stats(name) for name in names}
    events = _events(run, roles, counts, config)
    around = machine_roles(run)
    samples = {name: run.system.stats(name) for name in around}
    bad = _bad(events, {*main, *roles.losses})
    enough = {name for name, role in parts.items() if _finite(counts[name]) >= _LEAST_POINTS[role]}
    beside = {name for name, role in around.items() if _finite(samples[name]) >= _LEAST_POINTS[role]}
    known = {parts[name] for name in enough} | {around[name] for name in beside}
    kinds = [kind for role, kinds in _KINDS.items() if role in known for kind in kinds]
    if stalls_of(run).total >= LEAST_ROWS:
        kinds.append("stalled")
    return Checkup(
        events=events,
        bad=bad,
        last_good=_last_good(table, bad, [name for name in (*main, *roles.losses) if name in counts]),
        keys=len(names),
        points=sum(found.count for found in counts.values()),
        kinds=list(dict.fromkeys((["nonfinite"] if names else []) + kinds)),
        finite_only=[name for name in names if name not in parts],
        too_short=[name for name in (*names, *around) if name in {**parts, **around} and name not in enough | beside],
        judged=any(parts[name] in ("loss", "validation") for name in enough),
    )


def _finite(stats: Stats) -> int:
    return stats.count - stats.nonfinite


def _events(run: RunView, roles: Roles, counts: Mapping[str, Stats], config: RunwiseConfig) -> list[Event]:
    table, limits, parts = run.history, config.anomaly_detection, roles.parts
    read = [name for name in counts if name in parts or counts[name].nonfinite]
    folds = {name: fold_of(run, table, name, parts.get(name), limits) for name in read}
    events = findings(folds, roles, limits)
    ends = late(folds, roles, events)
    known = {found.key: found.step for found in ends}
    events = [found for found in events if found.kind != "spike" or found.step < known.get(found.key, found.step + 1)]
    events += [*ends, *stalls_of(run).events(*_breaks(run)), *machine_events(run, limits)]
    return ordered(events, [*counts, *run.system.names, STALLS_KEY])


def _bad(events: Sequence[Event], main: set[str]) -> list[Event]:
    """The first damage to each metric; what a run came back from counts only where nothing lasts."""
    harm = [found for found in events if found.kind not in _NO_DAMAGE and not _is_doubtful(found, main)]
    lasting = [found for found in harm if found.end_step is None]
    chosen = lasting if any(found.kind != "learning_rate" for found in lasting) else harm
    first: dict[str, Event] = {}
    for found in chosen:
        first.setdefault(found.key, found)
    return list(first.values())


def _is_doubtful(found: Event, main: set[str]) -> bool:
    return found.kind == "nonfinite" and found.confidence <= _DOUBTFUL and found.key not in main


def _last_good(table: Table, bad: Sequence[Event], main: Sequence[str]) -> int | None:
    """The last row before the first damage; if a main metric was not finite then, the last before that."""
    limit = bad[0].step if bad else None
    doubtful = [name for name in main if table.stats(name).nonfinite]
    settled = not doubtful
    while not settled:
        before = limit
        for name in doubtful:
            step = _not_finite_since(table, name, limit)
            limit = limit if step is None else step
        settled = limit == before
    stop = table.row_count if limit is None else table.position(limit)
    return int(table.steps(stop - 1, stop)[0]) if stop else None


def _not_finite_since(table: Table, name: str, limit: int | None) -> int | None:
    """Where the values began to be not finite that end before a step; None when the last of them is finite."""
    stop, size = table.row_count if limit is None else table.position(limit), 1024
    while True:
        start = max(0, stop - size)
        points = table.series(name, start, stop)
        fine = np.flatnonzero(np.isfinite(points.values))
        if len(fine) or not start:
            first = int(fine[-1]) + 1 if len(fine) else 0
            return int(points.steps[first]) if first < len(points.steps) else None
        size *= 8
