"""`list`: every run of the project, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from runwise_protocol.queries.runs import ListRuns, RunEntry, RunList, SourceEntry

from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.asked import asked
from runwised.queries.board import Board, Standing, board_of, spelled, written
from runwised.queries.everywhere import Everywhere, home_of, known_by
from runwised.queries.filters import Chosen, listed, sorted_by, title
from runwised.queries.glance import Moment, latest, spark
from runwised.queries.keysel import main_metric, shown_as
from runwised.queries.onward import there, whole_listing
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, handles
from runwised.render.command import command
from runwised.render.layout import short
from runwised.render.numbers import duration, number, plural
from runwised.render.page import Page
from runwised.render.untrusted import clean

_ROW_TOKENS = 10
"""No line of the table costs less."""
_FOUND = "found"
"""Where a reply holds the runs themselves, for the text: to choose among all runs twice costs twice."""
_COLORS = {"running": "cyan", "finished": "green", "failed": "red", "crashed": "red", "killed": "yellow"}


def answer(query: ListRuns, view: ProjectView) -> RunList:
    """All runs, or those that were asked for, newest first unless another order was. Raises RunwiseError."""
    found = listed(query, view)
    kept = found.runs[: query.limit] if query.limit else found.runs
    reply = RunList(
        runs=[entry(run) for run in kept],
        total=len(found.runs),
        unindexed=view.unindexed,
        filtered=found.filtered,
        undecided=found.undecided,
    )
    reply.__dict__[_FOUND] = found
    return reply


def about(query: ListRuns, view: ProjectView) -> About:
    """What is waited for: nothing, unless values decide which runs are listed."""
    if query.where is None and query.sort is None:
        return About([], "none")
    return About([run for run in view.runs if not run.indexed], "short")


def entry(run: RunView) -> RunEntry:
    """One run as data."""
    condition, home = run.condition, home_of(run)
    return RunEntry(
        id=run.id,
        name=run.name,
        project=run.project,
        state=condition.state,
        exit_code=condition.exit_code,
        created=iso(run.created),
        updated=iso(run.updated),
        step=run.step,
        rows=run.history.row_count if run.indexed else None,
        tags=list(run.tags),
        group=run.group,
        sources=[SourceEntry(path=part.path, format=part.format, bytes=part.size_bytes) for part in run.sources],
        proof=condition.proof,
        root=home.root if home else None,
    )


def iso(seconds: float | None) -> str | None:
    """UTC in ISO 8601, whole seconds; None for what is no date."""
    if seconds is None or not 0 <= seconds < 253_402_300_800:
        return None
    return f"{datetime.fromtimestamp(int(seconds), UTC).isoformat()[:-6]}Z"


def render(reply: RunList, page: Page, query: ListRuns, view: ProjectView) -> None:
    """A line that names the best run, then one line a run."""
    found: Chosen = reply.__dict__[_FOUND]
    every = found.runs
    if not every:
        page.line(_nothing(found, query, view), priority=100)
        return
    board = board_of(every, view.config, sorted_by(query, view))
    runs = every[: len(reply.runs)]
    fit = len(runs) if page.room is None else min(len(runs), page.room // _ROW_TOKENS + 1)
    rest = reply.total - fit
    again = whole_listing(view, asked(msgspec.structs.replace(query, limit=reply.total), *there(view)), reply.total)
    counted = f"{title(query, found)}{_in_projects(every, view)}"
    page.line(_title(counted, every, board, view, page), priority=95)
    head, rows = _table(board, runs[:fit], page, query, view)
    page.table(head, rows, priority=80, more=lambda dropped: f"{dropped + rest} more: {again}")
    if rest and fit == len(runs):
        page.line(f"{rest} more: {again}", priority=90)
    if isinstance(view, Everywhere):
        first = every[0]
        page.next(command("run", handle(first, view), "-C", reply.runs[0].root))
    if reply.unindexed:
        page.line(f"! {reply.unindexed} of {len(view.runs)} runs not indexed yet: curves and best follow", priority=90)


def _nothing(found: Chosen, query: ListRuns, view: ProjectView) -> str:
    if not view.runs:
        return f"no runs under {clean(view.root)}"
    counts = Counter(run.condition.state for run in view.runs)
    states = "there are " + ", ".join(f"{n} {state}" for state, n in counts.items())
    if query.state is not None and msgspec.structs.replace(query, state=None, limit=None) == ListRuns():
        return f"no {clean(query.state)} runs; {states}"
    return f"{title(query, found)}; {states}"


def _title(counted: str, runs: Sequence[RunView], board: Board | None, view: ProjectView, page: Page) -> str:
    """How many runs, and the best of all of them, shown or not."""
    champion = board.champion if board and len(board.standings) > 1 else None
    if not board or not champion:
        return counted
    best = board.standings[champion].best
    run = next(run for run in runs if known_by(run) == champion)
    spec = shown_as(board.key, view.config).format
    values = [found.best.value for found in board.standings.values() if found.best and found.ranked]
    cells = spelled(values, spec, page.dress, scale=False)[1]
    said = f"{board.extreme} {short(board.key)} {written(best, cells, None)} {handle(run, view)}{_at_home(run, view)}"
    left = f", {board.unranked} not ranked: nan or inf at the end" if board.unranked else ""
    return f"{counted}; {said}{left}"


def _in_projects(runs: Sequence[RunView], view: ProjectView) -> str:
    """In how many projects the runs are, where there are several."""
    if not isinstance(view, Everywhere):
        return ""
    return f" in {plural(len({home.root for run in runs if (home := home_of(run))}), 'project')}"


def _label(run: RunView, view: ProjectView) -> str:
    """What the run's project is called among all; empty where there is only one."""
    home = home_of(run)
    return view.labels[home.root] if home and isinstance(view, Everywhere) else ""


def _at_home(run: RunView, view: ProjectView) -> str:
    label = _label(run, view)
    return f" in {short(label)}" if label else ""


def _table(
    board: Board | None, runs: Sequence[RunView], page: Page, query: ListRuns, view: ProjectView
) -> tuple[list[str], list[list[str]]]:
    """Head and rows."""
    head = ["run", "state", "step", "age"]
    known = handles(runs, view)
    rows = [[known[known_by(run)], painted(run, page), number(run.step), _age(run, view)] for run in runs]
    for row, run in zip(rows, runs, strict=True):
        row[1:1] = [_label(run, view)] * isinstance(view, Everywhere)
    head[1:1] = ["project"] * isinstance(view, Everywhere)
    if page.verbose:
        head += ["id", "tags"]
        for row, run in zip(rows, runs, strict=True):
            row += [run.id, short(",".join(run.tags))]
    if not board:
        return head, rows
    spec = shown_as(board.key, view.config).format
    standings = [board.standings.get(known_by(run)) for run in runs]
    moments = [moment for found in standings if found for moment in found if moment]
    suffix, cells = spelled((moment.value for moment in moments), spec, page.dress)
    head.append(f"{short(board.key)}{suffix}")
    for row, run, found in zip(rows, runs, standings, strict=True):
        row.append(written(found.last, cells, run.step) if found else _own(run, view))
    if board.side:
        head.append("best" if not board.guessed else board.side)
        for row, found in zip(rows, standings, strict=True):
            row.append(_best(found, cells))
    if not query.no_spark:
        head.append("trend")
        for row, run, found in zip(rows, runs, standings, strict=True):
            row.append(spark(run, board.key, page.dress) if found and run.indexed else "-")
    return head, rows


def _best(found: Standing | None, cells: Mapping[float | None, str]) -> str:
    if found is None or found.best is None:
        return "-"
    return "last" if found.best == found.last else written(found.best, cells, None)


def state_word(run: RunView) -> str:
    """``failed(1)``, ``running``; a run that has logged nothing is ``no data yet``."""
    state, _, code, _ = run.condition
    return "no data yet" if state == "empty" else f"{state}({code})" if code else state


def painted(run: RunView, page: Page) -> str:
    """`state_word` in its colour."""
    return page.paint(state_word(run), _COLORS.get(run.condition.state, "dim"))


def _age(run: RunView, view: ProjectView) -> str:
    return "-" if run.updated is None else duration(view.now - run.updated)


def _own(run: RunView, view: ProjectView) -> str:
    """The main metric of a run that does not have the one of the table."""
    key = main_metric(run, view.config)
    moment: Moment | None = latest(run, key) if key else None
    return f"{short(key)}={number(moment.value)}" if key and moment else "-"
