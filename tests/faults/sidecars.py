"""Projects, and the sidecars of daemons that indexed them."""

from __future__ import annotations

import shutil
from pathlib import Path

from runwised.catalog.pruning import MARKER
from tests.faults.conftest import MakeService
from tests.faults.service import Service, rows


def runs(project: Path, count: int, length: int = 20) -> list[Path]:
    paths = [project / "logs" / f"r{number}.jsonl" for number in range(count)]
    for path in paths:
        path.write_bytes(rows(0, length))
    return paths


def sidecar_of(cache: Path, log: Path) -> Path:
    (found,) = cache.rglob(f"{log.stem}-*.rwx")
    return found


def saved(make: MakeService, project: Path) -> Path:
    """The cache of a daemon that has indexed the project and ended."""
    service = make().start()
    service.said(project)
    assert service.stop() == 0
    return service.cache


def restarted(make: MakeService, cache: Path) -> Service:
    """A daemon that finds a copy of a cache."""
    service = make()
    shutil.copytree(cache, service.cache, symlinks=True)
    return service.start()


def strays(cache: Path) -> list[Path]:
    return [
        path
        for path in cache.rglob("*")
        if path.is_file() and path.suffix not in (".rwx", ".rwn", ".rwm") and path.name != MARKER
    ]
