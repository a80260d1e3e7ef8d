"""The shape of a JSON-lines log's rows, learned from rows, as a type that decodes many of them at once.

Numbers become float64 fields whose default, NaN, says "not there" (JSON itself has no NaN: a row that holds the token
does not decode). Nested objects become nested types, everything else is taken as it is. A row that holds a key the
shape does not know, or text where a number belongs, does not decode either.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from runwised.formats.jsonl_rows import element, is_number
from runwised.formats.record import Floats

WIDEST = 1024
"""Fields above which no shape is made."""

Tree: TypeAlias = dict[str, "Tree | Literal['number', 'plain']"]

_NAMEABLE = re.compile(r'[^"\\\x00-\x1f]*')


class _Layout(NamedTuple):
    """Where the fields of one object's type go."""

    type: Any
    numbers: slice
    """Its numbers' rows in the matrix."""
    width: int
    """Fields of all kinds."""
    apart: tuple[tuple[int, str | _Layout], ...]
    """Fields that are no numbers, the last first: their place, and the escaped key or what is within."""


class Shape:
    """One learned shape. Build with `learn`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.numbers: list[str] = []
        """Escaped keys of the numeric fields, in the order of the rows of the matrix that `take` gives."""
        self.plains: list[str] = []
        """Escaped keys of the fields of plain values."""
        self._layout = self._define(tree, "")
        self.decoder = msgspec.json.Decoder(self._layout.type)
        """Of one row, or with `decode_lines` of many. Raises ValueError when a row is not of this shape."""
        self.place = {key: number for number, key in enumerate(self.numbers)}

    def learn(self, rows: Sequence[Mapping[str, Any]]) -> Shape | None:
        """The shape that these rows fit too: this one if they do; None when it would be too wide."""
        tree = _merged(self._tree, rows)
        if tree == self._tree:
            return self
        return Shape(tree) if _width(tree) <= WIDEST else None

    def take(self, rows: Sequence[Any]) -> tuple[Floats, dict[str, list[Any]]]:
        """What decoded rows hold: the numbers, shape (numbers, rows), and the plain values by escaped key.

        Where there is none: NaN, `msgspec.UNSET`.
        """
        matrix = np.empty((len(self.numbers), len(rows)))
        plains: dict[str, list[Any]] = {}
        _take(self._layout, rows, matrix, plains)
        return matrix, plains

    def _define(self, tree: Tree, prefix: str) -> _Layout:
        names = [prefix + element(key) for key in tree]
        first = len(self.numbers)
        self.numbers += [name for name, kind in zip(names, tree.values(), strict=True) if kind == "number"]
        stop = len(self.numbers)
        fields: list[tuple[str, Any, Any]] = []
        apart: list[tuple[int, str | _Layout]] = []
        for number, (name, kind) in enumerate(zip(names, tree.values(), strict=True)):
            field = f"f{number}"
            if isinstance(kind, dict):
                inner = self._define(kind, name + ".")
                fields.append((field, inner.type, inner.type()))
                apart.append((number, inner))
            elif kind == "number":
                fields.append((field, float, math.nan))
            else:
                fields.append((field, Any, msgspec.UNSET))
                self.plains.append(name)
                apart.append((number, name))
        rename = {f"f{number}": key for number, key in enumerate(tree)}
        row = msgspec.defstruct("Row", fields, rename=rename, frozen=True, gc=False, forbid_unknown_fields=True)
        return _Layout(row, slice(first, stop), len(fields), tuple(reversed(apart)))


def _take(layout: _Layout, rows: Sequence[Any], matrix: Floats, plains: dict[str, list[Any]]) -> None:
    values = list(chain.from_iterable(map(msgspec.structs.astuple, rows)))
    width = layout.width
    for place, inner in layout.apart:
        column = values[place::width]
        del values[place::width]
        width -= 1
        if isinstance(inner, str):
            plains[inner] = column
        else:
            _take(inner, column, matrix, plains)
    if width:
        # struct packs a list of floats faster than numpy reads one
        packed = np.frombuffer(struct.pack(f"{len(values)}d", *values))
        matrix[layout.numbers] = packed.reshape(len(rows), width).T


def _merged(tree: Tree, rows: Sequence[Mapping[str, Any]]) -> Tree:
    merged = {key: _copied(kind) for key, kind in tree.items()}
    for row in rows:
        _merge(merged, row)
    return merged


def _copied(kind: Tree | Literal["number", "plain"]) -> Tree | Literal["number", "plain"]:
    return {key: _copied(inner) for key, inner in kind.items()} if isinstance(kind, dict) else kind


def _merge(tree: Tree, row: Mapping[str, Any]) -> None:
    for key, value in row.items():
        known = tree.get(key)
        if is_number(value):
            kind: Tree | Literal["number", "plain"] = "number"
        elif type(value) is dict and "_type" not in value:
            kind = known if isinstance(known, dict) else {}
            _merge(kind, value)
        else:
            kind = "plain"
        if known is None and _NAMEABLE.fullmatch(key):
            tree[key] = kind
        elif known is not None and known != kind:
            tree[key] = "plain"


def _width(tree: Tree) -> int:
    return sum(_width(kind) if isinstance(kind, dict) else 1 for kind in tree.values()) + 1


NO_SHAPE = Shape({})
"""What is known before any row."""
