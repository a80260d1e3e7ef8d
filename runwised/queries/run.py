"""`run` and `latest`: one run on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

import msgspec
from runwise_protocol.queries.run import Latest, RunDetail, RunSummary, ShowRun

from runwised.index.view import RunView, Stats
from runwised.queries.board import spelled, written
from runwised.queries.causes import gist
from runwised.queries.digest import digest
from runwised.queries.freshness import damaged, incomplete, taken_back, unread
from runwised.queries.glance import Moment, Shape, best, latest, names_of, numbers_in, outlier, shape_of, stats_of
from runwised.queries.keysel import Direction, direction, main_metrics, shown_as
from runwised.queries.oddities import Oddity, nonfinite, turned
from runwised.queries.onward import onward, pointing, propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.runs import entry, painted
from runwised.queries.stats import metric_stats
from runwised.queries.tracebacks import last_traceback, speaks_of_error
from runwised.render.command import keys_option
from runwised.render.layout import cut, short
from runwised.render.numbers import age, duration, number, plural
from runwised.render.page import Page
from runwised.render.untrusted import hidden

Question: TypeAlias = ShowRun | Latest

_METRICS = 6
_VERBOSE = 4
"""So many times as many metrics stand on a page that is to tell all."""
_ENDED_BADLY = ("failed", "crashed", "killed")
_CONSOLE_LINES = 400
"""Lines from the end of the console that are searched for what went wrong."""
_PRINTED = 4
"""Names of metrics from the console."""
_EXTRA = 4
"""Numbers of the summary that no metric shows."""
_LONGEST_ERROR = 240
"""Characters of a line that quotes an error."""


def answer(query: Question, view: ProjectView) -> RunSummary:
    """One run whole: every metric's exact statistics, summary, config with secrets hidden. Raises RunwiseError."""
    run = resolve(getattr(query, "run", None), view)
    config, _ = hidden(run.config)
    summary, _ = hidden(dict(sorted(run.summary.items())))  # a log's own order depends on how it was read
    found = RunDetail(
        **msgspec.structs.asdict(entry(run)),
        host=run.host,
        config=config,
        notes=run.notes,
        segments=run.segments,
        rewinds=len(run.rewinds),
        damaged_bytes=sum(run.damage.values()),
        indexed=run.indexed,
        from_console=tuple(run.from_console),
    )
    metrics = {name: metric_stats(run, name, view.config) for name in run.history.names}
    return RunSummary(run=found, metrics=metrics, summary=summary)


class _Curve(NamedTuple):
    """A metric that is shown, and what was looked up of it."""

    key: str
    side: Direction | None
    stats: Stats
    shape: Shape


def _curve(run: RunView, key: str, view: ProjectView) -> _Curve | None:
    """None: the run is not indexed yet."""
    found = stats_of(run, key)
    if found is None:
        return None
    return _Curve(key, direction(key, run, view.config)[0], found, shape_of(run, key, found))


def render(reply: RunSummary, page: Page, query: Question, view: ProjectView) -> None:
    """State and why, progress, main metrics with their trends, what is odd, config, and what to ask next."""
    run = next(run for run in view.runs if run.id == reply.run.id)
    name = handle(run, view)
    page.line(_header(run, name, page, view), priority=100)
    shown = main_metrics(run, view.config, _METRICS * (_VERBOSE if page.verbose else 1))
    curves = [_curve(run, key, view) for key in shown]
    for at, (key, curve) in enumerate(zip(shown, curves, strict=True)):
        text = _metric(run, curve, page, view, query) if curve else _value(run, key, page)
        page.line(text, priority=85 - 2 * at)
    odd = [] if query.no_anomalies else _odd(reply, run, curves, page)
    if reply.run.from_console:
        page.line(_printed(reply), priority=60)
    for oddity in odd:
        page.remark(f"! {oddity.text}", priority=90)
    for text in (*unread(run), *damaged(run), *incomplete(run), *([] if query.no_anomalies else taken_back(run))):
        page.line(f"! {text}", priority=88)
    if run.alerts:
        page.remark(pointing(plural(len(run.alerts), "alert"), onward(view, "notes", name)), priority=72)
    for priority, text in _setting(run, shown, name, page, view):
        page.line(text, priority=priority)
    for text in _origin(run, page) if page.verbose else ():
        page.line(text, priority=25)
    _say_why(run, name, page, view)
    for oddity in odd[:1]:
        around = () if oddity.step is None else ("--around", oddity.step)
        propose(page, view, "history", name, *keys_option([oddity.key]), *around)


def _header(run: RunView, handle: str, page: Page, view: ProjectView) -> str:
    """Name, id, state with its proof, step, and when."""
    state, proof, *_ = run.condition
    run_id, title = run.id, short(run.name)
    parts = [title] if run.name == run_id else [title, run_id if handle == run.name else handle]
    parts.append(painted(run, page))
    if state == "empty":
        known = proof.partition("no data yet, ")[2]
        parts += [f"({short(known)})"] if known else []
    elif state not in ("finished", "empty") and proof and not proof.startswith("exit code"):
        parts.append(f"({short(proof)})")
    if run.step is not None:
        parts.append(f"step {run.step}")
    return ", ".join([" ".join(parts), *_times(run, view)])


def _times(run: RunView, view: ProjectView) -> Iterator[str]:
    state, created, updated = run.condition.state, run.created, run.updated
    if run.segments > 1:
        yield f"started {run.segments} times"
    if created is not None and state in ("running", "empty"):
        yield f"started {age(view.now - created)}"
    elif created is not None and updated is not None:
        yield f"ran {duration(updated - created)}"
    if updated is not None and state != "empty":
        yield f"{'updated ' if state == 'running' else ''}{age(view.now - updated)}"


def _value(run: RunView, key: str, page: Page) -> str:
    last = latest(run, key)
    return f"{short(key)} {number(last.value if last else None, dress=page.dress)}"


def _metric(run: RunView, curve: _Curve, page: Page, view: ProjectView, query: Question) -> str:
    """First and last value, best and greatest where they are elsewhere, and the trend."""
    key, side, found, shape = curve
    last, top, far = Moment(found.last, found.last_step), best(found, side), outlier(found, shape)
    marks = {} if top is None or top.value == found.last else {str(side): top}
    if far and far.value != found.last:
        marks["max"] = far
    values = (found.first, found.last, *(moment.value for moment in marks.values()))
    cells = spelled(values, shown_as(key, view.config).format, page.dress, scale=False)[1]
    first = "" if found.count == 1 else f"{cells.get(found.first) or number(found.first)}→"
    words = [short(key), first + written(last, cells, run.step)]
    words += [f"{mark} {written(moment, cells, None)}" for mark, moment in marks.items()]
    if not query.no_spark:
        words.append(shape.drawn(page.dress))
    return " ".join(word for word in words if word)


def _printed(reply: RunSummary) -> str:
    """Which metrics are only as good as what the program printed."""
    names = reply.run.from_console
    if len(names) == len(reply.metrics):
        return "metrics from console"
    rest = f" and {len(names) - _PRINTED} more" if len(names) > _PRINTED else ""
    return f"from console: {', '.join(map(short, names[:_PRINTED]))}{rest}"


def _odd(reply: RunSummary, run: RunView, curves: Sequence[_Curve | None], page: Page) -> list[Oddity]:
    bad = [name for name, found in reply.metrics.items() if found.nonfinite]
    fine = [curve for curve in curves if curve and curve.side and not curve.stats.nonfinite]
    turns = [turned(curve.key, str(curve.side), curve.stats, curve.shape, page.dress) for curve in fine]
    return [*nonfinite(run, bad), *(turn for turn in turns if turn)]


def _setting(run: RunView, shown: Sequence[str], name: str, page: Page, view: ProjectView) -> Iterator[tuple[int, str]]:
    """Group and tags, config, what else there is; each with its priority."""
    labels = [f"group {short(run.group)}"] if run.group else []
    labels += [f"tags {short(','.join(run.tags))}"] if run.tags else []
    labels += [pointing("has notes", onward(view, "notes", name))] if run.notes else []
    if labels:
        yield 30, ", ".join(labels)
    names = set(names_of(run))
    extra = {key: value for key, value in numbers_in(run).items() if key not in names}
    if extra:
        few = list(extra.items())[:_EXTRA]
        yield 35, "summary " + " ".join(f"{short(key)}={number(value, dress=page.dress)}" for key, value in few)
    text, rest = digest(run.config, page.dress)
    keys = pointing(f"{rest} more", onward(view, "config", name)) if rest else ""
    if text or keys:
        yield 50, " | ".join(part for part in (text, keys) if part)
    if len(names) > len(shown):
        yield 55, pointing(plural(len(names) - len(shown), "more metric"), onward(view, "stats", name))


def _origin(run: RunView, page: Page) -> Iterator[str]:
    """Where it ran, and what it is read from."""
    where, _ = digest(run.facts, page.dress)
    if where:
        yield f"ran with {where}"
    for part in run.sources:
        yield f"read from {short(part.path)} {part.format} {part.size_bytes} bytes"


def _say_why(run: RunView, name: str, page: Page, view: ProjectView) -> None:
    """The last error a run that ended badly printed."""
    if run.condition.state not in _ENDED_BADLY:
        return
    printed = list(islice(run.console(newest_first=True), _CONSOLE_LINES))
    trace = [line.text for line in last_traceback(printed)]
    spoken = next((line.text.strip() for line in printed if speaks_of_error(line)), None)
    last = next((line.text.strip() for line in printed if line.text.strip()), None)
    found = gist(trace) if trace else [text for text in (spoken or last,) if text]
    kind = "error" if trace or spoken else "line"
    page.quote(f"last {kind} (quoted output):", [cut(text, _LONGEST_ERROR) for text in found], priority=87)
    if found:
        propose(page, view, "log", name, "--errors" if trace else None)
