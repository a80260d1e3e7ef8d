"""Turns shares of what is right into shares of what is wrong, so that they are judged like losses, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from runwised.analysis.curve import Curve, Event
from runwised.analysis.fold import Fold, Seen

_SCORES = ("score", "validation_score")
_NOTHING_LEFT = 0.02
"""Share of errors."""
_NOTHING = Curve(np.empty(0), np.empty(0))


def whole(fold: Fold) -> float | None:
    """What stands for all right: 1 or 100 (percent); None: these are no shares."""
    if fold.lowest < 0 or fold.highest > 100:
        return None
    return 1.0 if fold.highest <= 1 else 100.0


def as_errors(told: Seen, fold: Fold) -> Seen:
    """What a score shows, as an error; nothing where its values are no shares. A loss as it is."""
    if fold.role not in _SCORES:
        return told
    top = whole(fold)
    views = [_NOTHING if top is None else Curve(view.steps, top - view.values) for view in told.views]
    return told._replace(views=views)


def is_solved(found: Event, fold: Fold) -> bool:
    """Whether an error stays where it is because all but nothing is left to be learnt."""
    top = whole(fold) if fold.role in _SCORES else None
    return found.kind == "plateau" and top is not None and found.value < _NOTHING_LEFT * top


def as_scores(events: Iterable[Event], folds: Mapping[str, Fold]) -> list[Event]:
    """The events with values as they were logged."""
    return [_logged(found, folds[found.key]) for found in events]


def _logged(found: Event, fold: Fold) -> Event:
    top = whole(fold) if fold.role in _SCORES else None
    return found if top is None else found._replace(value=top - found.value, normal=top - found.normal)
