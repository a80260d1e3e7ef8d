"""The few settings of a run that say most about it, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runwised.queries.keysel import words
from runwised.queries.tabular import flat
from runwised.render.layout import short
from runwised.render.numbers import Dress, exact
from runwised.render.untrusted import clean, secret

_TELLING = (
    *("lr", "learning", "batch", "model", "arch", "layer", "layers", "depth", "dim", "embd", "hidden", "width", "head"),
    *("heads", "optimizer", "optim", "epochs", "epoch", "steps", "iters", "dataset", "data", "seed", "decay", "gamma"),
    *("dropout", "warmup", "schedule", "scheduler", "dtype", "precision", "loss", "env", "task"),
)
_WIDTH = 90
"""Characters the line may have."""
_LONGEST_VALUE = 32


def digest(config: Mapping[str, Any], dress: Dress) -> tuple[str, int]:
    """Settings as ``key=value``, those with telling names first, and how many were left out."""
    leaves = list(flat(config))
    ranked = sorted(range(len(leaves)), key=lambda at: (_rank(leaves[at][0]), at))
    line, left = "", 0
    for at in ranked:
        key, value = leaves[at]
        said = _said(key, value, dress)
        if said and len(line) + len(said) < _WIDTH:
            line = f"{line} {said}" if line else said
        else:
            left += 1
    return line, left


def _rank(key: str) -> int:
    """The place of the first telling word in a key; words of its last part count for more."""
    leaf = key.rpartition(".")[2]
    found = [_TELLING.index(word) for word in words(leaf) if word in _TELLING]
    return min(found, default=len(_TELLING))


def _said(key: str, value: Any, dress: Dress) -> str | None:
    if secret(key, value):
        return None
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, int | float):
        text = exact(value, dress=dress)
    elif isinstance(value, str):
        text = clean(value)
        text = f'"{text}"' if " " in text or not text else text
    else:
        return None
    return f"{short(key)}={text}" if len(text) <= _LONGEST_VALUE else None
