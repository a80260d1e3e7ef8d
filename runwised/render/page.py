"""`Page`: blocks of text that give way to one another until they fit a token budget.

A page is lines, tables and one quoted block, in the order they were written, then what was cut, then what to ask
next. When it does not fit, the block of least priority shrinks first: a line goes, a table loses rows. What went is
named with the command that shows it. Only lines of priority 100 are never dropped; they are clipped when even they
do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from runwised.render.blocks import Block, Keep, Line, More, Rows, Terms, clip, kept
from runwised.render.layout import STYLES, cell, cut, escaped, guarded, laid_out, tidy
from runwised.render.tokens import estimate
from runwised.render.untrusted import redact

_NEXT = 60
"""Priority of the next commands."""
_ROOM = 40
"""Tokens beyond a page's own that are proposed to see the whole of it."""
_LONGEST_QUOTE = 400
"""Characters of a quoted line; at a terminal its width."""

T = TypeVar("T")


class Spelling(Protocol):
    """How another asker than a command line spells what to ask."""

    def call(self, line: str) -> str:
        """A command line, with or without ``runwise``; empty where the asker cannot ask it."""

    def text(self, text: str) -> str:
        """A text with such lines in it, which begin with ``runwise``."""

    def hint(self, text: str) -> str:
        """The same, with flags in it."""


class Page:
    """One answer as text. `budget` is in tokens; None lifts it."""

    def __init__(
        self,
        *,
        budget: int | None,
        dress: Literal["agent", "human"],
        width: int = 100,
        color: bool = False,
        form: Literal["text", "md"] = "text",
        command: str = "",
        quiet: bool = False,
        verbose: bool = False,
        spelling: Spelling | None = None,
    ) -> None:
        """`command`: the command line that asks for this page, for saying how to see the whole of it. `quiet`: no next
        commands and no remarks. `verbose`: whoever writes the page may write what is usually left out. `spelling`: of
        command lines, for who asks otherwise than by them.
        """
        self.budget = budget
        self.dress: Literal["agent", "human"] = dress
        self.width = width
        self.color = color
        self.form: Literal["text", "md"] = form
        self.verbose = verbose
        self.spelling = spelling
        self._quiet = quiet
        self._command = command
        self._body: list[Block] = []
        self._quotes: list[Block] = []
        self._next: list[str] = []

    @property
    def room(self) -> int | None:
        """Tokens that are left of the budget now, not below 0; None: no bound."""
        if self.budget is None:
            return None
        return max(0, self.budget - sum(block.cost for block in [*self._body, *self._quotes]))

    @property
    def has_text(self) -> bool:
        """Whether anything was written."""
        return bool(self._body or self._quotes)

    def paint(self, text: str, style: str) -> str:
        """The text in a style (bold, dim, red, green, yellow, cyan) where colour may be used; else as it is."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.color and text else text

    def line(self, text: str, *, priority: int = 50) -> None:
        """Write a line. A higher priority survives longer; 100 is never dropped."""
        self._body.append(Line(guarded(self._shown(text)), Terms(priority)))

    def remark(self, text: str, *, priority: int = 50) -> None:
        """Write a line that is no part of the answer, and without which the answer is still whole and true."""
        if not self._quiet:
            self.line(text, priority=priority)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        priority: int = 50,
        keep: Keep = "first",
        more: More | None = None,
    ) -> None:
        """Write a table; an empty cell is shown as ``-``.

        Rows that do not fit are dropped so that the first, the last, or evenly spread ones stay; ``more(dropped)``
        is the line that says so and names the command that shows them.
        """
        if not rows:
            return
        few = self._few(rows, keep)
        cells = [[cell(text, styled=self.color) for text in row] for row in few]
        if self.form != "md":
            cells = [[guarded(first), *rest] for first, *rest in cells]
        style = "md" if self.form == "md" else self.dress
        lines = laid_out([cell(text, styled=self.color) for text in head], cells, style, self.width)
        self._body.append(Rows(*lines, Terms(priority, keep, more), len(rows) - len(few)))

    def quote(
        self,
        title: str,
        lines: Sequence[str],
        *,
        priority: int = 20,
        keep: Keep = "last",
        more: More | None = None,
    ) -> None:
        """Quote what a program wrote: last on the page, every line after ``| ``, secrets hidden."""
        if not lines:
            return
        md = self.form == "md"
        mark = "    | " if md else "| "
        longest = self.width - len(mark) if self.dress == "human" else _LONGEST_QUOTE
        few = self._few(lines, keep)
        shown = [mark + cut(redact(tidy(line)), longest) for line in few]
        head = [self._shown(title), *([""] if md else [])]
        self._quotes.append(Rows(head, shown, Terms(priority, keep, more), len(lines) - len(few)))

    def next(self, command: str) -> None:
        """Propose a next command (without ``runwise``); the first two are shown."""
        command = command.removeprefix("runwise ") if self.spelling is None else self.spelling.call(command)
        if command and len(self._next) < 2 and command not in self._next:
            self._next.append(command)

    def hint(self, text: str) -> str:
        """A text with flags in it, as who asks spells them."""
        return text if self.spelling is None else self.spelling.hint(text)

    def text(self) -> str:
        """The page, within the budget; it ends with a line break, or is empty when nothing was written."""
        blocks = [*self._body, *self._quotes]
        if not blocks:
            return ""
        last = self._last()
        text = self._joined(blocks, last)
        if self.budget is None or estimate(text) <= self.budget:
            return text
        self._fit(blocks, last, self.budget)
        text = self._joined(blocks, last)
        return text if estimate(text) <= self.budget else self._squeezed(blocks, self.budget)

    def _shown(self, text: str) -> str:
        text = tidy(text if self.spelling is None else self.spelling.text(text), styled=self.color)
        return escaped(text) if self.form == "md" else text

    def _few(self, rows: Sequence[T], keep: Keep) -> Sequence[T]:
        """As many rows as could fit if each cost one token and nothing else were on the page."""
        if self.budget is None or len(rows) <= self.budget + 1:
            return rows
        return [rows[at] for at in kept(len(rows), self.budget + 1, keep)]

    def _last(self) -> Block | None:
        """The line of next commands."""
        if self._quiet or not self._next:
            return None
        start = "" if self.dress == "agent" else "runwise "
        commands = "; ".join(f"{start}{command}" for command in self._next)
        return Line(self._shown(f"next: {commands}"), Terms(_NEXT))

    def _joined(self, blocks: Sequence[Block], last: Block | None) -> str:
        gap = "\n" if self.form == "md" else ""
        lines = [block.lines() for block in blocks] + [self._cuts(blocks)] + ([last.lines()] if last else [])
        return gap.join("".join(f"{line}\n" for line in part) for part in lines if part)

    def _cuts(self, blocks: Sequence[Block]) -> list[str]:
        """What was left out, and how to see it."""
        said = [block.terms.more(block.dropped) for block in blocks if block.dropped and block.terms.more]
        lines = sum(block.dropped for block in blocks if block.dropped and not block.terms.more)
        if lines:
            said.append(self._cut(lines, self._budget(blocks)))
        return [self._shown(self.hint(text)) for text in said]

    def _cut(self, lines: int, enough: str) -> str:
        command = f"runwise {self._command} " if self._command and self.spelling is None else ""
        return f"cut: {lines} line{'s' * (lines > 1)}; {command}{enough} shows all"

    def _budget(self, blocks: Sequence[Block]) -> str:
        """What shows the whole page."""
        enough = -(-(sum(block.whole for block in blocks) + _ROOM) // 10) * 10
        return f"--budget {enough}" if self.spelling is None else f"budget={enough}"

    def _fit(self, blocks: Sequence[Block], last: Block | None, budget: int) -> None:
        """Shrink blocks, the least important first (of equals the later one), until the page fits.

        A page may have thousands of lines: what it costs is counted on, not anew for each of them.
        """
        every = [*blocks, last] if last else list(blocks)
        enough = self._budget(blocks)
        spent, lines = len(every) if self.form == "md" else 0, 0

        def tokens(text: str) -> int:
            return estimate(f"{self._shown(self.hint(text))}\n")

        def count(block: Block, sign: int) -> None:
            nonlocal spent, lines
            spent += sign * block.cost
            if block.dropped and block is not last:
                if block.terms.more is None:
                    lines += sign * block.dropped
                else:
                    spent += sign * tokens(block.terms.more(block.dropped))

        def cost() -> int:
            return spent + (tokens(self._cut(lines, enough)) if lines else 0)

        def shrink(block: Block, room: int) -> None:
            count(block, -1)
            block.shrink(room)
            count(block, 1)

        for block in every:
            count(block, 1)
        every.reverse()
        for block in sorted(every, key=lambda block: block.terms.priority):
            if block.terms.priority >= 100 or cost() <= budget:
                return
            shrink(block, 0)
            shrink(block, budget - cost())

    def _squeezed(self, blocks: Sequence[Block], budget: int) -> str:
        """What is never dropped, clipped, and a word on how to see the rest."""
        end = f"cut: {self._budget(blocks)}\n"
        lines = [line for block in blocks if block.terms.priority >= 100 for line in block.lines()]
        room = budget - estimate(end)
        out: list[str] = []
        for at, line in enumerate(lines):
            part = clip(line, room // (len(lines) - at) - 1)
            if part:
                out.append(f"{part}\n")
                room -= estimate(out[-1])
        return "".join([*out, end])
