"""What tells a JSON-lines log from the datasets, settings and results that are JSON too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runwised.formats import step_keys
from runwised.formats.jsonl_rows import LineRow, parts_of
from runwised.formats.step_keys import as_step
from runwised.formats.wall_time import epoch_seconds

_EXTENSIONS = (".jsonl", ".ndjson")
_CERTAIN = ("metrics.jsonl", "metrics.ndjson")
_HEAD_BYTES = 4096
_MOST_LINES = 8
_LONGEST_TEXT = 200
_TELLING = re.compile(
    r"(?:^|[^a-z])(?:metrics?|log|logs|train|training|trainer|eval|evaluation|history|progress|results?|scalars?)(?:[^a-z]|$)"
)
_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*\{[ \t]*"')
_KEY = re.compile(rb'"([^"\\]{1,40})"[ \t]*:[ \t]*"?[-0-9]')


def looks_like_log(filename: str, head: bytes) -> bool:
    """Whether a file of this name that begins with these bytes (at most 4 KiB, maybe none) is a log of JSON lines.

    Its first line is a whole object; one of its first lines is a row: it names a step or a time and a number, or, under
    a telling name, it is made of numbers. Without the extension of JSON lines a single line is enough only where name
    and step both tell. Of a first line that is longer than the head only the name and the keys can be asked.
    """
    name = filename.rpartition("/")[2].lower()
    extended = name.endswith(_EXTENSIONS)
    if not head:
        return name in _CERTAIN
    if not _BEGINS.match(head):
        return False
    telling = _TELLING.search(name) is not None
    lines = [line for line in head.split(b"\n")[:-1] if line.strip()]
    if not lines and len(head) >= _HEAD_BYTES:
        return (extended or telling) and _names_step(head)
    if not lines and extended:
        lines = [head]
    rows = [_row(line) for line in lines[:_MOST_LINES]]
    if not rows or rows[0] is None:
        return False
    whole = [row for row in rows if row is not None]
    if extended:
        return any(_is_row(row, telling) for row in whole)
    return any(_has_axis(row) and _is_row(row, telling) for row in whole) and (telling or len(whole) > 1)


def _row(line: bytes) -> Mapping[str, Any] | None:
    parts = parts_of(line, lambda _: True, first=True)
    return parts[0].values if parts and isinstance(parts[0], LineRow) else None


def _is_row(values: Mapping[str, Any], telling: bool) -> bool:
    axes = {key for key in values if _is_axis(key, values[key])}
    metrics = [value for key, value in values.items() if key not in axes]
    numbers = sum(type(value) in (int, float) for value in metrics)
    texts = [value for value in metrics if isinstance(value, str | list | dict)]
    if any(step_keys.rank(key) is not None for key in axes):
        return bool(numbers) or telling
    if any(isinstance(text, str) and len(text) > _LONGEST_TEXT for text in texts):
        return False
    return numbers >= max(len(texts), 1) if axes else telling and numbers > len(texts)


def _has_axis(values: Mapping[str, Any]) -> bool:
    return any(_is_axis(key, value) for key, value in values.items())


def _is_axis(key: str, value: Any) -> bool:
    if step_keys.rank(key) is not None:
        return as_step(value) is not None
    return step_keys.time_rank(key) is not None and epoch_seconds(value) > 0


def _names_step(head: bytes) -> bool:
    keys = [key.decode("utf-8", "replace") for key in _KEY.findall(head)]
    return step_keys.choose(keys) is not None
