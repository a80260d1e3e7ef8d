"""Runs that rest: what is known of them stays what it is, and nobody wakes them for nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio

PROSE = "the server listens on port 8080 and waits for clients\n" * 200


async def test_mere_text_is_not_read_again_for_every_question(tmp_path: Path, ask: Any) -> None:
    logs = tmp_path / "proj/logs"
    logs.mkdir(parents=True)
    for number in range(5):
        (logs / f"build-{number}.log").write_text(PROSE)
        os.utime(logs / f"build-{number}.log", (1e9, 1e9))
    (logs / "train.log").write_text(PROSE + "step 1 | loss 2.5\n")
    os.utime(logs / "train.log", (1e9, 1e9))
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    catalog = Catalog(tmp_path / "cache")
    first = await catalog.view(str(tmp_path / "proj"), {})
    assert len(first.runs) == 1 < len(first.holdings.runs)
    catalog._growth.awake.tidy(unasked=0)
    second = await catalog.view(str(tmp_path / "proj"), {})
    assert second.runs == first.runs
    assert [run.slot._sidecar for run in second.holdings.runs] == [None] * len(second.holdings.runs)
    with (logs / "build-0.log").open("a") as file:
        file.write("step 1 | loss 2.5\n")
    os.utime(logs / "build-0.log", (1e9 + 1, 1e9 + 1))
    assert len((await ask(catalog, tmp_path / "proj")).runs) == 2


async def test_a_log_beside_which_another_one_comes_no_more_owns_what_lies_there(tmp_path: Path, ask: Any) -> None:
    folder = tmp_path / "proj/logs/one"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"lr": 0.5}')
    lines = "".join(f'{{"step": {n}, "loss": {n}.5}}\n' for n in range(20))
    (folder / "metrics.jsonl").write_text(lines)
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, tmp_path / "proj")).runs
    assert run.config == {"lr": 0.5}
    (folder / "other.jsonl").write_text(lines)
    said = {run.id: run.config for run in (await ask(catalog, tmp_path / "proj")).runs}
    cold = {run.id: run.config for run in (await ask(Catalog(tmp_path / "cold"), tmp_path / "proj")).runs}
    assert said == cold
