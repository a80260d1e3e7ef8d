"""`tag` and `note`: what the user says of a run; it is kept beside the index, and logs stay as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from runwise_protocol.query import Query, Reply, Word

ThisRun: TypeAlias = Annotated[
    Word,
    Meta(description="Run: id, unique prefix of an id, or name.", min_length=1, extra={"positional": True}),
]
Tag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
NoteText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4000)]


class Said(Reply, kw_only=True):
    """Answer to `tag` and `note`: what is said of the run now."""

    run: str
    name: str
    tags: list[str]
    """All: logged and one's own."""
    added: list[str]
    """Tags the log does not give it."""
    removed: list[str]
    """Tags the log gives it, and that are not shown."""
    note: str
    """One's own, without what was logged."""


class TagRun(Query, frozen=True, kw_only=True, tag="tag"):
    """Tag a run, or take tags off it, logged ones too. The log stays as it is: only runwise shows it so."""

    command: ClassVar = "tag"
    tool: ClassVar = "annotate_run"
    reply: ClassVar = Said
    budget: ClassVar = 200

    run: ThisRun
    tags: Annotated[
        tuple[Tag, ...],
        Meta(description="Tags: words of 1 to 64 characters.", min_length=1, max_length=20, extra={"positional": True}),
    ]
    remove: Annotated[bool, Meta(description="Take them off.")] = False


class NoteRun(Query, frozen=True, kw_only=True, tag="note"):
    """Write a note about a run, in the place of your earlier one. The log stays as it is: only runwise shows it."""

    command: ClassVar = "note"
    tool: ClassVar = "annotate_run"
    reply: ClassVar = Said
    budget: ClassVar = 200

    run: ThisRun
    text: Annotated[
        NoteText | None,
        Meta(description="The note.", extra={"positional": True, "argument": "note"}),
    ] = None
    append: Annotated[bool, Meta(description="Add it as a further line.")] = False
    clear: Annotated[bool, Meta(description="Take your note away; logged notes stay.")] = False


Annotate: TypeAlias = TagRun | NoteRun
"""The questions that write."""
