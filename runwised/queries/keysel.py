"""Which metrics are meant, which matter most, and which way is better."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeAlias

from runwise_protocol.errors import Kind, RunwiseError

from runwised.formats.record import Definition
from runwised.index.view import RunView
from runwised.queries.glance import names_of
from runwised.render.untrusted import clean
from runwised.settings import MetricFormat, RunwiseConfig

Direction: TypeAlias = Literal["min", "max"]


def select(
    patterns: Sequence[str], names: Iterable[str], *, what: str = "metric", hint: str = "runwise keys"
) -> list[str]:
    """The names that are given exactly or match a glob (``*`` goes across slashes), in the order of the patterns.

    No patterns: all names. Raises RunwiseError (NOT_FOUND) for a pattern that finds nothing.
    """
    known = dict.fromkeys(names)
    if not patterns:
        return list(known)
    found: dict[str, None] = {}
    for pattern in patterns:
        hits = meant_by(pattern, known)
        if not hits:
            raise _unknown(pattern, list(known), what, hint)
        found.update(dict.fromkeys(hits))
    return list(found)


def meant_by(pattern: str, names: Collection[str]) -> list[str]:
    """The name that is given exactly, or those that match a glob; maybe none."""
    return [pattern] if pattern in names else _matching(pattern, names)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    if not any(mark in pattern for mark in "*?["):
        return []
    match = re.compile(fnmatch.translate(pattern)).match
    return [name for name in names if match(name)]


def _unknown(pattern: str, names: Sequence[str], what: str, hint: str) -> RunwiseError:
    import difflib

    near = difflib.get_close_matches(pattern[:200], names[:5000], n=3, cutoff=0.5)
    bare = pattern.strip("*?").lower()
    near += [name for name in names if bare and bare in name.lower() and name not in near][: 3 - len(near)]
    nearest = f"; nearest: {', '.join(clean(name)[:100] for name in near)}" if near else ""
    return RunwiseError(Kind.NOT_FOUND, f"no {what} '{clean(pattern)[:100]}'{nearest}", hint)


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_FEW = 4
"""Metrics that are shown where none is recognised."""
_VALIDATION = {"val", "valid", "validation", "eval", "evaluation", "test", "dev", "heldout"}
_LOWER = {
    *("loss", "losses", "nll", "ce", "xent", "crossentropy", "perplexity", "ppl", "mse", "mae", "rmse", "mape", "bce"),
    *("error", "err", "wer", "cer", "fid", "bpb", "bpc", "regret", "eer", "brier"),
}
_HIGHER = {
    *("acc", "accuracy", "f1", "fscore", "auc", "auroc", "auprc", "ap", "map", "precision", "recall", "bleu", "rouge"),
    *("rew", "reward", "rewards", "return", "returns", "score", "iou", "miou", "dice", "psnr", "ssim", "r2", "mcc"),
    *("kappa", "ndcg", "mrr", "correct", "success", "winrate", "exact", "em", "top1", "top5", "spearman", "pearson"),
}
_AIMS = {"rew", "reward", "rewards", "return", "returns"}
"""Where a run logs one of these, that is what it is for, and its losses are means."""
_ASIDE = {"lr", "grad", "grads", "gradient", "weight", "weights", "scale", "coef"}
"""Words that make a metric something else than what its other words say (``loss_scale``)."""
_REMEMBERED = 10_000
"""Keys whose words are remembered: the same ones are asked about again and again."""
_CLOCK = {"epoch", "step", "steps", "global", "trainer", "iter", "iteration", "time", "runtime", "timestamp"}


@lru_cache(_REMEMBERED)
def words(key: str) -> tuple[str, ...]:
    """A key's words in lower case: ``valLoss/top1_acc`` gives val, loss, top, 1, acc."""
    return tuple(word.lower() for word in _WORDS.findall(key))


@lru_cache(_REMEMBERED)
def guessed_direction(key: str) -> Direction | None:
    """Which way is better, as the words of the key say, the last of them first."""
    parts = words(key)
    if _ASIDE & set(parts):
        return None
    pairs = [f"{left}{right}" for left, right in pairwise(parts)]
    for word in [*reversed(parts), *pairs]:
        if word in _LOWER:
            return "min"
        if word in _HIGHER:
            return "max"
    return None


def is_validation(key: str) -> bool:
    """Whether the name speaks of data that is not trained on."""
    return bool(_VALIDATION & set(words(key)))


def definition(key: str, run: RunView) -> Definition | None:
    """What define_metric said of a key; an exact name wins over a glob, and the longest glob over others."""
    # Definitions name paths, with dots inside an element escaped; names do so only where they must.
    bare = key.replace("\\", "")
    best, length = None, -1
    for found in run.definitions:
        name = found.key.replace("\\", "")
        if not found.glob and name == bare:
            return found
        if found.glob and len(name) > length and bare.startswith(name.removesuffix("*")):
            best, length = found, len(name)
    return best


def shown_as(key: str, config: RunwiseConfig) -> MetricFormat:
    """How the schema wants a metric shown."""
    return config.schema.metrics.get(key) or MetricFormat()


def direction(key: str, run: RunView, config: RunwiseConfig) -> tuple[Direction | None, bool]:
    """Which of a metric's values is best, and whether that is only guessed from its name.

    Known from the schema's ``higher_is_better``, define_metric's ``goal``, or a declared summary of min or max alone.
    """
    higher = shown_as(key, config).higher_is_better
    if higher is not None:
        return ("max" if higher else "min"), False
    said = definition(key, run)
    if said and said.goal:
        return ("min" if said.goal == "minimize" else "max"), False
    declared: set[Direction] = {side for side in ("min", "max") if said and side in said.summary}
    if len(declared) == 1:
        return declared.pop(), False
    guessed = guessed_direction(key)
    return guessed, guessed is not None


def main_metrics(run: RunView, config: RunwiseConfig, most: int = 6) -> list[str]:
    """The metrics that matter most: the schema's, those with a declared goal, then those recognised by their names.

    Losses come before the rest and validation before training; a run with none of these shows its first metrics.
    """
    names = names_of(run)
    chosen = _chosen(config)
    ranks = ((_rank(name, run, config, chosen), at) for at, name in enumerate(names))
    ranked = sorted((rank, at) for rank, at in ranks if rank is not None)
    return [names[at] for _, at in ranked[:most]] or _first(names, min(most, _FEW))


def _first(names: Sequence[str], most: int) -> list[str]:
    """The first metrics that are more than a clock."""
    return [name for name in names if not set(words(name)) <= _CLOCK][:most] or list(names[:most])


def _rank(name: str, run: RunView, config: RunwiseConfig, chosen: Mapping[str, int]) -> int | None:
    said = definition(name, run)
    if said and said.hidden:
        return None
    if name in chosen:
        return chosen[name] - 1_000_000
    if said and (said.goal or {"min", "max", "best"} & set(said.summary)):
        return 0
    return _guessed_rank(name, tuple(config.schema.validation_sets))


@lru_cache(_REMEMBERED)
def _guessed_rank(name: str, validation_sets: tuple[str, ...]) -> int | None:
    side = guessed_direction(name)
    if side is None:
        return None
    validation = is_validation(name) or name.startswith(validation_sets)
    depth = 4 if name.count("/") + name.count(".") > 1 else 0
    if _AIMS & set(words(name)):
        return 1 + depth
    return 1 + depth + (0 if validation else 1) + (0 if side == "min" else 2)


def _chosen(config: RunwiseConfig) -> dict[str, int]:
    """The schema's metrics in their order."""
    schema = config.schema
    keys = [schema.primary_metric, schema.loss_key, *schema.metrics, *schema.per_step_keys]
    return {key: at for at, key in enumerate(dict.fromkeys(key for key in keys if key))}


def main_metric(run: RunView, config: RunwiseConfig) -> str | None:
    """The one metric a list shows."""
    return next(iter(main_metrics(run, config, 1)), None)
