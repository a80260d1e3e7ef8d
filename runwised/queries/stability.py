"""`stability`: how much curves swing from window to window, and which way they go."""

from __future__ import annotations

import math

import numpy as np
from runwise_protocol.queries.stability import ShowStability, Slope, Stability, Steadiness, Window
from runwise_protocol.query import Reply

from runwised.analysis.curve import Curve
from runwised.analysis.rolling import noise_of
from runwised.analysis.slope import slope
from runwised.analysis.windows import Windows, rolling
from runwised.formats.record import Floats, Ints
from runwised.index.view import Series
from runwised.queries.keysel import main_metrics, select
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.stability_text import write
from runwised.queries.tabular import Objects, plain
from runwised.render.page import Page

_SAMPLES = 500
_WINDOW = 100
_LAST = 12
"""Points that the last quarter has at least."""


def answer(query: ShowStability, view: ProjectView) -> Stability:
    """Of the selected metrics, by default of the main ones. Raises RunwiseError."""
    run = resolve(query.run, view)
    hint = onward(view, "keys", handle(run, view))
    keys = select(query.keys, run.history.names, hint=hint) if query.keys else main_metrics(run, view.config)
    samples = query.samples or _SAMPLES
    found = {key: steadiness(run.history.series(key), query.window, samples) for key in keys}
    return Stability(run=run.id, metrics=found)


def objects(reply: Reply) -> Objects:
    """The windows that are listed."""
    metrics = plain(reply)["metrics"]
    return [{"key": key, **window} for key, found in metrics.items() for window in found["rolling"]]


def render(reply: Stability, page: Page, query: ShowStability, view: ProjectView) -> None:
    """What is to be said of each metric, and a few of its windows."""
    write(reply, page, query, handle(resolve(query.run, view), view), view)


def steadiness(series: Series, window: int | None, samples: int) -> Steadiness:
    """One metric of at least one point; `samples`: windows that are listed, at most."""
    points = len(series.values)
    width = min(points, window or min(_WINDOW, max(2, points // 4)))
    found = rolling(series.values, width)
    known = found.std[np.isfinite(found.std)]
    curve = Curve.of_series(series).finite()
    last = curve.part(-max(len(curve.steps) // 4, _LAST))
    noise = noise_of(last.values) if len(last.values) >= 5 else None
    level = float(np.median(last.values)) if len(last.values) else None
    return Steadiness(
        points=points,
        nonfinite=points - len(curve.steps),
        window=width,
        windows=len(found.std),
        median_std=float(np.median(known)) if len(known) else None,
        noise=noise,
        level=level,
        relative_noise=noise / abs(level) if noise is not None and level else None,
        steadiest=_extreme(series, found, width, 1),
        wildest=_extreme(series, found, width, -1),
        whole=_slope(curve),
        end=_slope(last),
        rolling=_sampled(series, found, width, samples),
    )


def _extreme(series: Series, found: Windows, width: int, sign: int) -> Window | None:
    """The window of the least (1) or the greatest (-1) deviation, of those that are half finite or more."""
    usable = np.where((2 * found.finite >= width) & np.isfinite(found.std), sign * found.std, np.inf)
    at = int(usable.argmin())
    return _window(series, found, width, at, found.std[at]) if math.isfinite(usable[at]) else None


def _sampled(series: Series, found: Windows, width: int, most: int) -> list[Window]:
    """The last window of each of equal groups of them."""
    count = len(found.std)
    groups = min(most, count)
    edges: Ints = np.arange(groups + 1) * count // groups
    wildest: Floats = np.fmax.reduceat(found.std, edges[:-1])
    return [
        _window(series, found, width, at, top)
        for at, top in zip((edges[1:] - 1).tolist(), wildest.tolist(), strict=True)
    ]


def _window(series: Series, found: Windows, width: int, at: int, top: float) -> Window:
    return Window(
        start=int(series.steps[at]),
        end=int(series.steps[at + width - 1]),
        n=width,
        nonfinite=width - int(found.finite[at]),
        mean=_number(found.mean[at]),
        std=_number(found.std[at]),
        std_max=_number(top),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _slope(curve: Curve) -> Slope | None:
    found = slope(curve)
    if found is None:
        return None
    return Slope(
        start=int(curve.steps[0]),
        end=int(curve.steps[-1]),
        per_step=found.slope,
        low=found.low,
        high=found.high,
        direction="falling" if found.high < 0 else "rising" if found.low > 0 else "flat",
    )
