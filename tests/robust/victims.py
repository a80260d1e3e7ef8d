"""Whatever is written to disk: what there is before, the write itself, and what must be so however it ended."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from runwised.catalog import ledger as ledgers
from runwised.catalog.annotations import Overlay
from runwised.catalog.catalog import Catalog
from runwised.catalog.everything import KnownProjects
from runwised.catalog.feeds import Log
from runwised.catalog.ledger import Ledger
from runwised.catalog.manifest import FRAME, MAGIC, Manifest
from runwised.catalog.memory import note_path
from runwised.catalog.pruning import LIMITS, MARKER
from runwised.catalog.run import Run
from runwised.catalog.store import Store
from runwised.catalog.upkeep import clean
from runwised.catalog.worker import Job, Source, resume_or_start, work
from runwised.formats.jsonl import JSONL
from runwised.formats.wandb_fast import PIECE_BYTES
from runwised.index.kept import Annotation, Mark, Past


class Outcome(msgspec.Struct):
    """How a child ended."""

    said: dict[str, Any] | None = None
    """What `Victim.act` gave; None: it did not come to its end."""
    calls: int = 0
    """How many calls were counted."""
    signal: int = 0
    exit: int = 0


class Victim:
    """Something that writes. Its folder is prepared once, and put back before every child."""

    name: ClassVar[str]

    def __init__(self, home: Path) -> None:
        self.home = home / "home"
        self.prepared = home / "prepared"
        self.cache, self.state = self.home / "cache", self.home / "state"

    def prepare(self) -> None:
        """Make everything there is before the write."""

    def act(self) -> dict[str, Any]:
        """Write; what the process then knows, as JSON."""
        raise NotImplementedError

    def check(self, outcome: Outcome) -> None:
        """What must be so afterwards, in any case."""
        raise NotImplementedError

    def keep(self) -> None:
        """Take the folder for what all children begin with."""
        for folder in (self.cache, self.state):
            if folder.exists():
                shutil.copytree(folder, self.prepared / folder.name)

    def put_back(self) -> None:
        """Have the cache and the state folder as they were prepared."""
        for folder in (self.cache, self.state):
            shutil.rmtree(folder, ignore_errors=True)
            if (self.prepared / folder.name).exists():
                shutil.copytree(self.prepared / folder.name, folder)

    def files(self) -> list[str]:
        """Names of all that lies in the cache and the state folder."""
        return sorted(
            str(path.relative_to(self.home))
            for folder in (self.cache, self.state)
            for path in folder.rglob("*")
            if path.is_file()
        )

    def check_strays(self, *expected: str) -> None:
        """After the next start nothing is left of what was begun, and nothing is missing."""
        asyncio.run(_started_and_ended(self.cache, self.state))
        left = [name for name in self.files() if not name.endswith(("/lock", "/ledger", ".rwm", f"/{MARKER}"))]
        assert left == sorted(expected), left


async def _started_and_ended(cache: Path, state: Path) -> None:
    catalog = Catalog(cache, state)
    await catalog.close()
    clean(str(cache / "runs"), LIMITS)  # as the background does soon after the start


class Sidecar(Victim):
    """The index of a run that went on since its sidecar was written."""

    name = "sidecar"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.root = self.home / "proj"
        self.log = self.root / "logs/metrics.jsonl"
        self.images = home / "images"

    def prepare(self) -> None:
        self.log.parent.mkdir(parents=True)
        self.log.write_bytes(_rows(0, 300))
        asyncio.run(_indexed(self.root, self.cache))
        with self.log.open("ab") as file:
            file.write(_rows(300, 700))
        self.sidecar = next(self.cache.rglob("*.rwx"))
        self.images.mkdir()
        shutil.copy(self.sidecar, self.images / "old")

    def job(self) -> Job:
        return Job([Source.of(Log(str(self.log), JSONL))], str(self.sidecar))

    def act(self) -> dict[str, Any]:
        job = self.job()
        warm = resume_or_start(job)
        try:
            for _ in warm.read_all(PIECE_BYTES):
                pass
        except OSError as error:  # the source could not be read: told, and tried again
            return {"done": False, "note": str(error)}
        store = Store(self.cache)
        done = store.write(job.sidecar, warm.parts())
        return {"done": done, "note": store.note}

    def check(self, outcome: Outcome) -> None:
        (sidecar,) = self.cache.rglob("*.rwx")
        now, old, new = sidecar.read_bytes(), self.images / "old", self.images / "new"
        if outcome.said == {"done": True, "note": ""} and not new.exists():
            new.write_bytes(now)
        assert now in (old.read_bytes(), new.read_bytes() if new.exists() else b""), "a sidecar that is neither"
        if outcome.said is not None:
            assert outcome.said["done"] == (not outcome.said["note"])
            assert not outcome.said["done"] or now == new.read_bytes()
            assert not self.temporaries(), "refused, and not cleaned up"
        self.check_strays(str(sidecar.relative_to(self.home)))
        run = asyncio.run(_indexed(self.root, self.cache))
        assert run == asyncio.run(_indexed(self.root, None)), "not what a cold parse says"

    def temporaries(self) -> list[str]:
        return [name for name in self.files() if name.endswith(".tmp")]


class Worker(Sidecar):
    """The same, by the process that indexes long logs."""

    name = "worker"

    def act(self) -> dict[str, Any]:
        try:
            done, parts = work(self.job())
        except OSError as error:  # the source could not be read: told, and tried again
            return {"done": False, "note": str(error)}
        return {"done": not parts, "note": done.disk_error}


class Note(Sidecar):
    """What answers keep beside a sidecar."""

    name = "note"

    def prepare(self) -> None:
        super().prepare()
        self.note.write_bytes(b"old" * 5_000)

    @property
    def note(self) -> Path:
        return Path(note_path(str(next(self.cache.rglob("*.rwx")))))

    def act(self) -> dict[str, Any]:
        store = Store(self.cache)
        return {"done": store.write(note_path(str(self.sidecar)), [b"new" * 7_000, b"!"]), "note": store.note}

    def check(self, outcome: Outcome) -> None:
        now = self.note.read_bytes()
        assert now in (b"old" * 5_000, b"new" * 7_000 + b"!")
        if outcome.said is not None:
            assert outcome.said["done"] == (not outcome.said["note"])
            assert not outcome.said["done"] or now.startswith(b"new")
            assert not self.temporaries()
        self.check_strays(*(str(path.relative_to(self.home)) for path in self.cache.rglob("*.rw[nx]")))


class Resting(Victim):
    """The manifest, to which a run is added that is over now; its end is torn from another time."""

    name = "manifest"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.root, self.whole = self.home / "proj", self.home / "whole"

    def prepare(self) -> None:
        for number in range(2):
            log = self.root / f"logs/run{number}/metrics.jsonl"
            log.parent.mkdir(parents=True)
            log.write_bytes(_rows(number, 100))
            os.utime(log, (1e9, 1e9))
        asyncio.run(_indexed(self.root, self.cache))
        data, self.path = self.manifest.read_bytes(), str(self.manifest)  # children look for nothing
        self.whole.write_bytes(data)
        entry, head, _ = FRAME.unpack_from(data, len(MAGIC))
        self.manifest.write_bytes(data[: len(MAGIC) + FRAME.size + entry + head + 9])

    @property
    def manifest(self) -> Path:
        return next(self.cache.rglob("*.rwm"))

    def act(self) -> dict[str, Any]:
        manifest, whole = Manifest(self.path), Manifest(str(self.whole))
        offsets = [offset for _, offset in whole.load()][1:]
        known = sum(1 for _ in manifest.load())  # none where it cannot be read: it is a cache
        try:
            manifest.add([whole.shelf.read(offset) for offset in offsets] if whole.shelf else [])
        except OSError as error:
            return {"done": False, "note": str(error)}
        return {"done": known == 1 and bool(offsets), "note": ""}

    def check(self, outcome: Outcome) -> None:
        known = [rested for rested, _ in Manifest(str(self.manifest)).load()]
        assert len(known) in (1, 2)
        assert not (outcome.said and outcome.said["done"]) or len(known) == 2
        assert asyncio.run(_indexed(self.root, self.cache)) == asyncio.run(_indexed(self.root, None))
        self.check_strays(*(str(path.relative_to(self.home)) for path in self.cache.rglob("*.rwx")))


class Words(Victim):
    """What the user says of a run."""

    name = "annotations"
    first: ClassVar[Annotation] = Annotation(added=("first",))
    second: ClassVar[Annotation] = Annotation(added=("first", "second"))

    def overlay(self) -> Overlay:
        return Overlay(self.state, str(self.home))

    def prepare(self) -> None:
        self.home.mkdir()
        self.overlay().edit("run", "run", lambda _: self.first)

    def act(self) -> dict[str, Any]:
        try:
            told = self.overlay().edit("run", "run", lambda _: self.second)
        except OSError as error:
            return {"done": False, "note": str(error)}
        return {"done": True, "note": told}

    def check(self, outcome: Outcome) -> None:
        overlay = self.overlay()
        overlay.refresh()
        assert not overlay.trouble
        now = overlay.of("run", "run")
        assert now in self.possible()
        assert not (outcome.said and outcome.said["done"]) or now == self.second
        self.check_strays(*self.left())

    def possible(self) -> tuple[Annotation, ...]:
        return self.first, self.second

    def left(self) -> list[str]:
        return [str(Path(self.overlay().path).relative_to(self.home))]


class DamagedWords(Words):
    """The same, where what is there makes no sense and goes out of the way."""

    name = "annotations set aside"

    def prepare(self) -> None:
        super().prepare()
        Path(self.overlay().path).write_bytes(b'{"root": "/", "runs": {"precious')

    def check(self, outcome: Outcome) -> None:
        path = Path(self.overlay().path)
        kept = [each for each in (path, Path(f"{path}.damaged-1")) if each.exists()]
        assert any(b"precious" in each.read_bytes() for each in kept), "what could not be read is gone"
        if path.exists() and b"precious" in path.read_bytes():
            return
        super().check(outcome)

    def possible(self) -> tuple[Annotation, ...]:
        return Annotation(), self.second

    def left(self) -> list[str]:
        path = Path(self.overlay().path)
        beside = (path, Path(f"{path}.damaged-1"))
        return [str(each.relative_to(self.home)) for each in beside if each.exists()]


class Projects(Victim):
    """The roots that were asked about."""

    name = "projects"

    def prepare(self) -> None:
        for name in ("one", "two", "three"):
            (self.home / name).mkdir(parents=True)
        KnownProjects(self.state).remember(str(self.home / "one"))
        KnownProjects(self.state).remember(str(self.home / "two"))

    def act(self) -> dict[str, Any]:
        known = KnownProjects(self.state)
        known.remember(str(self.home / "three"))
        assert known.roots()[0] == str(self.home / "three")
        return {"done": not known.trouble, "note": known.trouble}

    def check(self, outcome: Outcome) -> None:
        known = [Path(root).name for root in KnownProjects(self.state).roots()]
        assert known in (["two", "one"], ["three", "two", "one"])
        assert not (outcome.said and outcome.said["done"]) or known[0] == "three"
        self.check_strays("state/projects")


class Cursors(Victim):
    """The ledger, gone on with; where it grows too long, or is opened, it is written anew."""

    name = "ledger"
    most_bytes: ClassVar[int] = ledgers.MOST_BYTES
    here: ClassVar[str] = "/data/proj"

    def marks(self, numbers: range) -> list[Mark]:
        return [Mark(number, number, "running", None, 1, 0) for number in numbers]

    def prepare(self) -> None:
        self.state.mkdir(parents=True)
        self.cache.mkdir()
        ledger = Ledger(self.state / "ledger")
        cursors = [ledger.note(self.here, {"run": mark}) for mark in self.marks(range(20))]
        ledger.close()
        (self.home / "cursors").write_text(json.dumps(cursors))

    def act(self) -> dict[str, Any]:
        ledgers.MOST_BYTES = self.most_bytes
        ledger = Ledger(self.state / "ledger")
        cursors = [ledger.note(self.here, {"run": mark}) for mark in self.marks(range(100, 104))]
        known = [ledger.past(self.here, cursor) for cursor in cursors]
        assert known == [Past({"run": mark}) for mark in self.marks(range(100, 104))]
        return {"done": not ledger.trouble, "note": ledger.trouble, "cursors": cursors}

    def check(self, outcome: Outcome) -> None:
        before: list[str] = json.loads((self.home / "cursors").read_text())
        ledger = Ledger(self.state / "ledger")
        pasts = [ledger.past(self.here, cursor) for cursor in before]
        right = [Past({"run": mark}) for mark in self.marks(range(20))]
        gone = pasts.index(right[-1]) if self.most_bytes < ledgers.MOST_BYTES else 0
        first = next((at for at, past in enumerate(pasts) if past is not None), len(pasts))
        assert first <= gone, "cursors are lost that were not given up"
        assert pasts[first:] == right[first:]
        for cursor, mark in zip((outcome.said or {}).get("cursors", ()), self.marks(range(100, 104)), strict=False):
            past = ledger.past(self.here, cursor)
            assert past in (None, Past({"run": mark}))
            assert past is not None or not outcome.said or not outcome.said["done"], "given, on disk, and not known"
        ledger.close()
        self.check_strays()


class ShortCursors(Cursors):
    """The same, where the older half is given up."""

    name = "ledger shortened"
    most_bytes = 600


VICTIMS = {
    kind.name: kind for kind in (Sidecar, Worker, Note, Resting, Words, DamagedWords, Projects, Cursors, ShortCursors)
}


def _rows(first: int, last: int) -> bytes:
    rows = ({"step": step, "loss": 1 / (step + 1), "time": 1.75e9 + step} for step in range(first, last))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def _indexed(root: Path, cache: Path | None) -> list[Any]:
    """What the project's one run says."""
    catalog = Catalog(cache)
    project = await catalog.view(str(root), {})
    project = await catalog.indexed(project, [run.id for run in project.runs])
    said = [_said(run) for run in project.runs]
    await catalog.close()
    return said


def _said(run: Run) -> dict[str, Any]:
    table = run.history
    return {
        "steps": table.steps(0, table.row_count).tolist(),
        "loss": table.series("loss").values.tolist(),
        "stats": repr(table.stats("loss")),
        "rows": [(number, row.step, dict(row.values)) for number, row in run.rows(0, table.total_rows)],
    }
