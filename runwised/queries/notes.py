"""`notes`: what was written about a run: notes, tags, group, alerts, and which of it the user said."""

from __future__ import annotations

from runwise_protocol.queries.about import NotesReply, ShowNotes

from runwised.queries.annotate import told_tags
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.render.layout import short
from runwised.render.numbers import plural
from runwised.render.page import Page
from runwised.render.untrusted import redact


def answer(query: ShowNotes, view: ProjectView) -> NotesReply:
    """Notes as they are; secrets in alerts and notes are hidden. Raises RunwiseError."""
    run = resolve(query.run, view)
    return NotesReply(
        run=run.id,
        name=run.name,
        notes=None if run.notes is None else redact(run.notes),
        tags=list(run.tags),
        group=run.group,
        alerts=[
            {"level": found.level, "title": redact(found.title), "text": redact(found.text)} for found in run.alerts
        ],
        added=list(run.annotation.added),
        removed=list(run.annotation.removed),
        note=redact(run.annotation.note),
    )


def render(reply: NotesReply, page: Page, query: ShowNotes, view: ProjectView) -> None:
    """Name, group and tags; then what was written, quoted."""
    del query
    run = resolve(reply.run, view)
    labels = [f"group {short(reply.group)}"] if reply.group else []
    labels += [tags] if (tags := told_tags(reply.tags, reply.added, reply.removed)) else []
    title = short(reply.name) if reply.name == reply.run else f"{short(reply.name)} {reply.run}"
    written = bool(reply.notes or reply.alerts)
    page.line(", ".join([title, *labels, *([] if written else ["no notes"])]), priority=100)
    again = onward(view, "notes", handle(run, view), "--format", "json")
    logged = (reply.notes or "").removesuffix(reply.note)
    for whose, text in (("notes", logged), ("your note", reply.note)):
        lines = text.splitlines()
        page.quote(f"{whose} (quoted):", lines, priority=80, keep="first", more=lambda n: f"{n} more lines: {again}")
    if reply.alerts:
        page.quote(
            f"{plural(len(reply.alerts), 'alert')} (quoted):",
            [f"{alert['level']} {alert['title']}: {alert['text']}" for alert in reply.alerts],
            priority=70,
            more=lambda n: f"{n} earlier alerts: {again}",
        )
