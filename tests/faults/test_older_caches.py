"""Section D of the fault matrix: what older code left in the cache."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from runwised.catalog.manifest import Manifest
from runwised.catalog.store import SidecarFile
from runwised.catalog.warm import GENERATION, stamp_of
from runwised.index.header import VERSION
from runwised.index.sidecar import Sidecar, SidecarVersion
from tests.faults.conftest import Cold, MakeService
from tests.faults.logs import WANDB
from tests.faults.sidecars import restarted, saved

KEPT = Path(__file__).parents[1] / "fixtures" / "sidecars"
SIDECARS = sorted(path.name for path in KEPT.glob("*.rwx"))


def opened(path: Path) -> int:
    """The generation of a sidecar that this code reads. Raises SidecarVersion and SidecarDamaged."""
    file = SidecarFile(str(path))
    return stamp_of(Sidecar(file.read_at, file.size)).generation


@pytest.mark.parametrize("name", SIDECARS)
def test_d07_an_older_sidecar_is_refused_for_its_age(name: str) -> None:
    kind, number = re.findall(r"(\w+)-(\d+)", name)[0]
    if kind == "version":
        with pytest.raises(SidecarVersion, match=f"version {number}, this program writes {VERSION}") as refused:
            opened(KEPT / name)
        assert not refused.value.newer
    else:
        with pytest.raises(SidecarVersion, match=f"version 2, this program writes {VERSION}") as refused:
            opened(KEPT / name)
        assert not refused.value.newer


def test_d07_an_older_manifest_knows_no_run() -> None:
    assert list(Manifest(str(KEPT / "generation-3.rwm")).load()) == []


@pytest.mark.parametrize("name", SIDECARS)
def test_d07_what_older_code_left_is_made_anew_from_the_logs(
    new_service: MakeService, project: Path, cold: Cold, name: str
) -> None:
    shutil.copytree(WANDB, project / "wandb", symlinks=True)
    cache = saved(new_service, project)
    (sidecar,), (manifest,) = cache.rglob("*.rwx"), cache.rglob("*.rwm")
    shutil.copyfile(KEPT / name, sidecar)
    shutil.copyfile(KEPT / "generation-3.rwm", manifest)
    service = restarted(new_service, cache)
    assert service.said(project) == cold(project)
    assert service.status()["engine"]["restored"] == 0
    assert service.stop() == 0
    made = service.cache / sidecar.relative_to(cache)
    assert opened(made) == GENERATION
    assert list(Manifest(str(service.cache / manifest.relative_to(cache))).load()) != []
