"""`history`: sampled curves; every bucket keeps its extremes, so that no spike is lost."""

from __future__ import annotations

from runwise_protocol.queries.history import Bucket, Curves, History

from runwised.index.view import Buckets
from runwised.queries.curve_text import write
from runwised.queries.curves import Selection, none_for_nan, selection
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle
from runwised.render.numbers import plural
from runwised.render.page import Page

_SAMPLES = 500


def answer(query: History, view: ProjectView) -> Curves:
    """The curves of the selected metrics, of the main ones by default. Raises RunwiseError."""
    wanted = selection(query, view)
    sampled = wanted.sample(query.samples or _SAMPLES)
    series = {key: _buckets(wanted, found) for key, found in sampled.items()}
    omitted = 0 if query.keys else len(wanted.run.history.names) - len(wanted.keys)
    return Curves(run=wanted.run.id, x=query.x, series=series, omitted=omitted)


def _buckets(wanted: Selection, found: Buckets) -> list[Bucket]:
    """Buckets as structs; those that lie nowhere on the axis are left out."""
    fields = zip(
        *wanted.ends(found),
        found.n.tolist(),
        found.nonfinite.tolist(),
        *(none_for_nan(values) for values in (found.min, found.mean, found.max)),
        found.first.tolist(),
        found.last.tolist(),
        strict=True,
    )
    return [
        Bucket(start=start, end=end, n=n, nonfinite=bad, min=low, mean=mean, max=high, first=first, last=last)
        for start, end, n, bad, low, mean, high, first, last in fields
        if start is not None and end is not None
    ]


def render(reply: Curves, page: Page, query: History, view: ProjectView) -> None:
    """The same curves, sampled anew to as many points as the budget holds."""
    wanted = selection(query, view)
    name = handle(wanted.run, view)
    again = onward(view, "history", name, "-k", "*")
    more = f"{plural(reply.omitted, 'more metric')}: {again}" if reply.omitted else ""
    write(page, wanted, name, query.samples, more)
