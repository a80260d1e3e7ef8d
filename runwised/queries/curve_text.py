"""Curves as text: as many points as the budget holds, and every extreme that leaves the line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from runwise_protocol.query import Number

from runwised.formats.record import Floats, Ints
from runwised.index.view import Buckets
from runwised.queries.curves import Selection, none_for_nan
from runwised.queries.keysel import definition
from runwised.queries.onward import onward, pointing, propose
from runwised.render.command import command
from runwised.render.layout import short
from runwised.render.numbers import column, number
from runwised.render.page import Page
from runwised.render.tokens import estimate
from runwised.render.trend import POINTS, trend

_MANY = 8
"""More curves than these are shown at a glance, one line each."""
_LINE = 10
"""Points on a line of a single curve."""
_PILOT = 40
_TABLE_OF_A_PERSON = 40
_MOST = 500
_AROUND = 70
"""Tokens kept free for the title and the next command."""
_OFF = 0.05
"""An extreme leaves the line when it is off by more than this share of the curve's own range …"""
_TYPICAL = 3.0
"""… and by more than this many times what is typical for the curve's buckets."""
_STRIKING = 10.0
"""An extreme is worth a closer look when it is off by more than this many times as much."""


class Curve(NamedTuple):
    """One curve, ready to be drawn. All sequences have one item a bucket."""

    key: str
    head: str
    buckets: Buckets
    starts: Sequence[Number]
    cells: Sequence[str]
    striking: Floats
    """How far the bucket's extremes leave the line, where that is far enough to look closer; else 0."""


class Drawing(NamedTuple):
    """A table of curves."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def cost(self) -> int:
        """Tokens, estimated."""
        return estimate("\n".join(" ".join(row) for row in [self.head, *self.rows]))


def write(page: Page, wanted: Selection, name: str, samples: int | None, more: str = "") -> None:
    """Write the curves to the page; `samples`: at most so many points each, None: what fits; `more`: a last line."""
    if not wanted.keys:
        page.line(f"{name} has logged no numbers", priority=100)
    elif samples is None and len(wanted.keys) > _MANY:
        _glance(page, wanted, name)
    else:
        curves, drawing = _fitted(page, wanted, samples, estimate(more))
        if not curves:
            page.line(f"{name} has no points of {', '.join(map(short, wanted.keys))} there", priority=100)
            return
        page.line(f"{name} {_title(curves)}{_marks(curves)}", priority=100)
        if page.dress == "human":
            for curve in curves:
                page.line(_sparkline(page, curve), priority=60)
        page.table(drawing.head, drawing.rows, priority=90, keep="spread")
        _notes(page, wanted, curves, name)
        if more:
            page.line(more, priority=80)


def _fitted(page: Page, wanted: Selection, samples: int | None, reserved: int) -> tuple[list[Curve], Drawing]:
    """The curves with the most points whose table the page has room for."""
    most = samples or (_TABLE_OF_A_PERSON if page.dress == "human" else _MOST)
    room = page.room
    if room is None:
        curves = _curves(page, wanted, most)
        return curves, _drawn(page, wanted, curves)
    room = max(0, room - _AROUND - reserved)
    points, best = min(most, _PILOT), None
    for _ in range(5):
        curves = _curves(page, wanted, points)
        drawing = _drawn(page, wanted, curves)
        cost = drawing.cost
        if cost <= room:
            best = curves, drawing
        whole = points == most or all((curve.buckets.n == 1).all() for curve in curves)
        fits = max(2, min(most, int(points * 0.95 * room / cost)))
        if fits == points or (cost <= room and (whole or cost > 0.8 * room)):
            break
        points = fits
    return best or (curves, drawing)


def _curves(page: Page, wanted: Selection, points: int) -> list[Curve]:
    """The curves that have points in the range and on the axis."""
    curves = (_curve(page, wanted, key, found) for key, found in wanted.sample(points).items())
    return [curve for curve in curves if curve.cells]


def _curve(page: Page, wanted: Selection, key: str, found: Buckets) -> Curve:
    ends = wanted.ends(found)[0]
    starts = [start for start in ends if start is not None]
    if len(starts) < len(ends):
        found = Buckets._make(values[[start is not None for start in ends]] for values in found)
    up, down, band = _leaving(found)
    line = np.where(np.isnan(found.mean), found.first, found.mean)
    low, high = np.where(down > 0, found.min, np.nan), np.where(up > 0, found.max, np.nan)
    size = len(line)
    values = [*line.tolist(), *none_for_nan(low), *none_for_nan(high)]
    suffix, shown = column(values, digits=3, dress=page.dress)
    parts = zip(shown, shown[size:], shown[2 * size :], found.nonfinite.tolist(), found.n.tolist(), strict=False)
    cells = [_cell(page, *part) for part in parts]
    scale = 10.0 ** int(suffix.removeprefix("_e") or 0)
    near = band / scale if scale else band
    tolerance = f"±{number(near, digits=2, dress=page.dress)}" if (found.n > 1).any() else ""
    striking = np.where(np.maximum(up, down) > _STRIKING * band, np.maximum(up, down), 0.0)
    return Curve(
        key,
        f"{short(key)}{suffix}{tolerance}",
        found,
        [start for start in starts if start is not None],
        cells,
        striking,
    )


def _leaving(found: Buckets) -> tuple[Floats, Floats, float]:
    """How far maxima and minima leave the line, 0 where by less than the band; and the band."""
    means = found.mean[np.isfinite(found.mean)]
    with np.errstate(over="ignore"):
        up, down = _off_line(found.mean, found.max), _off_line(-found.mean, -found.min)
        span = float(np.subtract(*np.percentile(means, [95, 5]))) if len(means) else 0.0
        both = np.concatenate([up, down])[np.tile(found.n > 1, 2)]
        typical = float(np.median(both)) if len(both) else 0.0
    band = _rounded_up(max(_OFF * span, _TYPICAL * typical))
    return np.where(up > band, up, 0.0), np.where(down > band, down, 0.0), band


def _rounded_up(value: float) -> float:
    """Two digits that are not below the value."""
    if not 1e-300 < value < math.inf:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit


def _off_line(line: Floats, extreme: Floats) -> Floats:
    """How far each bucket's extreme is above the line through the means, at the bucket and half way to the next."""
    if len(line) > 1:
        middle = line[:-1] / 2 + line[1:] / 2
        before, after = np.append(line[:1], middle), np.append(middle, line[-1:])
        line = np.fmax(line, np.fmax(before, after))
    return np.nan_to_num(np.maximum(extreme - line, 0.0), nan=0.0, posinf=np.inf)


def _cell(page: Page, line: str, low: str, high: str, nonfinite: int, n: int) -> str:
    ends = "" if low == high == "-" else f"[{low.removesuffix('-')}~{high.removesuffix('-')}]"
    bad = f"!{nonfinite}" if nonfinite and n > 1 else ""
    return page.paint(f"{line}{ends}{bad}", "yellow") if ends or bad else line


def _drawn(page: Page, wanted: Selection, curves: Sequence[Curve]) -> Drawing:
    axis = {"step": "step", "time": "seconds"}.get(wanted.x, short(wanted.x))
    if len(curves) == 1 and wanted.x == "step" and page.dress == "agent" and page.form == "text":
        apart = _apart(curves[0].buckets.step_from)
        if apart:
            return Drawing([axis, curves[0].head, apart], list(_in_lines(curves[0])))
    slots: dict[int, list[Number]] = {}
    for curve in curves:
        for slot, start in zip(curve.buckets.slot.tolist(), curve.starts, strict=True):
            slots.setdefault(slot, []).append(start)
    order = sorted(slots)
    columns = [dict(zip(curve.buckets.slot.tolist(), curve.cells, strict=True)) for curve in curves]
    suffix, starts = column([min(slots[slot]) for slot in order], dress=page.dress)
    rows = [[start, *(cells.get(slot, "-") for cells in columns)] for slot, start in zip(order, starts, strict=True)]
    return Drawing([f"{axis}{suffix}", *(curve.head for curve in curves)], rows)


def _apart(steps: Ints) -> str:
    """``every 500`` when points stand (about) so many steps apart; empty when not even about."""
    gaps = np.diff(steps)
    if len(steps) < 2 * _LINE:
        return ""
    usual = int(np.median(gaps))
    if (gaps == usual).all():
        return f"every {usual}"
    return f"every ~{usual}" if (gaps > usual * 0.5).all() and (gaps < usual * 1.5).all() else ""


def _in_lines(curve: Curve) -> Iterator[list[str]]:
    """Ten points a line, the step of the first of them before."""
    steps = curve.buckets.step_from.tolist()
    for at in range(0, len(steps), _LINE):
        yield [str(steps[at]), *curve.cells[at : at + _LINE]]


def _title(curves: Sequence[Curve]) -> str:
    """How many points are shown, and how many they stand for."""
    shown, points = [len(curve.cells) for curve in curves], [int(curve.buckets.n.sum()) for curve in curves]
    counts = " and ".join(str(count) for count in sorted(set(points), reverse=True))
    if shown == points:
        return f"all {counts} points" if max(points) > 1 else "1 point"
    most = max(int(curve.buckets.n.max()) for curve in curves)
    rows = f"{shown[0]} of {counts} points" if len(curves) == 1 else f"{counts} points in {max(shown)} rows"
    return f"{rows}, each the mean of up to {most}"


def _marks(curves: Sequence[Curve]) -> str:
    """What the marks among the numbers mean, those that are there."""
    marks = [
        ("; extremes further off the line than ± as [min~max]", any((curve.buckets.n > 1).any() for curve in curves)),
        ("; !n not finite", any((curve.buckets.nonfinite[curve.buckets.n > 1] > 0).any() for curve in curves)),
    ]
    return "".join(text for text, there in marks if there)


def _sparkline(page: Page, curve: Curve) -> str:
    values = np.where(np.isnan(curve.buckets.mean), curve.buckets.first, curve.buckets.mean)
    first, last = number(float(values[0]), dress="human"), number(float(values[-1]), dress="human")
    glance = trend(values.tolist(), curve.buckets.nonfinite.tolist(), dress="human")
    return f"{page.paint(short(curve.key), 'bold')} {first} → {last} {glance}"


def _notes(page: Page, wanted: Selection, curves: Sequence[Curve], name: str) -> None:
    """What else there is to know, and the window where a curve leaves its line most."""
    missing = [short(key) for key in wanted.keys if key not in {curve.key for curve in curves}]
    if missing:
        page.line(f"no points there: {', '.join(missing)}", priority=60)
    if wanted.x == "step":
        for axis in dict.fromkeys(_step_keys(wanted)):
            over = page.hint(command("--x", axis)) if onward(wanted.view, "history", name, "--x", axis) else ""
            page.line(pointing(f"defined over {short(axis)}", over), priority=30)
    worst = max(curves, key=lambda curve: float(curve.striking.max()))
    at = int(worst.striking.argmax())
    if worst.striking[at] > 0 and worst.buckets.n[at] > 1:
        steps = int(worst.buckets.step_from[at]), int(worst.buckets.step_to[at])
        propose(page, wanted.view, "history", name, "-k", worst.key, "--from", steps[0], "--to", steps[1])


def _step_keys(wanted: Selection) -> Iterator[str]:
    """Step metrics that define_metric named for these curves and that the run has."""
    for key in wanted.keys:
        said = definition(key, wanted.run)
        if said and said.step_key in wanted.run.history.names:
            yield str(said.step_key)


def _glance(page: Page, wanted: Selection, name: str) -> None:
    """Many curves, one line each: first, last, and the trend."""
    room = page.room
    keys = wanted.keys if room is None else wanted.keys[: max(1, room // 4)]
    left_out = len(wanted.keys) - len(keys)
    page.line(f"{name} {len(wanted.keys)} metrics, each at a glance", priority=100)
    again = onward(wanted.view, "history", name, "-k", "GLOB")
    sampled = wanted._replace(keys=keys).sample(POINTS)
    page.table(
        ["metric", "points", "first", "last", "trend"],
        [_glimpse(page, key, found) for key, found in sampled.items() if len(found.n)],
        priority=90,
        more=lambda dropped: f"cut: {dropped + left_out} of {len(wanted.keys)} metrics; {again}",
    )


def _glimpse(page: Page, key: str, found: Buckets) -> list[str]:
    first, last = (number(float(values[at]), dress=page.dress) for values, at in ((found.first, 0), (found.last, -1)))
    line = np.where(np.isnan(found.mean), found.first, found.mean)
    glance = trend(line.tolist(), found.nonfinite.tolist(), dress=page.dress)
    return [short(key), str(int(found.n.sum())), first, last, glance]
