"""Looking for the logs of 5000 TensorBoard runs, first and again, against TensorBoard's own search of its folder."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from runwised.catalog.loose import LooseLogs
from runwised.formats import choose
from tests.bench.harness import Report, calls

RUNS = 5000


def run(report: Report) -> None:
    """Make a tree of runs with what usually lies beside their logs, and look at it."""
    from tensorboard.backend.event_processing.io_wrapper import GetLogdirSubdirectories

    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder))
        theirs = calls(lambda: list(GetLogdirSubdirectories(folder))).cpu
        first = calls(lambda: _look(folder)).cpu
        report.row(f"{RUNS} runs, first look / TensorBoard's search, s", first, theirs, first / theirs, "<= 3")
        logs = _look(folder)
        for what, deep, target in (("deep", True, "<= 1"), ("shallow", False, "<= 0.3")):
            again = calls(lambda deep=deep: logs.look(deep=deep)).cpu  # type: ignore[misc]
            report.row(f"nothing changed, {what} look / the same, s", again, theirs, again / theirs, target)


def _look(folder: str) -> LooseLogs:
    logs = LooseLogs([folder], lambda name, head: form.name if (form := choose(name, head)) else "")
    logs.look()
    assert len({source.run_id for source in logs.sources}) == RUNS
    return logs


def _fill(root: Path) -> None:
    for number in range(RUNS):
        folder = root / f"sweep{number // 100}" / f"trial{number}"
        folder.mkdir(parents=True)
        for name in (f"events.out.tfevents.{1_700_000_000 + number}.host.1.0", "config.yaml", "model.pt"):
            (folder / name).touch()
        if number % 5 == 0:
            (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
        if number % 5 == 1:
            (folder / "notes.txt").write_text("prose")
    for path in (root, *root.rglob("*")):
        os.utime(path, (time.time() - 60,) * 2)
