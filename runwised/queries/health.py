"""`health`: what is wrong with a run in one line, or with each of the newest ones."""

from __future__ import annotations

from collections import Counter

from runwise_protocol.queries.diagnose import CheckHealth, Diagnosis, HealthReport

from runwised.index.view import RunView
from runwised.queries.about import About
from runwised.queries.diagnose import diagnosis, well
from runwised.queries.findings import chain, looked_at, noun
from runwised.queries.project import ProjectView
from runwised.queries.resolve import called, resolve
from runwised.queries.runs import painted
from runwised.render.layout import short
from runwised.render.numbers import plural
from runwised.render.page import Page

_MOST = 50
"""Runs that are looked at when none is named."""


def about(query: CheckHealth, view: ProjectView) -> About:
    """The run, whole; of many those that are soon indexed: the answer counts those that are not."""
    if query.run is not None:
        return About([resolve(query.run, view)], "whole")
    return About(list(view.runs[:_MOST]), "short")


def answer(query: CheckHealth, view: ProjectView) -> HealthReport:
    """A diagnosis of each run that was asked about. Raises RunwiseError."""
    runs = [resolve(query.run, view)] if query.run is not None else view.runs[:_MOST]
    return HealthReport(runs=[diagnosis(run, view) for run in runs], total=len(view.runs))


def render(reply: HealthReport, page: Page, query: CheckHealth, view: ProjectView) -> None:
    """One line for each run with something to say, and how many are well."""
    known = {run.id: (run, name) for run, name in called((found.run for found in reply.runs), view)}
    if query.run is not None:
        found = reply.runs[0]
        page.line(f"{_line(found, *known[found.run], page)}; {looked_at(found.checked)}", priority=100)
        return
    page.line(_counts(reply), priority=100)
    for at, found in enumerate(reply.runs):
        if found.verdict == "trouble":
            page.line(_line(found, *known[found.run], page), priority=90 - at)
    worst = next((found for found in reply.runs if found.verdict == "trouble"), None)
    if worst:
        page.next(f"diagnose {known[worst.run][1]}")


def _counts(reply: HealthReport) -> str:
    """How many of the runs are well, and why the others are not said to be."""
    verdicts = Counter(found.verdict for found in reply.runs)
    parts = [f"{verdicts['healthy']} of {plural(len(reply.runs), 'run')} healthy"]
    if verdicts["trouble"]:
        parts.append(f"{verdicts['trouble']} with trouble")
    unsure = [found for found in reply.runs if found.verdict == "unsure"]
    unread = sum(not found.checked.indexed for found in unsure)
    empty = sum(found.checked.indexed and not found.checked.points for found in unsure)
    if unread:
        parts.append(f"{unread} not indexed yet, not checked")
    if empty:
        parts.append(f"{empty} without data")
    if len(unsure) > unread + empty:
        parts.append(f"{len(unsure) - unread - empty} with no loss that could be judged, checked for nan alone")
    if reply.total > len(reply.runs):
        parts.append(f"{reply.total - len(reply.runs)} older not looked at")
    return "; ".join(parts)


def _line(found: Diagnosis, run: RunView, name: str, page: Page) -> str:
    start = f"{short(name)} {painted(run, page)}: "
    if found.verdict != "trouble":
        return start + well(found)
    kinds = list(dict.fromkeys(noun(event.kind) for event in found.events))
    is_event = any(found.cause == event.kind for event in found.events)
    parts = [found.cause] if found.cause and not is_event else []
    bad = chain(found)
    where = "" if bad or not kinds else f" on {short(found.events[0].key)}"
    parts += [", ".join(kinds) + where] if kinds else [] if parts else ["no cause found"]
    good = "no good step" if found.last_good_step is None else f"last good step {found.last_good_step}"
    return start + "; ".join([*parts, *([f"first bad {bad}"] if bad else []), good])
