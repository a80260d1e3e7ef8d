"""`Annotation`: tags and a note in one call; the contracts of `tag` and `note` are what is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.annotate import NoteRun, NoteText, Said, Tag, TagRun, ThisRun
from runwise_protocol.query import Query


class Annotation(Query, frozen=True, kw_only=True):
    """What is to be said of a run."""

    command: ClassVar = TagRun.command
    tool: ClassVar = TagRun.tool
    reply: ClassVar = Said
    budget: ClassVar = TagRun.budget

    run: ThisRun
    tags: Annotated[tuple[Tag, ...], Meta(description="Tags: words of 1 to 64 characters.", max_length=20)] = ()
    remove: Annotated[bool, Meta(description="Take the tags off.")] = False
    note: Annotated[NoteText | None, Meta(description="The note.")] = None
    append: Annotated[bool, Meta(description="Add the note as a further line.")] = False
    clear: Annotated[bool, Meta(description="Take your note away.")] = False

    def asked(self) -> tuple[Query, ...]:
        """The questions it is made of. Raises RunwiseError where there is none."""
        found: list[Query] = []
        if self.tags:
            found.append(TagRun(run=self.run, tags=self.tags, remove=self.remove))
        if self.note is not None or self.clear:
            found.append(NoteRun(run=self.run, text=self.note, append=self.append, clear=self.clear))
        if not found:
            raise RunwiseError(Kind.USAGE, "annotate_run needs tags, note, or clear to take your note away")
        return tuple(found)
