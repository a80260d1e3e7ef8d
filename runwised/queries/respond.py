"""From a query to what is sent back: the typed reply, and its text in the form that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.query import Look, Query, Reply
from runwise_protocol.spelling import ToolSpelling

from runwised.queries import HANDLERS, Handler
from runwised.queries.about import About
from runwised.queries.asked import asked, counted
from runwised.queries.freshness import damaged, unread
from runwised.queries.liveness import any_lives
from runwised.queries.onward import there
from runwised.queries.patience import AnyPatience
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.tabular import json_line, objects_csv, plain
from runwised.render.page import Page

_COUNTS = ("limit", "samples", "tail", "top")
"""Fields that say how much is wanted: where one is given, the default budget does not bind."""
_HUMAN = 4
"""A person's page may cost more by this factor: alignment and sparklines are for the eye, which pays nothing."""

_VERBOSE = 4


class Written(NamedTuple):
    """An answer, ready to send."""

    reply: Reply
    chunks: Iterator[str]
    """The text; joined it is the whole of it."""
    exit_status: int


class Needed(NamedTuple):
    """What should be indexed before a query is answered."""

    runs: list[str]
    """Ids."""
    if_short: bool
    """Only where that does not take long: the query has an answer without."""


def needed(query: Query, view: ProjectView) -> Needed:
    """The runs to be indexed first. Raises RunwiseError where the query names a run that is not there."""
    runs, wait = _about(query, view)
    return Needed([run.id for run in runs], wait == "short")


def _about(query: Query, view: ProjectView) -> About:
    """The runs a query is about and waits for."""
    handler = HANDLERS[type(query)]
    if handler.about:
        return handler.about(query, view)
    if handler.waits_for == "none" or not view.runs:
        return About([], handler.waits_for)
    return About([resolve(getattr(query, "run", None), view)], handler.waits_for)


def respond(query: Query, view: ProjectView, look: Look) -> Written:
    """Answer a query in the form that was asked for. Raises RunwiseError."""
    handler = HANDLERS[type(query)]
    forms = handler.forms
    if look.quiet and look.verbose:
        raise RunwiseError(Kind.USAGE, "--quiet and --verbose are contrary", f"runwise {query.command} --verbose")
    if look.form not in forms:
        message = f"{query.command} cannot be written as {look.form}, only as {', '.join(forms)}"
        raise RunwiseError(Kind.USAGE, message, f"runwise {query.command} --format {forms[-1]}")
    reply = handler.answer(query, view)
    if handler.stream:
        return Written(reply, handler.stream(query, view, look.form), 0)
    text = _text(handler, query, view, look, reply)
    reply.__dict__["text"] = text
    return Written(reply, iter([text]), reply.exit_status)


def _text(handler: Handler, query: Query, view: ProjectView, look: Look, reply: Reply) -> str:
    if look.form == "json":
        return json_line(plain(reply))
    if look.form in ("csv", "jsonl"):
        objects = handler.objects(reply) if handler.objects else []
        return objects_csv(objects) if look.form == "csv" else "".join(map(json_line, objects))
    page = Page(
        budget=budget(query, look),
        dress=look.dress or "agent",
        width=look.width,
        color=look.color,
        form="md" if look.form == "md" else "text",
        command=asked(query, *there(view)),
        quiet=look.quiet,
        verbose=look.verbose,
        spelling=ToolSpelling(type(query)) if look.calls else None,
    )
    handler.render(reply, page, query, view)
    runs, wait = _about(query, view)
    for run in runs if wait == "whole" else ():
        for text in (*unread(run), *damaged(run)):
            page.line(f"! {handle(run, view)}: {text}", priority=88)
    for note in view.notes if page.has_text else ():
        page.line(f"! {note}", priority=85)
    if handler.cursor and (any_lives(runs) or _tells_of_living(reply)) and (cursor := view.cursor()):
        page.line(cursor, priority=99)
    return page.text()


def _tells_of_living(reply: Reply) -> bool:
    """Whether one of the runs in an answer that has several is running."""
    return any(getattr(run, "state", "") == "running" for run in getattr(reply, "runs", ()))


def patience(query: Query) -> AnyPatience | None:
    """What a query waits for; None: it is answered at once."""
    return HANDLERS[type(query)].patience if query.patience > 0 else None


def budget(query: Query, look: Look) -> int | None:
    """Tokens the text may cost: what was asked for, else the query's own; none where a count was asked for."""
    if look.budget is not None:
        return look.budget
    if counted(query, _COUNTS):
        return None
    return query.budget * (_HUMAN if look.dress == "human" else 1) * (_VERBOSE if look.verbose else 1)
