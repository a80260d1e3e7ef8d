"""Whether a condition (`runwise_protocol.expression`) holds for a run, as the header of its index tells.

Three values. A run without a value that is asked about (a metric it never logged, a key its configuration does not
have, a value that looks like a secret) neither fits nor contradicts: the comparison is None, and so is ``not`` of it.
``and`` is None unless a clause is false, ``or`` unless one is true. A run fits only where the whole is true, so a
missing value never makes one fit. NaN is a value: it equals ``nan``, and is neither less nor greater than anything.
"""

from __future__ import annotations

import fnmatch
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression_tree import (
    Arithmetic,
    Comparison,
    Duration,
    Expression,
    Field,
    Metric,
    Nonfinite,
    Not,
    Number,
    Operand,
    Or,
    Property,
    Text,
    Waiting,
    leaves,
)

from runwised.index.view import RunView
from runwised.queries.board import side_of
from runwised.queries.glance import best, latest, names_of, stats_of
from runwised.queries.keysel import direction, select
from runwised.queries.liveness import lives
from runwised.queries.project import ProjectView
from runwised.queries.tabular import flat
from runwised.render.layout import short
from runwised.render.untrusted import secret

Value: TypeAlias = float | str | tuple[str, ...] | None
"""None: the run has no such value; several texts: its tags."""

_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = {True: "true", False: "false", None: "null"}
"""How a configuration's words are spelled in an expression; upper and lower case alike."""
_MISSING = object()


def holds(
    tree: Expression, run: RunView, view: ProjectView, has_come: Callable[[Waiting], bool] | None = None
) -> bool | None:
    """Whether the condition holds; None where a value is missing. The tree has passed `check`.

    `has_come` says of what is waited for whether it has come to pass; without it such a clause makes no sense.
    """
    if isinstance(tree, Comparison):
        return _compared(tree.op, value(tree.left, run, view), value(tree.right, run, view))
    if isinstance(tree, Not):
        inner = holds(tree.inner, run, view, has_come)
        return None if inner is None else not inner
    if isinstance(tree, Waiting):
        if has_come is None:
            raise _only_waited_for(tree)
        return has_come(tree)
    decisive = isinstance(tree, Or)
    found: bool | None = not decisive
    for clause in tree.clauses:
        said = holds(clause, run, view, has_come)
        if said is decisive:
            return decisive
        found = None if said is None else found
    return found


def value(operand: Operand, run: RunView, view: ProjectView) -> Value:
    """What an operand is in one run."""
    if isinstance(operand, Metric):
        return _metric(operand, run, view)
    if isinstance(operand, Number):
        return operand.value
    if isinstance(operand, Text):
        return operand.value
    if isinstance(operand, Duration):
        return operand.seconds
    if isinstance(operand, Property):
        return _property(operand.name, run, view.now)
    if isinstance(operand, Field):
        return _field(run.config if operand.source == "config" else run.summary, operand.path)
    if isinstance(operand, Nonfinite):
        return _nonfinite(operand.pattern, run)
    return _calculated(operand, run, view)


def check(tree: Expression | Operand, runs: Sequence[RunView], view: ProjectView) -> None:
    """Refuse what no run can answer. Raises RunwiseError.

    A metric or configuration key that is in none of the runs is an error with the nearest ones (unless runs are not
    indexed yet), and so is ``best`` where nothing says which way is better.
    """
    for leaf in leaves(tree):
        if isinstance(leaf, Waiting):
            raise _only_waited_for(leaf)
        if isinstance(leaf, Metric):
            known_metric(leaf.key, runs)
            if leaf.part == "best" and side_of(runs, leaf.key, view.config)[0] is None:
                message = f"best({short(leaf.key)}): nothing says which way is better"
                raise RunwiseError(Kind.USAGE, message, f"for example: min({short(leaf.key)}) < 2")
        elif isinstance(leaf, Nonfinite) and leaf.pattern != "*":
            known_metric(leaf.pattern, runs)
        elif isinstance(leaf, Field) and leaf.source == "config" and not any(_has(run.config, leaf) for run in runs):
            _refuse(leaf.path, (key for run in runs for key, _ in flat(run.config)), runs, "config key", "config")


def known_metric(key: str, runs: Sequence[RunView]) -> None:
    """Refuse a metric, or a glob, that none of the runs has. Raises RunwiseError, with the nearest names."""
    if not any(latest(run, key) for run in runs):
        _refuse(key, (name for run in runs for name in names_of(run)), runs, "metric", "keys")


def _refuse(key: str, names: Iterable[str], runs: Sequence[RunView], what: str, command: str) -> None:
    if runs and all(run.indexed or not any(part.size_bytes for part in run.sources) for run in runs):
        select([key], names, what=what, hint=f"runwise {command}")


def _only_waited_for(clause: Waiting) -> RunwiseError:
    message = f"{short(str(clause))} is something to wait for: it does not tell one run from another"
    return RunwiseError(Kind.USAGE, message, "runwise list --where 'running and age > 10m'")


def _property(name: str, run: RunView, now: float) -> Value:
    if name == "state":
        return "running" if lives(run) else run.condition.state
    if name == "tag":
        return tuple(run.tags)
    if name == "age":
        return None if run.updated is None else max(0.0, now - run.updated)
    if name == "runtime":
        return _runtime(run, now)
    found: str | int | None = run.condition.exit_code if name == "exit_code" else getattr(run, name)
    return float(found) if isinstance(found, int) else found


def _runtime(run: RunView, now: float) -> float | None:
    if run.created is None:
        return None
    end = now if run.condition.state == "running" else run.updated
    return None if end is None else max(0.0, end - run.created)


def _metric(metric: Metric, run: RunView, view: ProjectView) -> float | None:
    if metric.part == "last":
        moment = latest(run, metric.key)
        return None if moment is None else _float(moment.value)
    found = stats_of(run, metric.key)
    if found is None:
        return None
    if metric.part == "best":
        top = best(found, direction(metric.key, run, view.config)[0])
        return None if top is None else top.value
    statistics = {"first": found.first, "min": found.min, "max": found.max, "mean": found.mean}
    return statistics[metric.part]


def _nonfinite(pattern: str, run: RunView) -> float | None:
    """How many points are not finite, of the metric of that name or of all that the glob fits."""
    found = stats_of(run, pattern)
    if found:
        return float(found.nonfinite)
    if not any(mark in pattern for mark in "*?["):
        return None
    fits = _glob(pattern)
    every = [stats_of(run, name) for name in run.history.names if fits(name)]
    return float(sum(found.nonfinite for found in every if found)) if every else None


@lru_cache(100)
def _glob(pattern: str) -> Callable[[str], Any]:
    return re.compile(fnmatch.translate(pattern)).match


def _has(nested: Mapping[str, Any], field: Field) -> bool:
    return _at(nested, field.path) is not _MISSING


def _field(nested: Mapping[str, Any], path: str) -> Value:
    """A number, or a text; lists are JSON."""
    found = _at(nested, path)
    if found is _MISSING or any(secret(path, one) for one in (found if isinstance(found, list | tuple) else (found,))):
        return None
    if found is None or isinstance(found, bool):
        return _WORDS[found]
    if isinstance(found, int | float):
        return _float(found)
    return found if isinstance(found, str) else json.dumps(found, default=str)


def _at(nested: Any, path: str) -> Any:
    """The value at a dotted path; keys may have dots themselves."""
    if not isinstance(nested, Mapping):
        return _MISSING
    if path in nested:
        return nested[path]
    for found in re.finditer(r"\.", path):
        if path[: found.start()] in nested:
            inner = _at(nested[path[: found.start()]], path[found.end() :])
            if inner is not _MISSING:
                return inner
    return _MISSING


def _calculated(operand: Arithmetic, run: RunView, view: ProjectView) -> float | None:
    left, right = _number(value(operand.left, run, view)), _number(value(operand.right, run, view))
    if left is None or right is None:
        return None
    if operand.op == "+":
        return left + right
    if operand.op == "-":
        return left - right
    if operand.op == "*":
        return left * right
    if right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)
    return left / right


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _number(found: Value) -> float | None:
    """A number, also one that a configuration holds as a text (``3e-4`` is one in YAML)."""
    if isinstance(found, str):
        try:
            return float(found)
        except ValueError:
            return None
    return None if isinstance(found, tuple) else found


def _compared(op: str, left: Value, right: Value) -> bool | None:
    if left is None or right is None:
        return None
    if isinstance(left, tuple):
        return any(_same(tag, right) for tag in left) is (op == "==") if op != "~" else _any_holds(left, right)
    if op == "~":
        return _any_holds((left,), right)
    if op in ("==", "!="):
        return _same(left, right) is (op == "==")
    one, other = _number(left), _number(right)
    return None if one is None or other is None else _ORDERS[op](one, other)


def _any_holds(texts: Iterable[Value], word: Value) -> bool:
    """Whether a word is in one of the texts."""
    return any(_spelled(word).casefold() in _spelled(text).casefold() for text in texts)


def _spelled(found: Value) -> str:
    return f"{found:g}" if isinstance(found, float) else str(found)


def _same(left: Value, right: Value) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left == right or (left in _WORDS.values() and left == right.casefold())
    one, other = _number(left), _number(right)
    if one is None or other is None:
        return False
    return one == other or (math.isnan(one) and math.isnan(other))
