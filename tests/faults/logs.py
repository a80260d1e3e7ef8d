"""Logs, and what is appended to them."""

from __future__ import annotations

from pathlib import Path

from tests.faults.service import Said

WANDB = Path(__file__).parents[1] / "fixtures" / "wandb" / "0.31.0-finished" / "wandb"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def counts(said: list[Said]) -> list[int]:
    return [run.listed[3] for run in said]
