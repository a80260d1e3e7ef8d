"""`keys`: what a run logged: kind, count and last step of every key, many alike as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from runwise_protocol.queries.metrics import KeyEntry, KeyList, ListKeys

from runwised.index.view import Other, Stats
from runwised.queries.keysel import select
from runwised.queries.onward import onward, propose
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.queries.rows import all_keys
from runwised.render.layout import short
from runwised.render.page import Page

_MANY = 40
"""Keys that are listed one by one; of more, those alike are put together."""
_ALIKE = 4
"""Keys with a common beginning that are worth putting together."""
_WIDTH = 100


class _Item(NamedTuple):
    """One key, or all keys with one beginning."""

    label: str
    entries: Sequence[KeyEntry]

    @property
    def kind(self) -> str:
        return "/".join(dict.fromkeys(entry.kind for entry in self.entries))

    @property
    def points(self) -> str:
        """Count and last step, each as a range where the keys differ."""
        counts, steps = [e.count for e in self.entries], [e.last_step for e in self.entries]
        return f"{_range(counts)}@{_range(steps)}"


def answer(query: ListKeys, view: ProjectView) -> KeyList:
    """Every key, or those selected, numbers first. Raises RunwiseError."""
    run = resolve(query.run, view)
    names = select(query.keys, all_keys(run.history), hint=onward(view, "keys", handle(run, view)))
    numbers, others = set(run.history.names), run.history.others
    entries = [_entry(name, run.history.stats(name) if name in numbers else None, others.get(name)) for name in names]
    return KeyList(run=run.id, keys=entries)


def _entry(name: str, found: Stats | None, other: Other | None) -> KeyEntry:
    parts = [part for part in (found, other) if part]
    return KeyEntry(
        key=name,
        kind="+".join(["number"] * bool(found) + ([other.kind] if other else [])),
        count=sum(part.count for part in parts),
        last_step=max(part.last_step for part in parts),
    )


def render(reply: KeyList, page: Page, query: ListKeys, view: ProjectView) -> None:
    """Keys of the same kind, count and last step on one line in the agent's dress, one key a line otherwise."""
    run = resolve(query.run, view)
    name = handle(run, view)
    if not reply.keys:
        page.line(f"{name} has logged no metrics", priority=100)
        return
    items = _items(reply.keys)
    count = len(reply.keys)
    title = f"{name} {count} key{'s' * (count > 1)} in {run.history.row_count} rows"
    part = onward(view, "keys", name, "-k", "GLOB")
    if page.dress == "agent" and page.form == "text":
        lines = [[line] for line in _lines(items)]
        page.table(
            [f"{title} (kind count@last step: keys)"],
            lines,
            priority=90,
            more=lambda dropped: f"cut: {dropped} of {len(lines)} lines; {part}",
        )
    else:
        page.line(title, priority=100)
        page.table(
            ["key", "kind", "count@last step"],
            [[_named(item), item.kind, item.points] for item in items],
            priority=90,
            more=lambda dropped: f"cut: {dropped} of {len(items)} lines; {part}",
        )
    largest = max(items, key=lambda item: len(item.entries))
    if len(largest.entries) > 1:
        propose(page, view, "keys", name, "-k", largest.label)


def _items(entries: Sequence[KeyEntry]) -> list[_Item]:
    """At most about forty items where common beginnings allow it, in the order of first appearance."""
    items = [_Item(entry.key, [entry]) for entry in entries]
    for stem in (_folder, _unnumbered):
        if len(items) > _MANY:
            items = _together(items, stem)
    return items if len(items) > 1 else [_Item(entry.key, [entry]) for entry in entries]


def _folder(key: str) -> str | None:
    """``train/*`` of ``train/loss``, ``opt.*`` of ``opt.lr``."""
    cut = min((at for at in (key.find("/", 1), key.find(".", 1)) if at > 0), default=0)
    return f"{key[: cut + 1]}*" if cut else None


def _unnumbered(key: str) -> str | None:
    """``layer_*`` of ``layer_12``."""
    bare = key.rstrip("0123456789")
    return f"{bare}*" if bare and bare != key else None


def _together(items: Iterable[_Item], stem: Callable[[str], str | None]) -> list[_Item]:
    groups: dict[str, list[_Item]] = {}
    for item in items:
        label = stem(item.label) if len(item.entries) == 1 else None
        groups.setdefault(label or item.label, []).append(item)
    found: list[_Item] = []
    for label, members in groups.items():
        if len(members) >= _ALIKE:
            found.append(_Item(label, [entry for item in members for entry in item.entries]))
        else:
            found.extend(members)
    return found


def _lines(items: Iterable[_Item]) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for item in items:
        alike.setdefault(f"{item.kind} {item.points}:", []).append(_named(item))
    for start, names in alike.items():
        line = start
        for name in names:
            if len(line) + len(name) >= _WIDTH and line.strip():
                yield line
                line = " "
            line = f"{line} {name}"
        yield line


def _named(item: _Item) -> str:
    label = short(item.label)
    return f"{label}({len(item.entries)})" if len(item.entries) > 1 else label


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}..{high}"
