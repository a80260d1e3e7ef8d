"""A first answer about a W&B log from its head and its tail, without the middle.

Meant to be asked of hundreds of logs at once: chunks are walked by their lengths, checksums are looked at only for
the records that are decoded, and of summary records only those that may say something new are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from runwised.formats.blocklog import BLOCK, CHUNK_HEADER, FILE_HEADER, guess_origin
from runwised.formats.json_value import as_float
from runwised.formats.protowire import WireError, var
from runwised.formats.record import NO_STEP, Batch, Exit, Facts, Identity, Mark, Patch, Path, Probe
from runwised.formats.wandb_items import HistoryRow, apply_patch, history_row
from runwised.formats.wandb_records import (
    CONFIG,
    ENVIRONMENT,
    EXIT,
    FINAL,
    FOOTER,
    HEADER,
    HISTORY,
    PREEMPTING,
    RUN,
    SUMMARY,
    TELEMETRY,
    Envelope,
    decode_patch,
    decode_record,
    open_record,
)

_TOLD = frozenset({RUN, CONFIG, TELEMETRY, ENVIRONMENT, HEADER, EXIT, FINAL, FOOTER, PREEMPTING})
_DECODED = _TOLD | {HISTORY, SUMMARY}
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _LAST = 1, 2, 4
_CRC_OF_KIND = [crc32(bytes([kind])) for kind in range(_LAST + 1)]
_CHECKED = -1
_ITEM_VALUE = b"\x82\x01"
_NUM = var(1)
_MOST_SUMMARY_BYTES = 32 << 10
_MOST_WITHOUT_NEWS = 3


class _Sight(NamedTuple):
    """A record seen in passing."""

    kind: int
    """Field number of what it seems to hold."""
    offset: int
    payload: bytes
    checksum: int
    """Still to be compared; `_CHECKED` when it fits."""


def probe_log(head: bytes, tail: bytes, tail_offset: int) -> Probe:
    """See `runwised.formats.record.Format.probe`."""
    origin = guess_origin(head)
    if tail_offset <= len(head):
        early: list[_Sight] = []
        late = _sights(head + tail[len(head) - tail_offset :], 0, origin, _DECODED)
    else:
        early = _sights(head, 0, origin, _TOLD)
        late = _sights(tail, tail_offset, origin, _DECODED)
    told = [batch for sight in early + late if sight.kind in _TOLD for batch in _batches(sight)]
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for patch in [batch for batch in told if isinstance(batch, Patch)] + _summary_patches(late):
        apply_patch(config if patch.target == "config" else summary, patch)
    row = _last_row(late)
    exits = [batch for batch in told if isinstance(batch, Exit)]
    marks = {batch.kind for batch in told if isinstance(batch, Mark)}
    return Probe(
        identity=_identity(told),
        facts={name: fact for batch in told if isinstance(batch, Facts) for name, fact in batch.fields.items()},
        config=config,
        summary=summary,
        step=_step(row, summary),
        time=_time(row, summary),
        exit=exits[-1] if exits else None,
        header=head[:CHUNK_HEADER] == FILE_HEADER,
        closed="closed" in marks,
        preempting="preempting" in marks,
    )


def _identity(told: Sequence[Batch]) -> Identity:
    """What all run records say, later ones first."""
    fields: dict[str, Any] = {}
    for batch in told:
        if isinstance(batch, Identity):
            fields |= {name: value for name, value in msgspec.structs.asdict(batch).items() if value is not None}
    return Identity(**fields)


def _open(sight: _Sight) -> Envelope | None:
    """The record, if its checksum fits."""
    if sight.checksum not in (_CHECKED, crc32(sight.payload, _CRC_OF_KIND[_FULL])):
        return None
    try:
        return open_record(sight.payload)
    except WireError:
        return None


def _batches(sight: _Sight) -> list[Batch]:
    try:
        record = _open(sight)
        return decode_record(record.kind, record.body, sight.offset) if record else []
    except WireError:
        return []


def _last_row(sights: Sequence[_Sight]) -> HistoryRow | None:
    for sight in reversed(sights):
        if sight.kind == HISTORY and (record := _open(sight)):
            try:
                return history_row(record.body)
            except WireError:
                continue
    return None


def _step(row: HistoryRow | None, summary: dict[str, Any]) -> int | None:
    if row and row.step != NO_STEP:
        return row.step
    step = summary.get("_step")
    return step if type(step) is int else None


def _time(row: HistoryRow | None, summary: dict[str, Any]) -> float | None:
    if row and not math.isnan(row.time):
        return row.time
    time = summary.get("_timestamp")
    return as_float(time) if isinstance(time, int | float) and not isinstance(time, bool) else None


def _summary_patches(sights: Sequence[_Sight]) -> list[Patch]:
    """Summary changes in order, from the end back as far as something new may be found, within a bound.

    Records of one writer repeat their keys: those with as many items as others that told nothing new are passed over,
    until an older one tells of a key: then the last one that has the key is looked at after all.
    """
    chosen: dict[int, Patch] = {}
    passed: list[_Sight] = []
    known: set[Path] = set()
    without_news: dict[int, int] = {}
    left = _MOST_SUMMARY_BYTES
    for sight in reversed(sights):
        if sight.kind != SUMMARY:
            continue
        items = sight.payload.count(_ITEM_VALUE)
        if without_news.get(items, 0) >= _MOST_WITHOUT_NEWS:
            passed.append(sight)
            continue
        patch = chosen[sight.offset] = _patch(sight)
        news = {path for path, _ in patch.sets} - known
        without_news[items] = 0 if news or patch.removes else without_news.get(items, 0) + 1
        known |= news
        for path in news if passed else ():
            later = next((other for other in passed if _needle(path) in other.payload), None)
            if later and later.offset not in chosen:
                chosen[later.offset] = _patch(later)
        left -= len(sight.payload)
        if left < 0:
            break
    return [patch for _, patch in sorted(chosen.items())]


def _patch(sight: _Sight) -> Patch:
    try:
        record = _open(sight)
        return decode_patch(record.body if record else b"")
    except WireError:
        return Patch("summary", [])


def _needle(path: Path) -> bytes:
    """The last element of a path as it stands in a record: behind its length."""
    key = path[-1].encode()
    return bytes([len(key)]) + key if len(key) < 128 else key


def _sights(data: bytes, offset: int, origin: int, kinds: frozenset[int]) -> list[_Sight]:
    """The records of these kinds in bytes that stand at `offset`: from a block edge on, or behind the file header."""
    at = CHUNK_HEADER if offset == 0 else -(offset - origin) % BLOCK
    edge = at + BLOCK - (offset + at - origin) % BLOCK
    sights: list[_Sight] = []
    start = 0
    parts: list[bytes] = []
    while True:
        if at > edge - CHUNK_HEADER:
            at, edge = edge, edge + BLOCK
        if at + CHUNK_HEADER > len(data):
            return sights
        checksum, size, kind = _CHUNK.unpack_from(data, at)
        end = at + CHUNK_HEADER + size
        if end > edge or not _FULL <= kind <= _LAST:
            parts.clear()
            at = edge
            continue
        if kind == _FULL:
            holds = _peek(data, at + CHUNK_HEADER, end)
            if holds in kinds:
                sights.append(_Sight(holds, offset + at, data[at + CHUNK_HEADER : end], checksum))
        else:
            if kind == _FIRST:
                start = offset + at
                parts.clear()
            part = data[at + CHUNK_HEADER : end]
            fits = crc32(part, _CRC_OF_KIND[kind]) == checksum and (parts or kind == _FIRST)
            parts = [*parts, part] if fits else []
            if kind == _LAST and parts:
                whole = b"".join(parts)
                sights.append(_Sight(_peek(whole, 0, len(whole)), start, whole, _CHECKED))
                parts = []
        at = end


def _peek(data: bytes, at: int, end: int) -> int:
    """Field number of what the record there holds; 0 when that is nothing known."""
    try:
        if data[at] == _NUM:
            at += 2
            while data[at - 1] > 127:
                at += 1
            if data[at] < 128:
                return data[at] >> 3
        return open_record(data[at:end]).kind
    except (IndexError, WireError):
        return 0
