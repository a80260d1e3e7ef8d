"""Copies of databases go away with the catalog that made them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.stores import close_stores

pytestmark = pytest.mark.anyio

TRACKIO = Path(__file__).parents[1] / "fixtures/logs/trackio_live/trackio"


async def test_a_catalog_that_is_closed_leaves_no_copy_of_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Any
) -> None:
    close_stores()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    shutil.copytree(TRACKIO, tmp_path / "proj/logs/trackio")
    beside = sorted((tmp_path / "proj/logs/trackio").iterdir())
    catalog = Catalog(None)
    runs = (await ask(catalog, tmp_path / "proj")).runs
    assert {run.name for run in runs} == {"alpha", "beta"}
    copies = [path for path in scratch.rglob("*") if path.is_file()]
    assert copies
    await catalog.close()
    assert [path for path in scratch.rglob("*") if path.is_file()] == []
    assert sorted((tmp_path / "proj/logs/trackio").iterdir()) == beside
