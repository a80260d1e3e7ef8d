"""A project's cursor stands for what all its runs are like when it is given."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import LEDGER, Catalog

pytestmark = pytest.mark.anyio


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "proj/logs"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.jsonl").write_text("".join(f'{{"step": {n}, "loss": 1.5}}\n' for n in range(20)))
    return folder


async def test_a_cursor_stays_the_same_until_a_run_changes(logs: Path, tmp_path: Path, ask: Any) -> None:
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    first = project.cursor()
    project = await ask(catalog, tmp_path / "proj")
    assert project.cursor() == first
    with (logs / "b.jsonl").open("a") as file:
        file.write('{"step": 20, "loss": 1.5}\n')
    project = await ask(catalog, tmp_path / "proj")
    second = project.cursor()
    assert second != first
    then, now = project.past(first).marks, project.past(second).marks
    assert sorted(then) == sorted(now) == ["a", "b", "c"]
    assert [name for name in "abc" if then[name] != now[name]] == ["b"]
    assert (then["b"].records, now["b"].records) == (20, 21)
    await catalog.close()


async def test_a_run_that_is_gone_is_gone_from_the_cursor(logs: Path, tmp_path: Path, ask: Any) -> None:
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    first = project.cursor()
    (logs / "b.jsonl").unlink()
    project.holdings._swept_at = -1000.0
    project = await ask(catalog, tmp_path / "proj")
    assert sorted(project.past(project.cursor()).marks) == ["a", "c"]
    assert sorted(project.past(first).marks) == ["a", "b", "c"]
    await catalog.close()


async def test_a_restart_makes_no_news_and_a_run_removed_meanwhile_is_gone(
    logs: Path, tmp_path: Path, ask: Any
) -> None:
    state = tmp_path / "state"
    catalog = Catalog(None, state)
    first = (await ask(catalog, tmp_path / "proj")).cursor()
    await catalog.close()
    catalog = Catalog(None, state)
    assert (await ask(catalog, tmp_path / "proj")).cursor() == first
    await catalog.close()
    (logs / "b.jsonl").unlink()
    catalog = Catalog(None, state)
    project = await ask(catalog, tmp_path / "proj")
    assert sorted(project.past(project.cursor()).marks) == ["a", "c"]
    assert sorted(project.past(first).marks) == ["a", "b", "c"]
    await catalog.close()
    assert (state / LEDGER).stat().st_size < 2000


async def test_a_run_that_goes_by_another_name_because_of_a_copy_is_in_the_cursor_by_that(
    add_run: Callable[..., Path], tmp_path: Path, ask: Any
) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(None)
    project = await ask(catalog, tmp_path / "proj")
    assert sorted(project.past(project.cursor()).marks) == [project.runs[0].id] == ["fxb2c515"]
    shutil.copytree(log.parent, log.parent.with_name("offline-run-20261123_140348-fxb2c515"))
    project = await ask(catalog, tmp_path / "proj")
    ids = sorted(run.id for run in project.runs)
    assert len(ids) == 2
    assert "fxb2c515" not in ids
    assert sorted(project.past(project.cursor()).marks) == ids
    await catalog.close()


async def test_names_that_are_no_utf8_do_no_harm(logs: Path, tmp_path: Path, ask: Any) -> None:
    named = tmp_path / os.fsdecode(b"proj\xff")
    logs.parent.rename(named)
    (named / "logs/a.jsonl").rename(named / "logs" / os.fsdecode(b"a\x80.jsonl"))
    catalog = Catalog(None, tmp_path / "state")
    project = await ask(catalog, named)
    assert sorted(project.past(project.cursor()).marks) == sorted(run.id for run in project.runs)
    await catalog.close()


async def test_a_named_file_has_a_cursor_of_its_own(logs: Path, tmp_path: Path) -> None:
    (logs / "prose.log").write_text("the server listens on port 8080 and waits for clients\n" * 200)
    os.utime(logs / "prose.log", (1.7e9, 1.7e9))
    catalog = Catalog(None)
    project = await catalog.view_of(str(logs / "prose.log"), str(tmp_path))
    project = await catalog.indexed(project, [run.id for run in project.runs])
    cursor = project.cursor()
    assert [run.id for run in project.runs] == list(project.past(cursor).marks) == ["prose"]
    whole = await catalog.view(str(tmp_path / "proj"), {})
    assert whole.past(cursor).marks is None
    assert "prose" not in whole.past(whole.cursor()).marks
    await catalog.close()
