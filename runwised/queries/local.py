"""`local` and `tb`: what other questions answer of a project's runs, of whatever a path names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.history import History
from runwise_protocol.queries.local import Local, LocalLog, PathQuery, TensorBoard
from runwise_protocol.queries.metrics import ListKeys, ShowStats
from runwise_protocol.queries.run import ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.stability import ShowStability
from runwise_protocol.query import Query, Reply

from runwised.queries import history, keys, run, runs, stability, stats
from runwised.queries.about import About
from runwised.queries.onward import NamedView
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handles, resolve
from runwised.queries.tabular import Objects, keyed, listed
from runwised.render.command import command, keys_option
from runwised.render.numbers import plural
from runwised.render.page import Page
from runwised.render.untrusted import clean

_EVENTS = "tfevents"
"""Name of the format of event files."""
_WANDB = "wandb"
"""The names of W&B's own formats begin so; what is no log yet has none."""
_MOST_NAMED = 8
"""Runs that an error names."""
_PARTS = ("keys", "stats", "history", "stability")
"""What is shown where it is asked for, in this order."""


class _Shown(NamedTuple):
    """How one part of the answer is made and written: as the question of that name does."""

    answer: Callable[[Any, ProjectView], Any]
    render: Callable[[Any, Page, Any, ProjectView], None]
    objects: Callable[[Reply], Objects]


_SHOWN = {
    "list": _Shown(runs.answer, runs.render, listed("runs")),
    "run": _Shown(run.answer, run.render, keyed("metrics")),
    "keys": _Shown(keys.answer, keys.render, listed("keys")),
    "stats": _Shown(stats.answer, stats.render, keyed("metrics")),
    "history": _Shown(history.answer, history.render, keyed("series")),
    "stability": _Shown(stability.answer, stability.render, stability.objects),
}


def answer(query: PathQuery, view: ProjectView) -> LocalLog:
    """A list of the runs there are, or what was asked for of the one run. Raises RunwiseError."""
    seen = _seen(query, view)
    parts = {name: _SHOWN[name].answer(asked, seen) for name, asked in _questions(query, seen).items()}
    return LocalLog(path=query.path or view.root, **parts)


def render(reply: LocalLog, page: Page, query: PathQuery, view: ProjectView) -> None:
    """The parts one after the other, as the questions of their names write them."""
    seen = _seen(query, view)
    for name, asked in _questions(query, seen).items():
        _SHOWN[name].render(getattr(reply, name), page, asked, seen)


def objects(reply: Any) -> Objects:
    """The objects of the one part that a `LocalLog` has; several have none in common: raises RunwiseError."""
    parts = [name for name in _SHOWN if getattr(reply, name) is not None]
    if len(parts) > 1:
        flags = ", ".join(f"--{name}" for name in parts)
        raise RunwiseError(Kind.USAGE, f"csv and jsonl hold one of {flags}, not several", "the same with --format json")
    return _SHOWN[parts[0]].objects(getattr(reply, parts[0]))


def about(query: PathQuery, view: ProjectView) -> About:
    """The run whose index is waited for; none where runs are listed. Raises RunwiseError."""
    seen = _seen(query, view)
    asked = _questions(query, seen)
    if "list" in asked:
        return About([], "none")
    return About([resolve(query.run, seen)], "short" if "run" in asked else "whole")


def not_there(path: str, nearest: Sequence[str]) -> RunwiseError:
    """The error for a path where nothing is."""
    alike = f"; nearest: {', '.join(clean(name)[:100] for name in nearest)}" if nearest else ""
    return RunwiseError(Kind.NOT_FOUND, f"{clean(path)}: no such file or folder{alike}", "runwise local")


def no_log(path: str, reason: str) -> RunwiseError:
    """The error for something that holds no log."""
    return RunwiseError(Kind.UNREADABLE, f"{clean(path)}: {clean(reason)}", "runwise local --help")


def _seen(query: PathQuery, view: ProjectView) -> NamedView:
    """The runs the question may be about, never none. Raises RunwiseError."""
    check(query)
    found = [one for one in view.runs if _is_meant(query, {part.format for part in one.sources})]
    if not found:
        raise _nothing(query, view)
    return NamedView(view, found, query.command, query.path)


def _is_meant(query: PathQuery, formats: set[str]) -> bool:
    """Whether a run with sources of these formats is among those asked about."""
    if isinstance(query, TensorBoard):
        return _EVENTS in formats
    return query.path is not None or any(kind and not kind.startswith(_WANDB) for kind in formats)


def check(query: PathQuery) -> None:
    """Refuse what contradicts itself. Raises RunwiseError."""
    if isinstance(query, TensorBoard) and query.dir and query.directory and query.dir != query.directory:
        message = f"two folders: {clean(query.directory)} and {clean(query.dir)}"
        raise RunwiseError(Kind.USAGE, message, command("runwise", "tb", query.directory))
    asked = any(getattr(query, name) for name in _PARTS)
    named = query.path and command(query.path)
    again = " ".join(word for word in ("runwise", query.command, named) if word)
    if query.metrics and not asked:
        picked = command(*keys_option(query.metrics))
        message = "-k goes with --keys, --stats, --history or --stability"
        raise RunwiseError(Kind.USAGE, message, f"{again} --history {picked}")
    if query.samples and not (query.history or query.stability):
        raise RunwiseError(Kind.USAGE, "-n goes with --history or --stability", f"{again} --history -n {query.samples}")
    if query.window and not query.stability:
        raise RunwiseError(Kind.USAGE, "-w goes with --stability", f"{again} --stability -w {query.window}")


def _nothing(query: PathQuery, view: ProjectView) -> RunwiseError:
    """Why there is no run to speak of."""
    events = isinstance(query, TensorBoard)
    if query.path is None:
        what = "no event files" if events else "no logs but W&B's"
        hint = "runwise tb path/to/folder" if events else "runwise sources"
        return RunwiseError(Kind.NOT_FOUND, f"{what} in {clean(view.root)}", hint)
    path = clean(query.path)
    if view.runs:
        return RunwiseError(Kind.NOT_FOUND, f"no event files in {path}", command("runwise", "local", query.path))
    passed = [passed for place in view.places for passed in place.passed]
    known = "; ".join(clean(text) for text in ([found.reason for found in passed[:1]] or view.notes))
    if any(place.path == view.root for place in view.places):
        files = sum(found.files for found in passed)
        known = f"{plural(files, 'other file')}" if files else known
        kind, what = Kind.NOT_FOUND, f"no log of a known format in {path}"
    else:
        kind, what = Kind.UNREADABLE, f"{path}: not a log of a known format"
    return RunwiseError(kind, f"{what}: {known}" if known else what, "runwise sources --all")


def _questions(query: PathQuery, seen: NamedView) -> dict[str, Query]:
    """What is asked of the runs, by the part of the answer it makes. Raises RunwiseError."""
    parts = [name for name in _PARTS if getattr(query, name)]
    if query.run is None:
        if not parts and (len(seen.runs) > 1 or (query.path is None and isinstance(query, Local))):
            return {"list": ListRuns()}
        if len(seen.runs) > 1:
            raise _several(query, seen, parts)
    one = resolve(query.run, seen).id
    every: dict[str, Query] = {
        "keys": ListKeys(run=one, keys=query.metrics),
        "stats": ShowStats(run=one, keys=query.metrics),
        "history": History(run=one, keys=query.metrics, samples=query.samples),
        "stability": ShowStability(run=one, keys=query.metrics, window=query.window, samples=query.samples),
    }
    return {name: every[name] for name in parts} or {"run": ShowRun(run=one)}


def _several(query: PathQuery, seen: NamedView, parts: Sequence[str]) -> RunwiseError:
    """The error that names the runs, and asks for one."""
    known = list(handles(seen.runs[:_MOST_NAMED], seen).values())
    rest = len(seen.runs) - len(known)
    names = ", ".join(map(clean, known)) + (f" and {rest} more" if rest else "")
    where = clean(query.path or seen.root)
    message = f"{where} holds {len(seen.runs)} runs: {names}"
    flags = [f"--{name}" for name in parts]
    hint = command("runwise", query.command, query.path, "-r", known[0], *flags, *keys_option(query.metrics))
    return RunwiseError(Kind.AMBIGUOUS, message, hint)
