"""Asks the published ancestor (`runwise` 0.4.0 of PyPI) what it finds, in a Python environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.bench.planted_curves import Training

HOME = Path(__file__).resolve().parents[2] / "build" / "ancestor"
PYTHON = HOME / "bin" / "python"
INSTALL = f"python -m venv {HOME} && {PYTHON} -m pip install runwise==0.4.0"
SAMPLES = 200
"""Rows its command hands to its detectors, evenly spaced."""
KINDS = {
    "nan": "nonfinite",
    "spike": "spike",
    "overfit": "overfitting",
    "plateau": "plateau",
    "gradient warning": "gradient_explosion",
    "gradient critical": "gradient_vanishing",
    "system": "throughput_drop",
}
"""What it calls the kinds it knows; of gradients its severity tells which."""
_ASK = """
import json, sys
from runwise import detect_anomalies
for line in sys.stdin:
    found = detect_anomalies(json.loads(line), loss_key="train/loss", val_loss_key="val/loss",
                             throughput_key="tokens_per_s")
    names = {f"{each.type} {each.severity}" if each.type == "gradient" else each.type for each in found}
    print(json.dumps(sorted(names)), flush=True)
"""


def is_there() -> bool:
    """Whether it is installed; `INSTALL` does that."""
    return PYTHON.exists()


def answers(trainings: Iterable[Training], *, sampled: bool) -> list[set[str]]:
    """The kinds of events it tells of each run, in our words; given all rows, or as many as its command gives it.

    Raises subprocess.CalledProcessError.
    """
    lines = "".join(f"{json.dumps(_rows(training, sampled))}\n" for training in trainings)
    told = subprocess.run([PYTHON, "-c", _ASK], input=lines, capture_output=True, text=True, check=True)
    return [{KINDS[name] for name in json.loads(line)} for line in told.stdout.splitlines()]


def _rows(training: Training, sampled: bool) -> list[dict[str, float]]:
    rows: dict[float, dict[str, float]] = {}
    for key, curve in training.curves.items():
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            rows.setdefault(step, {"step": step, "_step": step})[key] = value
    every = [rows[step] for step in sorted(rows)]
    return every[:: max(1, len(every) // SAMPLES)] if sampled else every
