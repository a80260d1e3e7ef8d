"""Holds the table "Who may import whom" of runwised/README.md, read from that page."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "runwised" / "README.md").read_text(encoding="utf-8")
PACKAGES = ("runwised", "runwise_cli", "runwise_mcp", "runwise_protocol")


class Layer(NamedTuple):
    """One row of the table: what modules under `name` may import beside themselves; `late`: inside functions only."""

    name: str
    project: tuple[str, ...]
    third_party: frozenset[str]
    pure: bool
    late_project: tuple[str, ...] = ()
    late_third_party: frozenset[str] = frozenset()

    def allows(self, name: str, late: bool) -> bool:
        """Whether a module of this layer may import `name`."""
        top = name.partition(".")[0]
        if top in PACKAGES:
            allowed = (self.name, *self.project, *(self.late_project if late else ()))
            return any(below(name, each) or below(each, name) for each in allowed)
        if top in sys.stdlib_module_names:
            return not (self.pure and top in IMPURE)
        return top in self.third_party or (late and top in self.late_third_party)


def quoted(cell: str) -> list[str]:
    """Names between backticks, written out: ``.paths`` stands beside the name before it, ``index`` in `runwised`."""
    names: list[str] = []
    for word in re.findall(r"`([\w.]+)`", cell):
        if word.startswith("."):
            names.append(names[-1].rpartition(".")[0] + word)
        else:
            names.append(word if word.split(".")[0] in PACKAGES else f"runwised.{word}")
    return names


def packages(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", cell)) - {"none"}


def layers() -> Iterator[Layer]:
    table = PAGE.partition("## Who may import whom")[2].partition("\n## ")[0]
    for line in table.splitlines():
        if not line.startswith("| ") or line.startswith("| code "):
            continue
        code, project, third_party = (cell.strip() for cell in line.strip("|").split("|"))
        project, _, late_project = project.partition("(late: ")
        third_party, _, late = third_party.partition("(late: ")
        imported = (tuple(quoted(project)), packages(third_party), "(pure)" in code)
        for name in quoted(code):
            yield Layer(name, *imported, tuple(quoted(late_project)), packages(late))


LAYERS = tuple(layers())
IMPURE = set(re.findall(r"`(\w+)`", PAGE.partition("Pure layers import no ")[2].partition(";")[0]))


def modules() -> dict[str, Path]:
    found = {}
    for base in (ROOT, ROOT / "protocol"):
        for package in PACKAGES:
            for path in (base / package).rglob("*.py"):
                parts = path.relative_to(base).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)] = path
    return found


MODULES = modules()


def below(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def layer_of(module: str) -> Layer | None:
    """The row with the longest name that the module falls under."""
    fitting = [layer for layer in LAYERS if below(module, layer.name)]
    return max(fitting, key=lambda layer: len(layer.name), default=None)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module a file imports, and whether inside a function; of ``from a import b`` a.b where that is a module."""
    tree = ast.parse(path.read_bytes())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {inner for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in inner if name in MODULES] or [node.module or ""]
            yield from ((name, node in late) for name in names)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_row_of_the_table_allows(module: str) -> None:
    layer = layer_of(module)
    assert layer is not None, f"{module} stands in no row of the table"
    assert [name for name, late in imports(MODULES[module]) if not layer.allows(name, late)] == []


def test_the_table_was_read_from_the_page() -> None:
    assert len(LAYERS) >= 14
    assert {"os", "socket", "time", "subprocess"} <= IMPURE
    expected = ("runwised.formats.record", "runwised.index")
    assert layer_of("runwised.index.view") == Layer("runwised.index", expected, frozenset({"msgspec", "numpy"}), True)


def test_what_a_row_does_not_name_is_refused() -> None:
    formats, lane = layer_of("runwised.formats.blocklog"), layer_of("runwise_cli.__main__")
    assert formats is not None
    assert lane is not None
    assert formats.allows("numpy", late=False)
    for name in ("os", "anyio", "runwised.index.view", "runwise_protocol.query"):
        assert not formats.allows(name, late=True)
    assert lane.allows("runwise_cli.app", late=True)
    assert not lane.allows("runwise_cli.app", late=False)


def test_every_row_of_the_table_speaks_of_code_that_is_there() -> None:
    assert [layer.name for layer in LAYERS if not any(below(module, layer.name) for module in MODULES)] == []
