"""`tag` and `note`: what the user says of a run; what is to be changed is worked out here, the catalog writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.annotate import Annotate, NoteRun, Said, TagRun

from runwised.index.kept import Annotation
from runwised.index.view import RunView
from runwised.queries.onward import onward, propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.render.layout import short
from runwised.render.page import Page
from runwised.render.untrusted import clean, redact

MOST_TAGS = 100
"""Tags of one's own that a run may have."""
MOST_CHARACTERS = 20_000
"""Characters of its note."""


def change(query: Annotate, run: RunView) -> Callable[[Annotation], Annotation]:
    """What the question does to what is said of a run. Asked once more it changes nothing. Raises RunwiseError, and so
    does what it gives where the result would be too long.
    """
    if isinstance(query, NoteRun):
        text = _note(query)
        return lambda said: _noted(said, text, query.append)
    for tag in query.tags:
        if clean(tag) != tag or tag != tag.strip():
            message = f"TAGS: expected words without control characters, found {tag!r}"
            raise RunwiseError(Kind.USAGE, message, "runwise tag --help")
    shown = run.annotation
    # All tags that the log gives: those that are shown and not one's own, and those that were taken off.
    logged = [*(tag for tag in run.tags if tag not in shown.added), *shown.removed]
    return lambda said: _tagged(said, query.tags, query.remove, logged)


def _note(query: NoteRun) -> str:
    if query.clear:
        if query.text is not None or query.append:
            raise RunwiseError(Kind.USAGE, "--clear takes the note away: it goes with no text", "runwise note --help")
        return ""
    lines = (query.text or "").strip().splitlines()
    if not lines:
        raise RunwiseError(Kind.USAGE, "TEXT: expected the note, found nothing", "runwise note RUN TEXT, or --clear")
    if any(clean(line) != line.replace("\t", " ") for line in lines):
        message = "TEXT: expected lines without control characters"
        raise RunwiseError(Kind.USAGE, message, "runwise note --help")
    return "\n".join(lines)


def _noted(said: Annotation, text: str, append: bool) -> Annotation:
    if append and said.note:
        # A question may be asked twice, when its answer was lost: what stands at the end already is not added again.
        text = said.note if f"\n{said.note}".endswith(f"\n{text}") else f"{said.note}\n{text}"
    if len(text) > MOST_CHARACTERS:
        message = f"the note would have {len(text)} characters, more than {MOST_CHARACTERS}"
        raise RunwiseError(Kind.USAGE, message, "the same without --append")
    return replace(said, note=text)


def _tagged(said: Annotation, tags: Sequence[str], remove: bool, logged: Sequence[str]) -> Annotation:
    others = [tag for tag in said.added if tag not in tags]
    off = [tag for tag in said.removed if tag not in tags]
    named = list(dict.fromkeys(tags))
    if remove:
        return replace(said, added=tuple(others), removed=(*off, *(tag for tag in named if tag in logged)))
    added = (*others, *(tag for tag in named if tag not in logged))
    if len(added) > MOST_TAGS:
        message = f"the run would have {len(added)} tags of yours, more than {MOST_TAGS}"
        raise RunwiseError(Kind.USAGE, message, "runwise tag RUN TAG --remove")
    return replace(said, added=added, removed=tuple(off))


def answer(query: Annotate, view: ProjectView) -> Said:
    """What is said of the run now. Raises RunwiseError."""
    run = resolve(query.run, view)
    said = run.annotation
    return Said(
        run=run.id,
        name=run.name,
        tags=list(run.tags),
        added=list(said.added),
        removed=list(said.removed),
        note=said.note,
    )


def render(reply: Said, page: Page, query: Annotate, view: ProjectView) -> None:
    """All tags of the run, or its note."""
    name = handle(resolve(reply.run, view), view)
    if isinstance(query, TagRun):
        page.line(f"{name} {told_tags(reply.tags, reply.added, reply.removed) or 'no tags'}", priority=100)
    elif reply.note:
        more = onward(view, "notes", name, "--format", "json")
        page.line(f"{name} noted", priority=100)
        lines = redact(reply.note).splitlines()
        page.quote("your note (quoted):", lines, priority=80, more=lambda dropped: f"{dropped} earlier lines: {more}")
    else:
        page.line(f"{name} no note of yours", priority=100)
    if isinstance(query, NoteRun) and not reply.note:
        propose(page, view, "notes", name)


def told_tags(tags: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> str:
    """``tags base,good (yours: +good -slow)``; empty where there is nothing to tell."""
    own = [*(f"+{tag}" for tag in added), *(f"-{tag}" for tag in removed)]
    parts = [f"tags {short(','.join(tags))}"] if tags else []
    parts += [f"(yours: {short(' '.join(own))})"] if own else []
    return " ".join(parts)
