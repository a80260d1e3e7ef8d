"""Indexing long console logs that were never seen, against what a script would do: bytes a CPU second.

Theirs is one expression written for that program's lines, searched in each line, its groups as floats put into a list
for each name. Ours knows none of the programs, and is the whole index: columns, statistics and levels. All run in this
process, on bytes in memory, in turns, fed in pieces of 256 KiB.
"""

from __future__ import annotations

import os
import random
import re
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from runwised.formats.textlog import TEXTLOG
from runwised.index.run_index import RunIndex
from tests.bench.harness import Report, calls

BYTES = int(os.environ.get("RUNWISE_BENCH_BYTES", str(200_000_000)))
"""Of nanoGPT's log; the others are a fifth of it."""
ROUNDS = 3
PIECE_BYTES = 1 << 18
SPEED_TARGET = ">= 40 MB/CPU s"

Line = Callable[[random.Random, int], str]


class Log(NamedTuple):
    """One program's lines, and the expression that a user would write for them."""

    name: str
    line: Line
    expression: bytes


def run(report: Report) -> None:
    """Make each log and read it in both ways."""
    for log in LOGS:
        data = written(log.line, BYTES if log is LOGS[0] else BYTES // 5)
        expression = re.compile(log.expression)
        ways: tuple[Callable[[], object], ...] = (lambda: index(data), lambda: search(data, expression))  # noqa: B023
        costs: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for way, taken in zip(ways, costs, strict=True):
                taken.append(calls(way, rounds=1).cpu)
        ours, theirs = (statistics.median(taken) for taken in costs)
        megabytes = len(data) / 1e6
        what = f"index {log.name} text, {megabytes:.0f} MB, against a regex"
        report.row(
            what, f"{megabytes / ours:.0f} MB/CPU s", f"{megabytes / theirs:.0f} MB/CPU s", theirs / ours, SPEED_TARGET
        )


def index(data: bytes) -> RunIndex:
    """Ours."""
    built, reader = RunIndex(), TEXTLOG.reader()
    built.start_source("log")
    for start in range(0, len(data), PIECE_BYTES):
        for batch in reader.feed(data[start : start + PIECE_BYTES]):
            built.fold(batch)
    for key in built.history.numeric_keys():
        built.history.stats_of(key)
        assert built.history.column(key).buckets
    return built


def search(data: bytes, expression: re.Pattern[bytes]) -> dict[str, list[float]]:
    """Theirs."""
    columns: dict[str, list[float]] = {}
    for line in data.replace(b"\r", b"\n").splitlines():
        found = expression.search(line)
        if found is not None:
            for name, value in found.groupdict().items():
                columns.setdefault(name, []).append(float(value.replace(b",", b"")))
    return columns


def written(line: Line, size: int) -> bytes:
    """Lines until there are `size` bytes."""
    return b"".join(_lines(line, size))


def _lines(line: Line, size: int) -> Iterator[bytes]:
    rng = random.Random(1)
    for n in count():
        text = line(rng, n).encode()
        yield text
        size -= len(text)
        if size <= 0:
            return


def stamp(n: int) -> str:
    """A time stamp as `logging` writes it."""
    return (datetime(2026, 1, 15, tzinfo=UTC) + timedelta(milliseconds=1250 * n)).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]


def nanogpt(rng: random.Random, n: int) -> str:
    loss = rng.uniform(2, 5)
    evaluation = (
        f"step {n}: train loss {loss:.4f}, val loss {loss:.4f}\nsaving checkpoint to out\n" if n % 100 == 0 else ""
    )
    return f"{evaluation}iter {n}: loss {loss:.4f}, time {rng.uniform(20, 30):.2f}ms, mfu {rng.uniform(30, 40):.2f}%\n"


def llmc(rng: random.Random, n: int) -> str:
    return (
        f"step {n:4d}/1000000 | loss {rng.uniform(2, 5):.6f} ({rng.gauss(0, 1):+.2f}z)| norm {rng.uniform(0, 2):.4f} "
        f"({rng.gauss(0, 1):+.2f}z)| lr {rng.uniform(1e-5, 1e-3):.2e} | {rng.uniform(100, 110):.2f} ms | "
        f"{rng.uniform(40, 45):.1f}% bf16 MFU | {rng.uniform(30000, 40000):.0f} tok/s\n"
    )


def megatron(rng: random.Random, n: int) -> str:
    return (
        f" [{stamp(n)}] iteration {n:8d}/10000000 | consumed samples: {n * 256:12d} | elapsed time per iteration (ms): "
        f"{rng.uniform(500, 520):.1f} | learning rate: {rng.uniform(1e-5, 1e-3):.6E} | global batch size:   256 | "
        f"lm loss: {rng.uniform(2, 5):.6E} | loss scale: 1.0 | grad norm: {rng.uniform(0.5, 2):.3f} | "
        "number of skipped iterations:   0 | number of nan iterations:   0 |\n"
    )


def torchtitan(rng: random.Random, n: int) -> str:
    return (
        f"[rank0]:[titan] {stamp(n)} - root - INFO - \x1b[31mstep: {n:2d}  \x1b[32mloss: {rng.uniform(2, 8):7.4f}  "
        f"\x1b[38;2;180;60;0mgrad_norm: {rng.uniform(0.5, 2):7.4f}  \x1b[36mmemory: {rng.uniform(38, 39):5.2f}GiB"
        f"({rng.uniform(48, 49):.2f}%)  \x1b[34mtps: {rng.randrange(6000, 8000):,}  \x1b[35mmfu: 40.12%\x1b[39m\n"
    )


def key_value(rng: random.Random, n: int) -> str:
    return (
        f"{stamp(n)} - trainer - INFO - step={n} loss={rng.uniform(2, 5):.5g} grad_norm={rng.uniform(0.5, 2):.3f} "
        f"lr={rng.uniform(1e-5, 1e-3):.1e} eta=0:12:{n % 60:02d}\n"
    )


def trainer(rng: random.Random, n: int) -> str:
    row = {"loss": rng.uniform(2, 5), "grad_norm": rng.random(), "learning_rate": rng.random(), "epoch": n / 1000}
    return f"{row}\n"


def progress_bar(rng: random.Random, n: int) -> str:
    at, seconds = n % 1000, n // 10
    return (
        f"\rEpoch {n // 1000}: {at // 10:3d}%|{'█' * (at // 50):<20}| {at}/1000 [{seconds // 60 % 60:02d}:"
        f"{seconds % 60:02d}<01:30, {rng.uniform(9, 11):.2f}it/s, loss={rng.uniform(2, 5):.3g}, lr=0.001]"
    ) + ("\n" if at == 999 else "")


def loading(rng: random.Random, n: int) -> str:
    return f"{stamp(n)} INFO worker {n % 64}: loaded shard {n} of 512 in {rng.random():.2f}s from bucket {n % 7}\n"


def prose(rng: random.Random, n: int) -> str:  # noqa: ARG001 - a line like the others
    return " ".join(rng.choices(WORDS, k=12)) + "\n"


WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "are",
    "with",
    "as",
    "his",
    "they",
    "be",
)
NUMBER = rb"([-+]?[\d.]+(?:[eE][-+]?\d+)?|nan|inf)"


def named(*names: str) -> bytes:
    """An expression that finds the numbers behind some words, in order."""
    return b".*?".join(
        re.escape(name).encode() + rb"[:=]?\s*(?P<" + re.sub(r"\W", "_", name).encode() + b">" + NUMBER[1:]
        for name in names
    )


LOGS = (
    Log("nanoGPT", nanogpt, named("iter", "loss", "time", "mfu")),
    Log("llm.c", llmc, named("step", "loss", "norm", "lr")),
    Log("Megatron-LM", megatron, named("iteration", "consumed samples", "learning rate", "lm loss", "grad norm")),
    Log("torchtitan", torchtitan, named("step", "loss", "grad_norm", "memory", "mfu")),
    Log("key=value", key_value, named("step", "loss", "grad_norm", "lr")),
    Log("Trainer's", trainer, named("'loss'", "'grad_norm'", "'learning_rate'", "'epoch'")),
    Log("tqdm's", progress_bar, named("| ", "loss", "lr")),
    Log("shards'", loading, named("step", "loss")),
    Log("prose", prose, named("step", "loss")),
)

if __name__ == "__main__":
    run(Report())
