"""Config keys against a metric, each by itself, by ranks.

That says nothing of what would be if the other keys were held fixed: those that vary together are named, and no value
is proposed. Spearman's correlation sees what rises or falls throughout; a best value in the middle shows in where the
best quarter of the runs lies.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any, Literal, TypeAlias

import numpy as np
from runwise_protocol.queries.sweep import SweptKey

from runwised.analysis.chance import ALPHA, holm
from runwised.analysis.correlation import Association, between, rho, spearman
from runwised.analysis.curve import Floats
from runwised.queries.varied import MISSING, Setting

_FEWEST = 5
"""Runs below which no order of them is less probable than .05."""
_EACH = 2
"""Runs of a category there must be in the mean."""
_PAIRED = 20
"""Keys of which every two are looked at for varying together."""
_ALIKE = 0.8
"""Rank correlation of two keys from which on they cannot be told apart."""

Verdict: TypeAlias = Literal["rises", "falls", "differs", "not shown", "too few runs"]


def compared(settings: Sequence[Setting], values: Floats, top: int) -> list[SweptKey]:
    """The keys of runs whose best values, best first, are `values` of shape (n,); those that go with them first."""
    found = [_association(one, values) for one in settings]
    judged = [one for one in found if one]
    corrected = iter(holm([one.p for one in judged]))
    together = _together(settings)
    keys = [
        _key(setting, one, next(corrected) if one else None, together[setting.key], top)
        for setting, one in zip(settings, found, strict=True)
    ]
    keys.sort(key=lambda key: key.p or 0.0 if key.verdict in ("rises", "falls", "differs") else 2.0)
    return keys


def _having(setting: Setting) -> list[int]:
    """The places of the runs that have the key."""
    return [at for at, value in enumerate(setting.values) if value is not MISSING]


def _association(setting: Setting, values: Floats) -> Association | None:
    """How the metric goes with the key; None where the runs are too few to say, or all values are one."""
    places = _having(setting)
    if len(places) < _FEWEST:
        return None
    if setting.numbers is not None:
        return spearman(np.array(setting.numbers)[places], values[places])
    codes: dict[Hashable, int] = {}
    which = np.array([codes.setdefault(setting.marks[at], len(codes)) for at in places])
    return between(which, values[places]) if len(places) >= _EACH * len(codes) else None


def _key(
    setting: Setting, found: Association | None, corrected: float | None, together: list[str], top: int
) -> SweptKey:
    places = _having(setting)
    numeric = setting.numbers is not None
    tried, best_ones = _different(setting, places), _different(setting, [at for at in places if at < top])
    best = tried[0]
    if numeric:
        tried, best_ones = sorted(tried), sorted(best_ones)
    at = tried.index(best)
    return SweptKey(
        key=setting.key,
        kind="number" if numeric else "category",
        n=len(places),
        tried=tried,
        best=best,
        below=tried[at - 1] if numeric and at else None,
        above=tried[at + 1] if numeric and at + 1 < len(tried) else None,
        top=best_ones,
        measure="spearman" if numeric else "eta2",
        effect=found.effect if found else None,
        p=found.p if found else None,
        corrected=corrected,
        verdict=_verdict(found, corrected, numeric=numeric, few=_too_few(len(places), len(tried), numeric=numeric)),
        together=together,
    )


def _different(setting: Setting, places: Sequence[int]) -> list[Any]:
    """The different values at these places, in their order; numbers that were texts as numbers."""
    firsts: dict[Hashable, int] = {}
    for at in places:
        firsts.setdefault(setting.marks[at] if setting.numbers is None else setting.numbers[at], at)
    values = [(setting.of(at), at) for at in firsts.values()]
    if setting.numbers is None:
        return [value for value, _ in values]
    return [setting.numbers[at] if isinstance(value, str) else value for value, at in values]


def _too_few(runs: int, values: int, *, numeric: bool) -> bool:
    return runs < _FEWEST or (not numeric and runs < _EACH * values)


def _verdict(found: Association | None, corrected: float | None, *, numeric: bool, few: bool) -> Verdict:
    if few:
        return "too few runs"
    if found is None or corrected is None or corrected >= ALPHA:
        return "not shown"
    return ("rises" if found.effect > 0 else "falls") if numeric else "differs"


def _together(settings: Sequence[Setting]) -> dict[str, list[str]]:
    """For each key those it cannot be told apart from."""
    found: dict[str, list[str]] = {one.key: [] for one in settings}
    for one, other in combinations(settings[:_PAIRED], 2):
        if _alike(one, other):
            found[one.key].append(other.key)
            found[other.key].append(one.key)
    return found


def _alike(one: Setting, other: Setting) -> bool:
    places = [at for at in _having(one) if other.values[at] is not MISSING]
    pairs = {(one.marks[at], other.marks[at]) for at in places}
    most = max(len({pair[side] for pair in pairs}) for side in (0, 1)) if pairs else 0
    if most > 1 and len(pairs) == most and len(places) >= _EACH * most:
        return True
    if one.numbers is None or other.numbers is None or len(places) < _FEWEST:
        return False
    return abs(rho(np.array(one.numbers)[places], np.array(other.numbers)[places]) or 0.0) >= _ALIKE
