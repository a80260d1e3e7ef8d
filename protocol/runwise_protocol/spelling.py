"""`ToolSpelling`: command lines and flags, as an MCP client spells the same: tools and their arguments.

Answers and errors speak as a command line does. The contracts know which field a flag stands for, which tool asks a
question, and what the tool calls the field: from these the same text is made for who calls tools.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from runwise_protocol.argv import COMMON, scan
from runwise_protocol.queries import BY_COMMAND
from runwise_protocol.query import Query
from runwise_protocol.schema import parameters

_WORD = r"""(?:'[^']*'|"[^"]*"|[^\s;'"])+"""
_COMMAND = re.compile(rf"(?P<before>(?:[;:,] )?(?:or )?(?:try )?)\brunwise(?P<words>(?: {_WORD})+)")
_FLAG = re.compile(r"(?P<quoted>'[^']*')|(?<![\w/-])(?P<flag>--[a-z][a-z-]*|-[a-zA-Z])(?![\w-])")
_PLAIN = re.compile(r"[^\s\"'`;=]+")
_TOOLS_TAKE = ("budget", "project")
"""Of what every command takes."""


class ToolSpelling:
    """How the tool that asks a question (or one of several) spells what the command line does."""

    def __init__(self, *kinds: type[Query]) -> None:
        common = [parameter for parameter in COMMON if parameter.name in _TOOLS_TAKE]
        known = [parameter for kind in kinds for parameter in parameters(kind)]
        self._flags = {flag: each.argument for each in (*common, *known) for flag in each.flags}
        self._places = {each.spelling: each.argument for each in known if not each.flags}

    def call(self, line: str) -> str:
        """A command line, with or without ``runwise``, as a tool call; empty where no tool asks it."""
        try:
            return _call(shlex.split(line.removeprefix("runwise ")))
        except ValueError:  # an open quote: not a command line
            return ""

    def text(self, text: str) -> str:
        """A text with the command lines in it, which begin with ``runwise``, as tool calls; others are taken out."""
        return _COMMAND.sub(_replaced, text) if "runwise " in text else text

    def hint(self, text: str) -> str:
        """The same, with the flags in it, and a field at its beginning, by their names as arguments."""
        place, colon, rest = text.partition(":")
        if colon and place in self._places:
            text = f"{self._places[place]}:{rest}"
        named = _FLAG.sub(
            lambda found: found["quoted"] or self._flags.get(found["flag"], found["flag"]), self.text(text)
        )
        return named.strip()


def _replaced(found: re.Match[str]) -> str:
    """The tool call for as many of the words as make a command line, and the words after them."""
    words = [word.group() for word in re.finditer(_WORD, found["words"])]
    if words[0] not in BY_COMMAND:
        return found.group() if not words[0].isalpha() else ""
    if "--help" in words:
        return ""
    for count in range(len(words), 0, -1):
        last = words[count - 1]
        end = "," if last.endswith(",") else ""
        try:
            parts = shlex.split(" ".join((*words[: count - 1], last.removesuffix(","))))
        except ValueError:
            continue
        if _understood(parts):
            call = _call(parts)
            rest = "".join(f" {word}" for word in words[count:])
            return f"{found['before']}{call}{end}{rest}" if call else (f"{end}{rest}" if rest else "")
    return ""


def _understood(words: Sequence[str]) -> bool:
    kind = BY_COMMAND.get(words[0])
    return kind is not None and scan(kind, words[1:]) is not None


def _call(words: Sequence[str]) -> str:
    kind = BY_COMMAND.get(words[0]) if words else None
    if kind is None or not kind.tool:
        return ""
    given = scan(kind, words[1:])
    known = {each.name: each for each in (*parameters(kind), *COMMON)}
    if given is None or any(known[name] in COMMON and name not in _TOOLS_TAKE for name in given):
        return ""
    fields = (f"{each.argument}={_value(given[name])}" for name, each in known.items() if name in given)
    return " ".join((kind.tool, *fields))


def _value(given: object) -> str:
    if given is True:
        return "true"
    text = ",".join(given) if isinstance(given, list) else str(given)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
