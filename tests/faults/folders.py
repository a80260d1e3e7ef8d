"""Projects with runs in folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.faults.service import Said, rows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"


def make_run(folder: Path, count: int = 5, key: str = "loss") -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_bytes(rows(0, count, key))


def make_wandb(project: Path, name: str = "0.31.0-finished") -> Path:
    """A copy of a real run, in the project's own W&B folder."""
    shutil.copytree(FIXTURES / name / "wandb", project / "wandb", symlinks=True, dirs_exist_ok=True)
    return next((project / "wandb").glob("*run-*/*.wandb"))


def ids(said: list[Said]) -> list[str]:
    return [run.listed[0] for run in said]
