"""Which config keys are not the same in all of some runs, and which of them tell anything.

A key does not where it holds a seed, where it names the run or a place of its own (identifiers), or where it is the
twin of another key: of the same value in every run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.groups import LeftOut

from runwised.queries.board import spelled
from runwised.queries.keysel import words
from runwised.render.layout import cut, short
from runwised.render.numbers import Dress, exact
from runwised.render.untrusted import clean, hidden

MISSING = "‹missing›"
"""What a run's value of a key is that it does not have."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
_MOST = 5_000_000
"""Values that are looked at, keys times runs."""
_LONGEST_VALUE = 40
"""Characters of a value in a table."""
_NAMED = 3
"""Keys of one kind that a line names."""
_EACH_ITS_OWN = 8
"""Above so many runs, a text that no two of them share is an identifier whatever it is called."""
_SEEDS = frozenset({"seed", "seeds", "rng", "replicate", "repeat", "repetition"})
_RUNS = frozenset({"run", "trial", "replica", "exp", "experiment"})
_NUMBERS = frozenset({"index", "idx", "number", "num", "no", "nr"})
_OWN = frozenset(
    {
        *("output", "out", "save", "log", "logs", "logging", "logger", "run", "exp", "experiment", "ckpt", "resume"),
        *("checkpoint", "checkpoints", "cache", "tmp", "temp", "job", "trial", "slurm", "wandb", "host", "user"),
        *("work", "artifact", "artifacts", "project", "group", "results", "result", "hydra", "start", "end"),
    }
)
"""What a name, folder or number belongs to that may be the run's own."""
_NAMES = frozenset(
    {
        *("name", "dir", "directory", "folder", "path", "file", "root", "prefix", "suffix", "url", "uri", "id", "time"),
        *("date", "datetime"),
    }
)
_COUNTS = frozenset({"id", "time"})
"""Of these, what may be a number."""
_MARKS = frozenset({"uuid", "timestamp", "pid", "port", "hostname"})
"""What makes any key an identifier."""


class Setting:
    """One config key, and its value in each of the runs."""

    def __init__(self, key: str, values: Sequence[Any]) -> None:
        self.key = key
        self.values = values

    @cached_property
    def marks(self) -> list[Hashable]:
        """For each run what is equal for values that are the same: NaN is the same as NaN, 1 as 1.0 and as true."""
        return [
            value if value.__class__ in _PLAIN and value == value else _mark(value)  # only NaN is not itself
            for value in self.values
        ]

    @cached_property
    def different(self) -> dict[Hashable, Any]:
        """The values that differ, by their marks, without a missing one."""
        found = dict(zip(self.marks, self.values, strict=True))
        found.pop(MISSING, None)
        return found

    @cached_property
    def numbers(self) -> list[float] | None:
        """The values as numbers, NaN where one is missing; None unless all are finite numbers, or texts of such."""
        known = {mark: number for mark, value in self.different.items() if (number := _finite(value)) is not None}
        if len(known) < len(self.different):
            return None
        return [known.get(mark, math.nan) for mark in self.marks]

    @cached_property
    def is_seed(self) -> bool:
        """Whether it only tells one repeat from another."""
        parts = set(words(self.key.rpartition(".")[2]))
        counts = parts & _RUNS and parts & _NUMBERS and parts <= _RUNS | _NUMBERS
        return bool(parts & _SEEDS or counts) or parts == {"random", "state"}

    @cached_property
    def is_identifier(self) -> bool:
        """Whether it names the run, or a place or process of its own: what most runs share with no other."""
        leaf, whole = set(words(self.key.rpartition(".")[2])), set(words(self.key))
        if leaf & _MARKS:
            return True
        runs, different = len(self.values), len(self.different)
        is_text = self.numbers is None and any(isinstance(value, str) for value in self.different.values())
        if (is_text or leaf & _COUNTS) and leaf <= _OWN | _NAMES and (leaf & _OWN or whole <= _OWN | _NAMES):
            return 2 * different > runs
        return is_text and different == runs > _EACH_ITS_OWN

    @cached_property
    def _shown(self) -> dict[Hashable, Any]:
        """What an answer may show of each different value: secrets hidden."""
        return {mark: hidden({self.key: value})[0][self.key] for mark, value in self.different.items()}

    def of(self, at: int) -> Any:
        """The value in one of the runs as an answer may show it; `MISSING` where there is none."""
        return self._shown.get(self.marks[at], MISSING)


def varying(configs: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The config keys that are not the same in all of some runs, nested keys joined with dots, in their order.

    Raises RunwiseError where there are too many to look at.
    """
    if not configs:
        return []
    most = _MOST // len(configs)
    found = list(islice(_varying(configs, ""), most + 1))
    if len(found) > most:
        message = f"more than {most} config keys vary among {len(configs)} runs: too many to look at"
        raise RunwiseError(Kind.USAGE, message, "narrow the runs down with --where EXPR")
    return found


def _varying(configs: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[Setting]:
    for key in _unlike(configs):
        values = [config.get(key, MISSING) for config in configs]
        inner = [] if _PLAIN.issuperset(map(type, values)) else [_nested(value) for value in values]
        if any(inner):
            yield from _varying(inner, f"{prefix}{key}.")
            values = [MISSING if nested else value for nested, value in zip(inner, values, strict=True)]
        leaf = Setting(f"{prefix}{key}", values)
        if len(set(leaf.marks)) > 1:
            yield leaf


def _unlike(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of one level whose values are not equal in all; a look at a configuration that brings none is fast."""
    same, found = dict(configs[0]), dict[str, None]()
    known = set(same)
    for config in configs:
        if same.items() <= config.items() and known.issuperset(config):
            continue
        for key in [key for key, value in same.items() if key not in config or config[key] != value]:
            del same[key]
            found[key] = None
        found.update((key, None) for key in config if key not in known)
        known.update(config)
    return [*(key for key in configs[0] if key in found), *(key for key in found if key not in configs[0])]


def _nested(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mark(value: Any) -> Hashable:
    if isinstance(value, float) and math.isnan(value):
        return "NaN", ""
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, sort_keys=True, default=str), "json"


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def telling(settings: Iterable[Setting]) -> tuple[list[Setting], list[Setting], list[LeftOut]]:
    """Of the keys that vary: those that tell something, the seeds, and the others with why they were left out."""
    kept: dict[tuple[Hashable, ...], Setting] = {}
    seeds: list[Setting] = []
    left: list[LeftOut] = []
    for setting in settings:
        twin = None if setting.is_seed or setting.is_identifier else kept.get(tuple(setting.marks))
        if setting.is_seed:
            seeds.append(setting)
        elif setting.is_identifier:
            left.append(LeftOut(key=setting.key, reason="identifier"))
        elif twin:
            left.append(LeftOut(key=setting.key, reason=f"same as {twin.key}"))
        else:
            kept[tuple(setting.marks)] = setting
    return list(kept.values()), seeds, left


def cells_of(values: Sequence[Any], dress: Dress) -> list[str]:
    """Values of one key, as its column shows them: numbers so that different ones look different."""
    numbers = [float(value) for value in values if _is_plain_number(value)]
    known = spelled(numbers, None, dress, scale=False)[1]
    return [known[float(value)] if _is_plain_number(value) else said(value, dress) for value in values]


def _is_plain_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value) is not None


def said(value: Any, dress: Dress) -> str:
    """One value of a key, cut where it is long; ``-`` for none."""
    if value is MISSING:
        return "-"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return cut(exact(value, dress=dress), _LONGEST_VALUE)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
    return cut(clean(text[: 10 * _LONGEST_VALUE]), _LONGEST_VALUE) or '""'


def told(left: Sequence[LeftOut]) -> str:
    """Which keys were left out and why, a few of each kind by name; empty for none."""
    kinds: dict[str, list[str]] = {}
    for one in left:
        twin = one.reason.startswith("same as ")
        name = f"{short(one.key)} ({short(one.reason)})" if twin else short(one.key)
        kinds.setdefault("twin" if twin else one.reason, []).append(name)
    return ", ".join(f"{_few(names)}{_WHY.get(kind, '')}" for kind, names in kinds.items())


_WHY = {"identifier": " (identifier)", "one value": " (one value where there is any)"}


def _few(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
