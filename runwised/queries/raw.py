"""`raw`: a few rows exactly as they were logged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.raw import Raw, RawRows

from runwised.formats.record import Ints
from runwised.index.view import RunView, Table
from runwised.queries.keysel import select
from runwised.queries.log import told
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.raw_moment import AROUND, check, console, positions, span, system
from runwised.queries.raw_text import write, write_moment
from runwised.queries.resolve import handle, resolve
from runwised.queries.rows import (
    all_keys,
    are_indexed,
    as_object,
    display,
    exact,
    is_served,
    last_step,
    numbers_with,
    place,
)
from runwised.render.command import command
from runwised.render.page import Page

_LAST = 5
_MOST = 100
_READ, _MOST_READ = 64, 4096
"""Rows that are read at a time, at first and later, when only reading tells whether they fit."""
_BARE = 3
"""Fields of a row that holds no value."""


class _Range(NamedTuple):
    """Candidates: the rows at these positions or, with `voided`, with these numbers."""

    start: int
    stop: int
    voided: bool


def answer(query: Raw, view: ProjectView) -> RawRows:
    """The rows asked for; with keys, those that hold at least one of them. Raises RunwiseError.

    Steps are those of served rows; row numbers count every row in file order, so they reach voided ones too, which
    are marked ``"_voided": true``.
    """
    check(query)
    run = resolve(query.run, view)
    table = run.history
    keys = None
    if query.keys:
        keys = set(select(query.keys, all_keys(table), hint=command("runwise", "keys", handle(run, view))))
    if query.at is not None:
        return _moment(run, query.at, _around(query), keys)
    wanted = _range(query, table, keys)
    newest = query.step is None and query.row is None
    most = query.limit or (_LAST if newest else _MOST)
    if keys and (wanted.voided or not are_indexed(table, keys)):
        rows, matched = _searched(run, wanted, keys, most, newest)
    else:
        numbers, matched = _known(table, wanted, keys, most, newest)
        rows = list(_objects(run, numbers, keys, voided=wanted.voided))
    return RawRows(run=run.id, rows=_marked(table, rows) if wanted.voided else rows, matched=matched)


def _around(query: Raw) -> int:
    return AROUND if query.around is None else query.around


def _moment(run: RunView, at: int, around: int, keys: Collection[str] | None) -> RawRows:
    """The rows around a step, and what is known of the same time."""
    table = run.history
    found, nearest = positions(table, at, around, keys)
    numbers = np.concatenate([np.empty(0, np.int64), *(table.numbers(place, place + 1) for place in found)])
    reply = RawRows(run=run.id, rows=list(_objects(run, numbers, keys, voided=False)), matched=len(found))
    within = span(table, found, nearest) if found else None
    reply.system, reply.system_matched = system(run.system, within) if within else ([], 0)
    lines, reply.lines_matched = console(run, within) if within else ([], 0)
    reply.lines = [told(line) for line in lines]
    return reply


def _range(query: Raw, table: Table, keys: Collection[str] | None) -> _Range:
    if query.step is not None and query.row is not None:
        raise RunwiseError(Kind.USAGE, "--step and --row exclude each other", "runwise raw --step 100:105")
    if query.row is not None:
        total = table.total_rows
        first, last = _span(query.row, "row")
        start = 0 if first is None else max(0, first + total * (first < 0))
        stop = total if last is None else min(total, last + 1 + total * (last < 0))
        if table.row_count < total or table.by_step:
            return _Range(start, max(start, stop), True)
    elif query.step is not None:
        first, last = _span(query.step, "step")
        start = 0 if first is None else place(table, first)
        stop = table.row_count if last is None else place(table, last + 1)
    else:
        start, stop = 0, table.row_count
        if keys:
            stop = place(table, last_step(table, keys) + 1)
    return _Range(start, max(start, stop), False)


def _span(text: str, what: str) -> tuple[int | None, int | None]:
    """First and last of ``5``, ``5:9``, ``5:``, ``:9`` or ``:``."""
    first, colon, last = text.partition(":")
    try:
        low, high = int(first) if first else None, int(last) if last else None
    except ValueError:
        low, high = None, None
    if (first and low is None) or (last and high is None) or not (first or colon):
        raise RunwiseError(
            Kind.USAGE, f"--{what}: expected a number or first:last, found '{text}'", f"runwise raw --{what} 100:105"
        )
    return low, high if colon else low


def _known(table: Table, wanted: _Range, keys: Collection[str] | None, most: int, newest: bool) -> tuple[Ints, int]:
    """Numbers of the rows to show, and how many there are, as the index tells."""
    start, stop, voided = wanted
    if keys is None:
        matched = stop - start
        part = (max(start, stop - most), stop) if newest else (start, min(stop, start + most))
        return np.arange(*part) if voided else table.numbers(*part), matched
    numbers = numbers_with(table, keys, start, stop)
    return numbers[-most:] if newest else numbers[:most], len(numbers)


def _searched(
    run: RunView, wanted: _Range, keys: Collection[str], most: int, newest: bool
) -> tuple[list[dict[str, Any]], int]:
    """The rows to show, and how many there are, where only reading tells which rows hold the keys."""
    count = _count(run.history, keys) if newest else None
    shown: list[dict[str, Any]] = []
    matched = 0
    for start, stop in _stretches(wanted, newest):
        numbers = np.arange(start, stop) if wanted.voided else run.history.numbers(start, stop)
        found = [row for row in _objects(run, numbers, keys, voided=wanted.voided) if len(row) > _BARE]
        matched += len(found)
        shown = [*found, *shown][-most:] if newest else [*shown, *found][:most]
        if count is not None and len(shown) >= min(most, count):
            return shown, count
    return shown, matched


def _count(table: Table, keys: Collection[str]) -> int | None:
    """Rows that hold the keys, where the index tells that much: a single key that never held numbers."""
    key, *more = keys
    return None if more or key in table.names else table.others[key].count


def _stretches(wanted: _Range, newest: bool) -> Iterator[tuple[int, int]]:
    """The range in stretches that grow, from its start, or from its end."""
    done, size, whole = 0, _READ, wanted.stop - wanted.start
    while done < whole:
        length = min(size, whole - done)
        first = wanted.stop - done - length if newest else wanted.start + done
        yield first, first + length
        done, size = done + length, min(size * 4, _MOST_READ)


def _objects(run: RunView, numbers: Ints, keys: Collection[str] | None, *, voided: bool) -> Iterator[dict[str, Any]]:
    name = display(run.history)
    return (as_object(number, row, name, keys) for number, row in exact(run, numbers, records=voided))


def _marked(table: Table, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows, those marked that a later one took back."""
    return [row if is_served(table, row["_row"], row) else {**row, "_voided": True} for row in rows]


def render(reply: RawRows, page: Page, query: Raw, view: ProjectView) -> None:
    """See `raw_text`."""
    run = resolve(query.run, view)
    name = handle(run, view)
    write(page, reply, run, name, view.config, onward(view, "raw", name, "-k", "GLOB"), query.at)
    if query.at is not None:
        again = onward(view, "raw", name, "--at", query.at, "--around", _around(query), "--format", "json")
        write_moment(page, reply, run, query.at, onward(view, "log", name), again)
