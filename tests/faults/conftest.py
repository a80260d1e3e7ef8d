"""Daemons that faults are injected into, and the oracle: one that never saw the files before, with an empty cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.service import Said, Service, rows

MakeService = Callable[..., Service]
Cold = Callable[..., list[Said]]
"""See `cold`."""


@pytest.fixture
def new_service(short_path: Path) -> Iterator[MakeService]:
    """Make daemons with folders of their own; all are ended afterwards."""
    services: list[Service] = []

    def make(prefix: Sequence[str] = (), env: Mapping[str, str] | None = None, home: Path | None = None) -> Service:
        folder = home or Path(tempfile.mkdtemp(dir=short_path))
        services.append(Service(folder, prefix, env))
        return services[-1]

    yield make
    for service in services:
        service.kill()
        print(service.log())  # shown where the test has failed


@pytest.fixture
def service(new_service: MakeService) -> Service:
    """A daemon that runs."""
    return new_service().start()


@pytest.fixture
def cold(new_service: MakeService) -> Callable[..., list[Said]]:
    """What a daemon says that never saw the project, and has an empty cache."""

    def ask(cwd: Path | str, prefix: Sequence[str] = ()) -> list[Said]:
        fresh = new_service(prefix).start()
        try:
            return fresh.said(cwd)
        finally:
            fresh.kill()

    return ask


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an empty folder for logs."""
    (tmp_path / "project" / "logs").mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def log(project: Path) -> Path:
    """A log of ten rows in it."""
    path = project / "logs" / "run.jsonl"
    path.write_bytes(rows(0, 10))
    return path
