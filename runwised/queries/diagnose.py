"""`diagnose`: why a run ended, its last good step, what went bad first, and what was looked at to say so.

Its sentences are templates filled with numbers and names; what a program printed stands in the quoted block alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runwise_protocol.queries.diagnose import BadPoint, Checked, CurveEvent, Diagnose, Diagnosis, MemoryUse

from runwised.index.view import RunView
from runwised.queries.causes import Ending, ending, is_end, last_lines, saved, signal_of
from runwised.queries.checkup import Checkup, checkup
from runwised.queries.findings import chain, looked_at, noun, told
from runwised.queries.freshness import taken_back
from runwised.queries.onward import propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.runs import painted
from runwised.render.command import keys_option
from runwised.render.layout import cut, short
from runwised.render.numbers import number, size
from runwised.render.page import Page
from runwised.render.untrusted import clean, redact

ENDED_BADLY = ("failed", "crashed", "killed", "preempted")
_MAY_HAVE = (*ENDED_BADLY, "ended", "unknown")
"""States in which the console may tell of a bad end."""
_MEMORY = re.compile(r"memory_?percent|memoryAllocated|memory.*(?:percent|bytes|rss|available|used)", re.IGNORECASE)
_USES = 16
_SHOWN_USES = 3
_LONGEST_LINE = 240
"""Characters of a line that is handed on,"""
_LOOKED_AT = 4000
"""and of one that is searched for secrets before."""
_MARGIN = 0.02
"""Share of the steps until the first bad one that is shown around the bad ones, at least as much as lies between."""


def answer(query: Diagnose, view: ProjectView) -> Diagnosis:
    """Every point of every metric, the end of the console and the exit code are looked at. Raises RunwiseError."""
    return diagnosis(resolve(query.run, view), view)


def diagnosis(run: RunView, view: ProjectView) -> Diagnosis:
    """What is wrong with a run."""
    found = checkup(run, view.config, view.now)
    state, proof, code, _ = run.condition
    printed = last_lines(run.console(newest_first=True)) if state != "empty" else []
    last = ending(printed) if state in _MAY_HAVE else None
    ended_badly = state in ENDED_BADLY or (last is not None and is_end(last))
    cause = (last.cause if last and ended_badly else None) or signal_of(code)
    trouble = bool(found.events) or ended_badly
    if cause is None and found.bad and found.bad[0].end_step is None:
        cause = found.bad[0].kind
    checkpoint = saved(printed) if trouble else None
    return Diagnosis(
        run=run.id,
        name=run.name,
        state=state,
        exit_code=code,
        proof=clean(proof),
        verdict="trouble" if trouble else "healthy" if found.judged and run.indexed else "unsure",
        cause=cause,
        evidence=_evidence(last) if ended_badly else [],
        checkpoint=None if checkpoint is None else redact(checkpoint),
        last_good_step=found.last_good,
        first_bad=[BadPoint(key=event.key, step=event.step) for event in found.bad],
        events=[CurveEvent(**event._asdict()) for event in found.events],
        memory=_memory(run) if trouble else [],
        checked=_checked(found, run),
    )


def _evidence(last: Ending | None) -> list[str]:
    return [cut(redact(cut(line, _LOOKED_AT)), _LONGEST_LINE) for line in last.lines] if last else []


def _checked(found: Checkup, run: RunView) -> Checked:
    return Checked(
        keys=found.keys,
        points=found.points,
        kinds=found.kinds,
        finite_only=found.finite_only,
        too_short=found.too_short,
        indexed=run.indexed,
    )


def _memory(run: RunView) -> list[MemoryUse]:
    """The system metrics about memory, shares before amounts, the fullest first."""
    names = [name for name in run.system.names if _MEMORY.search(name)]
    uses = [MemoryUse(key=name, last=stats.last, max=stats.max) for name in names if (stats := run.system.stats(name))]
    uses.sort(key=lambda use: (not _is_share(use), -(use.max or 0)))
    return uses[:_USES]


def _is_share(use: MemoryUse) -> bool:
    return _unit(use.key) == "%"


def _unit(key: str) -> str:
    name = key.lower()
    if name.endswith("bytes"):
        return "B"
    if name.endswith("mb"):
        return "MB"
    return "%" if name.endswith(("percent", "memoryallocated")) else ""


def render(reply: Diagnosis, page: Page, query: Diagnose, view: ProjectView) -> None:
    """A run that is well in one line; else its end, its first bad steps, the events, and what the console says."""
    del query
    run = next(run for run in view.runs if run.id == reply.run)
    name = handle(run, view)
    if reply.verdict != "trouble":
        page.line(f"{_title(reply, run, name, page)}: {well(reply)}; {looked_at(reply.checked)}", priority=100)
        return
    page.line(_title(reply, run, name, page), priority=100)
    if reply.cause is not None or reply.evidence or reply.state in ENDED_BADLY:
        page.line(_why(reply), priority=98)
    page.line(_where(reply), priority=96)
    for at, text in enumerate(told(reply.events, page.dress)):
        page.line(text, priority=90 - 2 * at)
    for text in _uses(reply):
        page.line(text, priority=66)
    for text in taken_back(run):
        page.line(f"! {text}", priority=64)
    page.line(looked_at(reply.checked), priority=86)
    _quote(reply, page)
    if reply.evidence:
        propose(page, view, "log", name, "--errors")
    if reply.first_bad:
        _propose_curves(reply, page, view, name)


def well(reply: Diagnosis) -> str:
    """The verdict on a run in which nothing was found."""
    if reply.verdict == "healthy":
        return "healthy"
    return "nothing checked" if not reply.checked.points else "nothing found, but no loss could be judged"


def _title(reply: Diagnosis, run: RunView, name: str, page: Page) -> str:
    told = reply.proof.startswith("exit code") and reply.exit_code
    known = reply.proof.partition("no data yet, ")[2] if run.condition.state == "empty" else reply.proof
    proof = f" ({short(known)})" if known and not told else ""
    step = "" if run.step is None else f", step {run.step}"
    return f"{short(name)} {painted(run, page)}{proof}{step}"


def _why(reply: Diagnosis) -> str:
    if reply.cause is None:
        return "no cause: neither its console, its exit code nor its curves tell one"
    if reply.first_bad and any(reply.cause == event.kind for event in reply.events):
        return f"began with: {noun(reply.cause)} of {short(reply.first_bad[0].key)}"
    return f"cause: {reply.cause}"


def _where(reply: Diagnosis) -> str:
    good = "no good step" if reply.last_good_step is None else f"last good step {reply.last_good_step}"
    bad = chain(reply)
    return f"{good}; first bad: {bad}" if bad else f"{good}; no metric went bad"


def _uses(reply: Diagnosis) -> Iterator[str]:
    said = []
    for use in reply.memory[:_SHOWN_USES]:
        last, top = _amount(use.key, use.last), _amount(use.key, use.max)
        said.append(f"{short(use.key)} {last}, max {top}")
    if said:
        yield f"memory at the end: {'; '.join(said)}"


def _amount(key: str, value: float | None) -> str:
    unit = _unit(key)
    if value is None or not abs(value) < 1e18:
        return number(value)
    if unit in ("B", "MB"):
        return size(int(value * (1_000_000 if unit == "MB" else 1)))
    return f"{number(value, digits=3)}{unit}"


def _quote(reply: Diagnosis, page: Page) -> None:
    """What the program wrote: the lines that show the cause, and the last checkpoint it named."""
    names = ["what ended it"] if reply.evidence and reply.cause else ["last line"] if reply.evidence else []
    lines = list(reply.evidence)
    if reply.checkpoint is not None:
        names.append("last checkpoint saved")
        lines.append(reply.checkpoint)
    page.quote(f"{', then '.join(names)} (quoted output):", lines, priority=92)


def _propose_curves(reply: Diagnosis, page: Page, view: ProjectView, name: str) -> None:
    keys = [point.key for point in reply.first_bad[:3]]
    first, last = reply.first_bad[0].step, reply.first_bad[-1].step
    around = max(5, last - first, int(_MARGIN * abs(first)))
    span = ("--from", max(0, first - around), "--to", last + around)
    propose(page, view, "history", name, *keys_option(keys), *span)
