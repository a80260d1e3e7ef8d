from pathlib import Path

import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.demo import prepare as prepare_demo


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("*")}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_demonstration_is_copied_once_and_used_again(tmp_path: Path) -> None:
    root = prepare_demo(tmp_path / "cache")
    before = stamps(root)
    assert prepare_demo(tmp_path / "cache") == root
    assert stamps(root) == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["demo"]


@pytest.mark.parametrize("harm", ["changed", "removed", "added"])
def test_a_copy_that_was_tampered_with_is_made_anew(harm: str, tmp_path: Path) -> None:
    root = prepare_demo(tmp_path / "cache")
    whole = contents(root)
    log = next(root.rglob("*.wandb"))
    if harm == "changed":
        log.write_bytes(b"x")
    elif harm == "removed":
        log.unlink()
    else:
        log.with_name("more").touch()
    assert contents(prepare_demo(tmp_path / "cache")) == whole
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["demo"]


@pytest.mark.anyio
async def test_the_demonstration_shows_runs_of_several_kinds(tmp_path: Path) -> None:
    project = await Catalog(None).view(str(prepare_demo(tmp_path / "cache")), {})
    states = {run.condition.state for run in project.runs}
    assert {"finished", "failed", "empty"} <= states
    assert "running" not in states
