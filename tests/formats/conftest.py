"""Shared by the tests of readers: fold batches to one picture of a run, write small logs, one case a format."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import pytest

from runwised.formats.record import (
    NO_STEP,
    Alert,
    Batch,
    Console,
    Damage,
    Definition,
    Exit,
    Facts,
    Identity,
    Link,
    Mark,
    Patch,
    Purge,
    Rows,
)
from tests.formats.tfevents_logs import record_around, small_events


def bits(number: float) -> Any:
    """A float that compares by its bits, all NaNs alike."""
    return "nan" if math.isnan(number) else number.hex()


class Told:
    """What batches add up to, however they were cut."""

    def __init__(self, batches: Iterable[Batch] = ()) -> None:
        self.rows: dict[str, list[tuple[int, int, Any, dict[str, Any]]]] = {"history": [], "system": []}
        self.others: dict[str, tuple[str, bytes]] = {}
        self.trees: dict[str, dict[str, Any]] = {"config": {}, "summary": {}}
        self.identity: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.console: list[tuple[int, Any, bool, int]] = []
        self.places: list[Batch] = []
        self.definitions: list[Definition] = []
        self.damage: list[Damage] = []
        self.logged: dict[str, list[tuple[int, float]]] = {}
        """Every number by key, in file order."""
        self.served: dict[str, list[tuple[int, float]]] = {}
        """What is left of them where each key takes back its own points."""
        self._last_step = -1
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        match batch:
            case Rows():
                self._add_rows(batch)
            case Patch():
                patch_tree(self.trees[batch.target], batch)
            case Identity():
                told = msgspec.structs.asdict(batch)
                self.identity |= {name: value for name, value in told.items() if value is not None}
            case Facts():
                self.facts |= batch.fields
            case Console():
                chunks = zip(batch.offsets, batch.times, batch.stderr, batch.sizes, strict=True)
                self.console += [(int(at), bits(time), bool(err), int(size)) for at, time, err, size in chunks]
            case Exit() | Alert() | Mark() | Link():
                self.places.append(batch)
            case Purge():
                self.places.append(batch)
                self._purge(batch.step)
            case Definition():
                self.definitions.append(batch)
            case Damage():
                self.damage.append(batch)

    def _add_rows(self, batch: Rows) -> None:
        n = len(batch.offsets)
        assert batch.offsets.shape == batch.steps.shape == batch.times.shape == (n,)
        values: list[dict[str, Any]] = [{} for _ in range(n)]
        for key, rows, column in batch.columns:
            numbers = range(n) if rows is None else rows.tolist()
            for row, value in zip(numbers, column.tolist(), strict=True):
                values[row][key] = bits(value)
        for key, rows, kind, last in batch.others:
            for row in rows.tolist():
                assert key not in values[row]
                values[row][key] = "other"
            self.others[key] = kind, last
        if batch.table == "history":
            self._serve(batch.steps.tolist(), batch)
        places = zip(batch.offsets.tolist(), batch.steps.tolist(), batch.times.tolist(), values, strict=True)
        self.rows[batch.table] += [(at, step, bits(time), row) for at, step, time, row in places]

    def _serve(self, steps: list[int], batch: Rows) -> None:
        for row, step in enumerate(steps):
            self._last_step = steps[row] = self._last_step + 1 if step == NO_STEP else step
        for key, rows, column in batch.columns:
            numbers = range(len(steps)) if rows is None else rows.tolist()
            points = [(steps[row], value) for row, value in zip(numbers, column.tolist(), strict=True)]
            self.logged.setdefault(key, []).extend(points)
            left = self.served.setdefault(key, [])
            for point in points:
                while left and left[-1][0] >= point[0]:
                    left.pop()
                left.append(point)

    def _purge(self, step: int) -> None:
        for points in self.served.values():
            while points and points[-1][0] >= step:
                points.pop()

    @property
    def history(self) -> list[tuple[int, int, Any, dict[str, Any]]]:
        return self.rows["history"]

    @property
    def exit(self) -> Exit | None:
        return next((place for place in reversed(self.places) if isinstance(place, Exit)), None)

    def picture(self) -> Any:
        """Everything, comparable with ``==`` (NaN equals NaN)."""
        trees = json.dumps([self.trees, self.facts], sort_keys=True)
        places = [repr(place) for place in (*self.places, *self.definitions, *self.damage)]
        return self.rows, self.others, trees, self.identity, self.console, places


def patch_tree(tree: dict[str, Any], patch: Patch) -> None:
    for path, value in patch.sets:
        parent = tree
        for key in path[:-1]:
            inner = parent.get(key)
            parent[key] = parent = dict(inner) if isinstance(inner, dict) else {}
        parent[path[-1]] = value
    for path in patch.removes:
        parent = tree
        for key in path[:-1]:
            parent = parent.get(key, {})
        parent.pop(path[-1], None)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def item(path: Any, value: Any, *, nested: bool = True, valued: bool = True) -> bytes:
    """A history, summary or config item; `value` is JSON text as bytes, or anything `json.dumps` takes."""
    parts = path if isinstance(path, tuple) else (path,)
    encoded = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    keys = b"".join(field(2, part.encode()) for part in parts) if nested else field(1, parts[0].encode())
    return keys + (field(16, encoded) if valued else b"")


class LogWriter:
    """A W&B transaction log, written from scratch: blocks, chunks, records."""

    def __init__(self, origin: int = 0, header: bytes = b":W&B\xe1\xbe\x00") -> None:
        self.data = bytearray(header)
        self.origin = origin
        self.num = 0
        self.spans: list[tuple[int, int]] = []

    def record(self, kind: int, body: bytes, *, numbered: bool = True) -> int:
        """Append a record; its offset."""
        self.num += 1
        return self.raw((varint_field(1, self.num) if numbered else b"") + field(kind, body))

    def raw(self, payload: bytes) -> int:
        """Append any bytes as a record."""
        self._pad()
        offset = len(self.data)
        kind, rest = 2, payload
        while True:
            self._pad()
            left = 32768 - (len(self.data) - self.origin) % 32768 - 7
            part, rest = rest[:left], rest[left:]
            if not rest:
                kind = 1 if kind == 2 else 4
            self.chunk(kind, part)
            if not rest:
                break
            kind = 3
        self.spans.append((offset, len(self.data)))
        return offset

    def chunk(self, kind: int, part: bytes) -> None:
        """Append one chunk where we stand."""
        self.data += struct.pack("<IHB", crc32(bytes([kind]) + part), len(part), kind) + part

    def history(self, values: dict[str, Any], step: int | None = None, *, nested: bool = True) -> int:
        """Append a history row; keys may be paths."""
        body = b"".join(field(1, item(path, value, nested=nested)) for path, value in values.items())
        return self.record(2, body + (b"" if step is None else field(2, varint_field(1, step))))

    def summary(self, values: dict[Any, Any], removes: Iterable[Any] = ()) -> int:
        """Append a summary record."""
        sets = b"".join(field(1, item(path, value)) for path, value in values.items())
        return self.record(3, sets + b"".join(field(2, item(path, None, valued=False)) for path in removes))

    def console(self, line: str, time: float = 1.5, *, stderr: bool = False) -> int:
        """Append a raw console chunk."""
        stamp = varint_field(1, int(time)) + varint_field(2, round(time % 1 * 1e9))
        body = field(2, stamp) + field(3, line.encode())
        return self.record(13, (b"" if stderr else varint_field(1, 1)) + body)

    field = staticmethod(field)
    item = staticmethod(item)
    varint_field = staticmethod(varint_field)

    def _pad(self) -> None:
        left = 32768 - (len(self.data) - self.origin) % 32768
        if left < 7:
            self.data += bytes(left)


def small_log(filler: int = 0) -> LogWriter:
    """A little of everything in few records, so that it is read thousands of times a second."""
    log = LogWriter()
    log.record(21, b"")
    config = field(1, item("lr", 0.1)) + field(1, item("model", {"depth": 2}))
    log.record(17, field(1, b"abc") + field(3, b"proj") + field(8, b"small") + field(4, config) + field(10, b"t"))
    log.history({"_step": 0, "_timestamp": 10.5, "loss": 1.0, ("opt", "lr"): 3e-4, "opt.lr": b"NaN"})
    log.console("epoch 1\n")
    log.history({"_step": 1, "_timestamp": 11, "loss": b"Infinity", "note": "x"})
    log.record(6, bytes(range(1, 256)) * filler)
    log.summary({"loss": 0.5, ("img", "_type"): "image-file", ("img", "path"): "a.png"})
    log.history(
        {"_step": 2, "_timestamp": 12, "loss": 0.25, "flag": True, ("h", "_type"): "histogram", ("h", "bins"): [1]}
    )
    log.record(7, field(2, varint_field(1, 12)) + field(3, field(1, b"cpu") + field(16, b"12.5")))
    log.console("é" * 300, stderr=True)
    log.history({"_step": 7, "_timestamp": 13, "loss": 0.125, "none": None})
    log.record(18, varint_field(1, 3) + varint_field(2, 60))
    return log


def legacy_history() -> bytes:
    """Rows as wandb 0.9 wrote them."""
    lines = [
        b'{"loss": 1.5, "_runtime": 1.25, "_timestamp": 1500000000.5, "_step": 0}',
        b'{"loss": NaN, "opt": {"lr": 0.1, "a.b": 2}, "note": "\\u00e9", "_timestamp": 1500000001, "_step": 1}',
        b"",
        b'{"loss": -Infinity, "h": {"_type": "histogram", "bins": [0, 1], "values": [3]}, "_step": 5}',
        b'{"loss": 9007199254740993, "ok": true, "_runtime": 3, "_timestamp": 1500000003, "_step": 6}',
    ]
    return b"\n".join(lines) + b"\n"


def legacy_events() -> bytes:
    """System samples as wandb 0.9 wrote them."""
    lines = [
        b'{"system.cpu": %d.5, "system.gpu.0.gpu": 12, "_wandb": true, "_timestamp": 150000000%d, "_runtime": %d}'
        % (n, n, n)
        for n in range(4)
    ]
    return b"\n".join(lines) + b"\n"


def json_lines() -> bytes:
    """Rows as programs write them with `json.dumps`, and some odd ones."""
    lines = [
        b'{"step": 10, "time": 1750000000.5, "train/loss": 2.5, "epoch": 0, "opt": {"lr": 1e-3, "a.b": {"c": 7}}}\r',
        b'{"step": 11, "time": 1750000001.5, "train/loss": NaN, "epoch": 0, "note": "\xc3\xa9 \\ud800", "opt": {}}\r',
        b"",
        b'{"step": 12.0, "train/loss": -Infinity, "epoch": 1, "hist": [1, 2], "ok": true, "x": null, "p": {"tps": 3}}',
        b'{"epoch": 1, "val/loss": 1e400, "n": 123456789012345678901234567890, "time": 1750000003500}',
        b'  {"step": 14, "train/loss": 2, "train/loss": 1.25, "img": {"_type": "image-file", "path": "a.png"}}',
        b'{"step": 12, "train/loss": 1.5, "epoch": 1}',
    ]
    return b"\n".join(lines) + b"\n"


def table() -> bytes:
    """A table as programs write it: sparse, quoted, started anew with another column."""
    lines = [
        b"step,time,loss,note,opt.lr\r",
        b"0,1500000000.5,1.5,ok,0.1\r",
        b"1,1500000001,nan,,NA\r",
        b'2,1500000002.25,  -inf,"said ""hi"", then',
        b'left",0.01\r',
        b"",
        b"# a word of the program",
        b"3,,0.5,,1e-3\r",
        b"step,loss,time,acc\r",
        b"2,0.25,2026-01-02 03:04:05,0.5\r",
        b"3,9007199254740993,2026-01-02T03:04:06Z,\r",
        b"4,0.125,1500000006,0.75\r",
        b"5,0.0625,1500000007,0.75\r",
    ]
    return b"\n".join(lines) + b"\n"


def trainer_state() -> bytes:
    """The state file of a training that is over, as `json.dumps` writes it."""
    history = [
        {"loss": 2.5, "grad_norm": math.nan, "learning_rate": 1e-4, "epoch": 0.5, "step": 10},
        {"eval_loss": math.inf, "epoch": 0.5, "step": 10},
        {"loss": 1.5, "note": 'a "}" in \\ text', "inner": {"a.b": 2, "deep": [{"x": 1}]}, "epoch": 1.0, "step": 20},
        {"train_runtime": 12.5, "train_loss": 2.0, "epoch": 1.0, "step": 20},
    ]
    document = {
        "best_metric": 2.25,
        "best_model_checkpoint": None,
        "epoch": 1.0,
        "global_step": 20,
        "log_history": history,
        "max_steps": 20,
        "stateful_callbacks": {"control": {"args": {"log_history": [1]}}},
        "trial_params": {"lr": 0.1},
    }
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def console_log() -> bytes:
    """What a program may print: prefixes, colours, a progress bar, CRLF, bytes that are no UTF-8, prose."""
    lines = [
        b"\xef\xbb\xbf2025-06-15 12:00:00,500 - train - INFO - step 0/500 | loss 4.9221 | lr 1.0e-03 | 39,000 tok/s\r",
        b"INFO worker 3: loaded shard 3 of 512 in 0.03s from bucket 7",
        b"iter 1: loss nan, time 25.02ms, mfu -100.00%",
        b"val loss 5.116588",
        b"2025-06-15 12:00:01 - \x1b[33mWARNING\x1b[0m - pr\xe9cision \x96 loss scale 65536",
        b"\r  4%|#2      | 2/50 [00:00<00:01, 9.5it/s, loss=5.05]\r  6%|#5      | 3/50 [00:00<00:01, 9.5it/s, loss=5]",
        b"[2025-06-15 12:00:02.250] \x1b[31mstep:  4  \x1b[32mloss:  4.25  \x1b[33mmem: 38.05GiB(48.09%)  tps: 7,012",
        b"step=5 acc@1=0.5 acc@5=.75 loss=inf",
        b"Traceback (most recent call last):",
    ]
    return b"\n".join(lines) + b"\n"


class Case(NamedTuple):
    """A small source that shows what a format can hold; whoever adds a format adds one to `CASES`."""

    filename: str
    data: bytes
    lost: Callable[[int], tuple[int, int]]
    """What may be lost when the byte at an offset is wrong: records that touch [start, end)."""

    def line_around(self, offset: int) -> tuple[int, int]:
        """The line a byte is in, and the next, as the byte may be the line's end."""
        end = self.data.find(b"\n", self.data.find(b"\n", offset) + 1) + 1
        return self.data.rfind(b"\n", 0, offset) + 1, end or len(self.data)


def block_around(offset: int) -> tuple[int, int]:
    """The 32 KiB block a byte is in."""
    return offset - offset % 32768, offset - offset % 32768 + 32768


def line_case(filename: str, data: bytes) -> Case:
    """A case made of lines."""
    return Case(filename, data, Case(filename, data, block_around).line_around)


def console_case() -> Case:
    """A case of console output: a line without a step takes that of the line before it."""
    case = line_case("train.log", console_log())

    def lost(offset: int) -> tuple[int, int]:
        start, end = case.lost(offset)
        return start, case.data.find(b"\n", end) + 1 or len(case.data)

    return case._replace(lost=lost)


def table_case() -> Case:
    """A case of a table: a header's bytes are worth all rows below it, others their line and the three after it that
    it takes to see that a quote is never closed.
    """
    data = table()
    second = data.index(b"step,loss")

    def lost(offset: int) -> tuple[int, int]:
        start = data.rfind(b"\n", 0, offset) + 1
        header = start == 0 or second - 2 <= offset <= data.index(b"\n", second)
        end = start
        for _ in range(5):
            end = data.find(b"\n", end) + 1 or len(data)
        return (data.rfind(b"\n", 0, max(0, start - 1)) + 1, len(data) if header else end)

    return Case("metrics.csv", data, lost)


def trainer_case() -> Case:
    """A case of a state file: a byte of an entry is worth that entry and the next, the history's name all of it."""
    data = trainer_state()
    begin, end = data.index(b'"log_history"'), data.index(b'"max_steps"')
    edges = [0, *(at for at in range(begin, end) if data[at : at + 6] == b"\n    {"), end, len(data)]

    def lost(offset: int) -> tuple[int, int]:
        if not offset or begin <= offset < edges[1]:
            return 0, len(data)
        if not begin < offset < end:
            return offset, offset + 1
        after = [edge for edge in edges if edge > offset]
        return max(edge for edge in edges if edge <= offset), after[1]

    return Case("trainer_state.json", data, lost)


CASES = (
    Case("run-small.wandb", bytes(small_log().data), block_around),
    Case("run-over-an-edge.wandb", bytes(small_log(filler=124).data), block_around),
    line_case("wandb-history.jsonl", legacy_history()),
    line_case("wandb-events.jsonl", legacy_events()),
    trainer_case(),
    table_case(),
    line_case("metrics.jsonl", json_lines()),
    console_case(),
    Case(
        "events.out.tfevents.1750000000.vm.1.0",
        small_events(),
        partial(record_around, small_events()),
    ),
)


@pytest.fixture(params=CASES, ids=lambda case: case.filename)
def case(request: pytest.FixtureRequest) -> Case:
    """Each format's small source in turn."""
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture
def cases() -> tuple[Case, ...]:
    return CASES


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def log_writer() -> type[LogWriter]:
    return LogWriter
