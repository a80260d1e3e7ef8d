"""What a format needs to be found, probed, indexed and read back: its line in the registry, and nothing else."""

# ruff: noqa: ARG002 - methods take what the protocol says

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runwised import formats
from runwised.catalog.catalog import Catalog
from runwised.formats.record import NO_HINTS, Batch, Column, Hints, Identity, Probe, Resume, Row, Rows, Text

pytestmark = pytest.mark.anyio


class StepsReader:
    """Lines of ``step loss``."""

    def __init__(self, resume: Resume | None) -> None:
        self._offset = resume.offset if resume else 0
        self._held = b""

    @property
    def resume(self) -> Resume:
        return Resume(self._offset)

    def feed(self, data: bytes) -> Iterable[Batch]:
        *lines, self._held = (self._held + bytes(data)).split(b"\n")
        for line in lines:
            step, loss = line.split()
            at, self._offset = self._offset, self._offset + len(line) + 1
            ones = np.array([at]), np.array([int(step)]), np.array([1000.0 + int(step)])
            yield Rows("history", *ones, (Column("loss", None, np.array([float(loss)])),))

    def close(self) -> Iterable[Batch]:
        return ()


class Steps:
    name = "steps"
    rewritten = console = together = tells_end = False

    def matches(self, filename: str, head: bytes) -> bool:
        return filename.endswith(".steps") and head.strip() != b""

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> StepsReader:
        return StepsReader(resume)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        return Probe(Identity(), {}, {}, {}, int(tail.split(b"\n")[-2].split()[0]), None, None, header=True)

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:
        line, newline, _ = data.partition(b"\n")
        return Row(int(line.split()[0]), 0.0, {"loss": float(line.split()[1])}) if newline else None

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:
        raise ValueError("no console")


class Broken(Steps):
    """A reader with a fault of its own."""

    name = "broken"

    def matches(self, filename: str, head: bytes) -> bool:
        return filename.endswith(".broken")

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> StepsReader:
        raise RuntimeError("a fault")

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:
        raise RuntimeError("a fault")


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    every = (*formats.all_formats(), Steps(), Broken())
    monkeypatch.setattr(formats, "all_formats", lambda: every)
    folder = tmp_path / "proj/logs/sweep"
    folder.mkdir(parents=True)
    return folder


async def test_a_log_of_a_new_format_is_a_run(logs: Path, ask: Any) -> None:
    (logs / "trial.steps").write_text("0 2.5\n1 1.5\n")
    (run,) = (await ask(Catalog(None), logs.parents[1])).runs
    assert (run.id, run.project, run.step, run.created) == ("sweep/trial", "sweep", 1, 1000.0)
    assert run.history.stats("loss").min == 1.5
    assert [row.values for _, row in run.rows(0, 2)] == [{"loss": 2.5}, {"loss": 1.5}]
    assert run.sources[0][:2] == ("logs/sweep/trial.steps", "steps")


async def test_its_growth_is_followed_and_a_line_without_its_end_waits(logs: Path, ask: Any) -> None:
    log = logs / "trial.steps"
    log.write_text("0 2.5\n1 1.")
    catalog = Catalog(None)
    (run,) = (await ask(catalog, logs.parents[1])).runs
    assert (run.step, run.history.row_count) == (0, 1)
    with log.open("a") as file:
        file.write("25\n2 1.0\n")
    (run,) = (await ask(catalog, logs.parents[1])).runs
    assert run.history.series("loss").values.tolist() == [2.5, 1.25, 1.0]


async def test_a_fault_in_one_reader_is_noted_and_does_not_touch_other_runs(logs: Path, ask: Any) -> None:
    (logs.parent / "bad.broken").write_text("x")
    (logs / "good.steps").write_text("0 2.5\n")
    project = await ask(Catalog(None), logs.parents[1])
    assert [run.id for run in project.runs if run.indexed] == ["sweep/good"]
    assert project.notes == (f"{logs.parent}/bad.broken: cannot be indexed: RuntimeError('a fault')",)
    assert project.unindexed == 0
