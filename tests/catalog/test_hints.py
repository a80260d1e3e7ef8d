"""What a project's settings say of its logs: the key of the steps, and how lines of a console look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "proj/logs"
    folder.mkdir(parents=True)
    rows = [{"step": at, "tokens": at * 512, "loss": 1 / (at + 1)} for at in range(5)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "b.log").write_text("step 1 | loss 2.5\n<7> L~1.25!\n<9> L~0.5!\n")
    return tmp_path / "proj"


def said(run: Any) -> dict[str, list[tuple[int, float]]]:
    table = run.history
    return {
        name: list(zip(table.series(name).steps.tolist(), table.series(name).values.tolist(), strict=True))
        for name in table.names
    }


async def test_the_step_key_of_the_schema_wins_also_over_what_was_indexed_before(project: Path, ask: Any) -> None:
    catalog = Catalog(project.parent / "cache")
    runs = {run.id: run for run in (await ask(catalog, project)).runs}
    assert [step for step, _ in said(runs["a"])["loss"]] == [0, 1, 2, 3, 4]
    (project / "runwise.json").write_text('{"schema": {"step_key": "tokens"}}')
    runs = {run.id: run for run in (await ask(catalog, project)).runs}
    assert [step for step, _ in said(runs["a"])["loss"]] == [0, 512, 1024, 1536, 2048]
    assert said(runs["a"])["step"][1] == (512, 1.0)
    await catalog.close()
    (project / "runwise.json").unlink()
    again = Catalog(project.parent / "cache")
    runs = {run.id: run for run in (await ask(again, project)).runs}
    assert [step for step, _ in said(runs["a"])["loss"]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("in_a_file", [False, True])
async def test_lines_that_fit_a_template_are_rows(project: Path, ask: Any, in_a_file: bool) -> None:
    catalog = Catalog(None)
    runs = {run.id: run for run in (await ask(catalog, project)).runs}
    assert said(runs["b"]) == {"loss": [(1, 2.5)]}
    template = "<{step}> L~{loss}!"
    if in_a_file:
        (project / "lines.txt").write_text(f"# how it prints\n{template}\n")
    (project / "runwise.json").write_text(json.dumps({"log_templates": "lines.txt" if in_a_file else [template]}))
    runs = {run.id: run for run in (await ask(catalog, project)).runs}
    assert said(runs["b"]) == {"loss": [(1, 2.5), (7, 1.25), (9, 0.5)]}
