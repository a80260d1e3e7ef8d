"""Rows as text: one row a line, or side by side where they hold many keys; numbers in full. Also what else was then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec
from runwise_protocol.queries.raw import RawRows

from runwised.index.view import RunView, Table
from runwised.queries.keysel import main_metrics
from runwised.queries.rows import all_keys
from runwised.queries.tabular import finite
from runwised.render.layout import columns, short
from runwised.render.numbers import number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean
from runwised.settings import RunwiseConfig

_COLUMNS = 8
"""More keys than these stand under one another, rows side by side."""
_SIDE_BY_SIDE = 5
_LONGEST_TEXT = 60


def write(
    page: Page, reply: RawRows, run: RunView, name: str, config: RunwiseConfig, again: str, at: int | None
) -> None:
    """Write the rows to the page; `name` is what the run goes by, `again` the command for fewer keys, `at` the step
    they are around."""
    if not reply.rows:
        page.line(f"{name} has no such rows{_logged(run.history)}", priority=100)
        return
    shown = len(reply.rows)
    count = f"{shown} of {reply.matched} rows" if shown < reply.matched else f"{shown} row{'s' * (shown > 1)}"
    page.line(f"{name} {count}{'' if at is None else _where(reply, at)}", priority=100)
    held = dict.fromkeys(key for row in reply.rows for key in row if key not in ("_row", "_step", "_time"))
    keys = list(dict.fromkeys([*(key for key in all_keys(run.history) if key in held), *held]))
    start = run.created or 0.0
    if len(keys) <= _COLUMNS:
        table = _table(page, reply.rows, keys, start)
        if _fits(page, table):
            page.table(table[0], table[1:], priority=90)
            return
    first = [key for key in main_metrics(run, config) if key in keys]
    rows = _few(page, reply.rows)
    head, *lines = zip(*_table(page, rows, list(dict.fromkeys([*first, *keys])), start), strict=True)
    page.table(
        head,
        lines,
        priority=90,
        more=lambda dropped: f"cut: {min(dropped, len(keys))} of {len(keys)} keys; {again}",
    )


def write_moment(page: Page, reply: RawRows, run: RunView, at: int, log: str, again: str) -> None:
    """Write what else is known of the moment; `log` is the command for the console, `again` the one for all of it."""
    if not reply.rows:
        return
    if all(row["_time"] is None for row in reply.rows):
        page.line("these rows have no times: what the system and the console said then is not known", priority=80)
        return
    start = run.created or 0.0
    _system(page, reply, start, again)
    lines = reply.lines or []
    if len(lines) < (reply.lines_matched or 0):
        page.line(f"the nearest {len(lines)} of {reply.lines_matched} console lines; {log} --grep TEXT", priority=75)
    if not lines and any(math.isnan(line.time) for line in islice(run.console(newest_first=True), 1)):
        page.line(f"console lines have no times here: {log}", priority=75)
    row = _nearest(reply, at)
    stamped = [(line.time or start, f"{_seconds(line.time, start)} {line.text}") for line in lines]
    moment = start if row["_time"] is None else row["_time"]
    until = [text for time, text in stamped if time <= moment]
    title = f"console{{}} step {row['_step']}, seconds first (quoted output)"
    page.quote(title.format(" until"), until, priority=65)
    page.quote(title.format(" after"), [text for time, text in stamped if time > moment], priority=70, keep="first")


def _nearest(reply: RawRows, at: int) -> dict[str, Any]:
    return min(reply.rows, key=lambda row: abs(row["_step"] - at))


def _where(reply: RawRows, at: int) -> str:
    step = _nearest(reply, at)["_step"]
    return f" around step {step}" + (f", none is at {at}" if step != at else "")


def _system(page: Page, reply: RawRows, start: float, again: str) -> None:
    """The samples side by side, what a GPU did first."""
    samples, matched = reply.system or [], reply.system_matched or 0
    few = _spread(samples, _most(page))
    names = sorted(dict.fromkeys(name for sample in few for name in sample if name != "_time"), key=_importance)
    head = "system" if len(few) == len(samples) else f"system, {len(few)} of {plural(matched, 'sample')}:"
    page.table(
        [head, *(f"{_seconds(sample['_time'], start)}s" for sample in few)],
        [[short(name), *(number(sample.get(name), dress=page.dress) for sample in few)] for name in names],
        priority=60,
        more=lambda dropped: f"cut: {dropped} of {plural(len(names), 'system metric')}; {again}",
    )


def _importance(name: str) -> tuple[bool, bool]:
    return "gpu" not in name.lower(), "memory" not in name.lower()


def _logged(table: Table) -> str:
    if not table.row_count:
        return "; nothing is logged yet"
    first, last = table.steps(0, 1)[0], table.steps(table.row_count - 1, table.row_count)[0]
    return f"; its {table.total_rows} rows go from step {first} to {last}"


def _table(page: Page, rows: Sequence[dict[str, Any]], keys: Sequence[str], start: float) -> list[list[str]]:
    """A head, and one line for each row; times are in seconds since the run's start."""
    head = ["step", "row", "seconds", *map(short, keys)]
    return [head, *([*_place(row, start), *(_shown(row, key, page) for key in keys)] for row in rows)]


def _place(row: dict[str, Any], start: float) -> list[str]:
    return [str(row["_step"]), str(row["_row"]), _seconds(row["_time"], start)]


def _seconds(time: float | None, start: float) -> str:
    return "-" if time is None else f"{time - start:.3f}".rstrip("0").rstrip(".")


def _shown(row: dict[str, Any], key: str, page: Page) -> str:
    return _value(row[key], page) if key in row else "-"


def _fits(page: Page, table: Sequence[Sequence[str]]) -> bool:
    """Whether a person's terminal holds the lines without cutting numbers."""
    widest = sum(max(map(columns, column)) + 2 for column in zip(*table, strict=True))
    return page.dress == "agent" or page.form == "md" or widest - 2 <= page.width


def _few(page: Page, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """As many rows as there is space for side by side, the first and the last among them."""
    most = _most(page)
    if len(rows) > most:
        page.line(f"{most} of them, evenly spread; with fewer keys (-k) each row is a line", priority=95)
    return _spread(rows, most)


def _most(page: Page) -> int:
    """Columns there is space for side by side."""
    return _SIDE_BY_SIDE if page.dress == "agent" else max(1, min(_SIDE_BY_SIDE, page.width // 24 - 1))


def _spread(rows: Sequence[dict[str, Any]], most: int) -> Sequence[dict[str, Any]]:
    if len(rows) <= most:
        return rows
    return [rows[at * (len(rows) - 1) // max(1, most - 1)] for at in range(most)]


def _value(value: Any, page: Page) -> str:
    """A value as it was logged; long text is cut and says so."""
    if isinstance(value, float):
        text = str(finite(value)).removesuffix(".0")
        bare = page.dress == "agent" and text.startswith(("0.", "-0."))
        return text.replace("0.", ".", 1) if bare else text
    spaced = isinstance(value, str) and " " in value and page.dress == "agent" and page.form == "text"
    text = clean(value if spaced else msgspec.json.encode(finite(value)).decode())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…({len(text)} characters)"
