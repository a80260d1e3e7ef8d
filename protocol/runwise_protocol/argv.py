"""A plain command line as a request, or None: what is not plain (help, typos, `demo`) is left to the full parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import BY_COMMAND
from runwise_protocol.query import Look, Query, Where
from runwise_protocol.schema import Given, Parameter, parameters, request

LOOK = tuple(parameter for parameter in parameters(Look) if parameter.name not in {"color", "width", "calls"})
"""What every command takes about the look of its answer; the rest of `Look` is the terminal's."""
PROJECT = next(parameter for parameter in parameters(Where) if parameter.name == "project")
COMMON = (*LOOK, PROJECT)
"""What every command takes."""


class Parsed(NamedTuple):
    """A command line, understood."""

    query: Query
    look: dict[str, Any]
    """The fields of `Look` that were given."""
    project: str | None = None
    """As in `Where`."""

    def seen_from(self, where: Where) -> Where:
        """From where it is asked, with the project that it names."""
        return where if self.project is None else msgspec.structs.replace(where, project=self.project)


def parse(argv: Sequence[str]) -> Parsed | None:
    """Understand the words after ``runwise``; no words at all mean ``list``. None: not plain, or not valid.

    Whatever this understands, the full parser understands alike.
    """
    command, *words = argv or ["list"]
    kind = BY_COMMAND.get(command)
    given = None if kind is None else scan(kind, words)
    if kind is None or given is None:
        return None
    try:
        return build(kind, given)
    except RunwiseError:
        return None


def build(kind: type[Query], given: Given) -> Parsed:
    """The request that the given texts ask for. Raises RunwiseError (usage) when one is out of bounds."""
    about_look = {parameter.name for parameter in LOOK}
    about_all = {*about_look, PROJECT.name}
    look = request(Look, {name: value for name, value in given.items() if name in about_look})
    query = request(kind, {name: value for name, value in given.items() if name not in about_all})
    where = request(Where, {"cwd": ".", **{name: value for name, value in given.items() if name == PROJECT.name}})
    return Parsed(query, {name: getattr(look, name) for name in given if name in about_look}, where.project)


def scan(kind: type[Query], words: Sequence[str]) -> dict[str, Any] | None:
    """What the words after a command give, by field, as texts whose values nobody has looked at. None: not plain."""
    flags, places = _spellings(kind)
    given: dict[str, Any] = {}
    loose: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            loose += rest
        elif word == "-" or not word.startswith("-"):
            loose.append(word)
        elif (flag := _flag(word, rest, flags)) is None:
            return None
        else:
            _give(given, *flag)
    return given if _place(given, loose, places) else None


def _flag(word: str, rest: Iterator[str], flags: Mapping[str, Parameter]) -> tuple[Parameter, str | bool] | None:
    """What one flag says: ``--flag value``, ``--flag=value``, ``-n5``, ``-n 5`` or a switch."""
    if word.startswith("--"):
        name, joined, value = word.partition("=")
    else:
        name, joined, value = word[:2], word[2:], word[2:]
    parameter = flags.get(name)
    if parameter is None:
        return None
    if parameter.kind == "switch":
        return None if joined else (parameter, True)
    if not joined:
        value = next(rest, "-")
        # A value that begins with a minus is plain only as a number: otherwise a forgotten value eats the next flag.
        if value.startswith("-") and not value[1:2].isdecimal():
            return None
    return parameter, value


def _give(given: dict[str, Any], parameter: Parameter, value: str | bool) -> None:
    if parameter.many:
        given.setdefault(parameter.name, []).append(value)
    else:
        given[parameter.name] = value


def _place(given: dict[str, Any], loose: list[str], places: Sequence[Parameter]) -> bool:
    """Hand the words without a flag to the fields given by place; False when there are too many."""
    for parameter in places:
        if parameter.many and loose:
            given[parameter.name], loose = loose, []
        elif loose:
            given[parameter.name], loose = loose[0], loose[1:]
    return not loose


@cache
def _spellings(kind: type[Query]) -> tuple[dict[str, Parameter], tuple[Parameter, ...]]:
    known = (*parameters(kind), *COMMON)
    flags = {flag: parameter for parameter in known for flag in parameter.flags}
    return flags, tuple(parameter for parameter in known if not parameter.flags)
