"""`schema`: what the runs' keys tell of what a project measures; only what they support, the rest is left open.

Looked at are the newest runs with metrics. A key counts where at least a quarter of them has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from runwise_protocol.queries.schema import Learned, LearnedGroup, LearnedSchema, LearnSchema

from runwised.analysis.roles import recognise, role_of
from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.glance import names_of, stats_of
from runwised.queries.keysel import definition, direction, guessed_direction, is_validation, main_metrics
from runwised.queries.project import ProjectView
from runwised.render.layout import short
from runwised.render.numbers import plural
from runwised.render.page import Page
from runwised.settings import RunwiseConfig

MOST_RUNS = 20
MOST_GROUPS = 12
MOST_METRICS = 40
"""Of one group."""
_CLOCKS = ("trainer/global_step", "train/global_step", "global_step", "iteration", "iter", "step", "_step")
"""Keys that count steps, where a run logs them and they only grow."""
_NUMBER = re.compile(r"(?<![^/_.-])\d+(?![^/_.-])|\d+$")
_LOOKED_THROUGH = 1000
"""Metrics of one run that may be its main one."""
_NOTHING = RunwiseConfig()
"""What is in the settings already is not learned once more."""


def answer(query: LearnSchema, view: ProjectView) -> Learned:
    """What the newest runs with metrics tell."""
    del query
    runs = [run for run in view.runs if names_of(run)][:MOST_RUNS]
    keys = _common(runs)
    pattern, count = _per_step(keys)
    whole = [key for key in keys if not _is_numbered(key, pattern)]
    primary = _primary(whole, runs)
    groups = _groups(keys, primary, runs)
    return Learned(
        root=view.root,
        settings=LearnedSchema(
            loss_key=next(iter(recognise(whole).losses), None),
            step_key=_step_key(keys, runs),
            primary_metric=primary,
            per_step_pattern=pattern,
            num_steps=count,
            validation_sets=_validation_sets(keys),
            groups=groups,
        ),
        runs=len(runs),
        left_out=len({name for run in runs for name in names_of(run)}) - sum(len(group.metrics) for group in groups),
    )


def about(query: LearnSchema, view: ProjectView) -> About:
    """What is waited for: the newest runs, where that is soon done."""
    del query
    return About([run for run in view.runs[:MOST_RUNS] if not run.indexed], "short")


def _common(runs: Sequence[RunView]) -> list[str]:
    """Keys that at least a quarter of the runs has, in the order they first appear."""
    held = Counter(name for run in runs for name in names_of(run))
    return [name for name, count in held.items() if 4 * count >= len(runs)]


def _is_numbered(key: str, pattern: str | None) -> bool:
    """Whether it is one of those that the pattern stands for."""
    before, _, after = (pattern or "").partition("{i}")
    return pattern is not None and key.startswith(before) and key.endswith(after)


def _primary(keys: Sequence[str], runs: Sequence[RunView]) -> str | None:
    """The main metric of most runs, where it is known or can be told which way is better."""
    known = set(keys)
    ranked = (main_metrics(run, _NOTHING, _LOOKED_THROUGH) for run in runs)
    main = Counter(next(filter(known.__contains__, names), "") for names in ranked)
    first = main.most_common(1)[0][0] if main else ""
    return first if guessed_direction(first) or _declared(first, runs) is not None else None


def _declared(key: str, runs: Sequence[RunView]) -> bool | None:
    """Whether more is better, as one of the runs declared it; None where none did."""
    for run in runs:
        if definition(key, run):
            side, is_guess = direction(key, run, _NOTHING)
            if side and not is_guess:
                return side == "max"
    return None


def _step_key(keys: Sequence[str], runs: Sequence[RunView]) -> str | None:
    """What the runs declare their metrics to be over, else a key that counts steps by its name and only grows."""
    declared = Counter(found.step_key for run in runs for found in run.definitions if found.step_key)
    for key, _ in declared.most_common(1):
        if key in keys:
            return key
    return next((key for key in _CLOCKS if key in keys and all(_grows(key, run) for run in runs)), None)


def _grows(key: str, run: RunView) -> bool:
    found = stats_of(run, key)
    return found is None or (not found.nonfinite and (found.first, found.last) == (found.min, found.max))


def _per_step(keys: Iterable[str]) -> tuple[str | None, int]:
    """Losses of an iterative model, numbered from 0 without a gap: their pattern and how many; the longest such row."""
    rows: dict[str, set[int]] = {}
    for key in keys:
        if role_of(key) in ("loss", "validation"):
            for found in _NUMBER.finditer(key):
                pattern = f"{key[: found.start()]}{{i}}{key[found.end() :]}"
                if str(int(found[0])) == found[0]:
                    rows.setdefault(pattern, set()).add(int(found[0]))
    whole = {pattern: len(row) for pattern, row in rows.items() if len(row) > 1 and max(row) == len(row) - 1}
    best = max(whole, key=whole.__getitem__, default=None)
    return best, whole.get(best or "", 0)


def _validation_sets(keys: Iterable[str]) -> dict[str, str]:
    """The folders of keys that are about validation data and say which way is better: name by prefix."""
    prefixes = (key.rpartition("/")[0] for key in keys if guessed_direction(key))
    return {f"{prefix}/": prefix for prefix in prefixes if prefix and is_validation(prefix)}


def _groups(keys: Sequence[str], primary: str | None, runs: Sequence[RunView]) -> list[LearnedGroup]:
    """Keys by what stands before the first slash; what says which way is better goes first, groups and keys alike."""
    groups: dict[str, list[str]] = {}
    for key in sorted(keys, key=lambda key: guessed_direction(key) is None):
        prefix, slash, _ = key.partition("/")
        if slash:
            groups.setdefault(prefix, []).append(key)
    alone = {} if not primary or "/" in primary else {primary: _shown(primary, primary, runs)}
    found = [LearnedGroup(name="main", display_name="main", metrics=alone)] if alone else []
    for prefix, members in list(groups.items())[:MOST_GROUPS]:
        metrics = {key: _shown(key, primary, runs) for key in members[:MOST_METRICS]}
        found.append(LearnedGroup(name=prefix, display_name=prefix, metrics=metrics))
    return found


def _shown(key: str, primary: str | None, runs: Sequence[RunView]) -> dict[str, bool]:
    """Which way is better: as declared, and of the primary metric as its name says."""
    higher = _declared(key, runs)
    if higher is None and key == primary:
        higher = guessed_direction(key) == "max"
    return {} if higher is None else {"higher_is_better": higher}


def render(reply: Learned, page: Page, query: LearnSchema, view: ProjectView) -> None:
    """One line a field that the runs support."""
    del query, view
    found = reply.settings
    page.line(f"learned from {plural(reply.runs, 'run')}{'' if any(_told(found)) else ': nothing'}", priority=100)
    for at, text in enumerate(_told(found)):
        page.line(text, priority=90 - at)
    if reply.left_out:
        page.remark(f"{plural(reply.left_out, 'metric')} in no group", priority=40)
    page.next("init --auto")


def _told(found: LearnedSchema) -> list[str]:
    known = {key: shown for group in found.groups for key, shown in group.metrics.items()}
    higher = known.get(found.primary_metric or "", {}).get("higher_is_better")
    side = "" if higher is None else f" ({'higher' if higher else 'lower'} is better)"
    groups = ", ".join(f"{short(group.name)} {len(group.metrics)}" for group in found.groups)
    fields = {
        "loss_key": short(found.loss_key or ""),
        "step_key": short(found.step_key or ""),
        "primary_metric": f"{short(found.primary_metric)}{side}" if found.primary_metric else "",
        "per_step_pattern": f"{short(found.per_step_pattern)}, i from 0 to {found.num_steps - 1}"
        if found.per_step_pattern
        else "",
        "validation_sets": ", ".join(map(short, found.validation_sets)),
        "groups": groups,
    }
    return [f"{name} {text}" for name, text in fields.items() if text]
