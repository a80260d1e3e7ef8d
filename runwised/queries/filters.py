"""Which runs a question is about, of all in the project, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression import parse, parse_operand
from runwise_protocol.expression_tree import And, Comparison, Expression, Metric, Operand, Property, Text
from runwise_protocol.queries.runs import ListRuns

from runwised.index.view import RunView
from runwised.queries.expression import Value, check, holds, value
from runwised.queries.glance import latest
from runwised.queries.project import ProjectView
from runwised.render.layout import cut
from runwised.render.numbers import plural
from runwised.render.untrusted import clean

_LONGEST_SAID = 120
"""Characters of a condition that a page repeats."""


class Chosen(NamedTuple):
    """The runs that fit."""

    runs: Sequence[RunView]
    undecided: int
    """Runs left out because a value is missing, not because they contradict."""
    filtered: int
    """Runs left out."""


def counted(fitting: int, filtered: int, undecided: int, said: str) -> str:
    """``3 of 40 runs where …``; `said` as `said_of` gives it."""
    if not said:
        return plural(fitting, "run")
    lack = f" ({undecided} without such a value)" if undecided else ""
    return f"{fitting} of {plural(fitting + filtered, 'run')} {said}{lack}"


def said_of(where: str | None, asked: Sequence[Expression] = (), match: str | None = None) -> str:
    """What was asked for, as a page's first line says it; empty where nothing was. Raises RunwiseError."""
    tree = _whole(where, asked)
    parts = [f"with '{cut(clean(match), _LONGEST_SAID)}'"] if match is not None else []
    parts += [f"where {cut(clean(str(tree)), _LONGEST_SAID)}"] if tree else []
    return " ".join(parts)


def _whole(where: str | None, asked: Sequence[Expression]) -> Expression | None:
    said = parse(where) if where is not None else None
    own = said.clauses if isinstance(said, And) else (said,) if said else ()
    parts = (*asked, *own)
    return And(parts) if len(parts) > 1 else parts[0] if parts else None


def chosen(view: ProjectView, where: str | None, asked: Sequence[Expression] = (), match: str | None = None) -> Chosen:
    """The runs for which `where` and all of `asked` hold and that have the text `match`, in the view's order.

    Raises RunwiseError where the condition is none, or speaks of what no run has.
    """
    tree = _whole(where, asked)
    if tree is None and match is None:
        return Chosen(view.runs, 0, 0)
    if tree and view.runs:
        check(tree, view.runs, view)
    found: list[RunView] = []
    undecided = 0
    for run in view.runs:
        if match is not None and not _speaks_of(run, match):
            continue
        fits = holds(tree, run, view) if tree else True
        if fits:
            found.append(run)
        undecided += fits is None
    return Chosen(found, undecided, len(view.runs) - len(found))


def listed(query: ListRuns, view: ProjectView) -> Chosen:
    """The runs of a list, in its order. Raises RunwiseError."""
    found = chosen(view, query.where, _asked(query), query.match)
    if query.sort is not None:
        return found._replace(runs=_sorted(found.runs, query.sort, query.reverse, view))
    return found._replace(runs=found.runs[::-1]) if query.reverse else found


def title(query: ListRuns, found: Chosen) -> str:
    """How many runs a list has, and of what they are chosen."""
    said = said_of(query.where, _asked(query), query.match)
    return counted(len(found.runs), found.filtered, found.undecided, said)


def _asked(query: ListRuns) -> list[Expression]:
    """What a list's other options ask for."""
    said = {"state": query.state, "tag": query.tag, "group": query.group}
    return [Comparison("==", Property(name), Text(word)) for name, word in said.items() if word is not None]


def _speaks_of(run: RunView, text: str) -> bool:
    folded = text.casefold()
    return any(folded in (part or "").casefold() for part in (run.name, run.id, run.group, run.notes, *run.tags))


def sorted_by(query: ListRuns, view: ProjectView) -> str | None:
    """The metric that a list is sorted by, if it is one."""
    found = _operand((query.sort or "").removeprefix("-"), view) if query.sort else None
    return found.key if isinstance(found, Metric) else None


def _operand(sort: str, view: ProjectView) -> Operand | None:
    """What runs are sorted by; None: when they were created. Raises RunwiseError."""
    if sort == "created":
        return None
    if any(latest(run, sort) for run in view.runs) and sort not in ("step", "age", "name"):
        return Metric(sort)
    try:
        found = parse_operand(sort)
    except RunwiseError as error:
        if len(sort.split()) == 1:
            check(Metric(sort), view.runs, view)
        raise RunwiseError(Kind.USAGE, f"--sort {error.message}", "runwise list --sort age") from error
    check(found, view.runs, view)
    return found


def _sorted(runs: Sequence[RunView], sort: str, reverse: bool, view: ProjectView) -> list[RunView]:
    """Numbers, then texts, then runs that have neither; NaN stands behind all other numbers either way."""
    downward = sort.startswith("-") != reverse
    operand = _operand(sort.removeprefix("-"), view)
    keyed: list[tuple[float | str, RunView]] = []
    rest: list[tuple[bool, RunView]] = []
    for run in runs:
        found: Value = run.created if operand is None else value(operand, run, view)
        found = ",".join(found) if isinstance(found, tuple) else found
        if found is None or (isinstance(found, float) and math.isnan(found)):
            rest.append((found is None, run))
        else:
            keyed.append((found, run))
    numbers = [(found, run) for found, run in keyed if not isinstance(found, str)]
    texts = [(found.casefold(), run) for found, run in keyed if isinstance(found, str)]
    numbers.sort(key=lambda pair: pair[0], reverse=downward)
    texts.sort(key=lambda pair: pair[0], reverse=downward)
    rest.sort(key=lambda pair: pair[0])
    return [run for _, run in (*numbers, *texts, *rest)]
