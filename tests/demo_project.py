"""Makes the project that `runwise demo` shows: six small offline runs, written by wandb itself.

Run it where paths and host name are neutral, for both end up in the records, then copy `wandb/` to `runwised/demo/`:

    unshare --uts --mount --pid --fork --mount-proc sh -c '
        hostname trainbox && cd /data/demo && python .../tests/demo_project.py'

It takes a minute and a quarter, since times are real ones; losses are made up, and the same every time.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

LOG_EVERY = 10
SECONDS_PER_LOG = 0.5
TOKENS_PER_LOG = LOG_EVERY * 64 * 256


class Plan(NamedTuple):
    """One run: what is given to wandb, and how it ends."""

    name: str
    id: str
    notes: str
    tags: tuple[str, ...]
    lr: float = 3e-4
    d: int = 384
    layers: int = 6
    seed: int = 1337
    steps: int = 1200
    floor: float = 1.47
    """Loss it would reach after endless training."""
    diverges_at: int | None = None
    """Step where grad_norm starts to run away; the loss follows, then both are NaN."""
    ends: str = "well"


PLANS = (
    Plan("gpt-base", "p5v0x7ra", "Baseline: 6 layers, 384 wide.", ("baseline",)),
    Plan("gpt-wide", "w8k2m4dq", "Wider model, same data order.", ("wide",), d=512, layers=8, floor=1.36),
    Plan("gpt-hot", "h3t9z1ce", "Ten times the learning rate.", ("lr",), lr=3e-3, steps=900, diverges_at=640),
    Plan("gpt-seed-2", "s2n6b8yf", "Baseline with another seed.", ("baseline", "seed"), seed=7, ends="killed"),
    Plan("gpt-long", "l4j1q9gu", "Twice the context.", ("context",), layers=12, steps=500, ends="raises"),
    Plan("gpt-next", "e7c3u5ho", "", (), d=768, ends="killed at once"),
)


def main() -> None:
    """Start every run, two seconds apart, and leave the `wandb` folder that they wrote, without what is not needed."""
    shutil.copy(__file__, "train.py")
    quiet = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_HOST": "trainbox",
        "WANDB_USERNAME": "ada",
    }
    running = []
    for plan in PLANS:
        running.append(subprocess.Popen([sys.executable, "train.py", "--name", plan.name], env={**os.environ, **quiet}))
        time.sleep(2)
    print("exit statuses:", [process.wait() for process in running])
    for path in [*Path("wandb").glob("*/logs/debug-*.log"), *Path("wandb").glob("*")]:
        if path.is_symlink() or path.name.startswith("debug-"):
            path.unlink(missing_ok=True)
    for path in Path("wandb").glob("*/logs/debug.log"):
        _drop_tracebacks(path)


def _drop_tracebacks(path: Path) -> None:
    """wandb's own tracebacks go: they name the folders that Python is installed in."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if line.startswith(("20", "config:"))))


def train(plan: Plan) -> None:
    """Pretend to train, at a steady pace, with the metrics and the console of a small character model."""
    import wandb

    settings = wandb.Settings(x_disable_stats=True, x_save_requirements=False, x_disable_machine_info=True)
    run = wandb.init(
        project="tiny-gpt",
        id=plan.id,
        name=plan.name,
        notes=plan.notes or None,
        tags=plan.tags,
        config=_config(plan),
        settings=settings,
    )
    run.define_metric("val/loss", summary="min")
    print(f"{plan.name}: {plan.layers} layers, {plan.d} wide, lr {plan.lr:g}, seed {plan.seed}")
    rng = random.Random(plan.seed * 1000 + plan.d)
    for step in range(LOG_EVERY, plan.steps + 1, LOG_EVERY):
        row = _row(plan, step, rng)
        run.log(row, step=step)
        if "val/loss" in row:
            print(f"step {step}: train loss {row['train/loss']:.4f}, val loss {row['val/loss']:.4f}", flush=True)
        _maybe_end(plan, step)
        time.sleep(SECONDS_PER_LOG)
    if plan.diverges_at is not None:
        run.alert(title="loss is not finite", text=f"lr {plan.lr:g} was too high", level="ERROR", wait_duration=0)
    run.finish()


def _config(plan: Plan) -> dict[str, Any]:
    return {
        "lr": plan.lr,
        "seed": plan.seed,
        "batch_size": 64,
        "max_steps": plan.steps,
        "model": {"d": plan.d, "layers": plan.layers, "heads": 6, "context": 512 if plan.name == "gpt-long" else 256},
        "optimizer": {"name": "adamw", "betas": [0.9, 0.95], "weight_decay": 0.1},
        "data": {"name": "tinyshakespeare", "vocab": 65},
    }


def _row(plan: Plan, step: int, rng: random.Random) -> dict[str, float]:
    progress = step / 1200
    warmup = min(1.0, step / 100)
    loss = plan.floor + (math.log(65) - plan.floor) * math.exp(-((step / 180) ** 0.8))
    norm = 0.35 + 1.9 * math.exp(-step / 120) + 0.05 * rng.random()
    if plan.diverges_at is not None and step >= plan.diverges_at:
        late = (step - plan.diverges_at) / LOG_EVERY
        norm *= 1.6**late
        loss += 0.02 * max(0.0, late - 4) ** 2.5
        if late >= 12:
            norm = loss = math.nan
    row = {
        "train/loss": loss + 0.03 * rng.gauss(0, 1),
        "lr": plan.lr * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))),
        "grad_norm": norm,
        "tokens_per_s": TOKENS_PER_LOG / SECONDS_PER_LOG * (384 / plan.d) * (0.98 + 0.02 * rng.random()),
    }
    if step % 50 == 0:
        row["val/loss"] = loss + 0.02 + 0.12 * progress**2 + 0.008 * rng.gauss(0, 1)
    return row


def _maybe_end(plan: Plan, step: int) -> None:
    if plan.ends == "raises" and step == 430:
        _next_batch(step)
    if (plan.ends == "killed" and step == 900) or (plan.ends == "killed at once" and step == 60):
        os.kill(os.getpid(), signal.SIGKILL)


def _next_batch(step: int) -> None:
    raise ValueError(f"shard 003 is cut short: 63 of 64 sequences at step {step}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    wanted = parser.parse_args().name
    if wanted is None:
        main()
    else:
        train(next(plan for plan in PLANS if plan.name == wanted))
