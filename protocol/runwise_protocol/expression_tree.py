"""What a condition about a run is made of, as a tree, and the tree as text that reads as the same tree again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

Part: TypeAlias = Literal["last", "first", "min", "max", "mean", "best"]
Operator: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!=", "~"]
Kind: TypeAlias = Literal["number", "time", "text", "any"]
"""What an operand can be compared with; ``any``: what it is, only the run tells."""

PARTS: tuple[Part, ...] = ("last", "first", "min", "max", "mean", "best")
STATES = ("running", "finished", "failed", "crashed", "killed", "preempted", "ended", "empty", "unknown")
PROPERTIES: dict[str, Kind] = {
    "step": "number",
    "exit_code": "number",
    "age": "time",
    "runtime": "time",
    "state": "text",
    "name": "text",
    "id": "text",
    "group": "text",
    "tag": "text",
    "project": "text",
}
"""What a run has beside metrics, configuration and summary."""
RESERVED = frozenset({"and", "or", "not", "nan", "inf", "new", "stalled", "anomaly", *PARTS, *PROPERTIES, *STATES})
"""Words that are no metrics unless they are quoted."""
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}

_BARE = re.compile(r"[^\W\d][\w./@:-]*")
_FIELDS = ("config.", "summary.")


class _Node(msgspec.Struct, frozen=True, tag=True):
    """Base of all parts of the tree."""


class Metric(_Node, frozen=True, tag=True):
    """One statistic of a metric: its last value (``val/loss``), ``min(val/loss)``, ``best(val/loss)`` …"""

    key: str
    part: Part = "last"

    def __str__(self) -> str:
        return quoted(self.key) if self.part == "last" else f"{self.part}({quoted(self.key)})"


class Nonfinite(_Node, frozen=True, tag=True):
    """``nan(KEY)``: how many points of the metrics that a name or glob means are NaN or infinite."""

    pattern: str

    def __str__(self) -> str:
        return f"nan({_in_parentheses(self.pattern)})"


class Property(_Node, frozen=True, tag=True):
    """One of `PROPERTIES`."""

    name: str

    def __str__(self) -> str:
        return self.name


class Field(_Node, frozen=True, tag=True):
    """A value of the configuration or of the summary, by its dotted path."""

    source: Literal["config", "summary"]
    path: str

    def __str__(self) -> str:
        path = self.path if re.fullmatch(r"[\w./@:-]+", self.path) else marked(self.path, "`")
        return f"{self.source}.{path}"


class Number(_Node, frozen=True, tag=True):
    """A number."""

    value: float

    def __str__(self) -> str:
        short = f"{self.value:g}"
        return short if float(short) == self.value or math.isnan(self.value) else repr(self.value)


class Duration(_Node, frozen=True, tag=True):
    """A length of time: ``2d``, ``1h30m``, ``10s``."""

    seconds: float

    def __str__(self) -> str:
        for unit, size in UNITS.items():
            count = self.seconds / size
            if count.is_integer() and 1 <= count < 1e6:
                return f"{int(count)}{unit}"
        return f"{self.seconds!r}s"


class Text(_Node, frozen=True, tag=True):
    """A word, as it stands."""

    value: str

    def __str__(self) -> str:
        return self.value if _is_bare(self.value) and self.value not in PARTS else marked(self.value, '"')


class Arithmetic(_Node, frozen=True, tag=True):
    """Two operands added, subtracted, multiplied or divided; on the right never a sum, nor a product in a product."""

    op: Literal["+", "-", "*", "/"]
    left: Operand
    right: Operand

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


class Comparison(_Node, frozen=True, tag=True):
    """``left op right``; ``~`` means contains, upper and lower case alike. ``nan(KEY) > 0`` is just ``nan(KEY)``."""

    op: Operator
    left: Operand
    right: Operand

    def __str__(self) -> str:
        if isinstance(self.left, Nonfinite) and (self.op, self.right) == (">", Number(0.0)):
            return str(self.left)
        return f"{self.left} {self.op} {self.right}"


class Waiting(_Node, frozen=True, tag=True):
    """What only comes to pass while one waits: ``new(KEY)``, ``stalled>10m``, ``anomaly``."""

    what: Literal["new", "stalled", "anomaly"]
    pattern: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.what == "new":
            return f"new({_in_parentheses(self.pattern)})"
        return f"stalled > {Duration(self.seconds)}" if self.what == "stalled" else "anomaly"


class Not(_Node, frozen=True, tag=True):
    """The contrary."""

    inner: Expression

    def __str__(self) -> str:
        return f"not {_grouped(self.inner, And | Or)}"


class And(_Node, frozen=True, tag=True):
    """Two clauses or more that all hold."""

    clauses: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(_grouped(clause, And | Or) for clause in self.clauses)


class Or(_Node, frozen=True, tag=True):
    """Two clauses or more of which one holds."""

    clauses: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(_grouped(clause, Or) for clause in self.clauses)


Operand: TypeAlias = Metric | Nonfinite | Property | Field | Number | Duration | Text | Arithmetic
Expression: TypeAlias = Comparison | Waiting | Not | And | Or


def _grouped(clause: Expression, kinds: object) -> str:
    return f"({clause})" if isinstance(clause, kinds) else str(clause)  # type: ignore[arg-type]


def kind_of(operand: Operand) -> Kind:
    """What an operand can be compared with."""
    if isinstance(operand, Property):
        return PROPERTIES[operand.name]
    if isinstance(operand, Arithmetic):
        kinds = {kind_of(operand.left), kind_of(operand.right)}
        ratio = operand.op == "/" and kinds == {"time"}
        return "time" if "time" in kinds and not ratio else "number"
    kinds_of: dict[type, Kind] = {Duration: "time", Text: "text", Field: "any"}
    return kinds_of.get(type(operand), "number")


def quoted(key: str) -> str:
    """A metric's name as an expression can hold it: in backticks where it would not be read as one."""
    odd = key in RESERVED or key.startswith(_FIELDS) or key.endswith("@best")
    return key if _is_bare(key) and not odd else marked(key, "`")


def _is_bare(text: str) -> bool:
    return (
        bool(_BARE.fullmatch(text)) and text not in {"and", "or", "not", "nan", "inf"} and not text.startswith(_FIELDS)
    )


def _in_parentheses(pattern: str) -> str:
    return pattern if re.fullmatch(r"[\w./@:*?\[\]-]+", pattern) else marked(pattern, "`")


def marked(text: str, mark: str) -> str:
    """Between quotation marks of a kind; marks and backslashes inside are escaped."""
    return mark + re.sub(rf"[\\{mark}]", lambda found: "\\" + found[0], text) + mark


def leaves(tree: Expression | Operand) -> Iterator[Expression | Operand]:
    """The parts of a tree that have no parts, from left to right."""
    if isinstance(tree, And | Or):
        for clause in tree.clauses:
            yield from leaves(clause)
    elif isinstance(tree, Not):
        yield from leaves(tree.inner)
    elif isinstance(tree, Comparison | Arithmetic):
        yield from leaves(tree.left)
        yield from leaves(tree.right)
    else:
        yield tree


def names(tree: Expression | Operand) -> tuple[str, ...]:
    """The metrics a tree speaks of, each once; those of ``nan()`` and ``new()`` may be globs."""
    found: dict[str, None] = {}
    for leaf in leaves(tree):
        if isinstance(leaf, Metric):
            found[leaf.key] = None
        elif isinstance(leaf, Nonfinite | Waiting) and leaf.pattern:
            found[leaf.pattern] = None
    return tuple(found)
