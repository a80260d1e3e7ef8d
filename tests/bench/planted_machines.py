"""Makes runs whose troubles lie with the machine or in their scores: memory, utilisation, stalls, accuracies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from runwised.analysis.curve import Curve
from tests.bench.planted_curves import Floats, Planted, Training

GPU, HELD, HOST = "gpu.0.gpu", "gpu.0.memoryAllocated", "memory_percent"
ROWS = "_timestamp"


def _samples(rng: Generator) -> tuple[int, Floats]:
    """How many samples, and each one's share of the run."""
    n = int(np.exp(rng.uniform(np.log(40), np.log(4000))))
    return n, np.arange(n) / n


def _machine(rng: Generator, n: int, **changed: Floats) -> dict[str, Curve]:
    """A machine at work: a busy GPU with pauses for evaluations, memory that is taken at the start and held."""
    busy = np.clip(rng.uniform(70, 97) + 4 * rng.normal(size=n), 0, 100)
    every = int(rng.integers(12, 60))
    for late in range(int(rng.integers(1, 3))):
        busy[every + late :: every] *= rng.uniform(0, 0.6)
    start = int(rng.integers(1, max(2, min(8, n // 20))))
    busy[:start] = rng.uniform(0, 10)
    busy[-2:] *= rng.uniform(0, 1)
    held = np.full(n, rng.uniform(20, 99)) + 0.02 * rng.normal(size=n)
    held[:start] = rng.uniform(0, 5)
    for _ in range(int(rng.integers(0, 3))):
        at = int(rng.uniform(0.02, 0.9) * n)
        held[at:] = np.minimum(96, held[at:] + rng.uniform(0, 12))
    host = rng.uniform(10, 60) + rng.uniform(0, 20) * (1 - np.exp(-np.arange(n) / n / 0.1)) + 0.4 * rng.normal(size=n)
    values = {GPU: busy, HELD: np.clip(held, 0, 99.5), HOST: np.clip(host, 0, 90)}
    names = {"gpu": GPU, "held": HELD, "host": HOST}
    values |= {names[name]: value for name, value in changed.items()}
    return {name: Curve(np.arange(n, dtype=float), value) for name, value in values.items()}


def machine_at_work(rng: Generator) -> Training:
    """Nothing is wrong."""
    return Training({}, samples=_machine(rng, _samples(rng)[0]))


def machine_of_others(rng: Generator) -> Training:
    """A GPU beside the run's own that it does not use, and memory of the host that comes and goes."""
    n, t = _samples(rng)
    host = rng.uniform(20, 50) + rng.uniform(5, 30) * ((t * rng.uniform(3, 12)) % 1) + rng.normal(size=n)
    samples = _machine(rng, n, host=host)
    samples["gpu.1.gpu"] = Curve(np.arange(n, dtype=float), np.zeros(n))
    samples["gpu.1.memoryAllocated"] = Curve(np.arange(n, dtype=float), np.full(n, rng.uniform(0, 3)))
    return Training({}, samples=samples)


def machine_with_long_evaluations(rng: Generator) -> Training:
    """A GPU that has little to do for some samples again and again, and grows its memory a little for a while."""
    n, t = _samples(rng)
    gpu = np.clip(rng.uniform(60, 95) + 6 * rng.normal(size=n), 0, 100)
    long = max(2, int(rng.uniform(0.01, 0.05) * n))
    for at in range(long * 3, n - long, long * int(rng.integers(4, 9))):
        gpu[at : at + long] = rng.uniform(5, 40)
    held = rng.uniform(30, 60) + rng.uniform(5, 20) * (1 - np.exp(-t / rng.uniform(0.02, 0.15)))
    return Training({}, samples=_machine(rng, n, gpu=gpu, held=held + 0.2 * rng.normal(size=n)))


def _leak(rng: Generator, n: int, t: Floats, low: float, high: float) -> tuple[Floats, int]:
    at = 0 if rng.random() < 0.3 else int(rng.uniform(0.1, 0.55) * n)
    late = np.maximum(0, t - t[at]) / (1 - t[at])
    base = rng.uniform(low, low + 20)
    return base + (rng.uniform(high, 99) - base) * late + 0.3 * rng.normal(size=n), at


def memory_of_gpu_grows(rng: Generator) -> Training:
    """From some sample on more and more is held, almost to the limit."""
    n, t = _samples(rng)
    held, at = _leak(rng, n, t, 30, 85)
    return Training({}, (Planted("memory", HELD, at),), _machine(rng, n, held=np.clip(held, 0, 100)))


def memory_of_host_grows(rng: Generator) -> Training:
    """The same of the host's."""
    n, t = _samples(rng)
    host, at = _leak(rng, n, t, 20, 80)
    return Training({}, (Planted("memory", HOST, at),), _machine(rng, n, host=np.clip(host, 0, 100)))


def memory_is_full(rng: Generator) -> Training:
    """What is held jumps up to the limit, and stays there."""
    n, _ = _samples(rng)
    at = int(rng.uniform(0.25, 0.8) * n)
    full = rng.uniform(40, 85) + 0.2 * rng.normal(size=n)
    full[at:] = rng.uniform(98, 99.8)
    which = str(rng.choice(["held", "host"]))
    planted = Planted("memory", HELD if which == "held" else HOST, at)
    return Training({}, (planted,), _machine(rng, n, **{which: full}))


def low_utilisation(rng: Generator) -> Training:
    """A GPU that waits: for a while, from some sample on, or all the time."""
    n, _ = _samples(rng)
    how = int(rng.integers(3))
    at = 0 if how == 0 else int(rng.uniform(0.15, 0.7) * n)
    stop = min(n, at + max(14, int(rng.uniform(0.15, 0.5) * n))) if how == 1 else n
    gpu = np.clip(rng.uniform(65, 97) + 5 * rng.normal(size=n), 0, 100)
    gpu[at:stop] = np.clip(rng.uniform(0, 18) + 4 * rng.normal(size=stop - at), 0, 100)
    held = np.full(n, rng.uniform(20, 80))
    return Training({}, (Planted("low_utilisation", GPU, at),), _machine(rng, n, gpu=gpu, held=held))


def _row_times(rng: Generator) -> tuple[int, Floats, Floats]:
    """Rows at a cadence of its own, with pauses that come again, a slow start and a last evaluation."""
    n = int(np.exp(rng.uniform(np.log(60), np.log(8000))))
    gaps = 10 ** rng.uniform(-1, 1.3) * np.exp(rng.normal(0, rng.uniform(0.02, 0.5), n))
    every = int(rng.integers(10, max(11, n // 5)))
    gaps[every::every] += rng.uniform(0, 400)
    gaps[1] += rng.uniform(0, 300)
    gaps[-1] += rng.uniform(0, 200)
    return n, np.arange(n, dtype=float) * int(rng.choice([1, 10, 50])), gaps


def rows_at_a_cadence(rng: Generator) -> Training:
    """Nothing is wrong; half of these are still running."""
    _, steps, gaps = _row_times(rng)
    times = 1.7e9 + np.cumsum(gaps)
    now = times[-1] + (rng.uniform(0, 3) * float(np.median(gaps)) if rng.random() < 0.5 else 0.0)
    return Training({}, rows=(steps, times, now))


def stalled(rng: Generator) -> Training:
    """No row for long, once or twice; the last time to the end in half of these."""
    n, steps, gaps = _row_times(rng)
    pause = float(gaps[3:].max())
    long = max(120.0, 30 * float(np.median(gaps)), 6 * pause)
    troubles, now_after = [], 0.0
    if rng.random() < 0.5:
        now_after = long * rng.uniform(1, 50)
        troubles.append(Planted("stalled", ROWS, steps[-1]))
    if not now_after or rng.random() < 0.5:
        at = int(rng.uniform(0.1, 0.9) * n)
        gaps[at] = long * rng.uniform(1, 50)
        troubles.append(Planted("stalled", ROWS, steps[at - 1]))
    times = 1.7e9 + np.cumsum(gaps)
    return Training({}, tuple(troubles), rows=(steps, times, float(times[-1]) + now_after))


class _Scores:
    """Accuracies that rise and level off, in shares or in percent, in training by single batches."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.n = int(np.exp(rng.uniform(np.log(200), np.log(10000))))
        self.t = np.arange(self.n) / self.n
        top, first = rng.uniform(0.6, 0.97), rng.uniform(0.01, 0.3)
        self.rise = 1 - (1 + self.t / rng.uniform(0.02, 0.15)) ** -rng.uniform(0.8, 1.5)
        self.smooth = first + (top - first) * self.rise
        self.checked = np.unique(np.linspace(self.n // 40, self.n - 1, int(rng.integers(30, 120))).astype(int))
        self.gap = 0.02 + 0.03 * self.t
        self.percent = 100.0 if rng.random() < 0.4 else 1.0
        self.batch = int(rng.choice([32, 256, 4096]))

    def done(self, *troubles: Planted, upto: int | None = None) -> Training:
        stop = self.n if upto is None else upto
        steps = np.arange(1, self.n + 1, dtype=np.float64)
        right = self.rng.binomial(self.batch, np.clip(self.smooth, 0, 1)) / self.batch
        checked = self.checked[self.checked < stop]
        tests = self.rng.binomial(5000, np.clip(self.smooth - self.gap, 0, 1)[checked]) / 5000
        curves = {
            "train/accuracy": Curve(steps[:stop], self.percent * right[:stop]),
            "val/accuracy": Curve(steps[checked], self.percent * tests),
        }
        return Training(curves, troubles)


def scores_rise(rng: Generator) -> Training:
    """Nothing is wrong."""
    return _Scores(rng).done()


def scores_saturate(rng: Generator) -> Training:
    """All is right in training before its end; validation levels off below that."""
    scores = _Scores(rng)
    scores.smooth = np.minimum(1.0, 0.3 + 0.72 * scores.rise / scores.rise[-1])
    scores.gap = 0.02 + 0.1 * scores.rise
    return scores.done()


def score_collapses(rng: Generator) -> Training:
    """Accuracy falls to that of a guess within a few rows or slowly, and stays there."""
    scores = _Scores(rng)
    at = int(rng.uniform(0.3, 0.8) * scores.n)
    rows = int(rng.uniform(1, 0.1 * scores.n))
    down = np.clip((np.arange(scores.n) - at) / rows, 0, 1)
    scores.smooth = scores.smooth * (1 - down) + rng.uniform(0.01, 0.25) * scores.smooth[0] * down
    scores.checked = scores.checked[scores.checked < at]
    return scores.done(Planted("divergence", "train/accuracy", at + 1))


def score_of_validation_turns(rng: Generator) -> Training:
    """Validation accuracy falls while that of training rises."""
    scores = _Scores(rng)
    at = rng.uniform(0.25, 0.65)
    late = np.maximum(0, scores.t - at) / (1 - at)
    scores.gap = 0.02 + rng.uniform(0.2, 0.45) * late
    expected = (scores.smooth - scores.gap)[scores.checked]
    turn = scores.checked[int(np.argmax(expected))]
    return scores.done(Planted("overfitting", "val/accuracy", turn + 1))


def score_stays(rng: Generator) -> Training:
    """Accuracy rises at a good rate, and from some step on not at all."""
    scores = _Scores(rng)
    scores.n = max(scores.n, 1500)
    scores.t = np.arange(scores.n) / scores.n
    at = rng.uniform(0.3, 0.6)
    top, first = rng.uniform(0.4, 0.75), rng.uniform(0.02, 0.15)
    scores.smooth = first + (top - first) * np.minimum(1, scores.t / at)
    scores.checked = np.unique(np.linspace(scores.n // 40, scores.n - 1, 40).astype(int))
    scores.gap = 0.02 + 0 * scores.t
    scores.batch = 4096
    return scores.done(Planted("plateau", "train/accuracy", at * scores.n + 1))


CLEAN: tuple[Callable[[Generator], Training], ...] = (
    machine_at_work,
    machine_of_others,
    machine_with_long_evaluations,
    rows_at_a_cadence,
    scores_rise,
    scores_saturate,
)
TROUBLED: tuple[Callable[[Generator], Training], ...] = (
    memory_of_gpu_grows,
    memory_of_host_grows,
    memory_is_full,
    low_utilisation,
    stalled,
    score_collapses,
    score_of_validation_turns,
    score_stays,
)
