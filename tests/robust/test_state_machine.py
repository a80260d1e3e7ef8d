"""Whatever happens to logs, sidecars and the daemon, in any order: answers are those of a cold parse of the same bytes.

The oracles are a catalog with an empty cache that sees the files for the first time, and a plain list of the rows that
were written, for logs to which nothing happened that leaves open what is to be served.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from runwised.catalog.catalog import Catalog
from runwised.catalog.run import Run
from runwised.catalog.slot import IndexLostError
from runwised.index.header import PROLOGUE, VERSION
from tests.catalog.loose_logs import COLUMNS, Point, Written
from tests.formats.conftest import LogWriter, field, varint_field
from tests.robust.loose_machine import NAMES, Project, indices, picture, points

RUN_IDS = ("aaa", "bbb")
shares = st.floats(0, 1, exclude_max=True)


class Faults(Project):
    """The project of `tests.robust.loose_machine` with W&B runs, rotation, crashes, and harm done to sidecars."""

    seen: ClassVar[Counter[str]] = Counter()
    """How often it came to what the oracles can tell, over all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: dict[Path, LogWriter] = {}
        self.wild: set[Path] = set()
        """Logs of which the list of rows written does not tell what is served."""
        self.step_key = ""

    @invariant()
    def count(self) -> None:
        self.seen["steps"] += 1

    # W&B's binary logs.

    @rule(run_id=st.sampled_from(RUN_IDS), rows=points, begun=st.booleans())
    def create_wandb_run(self, run_id: str, rows: Any, begun: bool) -> None:
        path = self.root / f"wandb/offline-run-20260101_00000{RUN_IDS.index(run_id)}-{run_id}/run-{run_id}.wandb"
        assume(path not in self.written)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = self.written[path] = Written("wandb", path)
        path.write_bytes(self._begin(log))
        self.wild.discard(path)
        if begun:
            self._append(log, self._points(log, rows))

    @rule(which=indices, code=st.integers(0, 2))
    @precondition(lambda self: self._lines("wandb"))
    def finish_wandb_run(self, which: int, code: int) -> None:
        log = self._line(which, "wandb")
        self._finish(log)
        with log.path.open("ab") as file:
            file.write(self._recorded(log, 18, varint_field(1, code)))

    @rule(which=indices)
    @precondition(lambda self: self._lines("wandb"))
    def remove_wandb_folder(self, which: int) -> None:
        log = self._line(which, "wandb")
        shutil.rmtree(log.path.parent)
        del self.written[log.path]

    # What else happens to logs.

    @rule(which=indices, rows=points)
    @precondition(lambda self: self._lines("jsonl", "text", "csv"))
    def rotate(self, which: int, rows: Any) -> None:
        log = self._line(which, "jsonl", "text", "csv")
        away = log.path.with_name(f"{log.path.name}.1")
        assume(away not in self.written)
        log.path.rename(away)
        fresh = self.written[log.path] = Written(log.kind, log.path)
        self.written[away], log.path = log, away
        self.wild.add(away)
        fresh.step = log.step
        fresh.points = self._points(fresh, rows)
        self._write_anew(fresh, self._begin(fresh) + self._bytes(fresh, fresh.points))

    # What happens to the daemon.

    @rule()
    def save(self) -> None:
        self.loop.run_until_complete(self.catalog.close())

    @rule()
    def crash(self) -> None:
        self.catalog = Catalog(self.cache)

    # What happens to sidecars, whether they are in use or not.

    @rule(which=indices, at=shares, bit=st.integers(0, 7), many=st.sampled_from([1, 1, 16, 64]), asked=st.booleans())
    @precondition(lambda self: self._sidecars())
    def flip_bits_of_a_sidecar(self, which: int, at: float, bit: int, many: int, asked: bool) -> None:
        if asked:
            self.save()
        path = self._sidecar(which)
        data = bytearray(path.read_bytes())
        start = int(at * len(data))
        data[start : start + many] = bytes(byte ^ 1 << bit for byte in data[start : start + many])
        self._harm(path, bytes(data), in_place=bit % 2 == 0)
        if asked:
            self.crash()
            self.compare()

    @rule(which=indices, share=shares, zeros=st.booleans())
    @precondition(lambda self: self._sidecars())
    def cut_a_sidecar(self, which: int, share: float, zeros: bool) -> None:
        path = self._sidecar(which)
        data = path.read_bytes()
        left = data[: int(share * len(data))]
        self._harm(path, left.ljust(len(data), b"\0") if zeros else left, in_place=not zeros)

    @rule(which=indices, older=st.booleans())
    @precondition(lambda self: self._sidecars())
    def have_a_sidecar_of_another_version(self, which: int, older: bool) -> None:
        path = self._sidecar(which)
        data = bytearray(path.read_bytes())
        assume(len(data) >= PROLOGUE.size)
        struct.pack_into("<I", data, 8, VERSION - 1 if older else VERSION + 1)
        struct.pack_into("<I", data, PROLOGUE.size - 4, zlib.crc32(data[: PROLOGUE.size - 4]))
        self._harm(path, bytes(data), in_place=False)

    @rule(one=indices, other=indices)
    @precondition(lambda self: len(self._sidecars()) > 1)
    def swap_sidecars(self, one: int, other: int) -> None:
        first, second = self._sidecar(one), self._sidecar(other)
        assume(first != second)
        data = first.read_bytes(), second.read_bytes()
        self._harm(first, data[1], in_place=False)
        self._harm(second, data[0], in_place=False)

    @rule(which=indices, all_of_it=st.booleans())
    @precondition(lambda self: self._sidecars())
    def remove_a_sidecar(self, which: int, all_of_it: bool) -> None:
        if all_of_it:
            shutil.rmtree(self.cache)
        else:
            self._sidecar(which).unlink()

    # What is held to.

    def told(self, run: Run) -> dict[str, Any]:
        try:
            return picture(run)
        except IndexLostError:
            self.seen["lost"] += 1
            self.catalog.repair(run)
            return picture(self._ask(self.catalog)[run.id])

    @rule()
    def compare(self) -> None:
        super().compare()
        self.seen["restored"] += self.catalog.status()["restored"]
        for run in self._ask(self.catalog).values():
            paths = {self.root / source.path for source in run.sources}
            if len(paths) == 1 and (log := self.written.get(*paths)) and self._is_plain(log):
                self.seen[log.kind] += 1
                self._check(log, run)

    def _check(self, log: Written, run: Run) -> None:
        """Each metric has every point that was written of it, and no other."""
        for name in COLUMNS:
            wanted = [(point.step, point.values[name]) for point in log.points if name in point.values]
            if log.kind == "csv" and name not in log.columns:
                continue
            series = run.history.series(name) if name in run.history.names else None
            found = list(zip(series.steps.tolist(), series.values.tolist(), strict=True)) if series else []
            assert found == wanted, name

    def _is_plain(self, log: Written) -> bool:
        steps = [point.step for point in log.points]
        return (
            log.path not in self.wild
            and log.path not in self.unsettled
            and not log.pending
            and not self.step_key
            and log.kind in (*NAMES, "wandb")
            and None not in steps
            and steps == sorted(set(steps))  # type: ignore[type-var]
        )

    # The base's rules, with what they leave open.

    @rule(key=st.sampled_from(["", "", "lr", "step"]))
    def set_step_key(self, key: str) -> None:
        self.step_key = key
        super().set_step_key(key)

    def _forget(self, log: Written) -> None:
        super()._forget(log)
        self.wild.add(log.path)

    def _write_anew(self, log: Written, data: bytes, *, half: bool = False, way: str = "truncate") -> None:
        super()._write_anew(log, data, half=half, way=way)
        self.wild.discard(log.path)

    def _lines(self, *kinds: str) -> list[Written]:
        return super()._lines(*(kinds or (*NAMES, "wandb")))

    def _begin(self, log: Written) -> bytes:
        if log.kind != "wandb":
            return super()._begin(log)
        self.writers[log.path] = LogWriter()
        run_id = log.path.stem.removeprefix("run-").encode()
        head = bytes(self.writers[log.path].data)
        return head + self._recorded(log, 17, field(1, run_id) + field(3, b"proj") + field(8, run_id))

    def _recorded(self, log: Written, kind: int, body: bytes) -> bytes:
        writer = self.writers[log.path]
        before = len(writer.data)
        writer.record(kind, body)
        return bytes(writer.data[before:])

    def _bytes(self, log: Written, rows: Sequence[Point]) -> bytes:
        if log.kind != "wandb":
            return super()._bytes(log, rows)
        writer = self.writers[log.path]
        before = len(writer.data)
        for point in rows:
            values = {"_step": point.step or 0, "_timestamp": point.time, **point.values}
            writer.history(values | ({"note": point.note} if point.note else {}))
        return bytes(writer.data[before:])

    def _sidecars(self) -> list[Path]:
        return sorted(self.cache.rglob("*.rwx"))

    def _sidecar(self, which: int) -> Path:
        found = self._sidecars()
        return found[which % len(found)]

    def _harm(self, path: Path, data: bytes, *, in_place: bool) -> None:
        """Have other bytes there; in place: whoever has the file open meets them."""
        self.seen["harmed"] += 1
        if in_place:
            with path.open("r+b") as file:
                file.write(data)
                file.truncate()
        else:
            beside = path.with_name("harmed")
            beside.write_bytes(data)
            beside.rename(path)


def see(examples: int, steps: int, least: int) -> None:
    Faults.seen.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Faults,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    unseen = {"wandb", "jsonl", "csv", "text", "events", "harmed", "restored"} - Faults.seen.keys()
    assert not unseen, "the oracles never had anything to say of these"
    assert Faults.seen["steps"] >= least


def test_whatever_happens_answers_are_those_of_a_cold_parse() -> None:
    see(examples=130, steps=50, least=5000)


@pytest.mark.soak
def test_whatever_happens_for_long_answers_are_those_of_a_cold_parse() -> None:
    see(examples=5000, steps=60, least=250_000)
