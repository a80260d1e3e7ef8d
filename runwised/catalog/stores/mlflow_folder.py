"""MLflow's file store: the folder of one run below ``mlruns/EXPERIMENT/``, its metric files merged by time."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from runwised.catalog.identity import Seen, look, seen
from runwised.catalog.stores.contract import Piece, StoreChangedError, StoredRun
from runwised.catalog.stores.cursors import decode, encode, proof_of
from runwised.catalog.stores.databases import add_up
from runwised.catalog.stores.metric_files import MetricFile, Span, merge, read_span
from runwised.formats.mlflow import LONGEST_VALUE, RunInfo, decode_meta, describe, seconds_of, status_of
from runwised.formats.mlflow_points import Points, StepNumbers, build_rows, decode_line
from runwised.formats.record import NO_STEP, Batch, Row, escape

FILE_BYTES = 1 << 40
"""An offset is the number of the metric file times this, plus the byte in it."""
_RUN_NAME = re.compile(r"[0-9a-f]{32}")
_PARTS = ("metrics", "params", "tags")
_MOST_DEEP = 16
_READ_BYTES = 16 << 20
_LEAST_SPAN_BYTES = 4096
_POINT_BYTES = 32
"""Of a short line: longer ones make a piece shorter than was asked for."""
_MOST_OPEN = 32


class _Cursor(msgspec.Struct, array_like=True):
    files: list[MetricFile] = []
    """In the order in which they were found; one keeps its number."""
    said: int = 0
    """Proof of the files that say who the run is."""
    status: str = ""
    steps: dict[str, tuple[int, int]] = {}


class _Entry(NamedTuple):
    """A file below a run's folder."""

    name: str
    """Relative to the part it belongs to, with ``/``."""
    path: str
    seen: Seen


class MlflowFolder:
    """See `runwised.catalog.stores.contract.Store`; a path is a run's folder, its only key is empty."""

    name = "mlflow"
    tells_end = True

    def matches(self, path: str) -> bool:
        """By the name, a run id, and what MLflow makes in each run's folder; nothing below ``.trash``."""
        if not _RUN_NAME.fullmatch(os.path.basename(path)) or ".trash" in path.split(os.sep):
            return False
        if os.path.isfile(os.path.join(path, "meta.yaml")):
            return True
        return sum(os.path.isdir(os.path.join(path, part)) for part in _PARTS) >= 2

    def list_runs(self, path: str) -> list[StoredRun]:
        """The one run, unless it is deleted."""
        os.stat(path)
        meta = decode_meta(_read_start(os.path.join(path, "meta.yaml")))
        if "deleted" in (meta.get("lifecycle_stage"), _read_experiment(path).get("lifecycle_stage")):
            return []
        name = _read_start(os.path.join(path, "tags", "mlflow.runName")).decode("utf-8", "replace")
        run = _read_run(path, meta, {}, {"mlflow.runName": name})
        return [StoredRun("", run.run_id, run.name, run.experiment, run.started)]

    def look(self, path: str, key: str) -> Seen | None:  # noqa: ARG002 - it holds one run
        """All files that say anything of the run added up."""
        try:
            folder = seen(os.stat(path))
        except OSError:
            return None
        files = [entry.seen for part in _PARTS for entry in _walk(path, part)]
        meta = look(os.path.join(path, "meta.yaml"))
        return add_up(folder, [Seen(folder.device, folder.inode, 0, *folder.times), *([meta] if meta else []), *files])

    def read(self, path: str, key: str, cursor: bytes, most: int) -> Piece:  # noqa: ARG002 - it holds one run
        """Points of all keys by their times; those of one key in the order of their lines."""
        at = decode(cursor, _Cursor)
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "no such run folder", path)
        batches = self._facts(path, at)
        spans = _read_spans(path, at.files, most)
        points, ends, damage = merge(spans, most)
        for span, end in zip(spans, ends, strict=True):
            at.files[span.number] = span.file_at(end)
        batches += (found._replace(offset=number * FILE_BYTES + found.offset) for number, found in damage)
        if len(points.offsets):
            offsets = points.keys * FILE_BYTES + points.offsets
            names = [_key(each.name) for each in at.files]
            batches.append(build_rows(Points(offsets, *points[1:]), names, StepNumbers(at.steps)))
        return Piece(batches, encode(at), max(len(points.offsets) + len(damage), any(ends)))

    def _facts(self, path: str, at: _Cursor) -> list[Batch]:
        """What is new beside the points."""
        params, tags = list(_walk(path, "params")), list(_walk(path, "tags"))
        meta_path = os.path.join(path, "meta.yaml")
        said = proof_of([(entry.path, entry.seen) for entry in (*params, *tags)], look(meta_path))
        if said == at.said:
            return []
        meta = decode_meta(_read_start(meta_path))
        if at.said and not status_of(meta.get("status", "")):
            # Being replaced just now: what was said stands, and it is looked at again.
            return []
        run = _read_run(path, meta, _read_texts(params), _read_texts(tags))
        if at.status != run.status and RunInfo("", status=at.status).has_ended:
            raise StoreChangedError(f"{path}: it had ended and goes on")
        batches = describe(run, at.status)
        at.said, at.status = said, run.status
        return batches

    def rows(self, path: str, key: str, cursor: bytes, offsets: Sequence[int]) -> Iterator[Row]:  # noqa: ARG002
        """Points by file and byte; the files' numbers are those in the cursor."""
        files = decode(cursor, _Cursor).files
        with contextlib.ExitStack() as stack:
            opened: dict[int, int] = {}
            for offset in offsets:
                number, place = divmod(offset, FILE_BYTES)
                if number >= len(files):
                    raise StoreChangedError(f"{path}: no metric file has number {number}")
                descriptor = opened.get(number)
                if descriptor is None:
                    if len(opened) == _MOST_OPEN:
                        stack.close()
                        opened.clear()
                    descriptor = opened[number] = os.open(_metric_path(path, files[number]), os.O_RDONLY | os.O_CLOEXEC)
                    stack.callback(os.close, descriptor)
                line = os.pread(descriptor, _LEAST_SPAN_BYTES, place).partition(b"\n")[0]
                try:
                    _, time, value = decode_line(line)
                except ValueError as error:
                    raise StoreChangedError(f"{path}: {files[number].name!r} at byte {place}: {error}") from None
                yield Row(NO_STEP, time, {escape((_key(files[number].name),)): value})

    def close(self) -> None:
        """Nothing is held open."""


def _read_spans(path: str, files: list[MetricFile], most: int) -> list[Span]:
    """New lines of every file that has any; files never seen are put behind the others, in the order of their names."""
    sizes = {os.fsencode(entry.name): entry.seen.size for entry in _walk(path, "metrics")}
    known = {each.name for each in files}
    files += [MetricFile(name) for name in sorted(sizes.keys() - known)]
    for each in files:
        if sizes.get(each.name, -1) < each.offset:
            raise StoreChangedError(f"{path}: metrics/{_key(each.name)} is gone or shorter than it was")
    grown = [(number, each) for number, each in enumerate(files) if sizes[each.name] > each.offset]
    budget = min(_READ_BYTES, most * _POINT_BYTES) // max(len(grown), 1)
    return [read_span(_metric_path(path, each), number, each, max(budget, _LEAST_SPAN_BYTES)) for number, each in grown]


def _metric_path(path: str, file: MetricFile) -> str:
    return os.path.join(path, "metrics", os.fsdecode(file.name))


def _key(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _walk(path: str, part: str, below: str = "", depth: int = 0) -> Iterator[_Entry]:
    """The regular files of one part of a run's folder; links are not followed."""
    try:
        with os.scandir(os.path.join(path, part, below)) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth < _MOST_DEEP:
                yield from _walk(path, part, name, depth + 1)
            continue
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                yield _Entry(name, entry.path, seen(found))


def _read_start(path: str) -> bytes:
    """The first `LONGEST_VALUE` bytes of a small file; none where it is not there. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read(LONGEST_VALUE)
    except FileNotFoundError:
        return b""


def _read_texts(entries: Sequence[_Entry]) -> dict[str, str]:
    return {_key(os.fsencode(entry.name)): _read_start(entry.path).decode("utf-8", "replace") for entry in entries}


def _read_run(path: str, meta: dict[str, str], params: dict[str, str], tags: dict[str, str]) -> RunInfo:
    """A run by its ``meta.yaml`` and that of its experiment; the folder's name is the run id where there is none."""
    experiment = _read_experiment(path)
    return RunInfo(
        run_id=meta.get("run_id") or meta.get("run_uuid") or os.path.basename(path),
        name=meta.get("run_name") or tags.get("mlflow.runName") or None,
        experiment=experiment.get("name"),
        status=status_of(meta.get("status", "")),
        started=seconds_of(meta.get("start_time")),
        ended=seconds_of(meta.get("end_time")),
        user=meta.get("user_id"),
        program=meta.get("source_name"),
        params=params,
        tags=tags,
    )


def _read_experiment(path: str) -> dict[str, str]:
    return decode_meta(_read_start(os.path.join(os.path.dirname(path), "meta.yaml")))
