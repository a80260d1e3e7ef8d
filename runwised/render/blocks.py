"""The blocks of a page: each knows its lines, what they cost, and how to give some up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from runwised.render.layout import plain
from runwised.render.tokens import estimate

Keep: TypeAlias = Literal["first", "last", "spread"]
More: TypeAlias = Callable[[int], str]


class Terms(NamedTuple):
    """On what terms a block gives way."""

    priority: int
    """Of two blocks the one with less goes first; 100 never goes."""
    keep: Keep = "first"
    more: More | None = None
    """The line that says how many rows were dropped; None: the page says it."""


class Block:
    """Some lines that stay or go together with others of their priority."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.dropped = 0
        """Lines that were given up."""
        self.whole = 0
        """Tokens of the whole block."""
        self.cost = 0
        """Tokens of what is left of it."""

    def lines(self) -> list[str]:
        """What is left of it."""
        raise NotImplementedError

    def shrink(self, room: int) -> None:
        """Keep as much as costs at most `room` tokens."""
        raise NotImplementedError


class Line(Block):
    """One line, there or not."""

    def __init__(self, text: str, terms: Terms) -> None:
        super().__init__(terms)
        self._text = text
        self.whole = self.cost = estimate(f"{text}\n")

    def lines(self) -> list[str]:
        """The line, unless it was dropped."""
        return [] if self.dropped else [self._text]

    def shrink(self, room: int) -> None:
        """Drop the line when it costs more."""
        self.dropped = int(self.whole > room)
        self.cost = 0 if self.dropped else self.whole


class Rows(Block):
    """A head and rows, of which some may go."""

    def __init__(self, head: Sequence[str], rows: Sequence[str], terms: Terms, left_out: int = 0) -> None:
        """`left_out`: further rows that could not fit whatever the rest costs, and so were never laid out."""
        super().__init__(terms)
        self._head, self._rows, self._left_out = head, rows, left_out
        self._kept: Sequence[int] = range(len(rows))
        self._costs = [estimate(f"{row}\n") for row in rows]
        self._head_cost = sum(estimate(f"{line}\n") for line in head)
        self.dropped = left_out
        self.cost = self._head_cost + sum(self._costs)
        self.whole = self.cost * (len(rows) + left_out) // len(rows)

    def lines(self) -> list[str]:
        """The head and the rows that are left; nothing when no row is."""
        return [*self._head, *(self._rows[at] for at in self._kept)] if self._kept else []

    def shrink(self, room: int) -> None:
        """Drop rows until the block costs at most `room` tokens."""
        self._kept = _fitting(self._costs, room - self._head_cost, self.terms.keep)
        self.dropped = self._left_out + len(self._rows) - len(self._kept)
        self.cost = sum(self._costs[at] for at in self._kept) + (self._head_cost if self._kept else 0)


def _fitting(costs: Sequence[int], room: int, keep: Keep) -> Sequence[int]:
    """The places that are kept."""
    if keep == "spread":
        low, high = 0, len(costs)
        while low < high:
            middle = (low + high + 1) // 2
            fits = sum(costs[at] for at in spread(len(costs), middle)) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return spread(len(costs), low)
    count = 0
    for cost in costs if keep == "first" else reversed(costs):
        room -= cost
        if room < 0:
            break
        count += 1
    return kept(len(costs), count, keep)


def kept(n: int, k: int, keep: Keep) -> Sequence[int]:
    """`k` of `n` places: the first, the last, or evenly spread ones."""
    if keep == "spread":
        return spread(n, k)
    return range(k) if keep == "first" else range(n - k, n)


def spread(n: int, k: int) -> Sequence[int]:
    """`k` of `n` places, evenly, both ends among them."""
    return [n - 1] * k if k < 2 else [at * (n - 1) // (k - 1) for at in range(k)]


def clip(text: str, tokens: int) -> str:
    """The longest beginning of the text that costs at most so many tokens, ended by ``…`` when it was cut."""
    if estimate(text) <= tokens:
        return text
    text = plain(text)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate(text[:middle] + "…") <= tokens else (low, middle - 1)
    return text[:low] + "…" if low else ""
