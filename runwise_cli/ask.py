"""How the full command line asks: one question to the daemon, its text to stdout as it comes."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from runwise_protocol.argv import Parsed
from runwise_protocol.client import Client, Upgraded, here
from runwise_protocol.messages import Lane
from runwise_protocol.query import Look, Where

AGAIN = "_RUNWISE_AGAIN"
"""Set for a command line that an upgrade met half-way: what the daemon last said of it."""


def ask(parsed: Parsed, said: str = "") -> int:
    """Answer one command line. The exit status. Raises RunwiseError, and OSError when stdout cannot be written.

    `said`: what a daemon last said of it that went away, see `runwise_protocol.query.Query.resumed`.
    """
    parsed = parsed._replace(query=parsed.query.resumed(said)) if said else parsed
    with Client.connect() as client:
        return write(client, parsed, here())


def again(upgraded: Upgraded) -> NoReturn:
    """Run this very command line anew, as what is installed now. Raises `upgraded` where that has been of no use."""
    if AGAIN in os.environ:
        raise upgraded
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, AGAIN: upgraded.said})


def write(client: Client, parsed: Parsed, where: Where) -> int:
    """Write the answer to a question asked from `where` to stdout. The exit status."""
    sys.stdout.flush()
    return client.write(parsed.query, look(where, parsed.look), parsed.seen_from(where), sys.stdout.buffer)


def look(where: Where, given: dict[str, Any]) -> Look:
    """How the answer should look: what was given, completed by what is known of the terminal."""
    terminal = sys.stdout.isatty()
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns if terminal else 0
    return Lane(where, width, terminal, terminal and not plain, []).look(given)
