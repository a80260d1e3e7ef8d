"""What is unusual about the data a run's answers stand on: bytes not read, damaged, or taken back."""

from __future__ import annotations

from collections.abc import Iterator

from runwised.index.view import RunView
from runwised.render.layout import short
from runwised.render.numbers import plural, size


def unread(run: RunView) -> Iterator[str]:
    """Whether an answer on this run misses something that is in its files already."""
    if not run.indexed:
        yield "not indexed yet: last values only; statistics and curves follow"
    missing = sum(source.unread_bytes for source in run.sources)
    if missing and run.indexed:
        yield f"{size(missing)} of its log not read yet"


def damaged(run: RunView) -> Iterator[str]:
    """What could not be read."""
    if run.damage:
        reasons = ", ".join(f"{reason} {size(lost)}" for reason, lost in run.damage.items())
        yield f"damaged bytes passed over: {reasons}"


def incomplete(run: RunView) -> Iterator[str]:
    """What the writers of its logs did not finish. One that goes on may yet; what is printed often ends so."""
    if run.condition.state == "running":
        return
    for source in run.sources:
        if source.incomplete_bytes and source.format != "text":
            yield f"{unfinished(source.format, source.incomplete_bytes)}: {short(source.path)}"


def unfinished(form: str, count: int) -> str:
    """How a log ends whose last line or record is not whole."""
    unit = "record" if form in ("wandb", "tfevents") else "line"
    return f"incomplete last {unit}, {plural(count, 'byte')}"


def taken_back(run: RunView) -> Iterator[str]:
    """What the program itself took back."""
    if run.rewinds:
        last, count = run.rewinds[-1], len(run.rewinds)
        times = "once" if count == 1 else f"{count} times, last"
        voided = sum(rewind.voided for rewind in run.rewinds)
        yield f"went back {times} from step {last.from_step} to {last.to_step}: {voided} rows taken back"
