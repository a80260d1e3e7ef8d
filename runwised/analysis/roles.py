"""Recognises from its name what a metric is, as far as the detectors need to know it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal[
    "loss", "validation", "score", "validation_score", "gradient", "throughput", "duration", "learning_rate",
    "gpu_memory", "host_memory", "utilisation",
]  # fmt: skip

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_VALIDATION = {"val", "valid", "validation", "eval", "evaluation", "test", "dev", "heldout", "holdout"}
_TRAINING = {"train", "training", "tr", "step", "epoch", "avg", "mean", "running"}
_LOSS = {
    *("loss", "losses", "nll", "ce", "xent", "crossentropy", "perplexity", "ppl", "mse", "mae", "rmse", "bce"),
    *("bpb", "bpc"),
}
_SCORE = {
    *("acc", "accuracy", "f1", "fscore", "auc", "auroc", "auprc", "precision", "recall", "iou", "miou", "dice", "map"),
    *("mrr", "ndcg", "bleu", "rouge", "top1", "top5", "em"),
}
"""Shares of what is right: between 0 and 1, or in percent."""
_NO_SCORE = {"time", "loss", "count", "steps", "total", "num", "gpu", "cpu", "memory", "grad", "accum", "error", "lr"}
_ASIDE = {
    *("lr", "grad", "grads", "gradient", "gradients", "weight", "weights", "scale", "coef", "std", "var", "min", "max"),
    *("ratio", "diff", "delta", "count", "spike", "spikes"),
}
_OPPONENTS = {
    *("policy", "value", "actor", "critic", "pg", "pi", "vf", "td", "q", "qf", "adv", "advantage", "adversarial"),
    *("disc", "discriminator", "gen", "generator", "gan", "d", "g", "fake", "real"),
}
"""Of losses that work against each other, or chase a target that moves: neither they nor their sum need fall."""
_PARTS = {
    *("entropy", "alpha", "kl", "kld", "aux", "balance", "balancing", "router", "z", "commit", "commitment", "reg"),
    *("regularization", "penalty"),
}
"""Parts of a loss that rise or stand still as the rest needs it."""
_SUM = {"loss", "losses", "total", "sum", "all", "overall"}
_NORM = {"norm", "norms", "l2"}
_GRADIENT = {"grad", "grads", "gradient", "gradients"}
_CLIPPED = {"clip", "clipped", "clipping", "ratio", "var", "std", "cos", "cosine", "similarity", "threshold", "max"}
_RATES = {"throughput", "fps", "mfu", "tps", "sps", "wps"}
_UNITS = {
    *(
        "tok",
        "toks",
        "token",
        "tokens",
        "it",
        "its",
        "iter",
        "iters",
        "iterations",
        "sample",
        "samples",
        "step",
        "steps",
    ),
    *(
        "example",
        "examples",
        "img",
        "imgs",
        "image",
        "images",
        "batch",
        "batches",
        "seq",
        "sequences",
        "words",
        "frames",
    ),
}
_SECOND = {"s", "sec", "secs", "second", "seconds"}
_TIME = {"time", "duration", "seconds", "secs", "sec", "ms", "s", "dt"}
_TURN = {"step", "iter", "iteration", "batch", "it"}
_NO_TURN = {"data", "load", "loading", "total", "elapsed", "remaining", "eta", "eval", "val", "test", "cum"}
_NO_RATE = {"mult", "multiplier", "scale", "decay", "factor", "loss"}


class Roles(NamedTuple):
    """Names by what they are; a metric that is none of these is only looked at for values that are not finite."""

    losses: tuple[str, ...] = ()
    """Training losses that should fall."""
    validation: Mapping[str, str | None] = {}
    """Validation losses, and the training loss that each goes with, where there is one."""
    gradients: tuple[str, ...] = ()
    """Gradient norms, before clipping."""
    throughputs: tuple[str, ...] = ()
    """More is faster."""
    durations: tuple[str, ...] = ()
    """Time for a step: less is faster."""
    learning_rates: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    """Shares of what is right in training: they should rise."""
    validation_scores: Mapping[str, str | None] = {}
    """The same in validation, and the training score that each goes with, where there is one."""

    @property
    def parts(self) -> dict[str, Role]:
        """Each name that has a role, and which."""
        lists: dict[Role, Iterable[str]] = {
            "loss": self.losses,
            "validation": self.validation,
            "score": self.scores,
            "validation_score": self.validation_scores,
            "gradient": self.gradients,
            "throughput": self.throughputs,
            "duration": self.durations,
            "learning_rate": self.learning_rates,
        }
        return {name: role for role, names in lists.items() for name in names}


def recognise(names: Iterable[str], *, loss_key: str | None = None) -> Roles:
    """Give each name at most one role; `loss_key` is a training loss whatever it is called.

    Beside losses of opponents (a policy and its critic), what is just called loss is their sum, and none.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        role = "loss" if name == loss_key else role_of(name)
        if role:
            found.setdefault(role, []).append(name)
    losses = found.get("loss", [])
    if "opponent" in found:
        losses = [loss for loss in losses if loss == loss_key or not _stem(loss) <= _SUM]
    scores = found.get("score", [])
    return Roles(
        losses=tuple(losses),
        validation={name: _partner(name, losses) for name in found.get("validation", [])},
        scores=tuple(scores),
        validation_scores={name: _partner(name, scores) for name in found.get("validation_score", [])},
        gradients=tuple(found.get("gradient", [])),
        throughputs=tuple(found.get("throughput", [])),
        durations=tuple(found.get("duration", [])),
        learning_rates=tuple(found.get("learning_rate", [])),
    )


def role_of(name: str) -> str | None:
    """A `Role`, or ``opponent`` (one of two losses that work against each other); None for what the detectors have no
    use for.
    """
    words = _words(name)
    held = set(words)
    pairs = set(pairwise(words))
    if _is_rate(held, pairs):
        return "learning_rate"
    if held - _TRAINING == {"norm"} or "gnorm" in held or "gradnorm" in held or (_GRADIENT & held and _NORM & held):
        return None if _CLIPPED & held else "gradient"
    if _is_throughput(held, pairs, words):
        return None if _VALIDATION & held else "throughput"
    if _is_duration(held):
        return "duration"
    joined = {f"{left}{right}" for left, right in pairs}
    if (held | joined) & _SCORE and not held & _NO_SCORE and not held & _ASIDE:
        return "validation_score" if _VALIDATION & held else "score"
    if not _is_loss(held, pairs):
        return None
    if _OPPONENTS & held:
        return "opponent"
    return "validation" if _VALIDATION & held else "loss"


_SYSTEM: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("gpu_memory", re.compile(r"(?:system[./])?gpu[./]\d+[./]memoryAllocated$")),
    ("host_memory", re.compile(r"(?:system[./])?(?:memory_percent|memory|proc\.memory\.percent)$")),
    ("utilisation", re.compile(r"(?:system[./])?gpu[./]\d+[./]gpu$")),
)


def system_roles(names: Iterable[str]) -> dict[str, Role]:
    """Of system metrics those that are percentages of a memory in use, or of a GPU's time."""
    return {name: role for name in names for role, pattern in _SYSTEM if pattern.match(name)}


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


def _is_rate(held: set[str], pairs: set[tuple[str, str]]) -> bool:
    return ("lr" in held or ("learning", "rate") in pairs) and not held & _NO_RATE


def _is_throughput(held: set[str], pairs: set[tuple[str, str]], words: Sequence[str]) -> bool:
    if held & _RATES:
        return True
    per_second = any(("per", second) in pairs for second in _SECOND)
    return bool(_UNITS & held) and (per_second or (words[-1] in _SECOND and words[-2] in _UNITS - _TURN | {"it"}))


def _is_duration(held: set[str]) -> bool:
    return held in ({"dt"}, {"ms"}) or bool(held & _TIME and held & _TURN and not held & _NO_TURN)


def _is_loss(held: set[str], pairs: set[tuple[str, str]]) -> bool:
    free = held - {"entropy"} if ("cross", "entropy") in pairs else held
    named = bool(held & _LOSS) or ("cross", "entropy") in pairs
    return named and not held & _ASIDE and not free & _PARTS


def _stem(name: str) -> frozenset[str]:
    return frozenset(_words(name)) - _VALIDATION - _TRAINING


def _partner(name: str, losses: Sequence[str]) -> str | None:
    """The training loss with the same words, else the first whose words are all among them."""
    stem = _stem(name)
    alike = [loss for loss in losses if _stem(loss) == stem]
    return next(iter(alike or [loss for loss in losses if _stem(loss) <= stem]), None)
