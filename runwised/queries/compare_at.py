"""Where runs are compared: the row of each at which their values are taken, or at which a condition first held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression import parse, parse_operand
from runwise_protocol.expression_tree import Comparison, Duration, Metric, Number
from runwise_protocol.queries.compare import Alignment, Compare, RunPoint

from runwised.analysis.crossing import Relation, first_crossing, rows_until
from runwised.index.view import RunView
from runwised.queries.expression import known_metric
from runwised.queries.glance import stats_of
from runwised.queries.project import ProjectView
from runwised.queries.resolve import resolve
from runwised.render.layout import short
from runwised.render.numbers import duration, number
from runwised.render.untrusted import clean

_RELATIONS = ("<", "<=", ">", ">=")


class Side(NamedTuple):
    """A run, and the rows of it that count."""

    run: RunView
    stop: int | None
    """Those at positions below this; None: all."""
    point: RunPoint
    """The last of them."""


def named(query: Compare, view: ProjectView) -> list[tuple[RunView, int | None]]:
    """The runs to compare, in order, each with the step of ``RUN@STEP``. Raises RunwiseError."""
    if len(query.runs) < 2:
        message = f"compare takes two runs or more, found {len(query.runs)}"
        raise RunwiseError(Kind.USAGE, message, "runwise compare RUN RUN")
    known = {text for run in view.runs for text in (run.id, run.name)}
    return [_named(ref, known, view) for ref in query.runs]


def _named(ref: str, known: set[str], view: ProjectView) -> tuple[RunView, int | None]:
    name, mark, step = ref.rpartition("@")
    if ref in known or not mark or not step.isdecimal() or not name:
        return resolve(ref, view), None
    return resolve(name, view), int(step)


def sides_of(query: Compare, view: ProjectView) -> list[Side]:
    """The runs to compare, each at its point. Raises RunwiseError."""
    found = named(query, view)
    runs = [run for run, _ in found]
    own = any(step is not None for _, step in found)
    if own and query.at is not None:
        raise RunwiseError(Kind.USAGE, "RUN@STEP and --at are contrary", "runwise compare RUN RUN --at step=N")
    if own:
        return [_at_end(run) if step is None else _at_step(run, step) for run, step in found]
    if query.at is None or query.at == "end":
        return [_at_end(run) for run in runs]
    if query.at == "now":
        return _now(runs)
    key, mark, text = query.at.rpartition("=")
    if not mark or not key.strip():
        raise _wrong(query.at)
    return _there(runs, key.strip(), text.strip(), view)


def point_of(query: Compare, sides: Sequence[Side]) -> Alignment:
    """What the reply says of them."""
    own = any("@" in ref for ref in query.runs) and any(side.stop is not None or side.point.note for side in sides)
    return Alignment(point=query.at or ("given" if own else "end"), runs=[side.point for side in sides])


def _there(runs: Sequence[RunView], key: str, text: str, view: ProjectView) -> list[Side]:
    """At ``step=N``, ``time=2h`` or ``KEY=V``; a metric of such a name stands in backticks."""
    if key == "step":
        if not text.removeprefix("-").isdecimal() or len(text) > 18:
            raise _wrong(f"{key}={text}")
        return [_at_step(run, int(text)) for run in runs]
    found = parse_operand(text)
    if key == "time" and isinstance(found, Duration | Number):
        seconds = found.seconds if isinstance(found, Duration) else found.value
        if not 0 <= seconds < math.inf:
            raise _wrong(f"{key}={text}")
        return [_at_time(run, seconds, view) for run in runs]
    if not isinstance(found, Number) or not math.isfinite(found.value):
        raise _wrong(f"{key}={text}")
    name = key[1:-1] if len(key) > 2 and key[0] == key[-1] == "`" else key
    known_metric(name, runs)
    return [_where(run, name, found.value) for run in runs]


def _wrong(text: str) -> RunwiseError:
    message = f"--at: expected step=N, time=2h, KEY=V, now or end, found '{clean(text)[:60]}'"
    return RunwiseError(Kind.USAGE, message, "runwise compare RUN RUN --at now")


def _before(run: RunView, stop: int, value: float | None = None, note: str | None = None) -> Side:
    """The rows before `stop`, of which there is at least one."""
    step, time = run.history.steps(stop - 1, stop), run.history.times(stop - 1, stop)
    point = RunPoint(reached=True, step=int(step[0]), seconds=_since(run, float(time[0])), value=value, note=note)
    return Side(run, stop, point)


def _since(run: RunView, time: float) -> float | None:
    """Seconds from the run's start."""
    return time - run.created if run.created is not None and math.isfinite(time) else None


def _nowhere(run: RunView, note: str) -> Side:
    return Side(run, 0, RunPoint(reached=False, note=note))


def _at_end(run: RunView) -> Side:
    if not run.history.row_count:
        return Side(run, None, RunPoint(reached=False, note="nothing logged"))
    return _before(run, run.history.row_count)._replace(stop=None)


def _last_step(run: RunView) -> int | None:
    rows = run.history.row_count
    return int(run.history.steps(rows - 1, rows)[0]) if rows else None


def _now(runs: Sequence[RunView]) -> list[Side]:
    reached = [step for run in runs if (step := _last_step(run)) is not None]
    return [_at_step(run, min(reached, default=0)) for run in runs]


def _at_step(run: RunView, step: int) -> Side:
    last = _last_step(run)
    if last is None:
        return _nowhere(run, "nothing logged")
    if last < step:
        return _nowhere(run, _over(run, f"at step {last}"))
    stop = run.history.position(step + 1)
    return _before(run, stop) if stop else _nowhere(run, f"begins at step {int(run.history.steps(0, 1)[0])}")


def _over(run: RunView, where: str) -> str:
    return f"so far {where}" if run.condition.state == "running" else f"ended {where}"


def _at_time(run: RunView, seconds: float, view: ProjectView) -> Side:
    """A run that is still at it has reached every time until now, whether it has just logged or not."""
    if not run.history.row_count:
        return _nowhere(run, "nothing logged")
    stop = None if run.created is None else rows_until(run.history, run.created + seconds)
    if stop is None or run.created is None:
        return _nowhere(run, "its rows do not say when they were logged")
    if not stop:
        return _nowhere(run, "begins to log later")
    found = _before(run, stop)
    end = view.now if run.condition.state == "running" else run.updated
    if stop == run.history.row_count and (end is None or end < run.created + seconds):
        return _nowhere(run, _over(run, f"after {duration(found.point.seconds)}"))
    return found


def _where(run: RunView, key: str, bound: float) -> Side:
    """At the first row where a metric is `bound` or more."""
    stats = stats_of(run, key)
    if stats is None:
        return _nowhere(run, f"no {short(key)} logged")
    found = first_crossing(run.history, key, ">=", bound)
    if found is None:
        return _nowhere(run, _extreme("greatest", stats.max, stats.max_step))
    stop = run.history.position(found.step + 1)
    after = run.history.sample(key, 1, stop)
    falls = "falls below it later" if (after.min < bound).any() else None
    begun = found.step == stats.first_step and found.value > bound
    return _before(run, stop, found.value, "above it from the first on" if begun else falls)


def _extreme(word: str, value: float | None, step: int | None) -> str:
    return "no finite value" if value is None else f"{word} {number(value)}@{step}"


def needed(query: Compare, runs: Sequence[RunView]) -> Alignment | None:
    """Where the condition of ``--to`` first held in each run. Raises RunwiseError."""
    if query.to is None:
        return None
    tree = parse(query.to)
    if not isinstance(tree, Comparison) or not isinstance(tree.left, Metric) or not isinstance(tree.right, Number):
        raise _not_one()
    if tree.op not in _RELATIONS or tree.left.part != "last" or not math.isfinite(tree.right.value):
        raise _not_one()
    known_metric(tree.left.key, runs)
    relation = cast(Relation, tree.op)
    return Alignment(point=str(tree), runs=[_held(run, tree.left.key, relation, tree.right.value) for run in runs])


def _not_one() -> RunwiseError:
    message = "--to takes one metric, <, <=, > or >=, and a number"
    return RunwiseError(Kind.USAGE, message, "for example: --to 'val/loss < 2.3'")


def _held(run: RunView, key: str, relation: Relation, bound: float) -> RunPoint:
    stats = stats_of(run, key)
    if stats is None:
        return RunPoint(reached=False, note=f"no {short(key)} logged")
    word, value, step = (
        ("least", stats.min, stats.min_step) if "<" in relation else ("greatest", stats.max, stats.max_step)
    )
    found = first_crossing(run.history, key, relation, bound)
    if found is None:
        when = "not yet" if run.condition.state == "running" else "never"
        return RunPoint(reached=False, note=f"{when}: {_extreme(word, value, step)}")
    return RunPoint(reached=True, step=found.step, seconds=_since(run, found.time), value=found.value)
