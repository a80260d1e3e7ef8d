"""Findings on curves in words: templates and numbers, never what a program printed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from runwise_protocol.queries.diagnose import Checked, CurveEvent, Diagnosis

from runwised.render.layout import short
from runwised.render.numbers import Dress, duration, number, plural

_GROUPS = 8
"""Lines on events."""
_CHAIN = 5
_NAMED = 3

_WORDS = {
    "spike": "spikes to {value}",
    "divergence": "diverges to {value}",
    "nonfinite": "turns {value}",
    "plateau": "stays flat at {value}",
    "overfitting": "overfits: rises to {value}",
    "gradient_explosion": "explodes to {value}",
    "gradient_vanishing": "vanishes: {value}",
    "throughput_drop": "is slower: {value}",
    "learning_rate": "jumps to {value}",
    "frozen": "repeats {value}",
    "memory": "fills up: {value}%",
    "low_utilisation": "has little to do: {value}%",
}
_NOUNS = {
    "spike": "spike",
    "nonfinite": "nan",
    "gradient_explosion": "gradient explosion",
    "gradient_vanishing": "gradient vanishing",
    "throughput_drop": "throughput drop",
    "learning_rate": "learning rate jump",
    "frozen": "frozen values",
    "low_utilisation": "low utilisation",
    "stalled": "stall",
}
_DOUBTFUL = 0.5


def noun(kind: str) -> str:
    """What a kind of event is called."""
    return _NOUNS.get(kind, kind)


def chain(reply: Diagnosis) -> str:
    """Which metric went bad where: ``grad_norm 6981 → loss 7000``; empty when none did."""
    said = [f"{short(point.key)} {point.step}" for point in reply.first_bad[:_CHAIN]]
    rest = len(reply.first_bad) - _CHAIN
    return " → ".join(said) + (f" and {plural(rest, 'more metric')}" if rest > 0 else "")


def told(events: Sequence[CurveEvent], dress: Dress) -> Iterator[str]:
    """One line for each metric and kind, by onset: what was first, and what stands out most of several."""
    groups: dict[tuple[str, str], list[CurveEvent]] = {}
    for found in events:
        groups.setdefault((found.key, found.kind), []).append(found)
    every = list(groups.values())
    for group in every[:_GROUPS]:
        yield _line(group, dress)
    if len(every) > _GROUPS:
        yield f"and {plural(len(every) - _GROUPS, 'more kind')} of event on these or other metrics"


def _line(group: Sequence[CurveEvent], dress: Dress) -> str:
    most = max(group, key=lambda found: (found.confidence, -found.step))
    first = f"{plural(len(group), noun(most.kind))} from step {group[0].step}, most: " if len(group) > 1 else ""
    if most.kind == "stalled":
        return f"{first}{_stall(most)}"
    value, usual = number(float(most.value), dress=dress), number(float(most.normal), dress=dress)
    words = _WORDS[most.kind].format(value=value)
    usual = "" if math.isnan(most.normal) or usual == value else f", before {usual}"
    lasts = ", to the end" if most.end_step is None else f", over at {most.end_step}"
    doubt = " (uncertain)" if most.confidence <= _DOUBTFUL else ""
    return f"{first}step {most.step} {short(most.key)} {words}{usual}{lasts}{doubt}"


def _stall(found: CurveEvent) -> str:
    ends = "and still none" if found.end_step is None else f"then {found.end_step}"
    usual = float(found.normal)
    cadence = duration(usual) if usual >= 1 else f"{number(usual, digits=2)}s"
    return f"step {found.step} no row for {duration(float(found.value))}, usually {cadence}, {ends}"


def looked_at(checked: Checked) -> str:
    """What a verdict stands on."""
    if not checked.indexed:
        return "its log is not read yet"
    if not checked.keys:
        return "it logged no numbers"
    kinds = ", ".join(noun(kind) for kind in checked.kinds)
    parts = [f"checked {plural(checked.keys, 'key')}, {plural(checked.points, 'point')} for {kinds}"]
    if checked.finite_only:
        parts.append(f"for nan alone {_some(checked.finite_only)}")
    if checked.too_short:
        parts.append(f"too few points to judge {_some(checked.too_short)}")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(short, names[:_NAMED])) + rest
