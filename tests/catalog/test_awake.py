"""What runs at rest hold: within a bound, given back on the daemon's own thread, and nothing lost with it."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runwised.catalog.awake import MOST_BYTES
from runwised.catalog.catalog import Catalog
from runwised.queries.at_step import last_at
from runwised.queries.glance import shape_of, stats_of
from tests.bench.live_writer import Training

pytestmark = pytest.mark.anyio


@pytest.fixture
def live_project(tmp_path: Path) -> Iterator[Path]:
    """A project of three runs that go on."""
    trainings = [Training(tmp_path / "proj/wandb", f"r{number}", rows=50) for number in range(3)]
    yield tmp_path / "proj"
    for training in trainings:
        training.finish()


class Heavy:
    """Somebody who holds all that may be held, and notes on which thread it gave that back."""

    weight = MOST_BYTES
    asked_at = 0.0

    def __init__(self) -> None:
        self.rested_on: list[int] = []

    def rest(self) -> None:
        self.rested_on.append(threading.get_ident())


async def test_a_sidecar_found_on_a_thread_has_nobody_give_something_back_there(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path
) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, log.parents[2])
    await catalog.close()
    (manifest,) = (tmp_path / "cache").rglob("*.rwm")
    manifest.unlink()
    catalog, heavy = Catalog(tmp_path / "cache"), Heavy()
    catalog._growth.awake.woke(heavy)
    await ask(catalog, log.parents[2])
    assert catalog.status()["restored"] == 1
    assert heavy.rested_on == [threading.get_ident()]


async def test_what_is_read_of_many_runs_is_given_back_while_others_are_read(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fixture in ("0.31.0-finished", "0.28.2-failed", "0.19.11-finished", "0.21.4-resumed"):
        add_run(fixture)
    catalog = Catalog(tmp_path / "cache")
    await ask(catalog, tmp_path / "proj")
    await catalog.close()
    catalog = Catalog(tmp_path / "cache")
    runs = (await catalog.view(str(tmp_path / "proj"), {})).runs
    most = 0
    for run in runs:
        for name in run.history.names:
            run.history.series(name)
        most = max(most, run.slot.weight)
    catalog._growth.awake.tidy(unasked=0)
    monkeypatch.setattr("runwised.catalog.awake.MOST_BYTES", most)
    for _ in range(2):
        for run in runs:
            for name in run.history.names:
                run.history.series(name)
            assert sum(each.slot.weight for each in runs if each.slot._sidecar is not None) <= most


async def test_what_is_kept_while_an_older_note_is_being_saved_is_saved_next(
    add_run: Callable[..., Path], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = add_run("0.31.0-finished")
    catalog = Catalog(tmp_path / "cache")
    (run,) = (await ask(catalog, log.parents[2])).runs
    await catalog._saving.tidy([run], at_once=True)
    run.memory.note = b"first"
    real = os.rename

    def meanwhile(*paths: str) -> None:
        monkeypatch.setattr(os, "rename", real)
        run.memory.note = b"second"
        real(*paths)

    monkeypatch.setattr(os, "rename", meanwhile)
    await catalog._saving.tidy([run])
    assert Path(run.memory.path).read_bytes() == b"first"
    await catalog._saving.tidy([run])
    catalog._growth.awake.tidy(unasked=0)
    assert run.memory.note == Path(run.memory.path).read_bytes() == b"second"


async def test_what_answers_keep_of_live_runs_counts_and_is_given_back(
    live_project: Path, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path / "cache")
    runs = (await ask(catalog, live_project)).runs
    awake = catalog._growth.awake
    for run in runs:
        run.memory.folds["curve"] = (np.zeros(100_000), ("said", 0.5))
    before = [run.slot.weight for run in runs]
    assert min(before) > 800_000
    monkeypatch.setattr("runwised.catalog.awake.MOST_BYTES", sum(before) - 1)
    awake.tidy()
    assert sum(run.slot.weight for run in runs) < sum(before) - 800_000
    assert [run.slot.warm is not None for run in runs] == [True] * len(runs)
    for run in runs:
        run.memory.folds["curve"] = (np.zeros(100_000),)
    monkeypatch.setattr("runwised.catalog.awake.MOST_BYTES", 900_000)
    for run in runs:
        run.memory.folds["curve"] = (np.zeros(100_000),)
    awake.tidy()
    assert sum(run.slot.weight for run in runs) <= 900_000


async def test_a_run_that_kept_much_since_it_woke_is_weighed_when_the_next_one_wakes(
    live_project: Path, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path / "cache")
    runs = (await ask(catalog, live_project)).runs
    catalog._growth.awake.tidy(unasked=0)
    monkeypatch.setattr("runwised.catalog.awake.MOST_BYTES", 900_000)
    for run in runs:
        run.memory.folds["curve"] = (np.zeros(100_000),)
        assert sum(each.slot.weight for each in runs) < 1_800_000


async def test_trends_that_were_shown_leave_memory_with_their_runs(
    live_project: Path, ask: Any, tmp_path: Path
) -> None:
    catalog = Catalog(tmp_path / "cache")
    (run, *_) = (await ask(catalog, live_project)).runs
    found = stats_of(run, "loss")
    assert found is not None
    shape, moment = shape_of(run, "loss", found), last_at(run, "loss", found, found.last_step - 1)
    held = weakref.ref(run.memory.folds["short"].values)
    assert shape_of(run, "loss", found) is shape
    assert moment.step == found.last_step - 1
    catalog._growth.awake.tidy(unasked=0)
    gc.collect()
    assert held() is None
    assert run.slot.weight < 3000
    assert shape_of(run, "loss", found) == shape
