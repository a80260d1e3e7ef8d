"""`runwise watch`: for a person; a line for each run kept fresh at a terminal, a line for each change in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from runwise_protocol.client import Client, here
from runwise_protocol.queries.live import Live
from runwise_protocol.queries.since import Change, News, Since
from runwise_protocol.query import Where

from runwise_cli.ask import look

REFRESH = "2s"
"""A terminal is written anew at least this often: ages go on though nothing happens."""
LONGEST = "1h"
_UP, _CLEAR = "\x1b[{}A", "\x1b[J"


def watch(runs: Sequence[str]) -> int:
    """Show what these runs do, or all that go on, until the last of them has ended. The exit status."""
    with Client.connect() as client:
        watcher = _Watcher(client, tuple(runs), here())
        if sys.stdout.isatty():
            watcher.keep_fresh()
        else:
            watcher.tell()
    return 0


class _Watcher:
    def __init__(self, client: Client, runs: tuple[str, ...], where: Where) -> None:
        self._client = client
        self._where = where
        self._look = look(where, {})
        news = self._since(None, LONGEST, runs)
        self._news = news
        self._runs = tuple(change.id for change in news.runs)
        """Ids of the runs that are watched; those that begin meanwhile join them."""
        self._fixed = bool(runs)
        self._living = {change.id for change in news.runs if _lives(change)}

    def tell(self) -> None:
        """A line for each change."""
        _write(_without_cursor(self._news))
        while self._living:
            self._next(LONGEST, lambda news: _write(_without_cursor(news)))

    def keep_fresh(self) -> None:
        """A line for each run, written anew."""
        lines = 0
        while self._living:
            text = str(self._client.ask(Live(runs=self._runs), look=self._look, where=self._where))
            _write((_UP.format(lines) if lines else "") + _CLEAR + text)
            lines = text.count("\n")
            self._next(REFRESH, lambda _: None)
        text = str(self._client.ask(Live(runs=self._runs), look=self._look, where=self._where)) if self._runs else ""
        _write((_UP.format(lines) + _CLEAR if lines else "") + (text or _without_cursor(self._news)))

    def _next(self, longest: str, show: Callable[[News], None]) -> None:
        news = self._since(self._news.cursor, longest, self._runs if self._fixed else ())
        show(news)
        self._news = news
        for change in news.runs:
            (self._living.add if _lives(change) else self._living.discard)(change.id)
        if not self._fixed:
            self._runs = tuple(dict.fromkeys([*self._runs, *(c.id for c in news.runs if c.change == "new")]))

    def _since(self, cursor: str | None, longest: str, runs: tuple[str, ...]) -> News:
        found = self._client.ask(Since(cursor=cursor, runs=runs, wait=longest), look=self._look, where=self._where)
        assert isinstance(found, News)
        return found


def _lives(change: Change) -> bool:
    return change.change != "gone" and change.state == "running"


def _without_cursor(news: News) -> str:
    return str(news).removesuffix(f"{news.cursor}\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
