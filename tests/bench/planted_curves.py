"""Makes runs whose troubles are known: curves as trainings log them, some with one trouble planted at a known step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from runwised.analysis.curve import Curve

Floats = NDArray[np.float64]


class Planted(NamedTuple):
    """What should be found."""

    kind: str
    key: str
    step: float


class Training(NamedTuple):
    """One run: its curves by name, and what is wrong with them (nothing: a clean run)."""

    curves: dict[str, Curve]
    troubles: tuple[Planted, ...] = ()
    samples: dict[str, Curve] = {}  # noqa: RUF012 - never changed
    """System metrics, by the numbers of the samples."""
    rows: tuple[Floats, Floats, float] | None = None
    """Steps and times of all rows, and the time now for a run that is not over (else that of its last row)."""

    @property
    def length(self) -> float:
        """Steps from its first point to its last."""
        steps = [curve.steps for curve in (*self.curves.values(), *self.samples.values())]
        return max(each[-1] - each[0] for each in (*steps, *([self.rows[0]] if self.rows else [])))


class _Draft:
    """A clean run in the making: a loss that falls like a power law, and what is logged beside it."""

    def __init__(self, rng: Generator, rows: tuple[int, int] = (150, 12000)) -> None:
        self.rng = rng
        self.n = int(np.exp(rng.uniform(np.log(rows[0]), np.log(rows[1]))))
        stride = int(rng.choice([1, 5, 10, 50]))
        self.steps = np.arange(1, self.n + 1, dtype=np.float64) * stride
        self.t = np.arange(self.n) / self.n
        self.floor = rng.uniform(0.4, 2.5)
        self.amp = rng.uniform(0.8, 2.0) * self.floor
        self.smooth = self.floor + self.amp * (1 + self.t / rng.uniform(0.005, 0.05)) ** -rng.uniform(0.35, 0.7)
        self.spread = rng.uniform(0.005, 0.04)
        self.tail = int(rng.choice([0, 0, 6, 10]))
        self.memory = float(rng.choice([0, 0, 0.5, 0.9]))
        warm = max(2, int(rng.uniform(0.01, 0.05) * self.n))
        at = np.arange(self.n)
        self.peak = 10 ** rng.uniform(-4.5, -2.5)
        self.rate = self.peak * np.minimum((at + 1) / warm, 0.5 * (1.02 + 0.98 * np.cos(np.pi * self.t)))
        self.norm = (
            rng.uniform(0.1, 2)
            * (1 + 3 * np.exp(-self.t / 0.03))
            * np.exp(rng.normal(0, rng.uniform(0.05, 0.4), self.n))
        )
        self.pace = rng.uniform(1e3, 1e6) * (1 + 0.03 * rng.normal(size=self.n))
        every = int(rng.integers(20, 60))
        self.pace[every // 2 :: every] *= rng.uniform(0.1, 0.5)
        self.checked = np.linspace(self.n // 50, self.n - 1, int(rng.integers(25, 120))).astype(int)
        self.checked = np.unique(self.checked)
        self.gap = 1.02 + 0.03 * self.t
        self.values: Floats | None = None

    def noise(self, n: int, spread: float) -> Floats:
        """Around 1: normal or with a heavy tail, some of it slow."""
        raw = (
            self.rng.standard_t(self.tail, n) / np.sqrt(self.tail / (self.tail - 2))
            if self.tail
            else self.rng.normal(size=n)
        )
        if self.memory:
            kernel = self.memory ** np.arange(40)
            raw = np.convolve(np.concatenate((raw[:39], raw)), kernel / np.sqrt(np.sum(kernel**2)))[39 : 39 + n]
        return 1 + spread * raw

    def loss(self) -> Floats:
        if self.values is None:
            self.values = self.smooth * self.noise(self.n, self.spread)
        return self.values

    def validation(self) -> Floats:
        smooth = self.smooth[self.checked] * self.gap[self.checked]
        return smooth * (1 + 0.15 * self.spread * self.rng.normal(size=len(smooth)))

    def done(self, *troubles: Planted, upto: int | None = None) -> Training:
        stop = self.n if upto is None else upto
        checked = self.checked[self.checked < stop]
        curves = {
            "train/loss": Curve(self.steps[:stop], self.loss()[:stop]),
            "val/loss": Curve(self.steps[checked], self.validation()[: len(checked)]),
            "lr": Curve(self.steps[:stop], self.rate[:stop]),
            "grad_norm": Curve(self.steps[:stop], self.norm[:stop]),
            "tokens_per_s": Curve(self.steps[:stop], self.pace[:stop]),
        }
        return Training(curves, troubles)

    def somewhere(self, low: float = 0.25, high: float = 0.75) -> int:
        return int(self.rng.uniform(low, high) * self.n)


def clean(rng: Generator) -> Training:
    """A constant rate."""
    draft = _Draft(rng)
    draft.rate = np.full(draft.n, draft.peak)
    return draft.done()


def cosine(rng: Generator) -> Training:
    """A cosine with a warm-up; the loss makes its last gains as the rate falls."""
    draft = _Draft(rng)
    draft.smooth -= rng.uniform(0.01, 0.1) * draft.floor * draft.t**2
    return draft.done()


def short(rng: Generator) -> Training:
    """Few rows."""
    return _Draft(rng, (15, 200)).done()


def warm_restarts(rng: Generator) -> Training:
    """A cosine that starts again; the loss bumps up a little each time."""
    draft = _Draft(rng)
    cycles = int(rng.integers(2, 7))
    phase = (draft.t * cycles) % 1
    shrink = rng.choice([1.0, 0.8]) ** np.floor(draft.t * cycles)
    draft.rate = draft.peak * shrink * 0.5 * (1 + np.cos(np.pi * phase))
    bump = rng.uniform(0.02, 0.12) * draft.floor
    draft.smooth += bump * (1 - phase) ** 2 * (draft.t * cycles >= 1)
    return draft.done()


def milestones(rng: Generator) -> Training:
    """A rate that is divided at milestones, each with a drop of the loss."""
    draft = _Draft(rng)
    draft.rate = np.full(draft.n, draft.peak)
    for at in np.sort(rng.uniform(0.3, 0.9, int(rng.integers(1, 4)))):
        after = draft.t >= at
        draft.rate[after] /= rng.choice([2, 3, 10])
        draft.smooth[after] -= 0.08 * draft.floor * (1 - np.exp(-(draft.t[after] - at) / 0.02))
    return draft.done()


def reinforcement(rng: Generator) -> Training:
    """Losses of a policy and a critic, that wander and need not fall; a total loss around zero."""
    n = int(rng.integers(300, 5000))
    steps = np.arange(n, dtype=np.float64) * 2048
    wander = np.cumsum(rng.normal(size=n)) / np.sqrt(n)
    critic = np.exp(rng.normal(0, 0.8, n) + wander)
    policy = 0.02 * rng.standard_t(4, n) - 0.01
    reward = 100 * np.arange(n) / n + 30 * rng.normal(size=n)
    total = policy + 0.5 * critic - 0.01 * rng.uniform(0.5, 1, n)
    values = {"losses/value_loss": critic, "losses/policy_loss": policy, "loss": total, "charts/reward": reward}
    if rng.random() < 0.5:
        values = {"loss": total}
    values |= {"charts/learning_rate": 3e-4 * (1 - np.arange(n) / n), "charts/SPS": 2000 + 50 * rng.normal(size=n)}
    values |= {"losses/grad_norm": np.exp(rng.normal(0, 0.7, n)), "losses/approx_kl": 0.01 * np.exp(rng.normal(size=n))}
    return Training({key: Curve(steps, value) for key, value in values.items()})


def curriculum(rng: Generator) -> Training:
    """Harder data from some step on: the loss jumps, and falls again."""
    draft = _Draft(rng)
    for at in rng.uniform(0.2, 0.75, int(rng.integers(1, 4))):
        after = draft.t >= at
        jump = rng.uniform(0.1, 0.5) * draft.floor
        stays = rng.uniform(0, 0.4)
        draft.smooth[after] += jump * (stays + (1 - stays) * np.exp(-(draft.t[after] - at) / rng.uniform(0.02, 0.08)))
    return draft.done()


def sparse_validation(rng: Generator) -> Training:
    """A handful of validations, with noise of their own."""
    draft = _Draft(rng)
    draft.checked = np.unique(np.linspace(draft.n // 20, draft.n - 1, int(rng.integers(3, 16))).astype(int))
    draft.gap = 1.03 + 0.004 * rng.normal(size=draft.n)
    return draft.done()


def heavy_tails(rng: Generator) -> Training:
    """Losses of single batches, exponentially distributed; gradient norms that span decades."""
    draft = _Draft(rng)
    draft.values = draft.smooth * rng.gamma(rng.uniform(1, 4), 1, draft.n)
    draft.norm *= np.exp(rng.normal(0, 0.6, draft.n))
    return draft.done()


def uneven(rng: Generator) -> Training:
    """Logged often at first and seldom later."""
    draft = _Draft(rng)
    gaps = np.where(draft.t < 0.5, 1, 20) * rng.integers(1, 4, draft.n)
    draft.steps = np.cumsum(gaps).astype(np.float64)
    u = draft.steps / draft.steps[-1]
    draft.smooth = draft.floor + draft.amp * (1 + u / 0.02) ** -0.5
    draft.rate = draft.peak * 0.5 * (1.02 + 0.98 * np.cos(np.pi * u))
    return draft.done()


def coarse_digits(rng: Generator) -> Training:
    """A loss of which two decimals were logged."""
    draft = _Draft(rng)
    draft.values = np.round(draft.loss(), 2)
    return draft.done()


def schedules(rng: Generator) -> Training:
    """Rates as schedulers give them: warm-ups of all kinds, decays, cycles, restarts."""
    draft = _Draft(rng)
    t, n = draft.t, draft.n
    warm = np.minimum(1, t / rng.uniform(0.01, 0.08))
    cycles = int(rng.integers(2, 9))
    phase = (t * cycles) % 1
    doubling = np.log2(1 + 7 * t) % 1
    shapes = (
        warm * (1 - t),
        warm * np.minimum(1, (1 - t) / 0.2),
        np.where(t < 0.3, 0.04 + 0.96 * t / 0.3, np.cos(np.pi * np.clip((t - 0.3) / 0.7, 0, 1)) / 2 + 0.5) + 1e-4,
        np.ceil(5 * warm) / 5,
        1 - np.abs(2 * phase - 1),
        0.5 + 0.5 * np.cos(np.pi * doubling) + 0.01,
        np.minimum(1, phase / 0.1) * (0.5 + 0.5 * np.cos(np.pi * phase)),
        0.97 ** (20 * t * cycles),
        warm * np.minimum(1, np.sqrt(0.05 / np.maximum(t, 1e-9))),
        0.5 ** np.floor(t * cycles),
        np.ones(n),
        0.2 + 0.8 * (1 - phase),
    )
    draft.rate = draft.peak * shapes[int(rng.integers(len(shapes)))]
    return draft.done()


def paces(rng: Generator) -> Training:
    """A pace with pauses for evaluation and checkpoints, a slow start, and a slow drift."""
    draft = _Draft(rng)
    every, rows = int(rng.integers(60, 300)), int(rng.integers(1, 7))
    for late in range(rows):
        draft.pace[every + late :: every] *= rng.uniform(0.05, 0.6)
    draft.pace[: int(rng.integers(1, 5))] *= 0.05
    draft.pace *= 1 - rng.uniform(0, 0.3) * draft.t
    draft.pace *= np.exp(rng.normal(0, rng.uniform(0.01, 0.15), draft.n))
    return draft.done()


def rising_norms(rng: Generator) -> Training:
    """Gradient norms that rise by a factor of up to six over the run."""
    draft = _Draft(rng)
    draft.norm *= 1 + rng.uniform(1, 5) * draft.t
    return draft.done()


def near_zero(rng: Generator) -> Training:
    """A loss that comes close to zero."""
    draft = _Draft(rng)
    draft.smooth = draft.amp * (1 + draft.t / 0.01) ** -rng.uniform(1, 2)
    draft.spread *= 5
    return draft.done()


def epochs(rng: Generator) -> Training:
    """Small data seen many times: the loss falls at the begin of each epoch; validation is flat at the end."""
    draft = _Draft(rng)
    count = int(rng.integers(3, 30))
    draft.smooth *= 1 - 0.01 * np.floor(draft.t * count) * 10 / count
    draft.gap = 1.05 + 0.08 * draft.t
    draft.checked = np.unique(np.minimum(draft.n - 1, (np.arange(1, count + 1) * draft.n) // count))
    return draft.done()


def spike_of_one_row(rng: Generator) -> Training:
    """One to three single rows far above the rest."""
    draft = _Draft(rng)
    values = draft.loss()
    places = np.unique([draft.somewhere(0.1, 0.97) for _ in range(int(rng.integers(1, 4)))])
    places = places[np.insert(np.diff(places) > draft.n * 0.05, 0, True)]
    for at in places:
        values[at] += draft.smooth[at] * max(rng.uniform(0.6, 3), 25 * draft.spread)
    return draft.done(*(Planted("spike", "train/loss", draft.steps[at]) for at in places))


def spike_of_some_rows(rng: Generator) -> Training:
    """A rise of 3 to 30 rows that decays."""
    draft = _Draft(rng)
    at = draft.somewhere(0.15, 0.9)
    rows = int(rng.integers(3, min(30, max(4, draft.n // 30))))
    late = np.arange(min(4 * rows, draft.n - at))
    draft.loss()[at : at + len(late)] += (
        draft.smooth[at] * max(rng.uniform(0.6, 3), 25 * draft.spread) * np.exp(-3 * late / rows)
    )
    return draft.done(Planted("spike", "train/loss", draft.steps[at]))


def spike_of_many_rows(rng: Generator) -> Training:
    """A rise of 100 rows to 1.5 % of a long run, and back."""
    draft = _Draft(rng, (9000, 60000))
    at = draft.somewhere(0.1, 0.9)
    rows = int(rng.uniform(80, 0.015 * draft.n))
    draft.loss()[at : at + rows] += draft.smooth[at] * max(rng.uniform(0.4, 3), 12 * draft.spread)
    return draft.done(Planted("spike", "train/loss", draft.steps[at]))


def spike_of_gradient(rng: Generator) -> Training:
    """One gradient norm far above the rest."""
    draft = _Draft(rng)
    at = draft.somewhere(0.1, 0.95)
    draft.norm[at] *= rng.uniform(60, 200)
    return draft.done(Planted("spike", "grad_norm", draft.steps[at]))


def divergence_explodes(rng: Generator) -> Training:
    """The loss grows faster and faster, to the end of the run; half of these end in NaN."""
    draft = _Draft(rng)
    at = draft.somewhere(0.2, 0.9)
    stop = min(draft.n, at + max(12, int(rng.uniform(0.01, 0.3) * draft.n)))
    late = np.arange(stop - at) / (stop - at)
    draft.loss()[at:stop] += draft.smooth[at] * rng.uniform(0.5, 5) * (np.exp(3 * late) - 1) / 5
    troubles = [Planted("divergence", "train/loss", draft.steps[at])]
    draft.checked = draft.checked[draft.checked < at]
    if rng.random() < 0.5 and stop + 5 < draft.n:
        ends = min(draft.n, stop + 50)
        draft.loss()[stop:ends] = np.nan
        troubles.append(Planted("nonfinite", "train/loss", draft.steps[stop]))
        return draft.done(*troubles, upto=ends)
    return draft.done(*troubles, upto=stop)


def divergence_creeps(rng: Generator) -> Training:
    """The loss turns and rises slowly for the rest of the run."""
    draft = _Draft(rng)
    at = draft.somewhere(0.3, 0.7)
    late = np.maximum(0, draft.t - draft.t[at]) / (1 - draft.t[at])
    draft.smooth = np.where(late > 0, draft.smooth[at], draft.smooth) + draft.amp * rng.uniform(0.5, 1.2) * late
    draft.checked = draft.checked[draft.checked < at]
    return draft.done(Planted("divergence", "train/loss", draft.steps[at]))


def divergence_stays(rng: Generator) -> Training:
    """The loss jumps to about where it began, and stays there."""
    draft = _Draft(rng)
    at = draft.somewhere(0.3, 0.85)
    after = np.arange(draft.n) >= at
    draft.smooth[after] = (draft.floor + draft.amp) * rng.uniform(0.85, 1.5)
    draft.checked = draft.checked[draft.checked < at]
    return draft.done(Planted("divergence", "train/loss", draft.steps[at]))


def nonfinite_to_the_end(rng: Generator) -> Training:
    """Loss and gradient turn into NaN or infinity, one after the other."""
    draft = _Draft(rng)
    at, later = draft.somewhere(), int(rng.integers(1, 5))
    draft.norm[at:] = rng.choice([np.nan, np.inf])
    draft.loss()[at + later :] = np.nan
    draft.checked = draft.checked[draft.checked < at]
    first, second = draft.steps[at], draft.steps[at + later]
    return draft.done(Planted("nonfinite", "grad_norm", first), Planted("nonfinite", "train/loss", second))


def nonfinite_rows(rng: Generator) -> Training:
    """A few rows that are NaN."""
    draft = _Draft(rng)
    at = draft.somewhere()
    draft.loss()[at : at + int(rng.integers(1, 6))] = np.nan
    return draft.done(Planted("nonfinite", "train/loss", draft.steps[at]))


def plateau(rng: Generator) -> Training:
    """The loss falls at a good rate, and from some step on not at all."""
    draft = _Draft(rng, (1000, 12000))
    at = draft.somewhere(0.3, 0.65)
    draft.smooth = draft.floor * (
        1 + rng.uniform(0.6, 1.5) * np.maximum(0, 1 - draft.t / draft.t[at]) ** rng.uniform(1, 1.3)
    )
    draft.memory = min(draft.memory, 0.5)
    return draft.done(Planted("plateau", "train/loss", draft.steps[at]))


def overfitting(rng: Generator) -> Training:
    """The validation loss turns while the training loss falls."""
    draft = _Draft(rng)
    at = rng.uniform(0.25, 0.7)
    late = np.maximum(0, draft.t - at) / (1 - at)
    draft.checked = np.unique(np.linspace(draft.n // 50, draft.n - 1, int(rng.integers(30, 150))).astype(int))
    draft.gap = 1.02 + rng.uniform(0.4, 1.5) * late ** rng.uniform(1, 1.2)
    expected = draft.smooth[draft.checked] * draft.gap[draft.checked]
    return draft.done(Planted("overfitting", "val/loss", draft.steps[draft.checked[int(np.argmin(expected))]]))


def gradient_explosion(rng: Generator) -> Training:
    """Norms grow by a factor of 20 to 10,000 within a few rows to a tenth of the run; a part of them comes back."""
    draft = _Draft(rng)
    at = draft.somewhere()
    factor = 10 ** rng.uniform(1.5, 4)
    rows = int(rng.uniform(1, max(2, 0.02 * draft.n)))
    stays = draft.n if rng.random() < 0.5 else min(draft.n, at + rows + int(rng.uniform(15, 0.2 * draft.n)))
    late = np.minimum(1, (np.arange(at, stays) - at + 1) / rows)
    draft.norm[at:stays] *= factor**late
    return draft.done(Planted("gradient_explosion", "grad_norm", draft.steps[at]))


def gradient_vanishing(rng: Generator) -> Training:
    """Norms fall to almost nothing, within a few rows."""
    draft = _Draft(rng)
    at = draft.somewhere()
    draft.norm[at:] *= 10 ** -rng.uniform(9, 12)
    return draft.done(Planted("gradient_vanishing", "grad_norm", draft.steps[at]))


def throughput_drop(rng: Generator) -> Training:
    """Less than half of the usual pace, for good or for a while."""
    draft = _Draft(rng)
    at = draft.somewhere()
    stays = draft.n if rng.random() < 0.5 else min(draft.n, at + int(rng.uniform(15, 0.3 * draft.n)))
    draft.pace[at:stays] *= rng.uniform(0.1, 0.5)
    return draft.done(Planted("throughput_drop", "tokens_per_s", draft.steps[at]))


def learning_rate(rng: Generator) -> Training:
    """A rate that jumps in the middle of its schedule: up for good, up or down for some rows, or down to nothing."""
    draft = _Draft(rng)
    at = draft.somewhere(0.2, 0.5)
    some = slice(at, at + int(rng.integers(1, 20)))
    how = int(rng.integers(4))
    if how == 0:
        draft.rate[at:] *= rng.uniform(2.5, 10)
    elif how == 1:
        draft.rate[some] *= rng.uniform(3, 100)
    elif how == 2:
        draft.rate[some] = 0
    else:
        draft.rate[at:] = 0
    return draft.done(Planted("learning_rate", "lr", draft.steps[at]))


def frozen(rng: Generator) -> Training:
    """The same average again and again, where NaN was hidden; half of them recover."""
    draft = _Draft(rng)
    at = draft.somewhere()
    stop = draft.n if rng.random() < 0.5 else at + int(rng.uniform(15, 0.2 * draft.n))
    draft.loss()[at:stop] = 0.0 if rng.random() < 0.3 else draft.loss()[at]
    return draft.done(Planted("frozen", "train/loss", draft.steps[at]))


CLEAN: tuple[Callable[[Generator], Training], ...] = (
    clean,
    cosine,
    short,
    warm_restarts,
    milestones,
    reinforcement,
    curriculum,
    sparse_validation,
    heavy_tails,
    uneven,
    coarse_digits,
    schedules,
    paces,
    rising_norms,
    near_zero,
    epochs,
)
TROUBLED: tuple[Callable[[Generator], Training], ...] = (
    spike_of_one_row,
    spike_of_some_rows,
    spike_of_many_rows,
    spike_of_gradient,
    divergence_explodes,
    divergence_creeps,
    divergence_stays,
    nonfinite_to_the_end,
    nonfinite_rows,
    plateau,
    overfitting,
    gradient_explosion,
    gradient_vanishing,
    throughput_drop,
    learning_rate,
    frozen,
)


def made(make: Callable[[Generator], Training], seed: int) -> Training:
    """The run of a kind with this seed, the same every time."""
    return make(default_rng([seed, *make.__name__.encode()]))
