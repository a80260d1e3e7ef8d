"""What runs at rest hold: within a bound, given back on the daemon's own thread, and nothing lost with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.awake import MOST_BYTES
from runwised.catalog.catalog import Catalog

pytestmark = pytest.mark.anyio


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
