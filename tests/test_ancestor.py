"""Where the tool's published ancestor failed, its users must find it mended: through the real command and daemon."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from runwise_protocol.queries.history import History
from runwise_protocol.queries.metrics import ShowStats
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.stability import ShowStability
from runwise_protocol.query import Look, Query, Where

from runwised.catalog.catalog import Catalog
from runwised.server.answers import Answers

FIXTURES = Path(__file__).parent / "fixtures" / "wandb"
WRITER = """
import sys
log = open(sys.argv[1], "ab", buffering=0)
log.write(open(sys.argv[2], "rb").read())
print("written", flush=True)
sys.stdin.read()
"""

Runwise: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Row: TypeAlias = Mapping[str, Any]


@pytest.fixture
def log_run(tmp_path: Path) -> Callable[..., Path]:
    """``log_run("name", rows, config)``: JSON lines (bare NaN) in `tmp_path`; a text among the rows is a whole line."""

    def write(name: str, rows: list[Row | str], config: Row | None = None) -> Path:
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        log = folder / "metrics.jsonl"
        log.write_text("".join(f"{line}\n" for line in lines))
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        return log

    return write


@pytest.fixture
def answered(runwise: Runwise) -> Callable[..., Any]:
    """``answered("list", …)``: the answer as JSON, asked for with the command."""

    def ask(*argv: str) -> Any:
        done = runwise(*argv, "--format", "json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that holds the log of a W&B run, and has not ended."""
    (source,) = (FIXTURES / "0.31.0-running" / "wandb").glob("offline-run-*/*.wandb")
    log = tmp_path / "wandb" / source.parent.name / source.name
    log.parent.mkdir(parents=True)
    command = [sys.executable, "-c", WRITER, str(log), str(source)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_directories_written_by_any_current_wandb_are_listed(tmp_path: Path, answered: Callable[..., Any]) -> None:
    logged = set()
    for truth in FIXTURES.glob("*/truth.json"):
        latest = shutil.ignore_patterns("latest-run", "debug*.log")
        shutil.copytree(truth.parent / "wandb", tmp_path / "wandb", ignore=latest, dirs_exist_ok=True)
        logged |= {part["run"]["run_id"] for part in json.loads(truth.read_text())["runs"]}
    assert len(logged) > 10
    assert {run["id"]: run["step"] is not None for run in answered("list")["runs"]} == dict.fromkeys(logged, True)


def test_a_val_loss_that_ends_at_13_5_is_not_called_healthy(
    log_run: Callable[..., Path], runwise: Runwise, answered: Callable[..., Any]
) -> None:
    rng = random.Random(1)
    sound = [{"step": n, "val/loss": 2 + 2 * math.exp(-n / 100) + rng.gauss(0, 0.02)} for n in range(400)]
    log_run("sound", sound)
    log_run("bad", [*sound[:300], *({"step": n, "val/loss": 2 + 11.5 * (n - 299) / 100} for n in range(300, 400))])
    (report,) = answered("health", "bad")["runs"]
    assert "val/loss" in {event["key"] for event in report["events"]}
    bad, good = (runwise("health", name).stdout for name in ("bad", "sound"))
    assert "val/loss" in bad
    assert "healthy" not in bad.lower()
    assert "healthy" in good.lower()


def test_neither_single_row_spikes_nor_sparse_keys_are_lost(
    log_run: Callable[..., Path], answered: Callable[..., Any]
) -> None:
    rng, spikes = random.Random(3), {1237: 41.25, 7771: 99.5}
    rows = [
        {"step": n, "loss": spikes.get(n, 2 + rng.gauss(0, 0.01))}
        | ({"bleu": n / 1e4} if n in (17, 5003, 9999) else {})
        for n in range(10_000)
    ]
    log_run("long", rows)
    curve = answered("history", "long", "-k", "loss", "-n", "20")["series"]["loss"]
    assert sorted(bucket["max"] for bucket in curve if bucket["max"] > 3) == sorted(spikes.values())
    assert sum(bucket["n"] for bucket in curve) == 10_000
    events = answered("diagnose", "long")["events"]
    assert sorted(event["step"] for event in events if event["kind"] == "spike") == list(spikes)
    assert {key["key"]: key["count"] for key in answered("keys", "long")["keys"]}["bleu"] == 3
    sparse = answered("history", "long", "-k", "bleu", "-n", "20")["series"]["bleu"]
    assert [(bucket["first"], bucket["n"]) for bucket in sparse] == [(0.0017, 1), (0.5003, 1), (0.9999, 1)]


def test_the_best_run_is_the_best_and_a_name_that_fits_several_or_none_is_an_error(
    log_run: Callable[..., Path], runwise: Runwise, answered: Callable[..., Any]
) -> None:
    for name, loss in {"2026-a": 0.2355, "2026-b": math.nan, "2026-c": 0.2122, "2026-d": 0.21220001}.items():
        log_run(name, [{"step": 0, "val/loss": loss}])
    ranking = answered("best", "val/loss")
    assert [run["value"] for run in ranking["runs"]] == [0.2122, 0.21220001, 0.2355]
    assert len(ranking["never_finite"]) == 1
    several, none = runwise("run", "2026"), runwise("run", "2027-a")
    assert (several.returncode, none.returncode) == (4, 3)
    assert (several.stdout, none.stdout) == ("", "")
    assert all(name in several.stderr for name in ("2026-a", "2026-b", "2026-c", "2026-d"))


def test_values_are_no_percentages_nested_config_is_kept_and_a_step_means_that_step(
    log_run: Callable[..., Path], runwise: Runwise, answered: Callable[..., Any]
) -> None:
    rows = [{"step": n, "train/loss": 0.2122 + (n == 5009), "lr": 0.0003} for n in range(5, 6000, 9)]
    rows = sorted(
        [*rows, *({"step": n, "val/loss": n / 1e4} for n in range(500, 6000, 500))], key=lambda row: row["step"]
    )
    for name, width in (("a", 384), ("b", 512)):
        log_run(name, rows, {"model": {"d": width, "n": 6}})
    text = runwise("run", "a").stdout + runwise("list").stdout + runwise("stats", "a").stdout
    assert "%" not in text
    assert {".2122", ".0003"} <= set(re.split(r"[\s→=]+", text))
    compared = answered("compare", "a@5000", "b@5000")
    assert compared["config"] == {"model.d": [384, 512]}
    assert [value["step"] for value in compared["metrics"]["val/loss"]] == [5000, 5000]
    assert [(value["step"], value["value"]) for value in compared["metrics"]["train/loss"]] == [(5000, 0.2122)] * 2


def test_nan_however_it_is_spelled_is_counted_and_odd_lines_break_nothing(
    log_run: Callable[..., Path], runwise: Runwise, answered: Callable[..., Any]
) -> None:
    values = [1.5, math.nan, math.inf, -math.inf, 2.5]
    rows: list[Row | str] = [{"step": n, "loss": value} for n, value in enumerate(values)]
    csv = log_run("table", []).with_name("metrics.csv")
    csv.write_text("step,loss\n0,1.5\n1,nan\n2,inf\n3,-inf\n4,2.5\n")
    log_run("odd", [*rows[:3], "null", "[1, 2]", "", "3", '"text"', *rows[3:]])
    log_run(
        "exported",
        [
            {"step": n, "loss": value if math.isfinite(value) else text}
            for n, (value, text) in enumerate(zip(values, ("", "NaN", "Infinity", "-Infinity", ""), strict=True))
        ],
    )
    log_run("ends-in-nan", [{"step": n, "loss": math.nan} for n in range(3)])
    for name in ("odd", "table", "exported"):
        stats = answered("stats", name)["metrics"]["loss"]
        assert (stats["count"], stats["nonfinite"], stats["min"], stats["max"]) == (5, 3, 1.5, 2.5)
    assert {run["name"] for run in answered("list")["runs"]} == {"odd", "ends-in-nan", "table", "exported"}
    assert answered("list", "-n", "1")["total"] == 4
    for command in ("list", "history odd", "raw odd", "best loss"):
        assert runwise(*command.split(), "-n", "1").returncode == 0
    assert "nan" in runwise("list").stdout


def test_a_question_reads_only_what_was_written_since_the_last_one(
    log_run: Callable[..., Path], tmp_path: Path
) -> None:
    log = log_run("long", [{"step": n, "loss": 1 / (n + 1), "grad_norm": float(n % 7)} for n in range(20_000)])
    more = "".join(f'{{"step": {n}, "loss": 0.5, "grad_norm": 1.0}}\n' for n in range(20_000, 20_100))

    async def read() -> list[int]:
        catalog = Catalog(None)
        answers, where = Answers(catalog, tmp_path), Where(cwd=str(tmp_path))
        counts = []

        async def ask(*questions: Query) -> None:
            for question in questions:
                await answers.ask(question, Look(), where)
            counts.append(catalog.status()["read_bytes"])

        await ask(ShowStats())
        await ask(ShowStats(), ListRuns(), History(), ShowStability(keys=("loss",)), ListRuns())
        with log.open("a") as file:
            file.write(more)
        await ask(ListRuns(), ShowStats(), ListRuns())
        return counts

    before = log.stat().st_size
    first, again, grown = anyio.run(read)
    assert first == pytest.approx(before, rel=0.1)
    assert again == first
    assert grown - again <= 2 * len(more)


def test_stability_of_8000_points_takes_no_gigabyte(log_run: Callable[..., Path], tmp_path: Path) -> None:
    rng = random.Random(4)
    log_run("long", [{"step": n, "loss": rng.random()} for n in range(8000)])

    async def ask() -> int:
        answers, where = Answers(Catalog(None), tmp_path), Where(cwd=str(tmp_path))
        await answers.ask(ShowStats(), Look(), where)
        tracemalloc.start()
        try:
            await answers.ask(ShowStability(keys=("loss",)), Look(), where)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert anyio.run(ask) < 32 << 20


def test_a_live_run_is_running_until_its_program_ends(
    running: subprocess.Popen[str], answered: Callable[..., Any]
) -> None:
    (run,) = answered("list")["runs"]
    assert (run["state"], run["proof"]) == ("running", f"pid {running.pid} is writing")
    assert len(answered("live")["runs"]) == 1
    running.kill()
    running.wait()
    (run,) = answered("list")["runs"]
    assert run["state"] == "crashed"
    assert answered("live")["runs"] == []
