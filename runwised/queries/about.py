"""Which runs a question is about, and how long it waits for them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from runwised.index.view import RunView

Wait: TypeAlias = Literal["whole", "short", "none"]
"""What is waited for: the whole index of the runs, the same only where it is soon made, or nothing."""


class About(NamedTuple):
    """The runs, each once, and what is waited for."""

    runs: list[RunView]
    wait: Wait
