"""Which runs are repeats of one another: the same configuration, but for the keys that may vary."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runwise_protocol.queries.groups import LeftOut

from runwised.queries.keysel import select
from runwised.queries.varied import Setting, telling, varying


class Joined(NamedTuple):
    """Runs in groups."""

    places: list[list[int]]
    """For each group the places of its runs."""
    settings: list[Setting]
    """What is not the same in all groups."""
    varied: list[Setting]
    """What varies within them."""
    guessed: bool
    left: list[LeftOut]


def join(configs: Sequence[Mapping[str, Any]], vary: Sequence[str], hint: str) -> Joined:
    """Runs with these configurations, in groups that differ in nothing but the keys that `vary` names.

    With no names these are found: seeds, where leaving them out joins any runs (where none vary there may be
    repeats); else the seeds and the key that, left out with them, joins the most. Raises RunwiseError where a name
    fits no key that varies; `hint`: the command that shows those that do.
    """
    settings = varying(configs)
    runs = len(configs)
    if vary:
        names = set(select(vary, (one.key for one in settings), what="config key that varies", hint=hint))
        varied = [one for one in settings if one.key in names]
        others, left = _without_twins([one for one in settings if one.key not in names], varied)
        kept, seeds, more = telling(others)
        kept += seeds
        return Joined(_parted(kept, runs), kept, varied, False, left + more)
    kept, seeds, left = telling(settings)
    places = _parted(kept, runs)
    if len(places) == runs > 1:
        key = _joining(kept, runs)
        if key:
            kept = [one for one in kept if one is not key]
            return Joined(_parted(kept, runs), kept, [*seeds, key], True, left)
    return Joined(places, kept, seeds, bool(seeds), left)


def _without_twins(others: Sequence[Setting], varied: Sequence[Setting]) -> tuple[list[Setting], list[LeftOut]]:
    """Of the other keys those that do not just vary with a varied one, and those that do."""
    twins = {tuple(one.marks): one.key for one in varied}
    found = [(one, twins.get(tuple(one.marks))) for one in others]
    left = [LeftOut(key=one.key, reason=f"same as {twin}") for one, twin in found if twin]
    return [one for one, twin in found if not twin], left


def _parted(settings: Sequence[Setting], runs: int) -> list[list[int]]:
    """The runs' places by equal values of all these keys."""
    found: dict[Hashable, list[int]] = {}
    for at, marks in enumerate(_rows(settings, runs)):
        found.setdefault(marks, []).append(at)
    return list(found.values())


def _rows(settings: Sequence[Setting], runs: int) -> Iterator[Hashable]:
    return zip(*(one.marks for one in settings), strict=True) if settings else iter([()] * runs)


def _joining(settings: Sequence[Setting], runs: int) -> Setting | None:
    """The key without which there are the fewest groups; None where there are as many as runs without any.

    By sums of hashes, of which a key's own is taken out again: the cost is one look at each value.
    """
    hashes = [_hashed(at, one) for at, one in enumerate(settings)]
    sums = [sum(column) for column in zip(*hashes, strict=True)]
    counts = [len({total - own for total, own in zip(sums, column, strict=True)}) for column in hashes]
    fewest = min(counts, default=runs)
    return settings[counts.index(fewest)] if fewest < runs else None


def _hashed(at: int, setting: Setting) -> list[int]:
    """A number for each run's value of the key; hashes of texts, as those of small numbers do not add up to chance."""
    known = {mark: hash(f"{at} {number}") for number, mark in enumerate(dict.fromkeys(setting.marks))}
    return [known[mark] for mark in setting.marks]
