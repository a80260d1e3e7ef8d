"""Runs beside one another by one metric: which is best, and what each one's line says of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from runwised.index.view import RunView
from runwised.queries.everywhere import known_by
from runwised.queries.glance import Moment, best, latest, stats_of
from runwised.queries.keysel import Direction, direction, main_metric
from runwised.render.numbers import Dress, column, formatted, number
from runwised.settings import RunwiseConfig

_LOOKED_AT = 20
"""Runs whose main metrics decide by which one all are shown."""


class Standing(NamedTuple):
    """One run's last and best value."""

    last: Moment
    best: Moment | None

    @property
    def ranked(self) -> bool:
        """A run that ends in NaN or infinity is not ranked, however good it was before."""
        return self.best is not None and math.isfinite(self.last.value)


class Board(NamedTuple):
    """Runs by one metric."""

    key: str
    side: Direction | None
    guessed: bool
    """The side is known only from the metric's name."""
    standings: Mapping[str, Standing]
    """By what a run is `known_by`; only runs that logged the metric."""

    @property
    def champion(self) -> str | None:
        """The run (as it is `known_by`) with the best exact value; of equal ones the first."""
        sign = -1 if self.side == "max" else 1
        ranked = {run: sign * found.best.value for run, found in self.standings.items() if found.best and found.ranked}
        return min(ranked, key=ranked.__getitem__, default=None)

    @property
    def unranked(self) -> int:
        """Runs left out of the ranking because they end in NaN or infinity."""
        return sum(not math.isfinite(found.last.value) for found in self.standings.values()) if self.side else 0

    @property
    def extreme(self) -> str:
        """What the best value is called: not best, where the side is a guess."""
        return ("lowest" if self.side == "min" else "highest") if self.guessed else "best"


def board_of(runs: Sequence[RunView], config: RunwiseConfig, key: str | None = None) -> Board | None:
    """The runs by a metric, by default the main one of most of the first runs; None when they have none."""
    if key is None:
        favoured = Counter(key for run in runs[:_LOOKED_AT] if (key := main_metric(run, config)))
        if not favoured:
            return None
        key = favoured.most_common(1)[0][0]
    side, guessed = side_of(runs[:_LOOKED_AT], key, config)
    standings = ((known_by(run), _standing(run, key, side)) for run in runs)
    return Board(key, side, guessed, {run: found for run, found in standings if found})


def side_of(runs: Sequence[RunView], key: str, config: RunwiseConfig) -> tuple[Direction | None, bool]:
    """Which of a metric's values is best, and whether that is a guess: what one of the runs knows goes before it."""
    guess: tuple[Direction | None, bool] = (None, False)
    for run in runs:
        if guess[0] and not run.definitions:
            continue
        side, guessed = direction(key, run, config)
        if side and not guessed:
            return side, False
        guess = (side, guessed) if side else guess
    return guess


def _standing(run: RunView, key: str, side: Direction | None) -> Standing | None:
    found = stats_of(run, key)
    if found:
        return Standing(Moment(found.last, found.last_step), best(found, side))
    last = latest(run, key)
    return last and Standing(last, None)


def spelled(
    values: Iterable[float | None], spec: str | None, dress: Dress, *, scale: bool = True
) -> tuple[str, dict[float | None, str]]:
    """How the values of one metric are written so that different ones look different; the head's suffix goes first.

    `spec`: the schema's format for the metric, which is followed as it is.
    """
    known = sorted({value for value in values if value is not None and math.isfinite(value)})
    if spec:
        return "", {value: formatted(value, spec, dress=dress) for value in known}
    suffix, cells = column(known, dress=dress, scale=scale)
    return suffix, dict(zip(known, cells, strict=True))


def written(moment: Moment | None, cells: Mapping[float | None, str], run_step: int | None) -> str:
    """A value with the step it stands at, where that is not the run's last one; ``-`` for none."""
    if moment is None:
        return "-"
    text = cells.get(moment.value) or number(moment.value)
    return text if moment.step in (None, run_step) else f"{text}@{moment.step}"
