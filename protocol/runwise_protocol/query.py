"""`Query`: what every question to the daemon is made from.

A query is declared once, as a frozen struct in `runwise_protocol.queries`. Its docstring is the help text; each field
has a description and, where they make sense, bounds. How a field is spelled on a command line stands in the field's
``Meta(extra=...)``:

* ``{"positional": True}``: given by place, not by flag;
* ``{"flags": ("-n", "--limit")}``: the spelling, where it is not just ``--field-name``;
* ``{"argument": "path"}``: what the MCP tool that asks it calls the field, where it is not the field's name;
* a field of type ``bool`` is a flag without a value; of type ``tuple[str, ...]`` may be repeated or comma-separated.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from runwise_protocol.frames import ENVIRON as ENVIRON


class Reply(msgspec.Struct, kw_only=True, dict=True):
    """Base of every answer: typed data, whose `str()` is the text a person or an agent reads."""

    def __str__(self) -> str:
        return str(self.__dict__.get("text", ""))

    @property
    def exit_status(self) -> int:
        """What a command exits with that gives this answer."""
        return 0


R = TypeVar("R", bound=Reply)

Number: TypeAlias = float | int
"""A logged number. In JSON a non-finite one is the string "NaN", "Infinity" or "-Infinity"."""

Word: TypeAlias = Annotated[str, Meta(max_length=1000)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
Span: TypeAlias = Annotated[str, Meta(pattern=r"^-?\d*(:-?\d*)?$", max_length=40)]
"""One whole number, or ``first:last`` (inclusive; either may be left out)."""

RunRef: TypeAlias = Annotated[
    Word | None,
    Meta(
        description="Run: id, unique prefix of an id, or name; the latest run when left out.",
        extra={"positional": True},
    ),
]
RunRefs: TypeAlias = Annotated[
    tuple[Word, ...],
    Meta(description="Runs: ids, unique prefixes or names.", max_length=50, extra={"positional": True}),
]
Keys: TypeAlias = Annotated[
    tuple[Word, ...],
    Meta(
        description="Metric names or globs (val/*); may be repeated or comma-separated.",
        max_length=1000,
        extra={"flags": ("-k", "--keys")},
    ),
]

Condition: TypeAlias = Annotated[
    Word | None,
    Meta(description="Only runs for which this holds (EXPR).", extra={"flags": ("-w", "--where")}),
]
"""See `runwise_protocol.expression`."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="ask"):
    """Base of every request."""

    command: ClassVar[str]
    """The command's name: on the command line, on the wire (as the tag) and in the registry."""
    tool: ClassVar[str] = ""
    """The MCP tool that asks it; empty: none does."""
    reply: ClassVar[type[Reply]]
    budget: ClassVar[int]
    """Tokens an answer in text may cost unless the caller says otherwise."""

    @property
    def patience(self) -> float:
        """Seconds it waits for something to happen, at most."""
        return 0.0

    def resumed(self, said: str) -> Self:
        """What is left to be asked when the daemon went away; `said`: its last sign of life, ``CURSOR SECONDS``."""
        del said
        return self


Form: TypeAlias = Literal["text", "md", "csv", "json", "jsonl"]
Dress: TypeAlias = Literal["agent", "human"]


class Look(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the answer should be written; the same for every query."""

    form: Annotated[Form, Meta(description="Format of the answer.", extra={"flags": ("--format",)})] = "text"
    budget: Annotated[
        Annotated[int, Meta(ge=20, le=1_000_000)] | None,
        Meta(
            description="Tokens the text may cost; what does not fit is named.",
            extra={"flags": ("--budget",)},
        ),
    ] = None
    dress: Annotated[
        Dress | None,
        Meta(
            description="agent: least tokens; human: aligned, with sparklines. By default human at a terminal.",
            extra={"flags": ("--for",)},
        ),
    ] = None
    quiet: Annotated[
        bool,
        Meta(
            description="Only what was asked for: no next commands, no remarks.",
            extra={"flags": ("-q", "--quiet")},
        ),
    ] = False
    verbose: Annotated[
        bool,
        Meta(
            description="Also what is usually left out, within four times the budget.",
            extra={"flags": ("-v", "--verbose")},
        ),
    ] = False
    color: bool = False
    """Whether colour may be used (a terminal, and NO_COLOR is not set)."""
    width: Annotated[int, Meta(ge=20, le=10_000)] = 100
    """Columns of the terminal."""
    calls: bool = False
    """Whether the asker calls MCP tools: what to ask next is spelled as such calls (`runwise_protocol.spelling`)."""


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """From where the question is asked: it decides the project."""

    cwd: str
    environ: dict[str, str] = {}
    """Only the variables in `ENVIRON`."""
    project: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096)] | None,
        Meta(
            description="Ask about this project: a folder, or the end of the path of one that list --all shows.",
            extra={"flags": ("-C", "--project")},
        ),
    ] = None
    """Then it is as if asked in that project (below `cwd`), with no variables."""


def checked(kind: type[Any], fields: dict[str, Any]) -> Any:
    """Build a request from fields of any origin, bounds included (a struct's constructor does not check them).

    Raises msgspec.ValidationError.
    """
    return msgspec.convert(fields, kind, strict=False)
