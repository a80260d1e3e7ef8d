"""The table of `tests/README.md`: every row of the fault matrix stands there once, and the tests it names are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROWS = {"A": 31, "B": 24, "C": 13, "D": 23, "E": 23, "F": 22, "G": 11}
"""How many rows each section of the matrix has: sources, folders, watching, disk, life, socket, text."""
TABLE = dict(
    re.findall(r"^\| ([A-G]\d\d) \| (.+) \|$", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
)


@cache
def functions_in(path: Path) -> frozenset[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_row_of_the_matrix_stands_in_the_table_once() -> None:
    listed = re.findall(r"^\| ([A-G]\d\d) \|", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [f"{section}{number:02}" for section, count in ROWS.items() for number in range(1, count + 1)]
    assert len(listed) == 147


@pytest.mark.parametrize("row", TABLE)
def test_a_row_names_tests_that_there_are_or_says_why_not(row: str) -> None:
    if TABLE[row].startswith(("not yet: ", "not applicable: ")):
        return
    named = re.findall(r"`([^`]+)::([^`]+)`", TABLE[row])
    assert named
    assert [(file, name) for file, name in named if name not in functions_in(TESTS / file)] == []


@pytest.mark.parametrize("path", sorted(TESTS.glob("faults/test_*.py")), ids=lambda path: path.stem)
def test_a_test_that_bears_a_rows_name_stands_in_that_row(path: Path) -> None:
    bearing = [name for name in functions_in(path) if re.match(r"test_[a-g]\d\d_", name)]
    assert [name for name in bearing if name not in TABLE[name[5:8].upper()]] == []
