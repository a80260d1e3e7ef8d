"""How steady curves are, as text: a few sentences and windows of each, or of many curves a line each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace
from runwise_protocol.queries.stability import ShowStability, Slope, Stability, Steadiness, Window

from runwised.queries.onward import propose
from runwised.queries.project import ProjectView
from runwised.render.layout import short
from runwised.render.numbers import column, number, plural
from runwised.render.page import Page

_MANY = 3
"""More curves than these are shown one line each."""
_ROWS = 12
"""Windows of a curve that are shown unless a number was asked for."""
_ROW_TOKENS = 8
"""No line of the table of many curves costs less."""
_STRIKING = 5.0
"""A window is worth a closer look where it swings so many times as much as most."""
_OFF = 1.5
"""A group of windows whose wildest one swings so many times as much as the one shown says so."""


def write(reply: Stability, page: Page, query: ShowStability, name: str, view: ProjectView) -> None:
    """Write the answer about the run `name` to the page."""
    if not reply.metrics:
        page.line(f"{name} has logged no numbers", priority=100)
    elif len(reply.metrics) > _MANY:
        _glance(reply, page, name)
    else:
        for at, (key, found) in enumerate(reply.metrics.items()):
            _curve(key, found, page, query.samples, name if at == 0 else "")
    _propose(reply, page, name, view)


def _curve(key: str, found: Steadiness, page: Page, samples: int | None, name: str) -> None:
    """One curve; its run is named where it is the first."""
    rows = found.rolling if samples else _fewer(found.rolling, _ROWS)
    bad = f", {found.nonfinite} not finite" if found.nonfinite else ""
    windows = f"{found.windows} windows" if found.windows > 1 else "one window"
    title = f"{short(key)} {plural(found.points, 'point')}{bad}; {windows} of {found.window}{_marks(rows)}"
    page.line(f"{name} {title}" if name else title, priority=100 if name else 96)
    _sentences(found, page)
    _table(rows, page)


def _sentences(found: Steadiness, page: Page) -> None:
    if found.end is not None:
        noise = "" if found.noise is None else f"; noise {number(found.noise, digits=2, dress=page.dress)}"
        share = found.relative_noise
        of_level = "times the level" if share and share > 1 else "of the level"
        noise += f" ({number(share, digits=2, dress=page.dress)} {of_level})" if share else ""
        page.line(f"at the end {_trend(found.end, page)}{noise}", priority=92)
    else:
        page.line("too few points for a trend", priority=92)
    if found.steadiest and found.wildest and found.windows > 1:
        stds = [found.median_std, found.steadiest.std, found.wildest.std]
        most, least, greatest = column(stds, digits=3, dress=page.dress, scale=False)[1]
        steady, wild = (f"{one.start}-{one.end}" for one in (found.steadiest, found.wildest))
        page.line(f"std mostly {most}, least {least} in {steady}, greatest {greatest} in {wild}", priority=90)


def _trend(line: Slope, page: Page) -> str:
    """``falling .0012 per 1k steps (.001 to .0014) since step 900``; ``flat within …`` where it may be either."""
    size, unit = _unit(line.end - line.start)
    shown = [size * value for value in (line.per_step, line.low, line.high)]
    if line.direction == "falling":
        shown = [-shown[0], -shown[2], -shown[1]]
    middle, low, high = column(shown, digits=2, dress=page.dress, scale=False)[1]
    since = f"since step {line.start}"
    if line.direction != "flat":
        return f"{line.direction} {middle} per {unit} ({low} to {high}) {since}"
    if line.low == line.high:
        return f"flat {since}"
    return f"flat within noise ({low} to {high} per {unit}) {since}"


def _unit(span: int) -> tuple[int, str]:
    """The power of ten of steps that a slope is told in: no more than there are."""
    power = min(6, int(math.log10(max(1, span))))
    unit = {3: "1k steps", 4: "10k steps", 5: "100k steps", 6: "1M steps"}.get(power)
    return 10**power, unit or (f"{10**power} steps" if power else "step")


def _marks(rows: Sequence[Window]) -> str:
    """What the marks in the table mean, those that are there."""
    marks = [
        ("; [~greatest of those between]", any(map(_hides, rows))),
        ("; !n not finite", any(row.nonfinite for row in rows)),
    ]
    return "".join(text for text, there in marks if there)


def _table(rows: Sequence[Window], page: Page) -> None:
    """Where each window ends, and what it is."""
    scale, means = column([row.mean for row in rows], dress=page.dress)
    suffix, stds = column([value for row in rows for value in (row.std, row.std_max)], digits=3, dress=page.dress)
    lines = [
        [str(row.end), f"{mean}!{row.nonfinite}" if row.nonfinite else mean, f"{std}[~{top}]" if _hides(row) else std]
        for row, mean, std, top in zip(rows, means, stds[::2], stds[1::2], strict=True)
    ]
    page.table(["step", f"mean{scale}", f"std{suffix}"], lines, priority=70, keep="spread")


def _hides(row: Window) -> bool:
    """Whether a window before it, that is not listed, swings much more."""
    return row.std_max is not None and (row.std is None or row.std_max > _OFF * row.std)


def _fewer(rows: Sequence[Window], most: int) -> Sequence[Window]:
    """Evenly spread windows, the last one among them; what is left out counts for `std_max` of the next one."""
    count = min(most, len(rows))
    ends = [at * len(rows) // count for at in range(count + 1)]
    groups = [rows[start:end] for start, end in pairwise(ends)]
    tops = [max((row.std_max for row in group if row.std_max is not None), default=None) for group in groups]
    return [replace(group[-1], std_max=top) for group, top in zip(groups, tops, strict=True)]


def _glance(reply: Stability, page: Page, name: str) -> None:
    """Many curves, one line each."""
    fit = len(reply.metrics) if page.room is None else page.room // _ROW_TOKENS + 1
    shown = list(reply.metrics.items())[:fit]
    left_out = len(reply.metrics) - len(shown)
    page.line(f"{name} {len(reply.metrics)} metrics, noise and trend at the end of each", priority=100)
    spans = [found.end.end - found.end.start for _, found in shown if found.end]
    size, unit = _unit(max(spans, default=0))
    page.table(
        ["metric", "points", "noise", "of level", "trend", f"per {unit}", "95%", "greatest std"],
        [[short(key), str(found.points), *_cells(found, size, page)] for key, found in shown],
        priority=90,
        more=lambda dropped: f"cut: {dropped + left_out} of {len(reply.metrics)} metrics; -k NAME shows one",
    )


def _cells(found: Steadiness, size: int, page: Page) -> list[str]:
    """Noise, slope over so many steps with its interval, and the greatest deviation."""
    cells = [number(value, digits=2, dress=page.dress) for value in (found.noise, found.relative_noise)]
    line, wild = found.end, found.wildest
    if line:
        scaled = [size * value for value in (line.per_step, line.low, line.high)]
        middle, low, high = column(scaled, digits=2, dress=page.dress, scale=False)[1]
        cells += [line.direction, middle, f"{low}~{high}"]
    else:
        cells += ["-"] * 3
    return [*cells, f"{number(wild.std, digits=3, dress=page.dress)}@{wild.end}" if wild else "-"]


def _propose(reply: Stability, page: Page, name: str, view: ProjectView) -> None:
    """The points of the wildest window, where it stands out and is not the curve's beginning."""
    for key, found in reply.metrics.items():
        wild = found.wildest
        later = wild and found.whole and wild.start > found.whole.start
        if wild and later and wild.std and found.median_std and wild.std > _STRIKING * found.median_std:
            propose(page, view, "history", name, "-k", key, "--from", wild.start, "--to", wild.end)
            return
