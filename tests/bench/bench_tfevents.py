"""Reading and indexing one long TensorBoard event file that was never seen, against TensorBoard's own loaders.

500,000 scalars of 10 tags as torch writes them, every point kept. Theirs are the data server (Rust; CPU seconds of the
process when it says that its load cycle is over, checksums as it checks them by default and with all of them) and
`EventAccumulator`. Ours verifies both sums of every record, and is fed in pieces of 256 KiB.
"""

from __future__ import annotations

import importlib.util
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from runwised.formats.crc32c import masked_bytes
from tests.bench.harness import Report, calls, commands

EVENTS = int(os.environ.get("RUNWISE_BENCH_EVENTS", "500000"))
ROUNDS = 7
PIECE_BYTES = 256 << 10
TAGS = (
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "perf/tokens_per_second",
    "val/loss",
    "val/acc",
    "gpu/mem",
    "gpu/util",
    "opt/beta",
    "data/wait",
)

START = """
import sys
from runwised.formats.tfevents import TFEVENTS
from runwised.index.run_index import RunIndex
"""
READ = (
    START
    + f"""
reader, buffer = TFEVENTS.reader(), bytearray({PIECE_BYTES})
with open(sys.argv[1], "rb", buffering=0) as file:
    while size := file.readinto(buffer):
        reader.feed(memoryview(buffer)[:size])
"""
)
INDEX = (
    START
    + f"""
index = RunIndex()
index.start_source(sys.argv[1])
reader, buffer = TFEVENTS.reader(), bytearray({PIECE_BYTES})
with open(sys.argv[1], "rb", buffering=0) as file:
    while size := file.readinto(buffer):
        for batch in reader.feed(memoryview(buffer)[:size]):
            index.fold(batch)
"""
)
ACCUMULATE = """
import sys, warnings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
accumulator.Reload()
assert accumulator.Scalars("train/loss")
"""


def run(report: Report) -> None:
    """Make the file unless it is there, and read it in turns."""
    file = _file()
    ours = [[sys.executable, "-c", script, file] for script in (INDEX, READ, START)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    indexed, read, started = (cost.cpu for cost in commands(*ours, rounds=ROUNDS, environ=environ))
    plain = _data_server(file.parent)
    checked = _data_server(file.parent, "--checksum")
    accumulated = commands([sys.executable, "-c", ACCUMULATE, file], rounds=1, environ=environ)[0].cpu
    megabytes = file.stat().st_size / 1e6
    for what, mine, theirs, target in (
        (f"index {EVENTS} events ({megabytes:.0f} MB), against Rust", indexed - started, plain, ">= 1"),
        ("the same, against Rust with all checksums", indexed - started, checked, ">= 1"),
        ("the same, against EventAccumulator", indexed - started, accumulated, ">= 20"),
        ("read only, against Rust", read - started, plain, ""),
        ("index, with the start of Python, against Rust", indexed, plain, ""),
    ):
        report.row(what, f"{mine:.3f} CPU s", f"{theirs:.3f} CPU s", theirs / mine, target)
    slowest = calls(lambda: masked_bytes(bytes(16 << 20)))
    report.row("checksum of one record of 16 MiB", f"{16 / slowest.cpu:.0f} MiB/CPU s")


def _data_server(folder: Path, *options: str) -> float:
    """CPU seconds until everything is loaded, the median."""
    return statistics.median(_load_once(folder, options) for _ in range(ROUNDS))


def _load_once(folder: Path, options: tuple[str, ...]) -> float:
    found = importlib.util.find_spec("tensorboard_data_server")
    assert found is not None
    assert found.origin is not None
    server = [Path(found.origin).parent / "bin" / "server", "--logdir", folder, "--port", "0", "--reload", "once"]
    server += ["--samples-per-plugin", "scalars=all", "-v", *options]
    with subprocess.Popen(server, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"Finished load cycle" in line:
                break
        process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _file() -> Path:
    """The event file, in a folder of its own."""
    folder = Path(tempfile.gettempdir()) / f"runwise-bench-{os.getuid()}-tfevents-{EVENTS}"
    file = folder / "events.out.tfevents.1750000000.host.1.0"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        written = file.with_suffix(".part")
        with written.open("wb") as out:
            out.writelines(_records())
        written.rename(file)
    return file


def _records() -> list[bytes]:
    chance, time = random.Random(1), 1.75e9
    records = [_record(b"\x09" + struct.pack("<d", time) + b"\x1a\x0dbrain.Event:2")]
    for number in range(EVENTS):
        step, tag = number // len(TAGS), TAGS[number % len(TAGS)].encode()
        time += chance.random() / 100
        value = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", chance.random())
        summary = b"\x0a" + bytes([len(value)]) + value
        told = b"\x10" + _varint(step) if step else b""
        records.append(_record(b"\x09" + struct.pack("<d", time) + told + b"\x2a" + bytes([len(summary)]) + summary))
    return records


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_bytes(length) + data + masked_bytes(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


if __name__ == "__main__":
    run(Report())
