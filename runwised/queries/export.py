"""`export`: every row, streamed, as JSON lines or CSV.

Where only numbers are wanted they come from the index's columns, block by block; that is exact, since a column holds
the very float64 that was logged, save for whole numbers of 2**53 and more. A block that holds one of those, and any
row with text, lists or media, is read back from the source. A whole number is written without a point either way the
program logged it where it comes from a column (``101``, never ``101.0``): W&B's own writer does not keep the two apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, compress
from typing import Any

import msgspec
import numpy as np
from runwise_protocol.queries.raw import Export, Exported
from runwise_protocol.query import Form

from runwised.formats.record import Floats, Ints
from runwised.index.view import RunView, Table
from runwised.queries.curves import none_for_nan
from runwised.queries.keysel import select
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.rows import all_keys, are_indexed, as_object, display, exact, numbers_with
from runwised.queries.tabular import csv_lines, finite
from runwised.render.command import command
from runwised.render.page import Page

_CELLS = 40_000
"""Numbers that are held at a time."""
_CHUNK = 65_536
"""Characters of a chunk; at most 256 KiB in UTF-8."""
_EXACT = 2.0**53
"""Whole numbers below it are exact in float64."""
_PLACE = ("_row", "_step", "_time")
_BARE = len(_PLACE)
"""Fields of a row that holds no value."""

Objects = list[dict[str, Any]]


def answer(query: Export, view: ProjectView) -> Exported:
    """How many rows there are to write. Raises RunwiseError."""
    run, keys = _asked(query, view)
    table = run.history
    if not query.keys:
        rows = table.total_rows if query.raw else table.row_count
    elif are_indexed(table, keys) and not query.raw:
        rows = len(numbers_with(table, keys, 0, table.row_count))
    else:
        rows = sum(map(len, _blocks(run, keys, query, numeric=False)))
    return Exported(run=run.id, rows=rows)


def stream(query: Export, view: ProjectView, form: Form) -> Iterator[str]:
    """The rows as text, in chunks of at most 256 KiB. Raises RunwiseError at once, not when the first chunk is read."""
    run, keys = _asked(query, view)
    numeric = not query.raw and not set(keys) & set(run.history.others)
    blocks = _blocks(run, keys, query, numeric=numeric)
    if form != "csv":
        return _chunks(map(_json_lines, blocks))
    head = keys if query.keys or not query.raw else [*keys, *_voided_keys(run, set(keys))]
    return _chunks(_csv(blocks, head, numeric=numeric))


def render(reply: Exported, page: Page, query: Export, view: ProjectView) -> None:
    """How many rows there were."""
    name = handle(resolve(query.run, view), view)
    page.line(f"{name} {reply.rows} rows", priority=100)


def _asked(query: Export, view: ProjectView) -> tuple[RunView, list[str]]:
    run = resolve(query.run, view)
    hint = command("runwise", "keys", handle(run, view))
    return run, select(query.keys, all_keys(run.history), hint=hint)


def _voided_keys(run: RunView, known: Collection[str]) -> list[str]:
    """Names that only rows have which a later one took back."""
    table = run.history
    if table.row_count == table.total_rows:
        return []
    voided = np.arange(table.total_rows)
    if not table.by_step:
        voided = np.setdiff1d(voided, table.numbers(0, table.row_count))
    found = _from_source(run, voided, None, raw=True)
    names = dict.fromkeys(name for row in found for name in list(row)[_BARE:])
    return [name for name in names if name not in known]


def _blocks(run: RunView, keys: Sequence[str], query: Export, *, numeric: bool) -> Iterator[Objects]:
    """Rows in file order, some at a time; with keys given, those that hold at least one of them.

    `numeric`: every value is a number (voided rows may hold anything).
    """
    table = run.history
    total = table.total_rows if query.raw else table.row_count
    size = max(16, _CELLS // (len(keys) + _BARE))
    for start in range(0, total, size):
        # Not held here: whoever reads may be slow, and there may be many.
        yield _block(run, keys, query, start, min(start + size, total), numeric=numeric)


def _block(run: RunView, keys: Sequence[str], query: Export, start: int, stop: int, *, numeric: bool) -> Objects:
    table = run.history
    block = _from_columns(table, keys, start, stop) if numeric else None
    if block is None:
        numbers = np.arange(start, stop) if query.raw else table.numbers(start, stop)
        block = list(_from_source(run, numbers, set(keys) if query.keys else None, raw=query.raw))
    return [row for row in block if len(row) > _BARE] if query.keys else block


def _from_source(run: RunView, numbers: Ints, keys: Collection[str] | None, *, raw: bool) -> Iterator[dict[str, Any]]:
    name = display(run.history)
    return (finite(as_object(number, row, name, keys)) for number, row in exact(run, numbers, records=raw))


def _from_columns(table: Table, keys: Sequence[str], start: int, stop: int) -> Objects | None:
    """The block's rows; None when a column cannot tell a value exactly."""
    numbers = table.numbers(start, stop)
    names = list(_PLACE)
    held = np.ones((stop - start, len(keys)), np.bool_)
    times = none_for_nan(table.times(start, stop))
    cells: list[list[Any]] = [table.records(numbers).tolist(), table.steps(start, stop).tolist(), times]
    for at, key in enumerate(keys):
        rows, _, _, values = table.series(key, start, stop)
        spelled = _spelled(values)
        if spelled is None:
            return None
        if len(values) < stop - start:
            held[:, at] = False
            places = np.searchsorted(numbers, rows)
            held[places, at] = True
            spelled = _spread(spelled, places, stop - start)
        names.append(key)
        cells.append(spelled)
    if held.all():
        return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    return _sparse(names, cells, held)


def _sparse(names: Sequence[str], cells: Sequence[Sequence[Any]], held: np.ndarray[Any, Any]) -> Objects:
    """Rows that do not all hold the same keys."""
    always = np.ones((len(held), _BARE), np.bool_)
    masks = np.concatenate([always, held], axis=1).tolist()
    rows = zip(zip(*cells, strict=True), masks, strict=True)
    return [dict(compress(zip(names, row, strict=True), mask)) for row, mask in rows]


def _spread(values: Sequence[Any], places: Ints, size: int) -> list[Any]:
    column: list[Any] = [None] * size
    for place, value in zip(places.tolist(), values, strict=True):
        column[place] = value
    return column


def _spelled(values: Floats) -> list[Any] | None:
    """Values as JSON holds them; None when there is a whole number too large to be exact."""
    whole = values == np.rint(values)
    if (np.abs(values[whole & np.isfinite(values)]) >= _EXACT).any():
        return None
    whole &= np.isfinite(values) & ~((values == 0) & np.signbit(values))
    if whole.all():
        values = values.astype(np.int64)
        whole[:] = False
    spelled: list[Any] = values.tolist()
    for at in np.flatnonzero(whole).tolist():
        spelled[at] = int(spelled[at])
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        spelled[at] = finite(spelled[at])
    return spelled


def _json_lines(rows: Objects) -> str:
    return msgspec.json.Encoder().encode_lines(rows).decode()


def _csv(blocks: Iterable[Objects], keys: Sequence[str], *, numeric: bool) -> Iterator[str]:
    head = [*_PLACE, *keys]
    rows = ([[row.get(name) for name in head] for row in block] for block in blocks)
    if not numeric:
        return csv_lines(head, chain.from_iterable(rows))
    return chain(csv_lines(head, ()), map(_number_lines, rows))


def _number_lines(rows: list[list[Any]]) -> str:
    """Rows of numbers as CSV, which is JSON but for brackets, null, and quotes around what is not finite."""
    lines = msgspec.json.Encoder().encode_lines(rows)
    return lines.translate(None, b'[]"').replace(b"null", b"").decode()


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    """The same text in pieces of a size that suits the wire."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _CHUNK:
            whole = "".join(held)
            yield from (whole[at : at + _CHUNK] for at in range(0, size, _CHUNK))
            held, size = [], 0
    if held:
        yield "".join(held)
