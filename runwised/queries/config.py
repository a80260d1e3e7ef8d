"""`config`: what a run was configured with, nested, secrets hidden unless asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runwise_protocol.queries.about import ConfigReply, ShowConfig

from runwised.queries.keysel import select
from runwised.queries.onward import onward
from runwised.queries.project import ProjectView
from runwised.queries.resolve import handle, resolve
from runwised.render.layout import short
from runwised.render.page import Page
from runwised.render.untrusted import HIDDEN, clean, hidden

_WIDTH = 100
"""Characters on one line of the agent's dress."""
_LONGEST_VALUE = 120
_PLAIN_WORDS = frozenset({"true", "false", "null", "NaN", "Infinity", "-Infinity", ""})


def answer(query: ShowConfig, view: ProjectView) -> ConfigReply:
    """The configuration, or the part of it that `keys` select. Raises RunwiseError."""
    run = resolve(query.run, view)
    leaves = dict(_leaves(run.config))
    names = {path: ".".join(path) for path in leaves}
    hint = onward(view, "config", handle(run, view))
    wanted = set(select(query.keys, names.values(), what="config key", hint=hint))
    found: dict[str, Any] = {}
    for path, value in leaves.items():
        if names[path] in wanted:
            _put(found, path, value)
    shown, secrets = (found, []) if query.show_secrets else hidden(found)
    return ConfigReply(run=run.id, config=shown, hidden=list(dict.fromkeys(secrets)))


def _leaves(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is not an object with something in it, under its path, in order."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), config)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping) and value:
            pending.extend(((*path, str(key)), inner) for key, inner in reversed(list(value.items())))
        elif path:
            yield path, value


def _put(found: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        found = found.setdefault(part, {})
    found[path[-1]] = value


def render(reply: ConfigReply, page: Page, query: ShowConfig, view: ProjectView) -> None:
    """Dotted keys: many to a line in the agent's dress, one to a line otherwise."""
    run = resolve(query.run, view)
    name = handle(run, view)
    pairs = [(short(".".join(path)), _spelled(value)) for path, value in _leaves(reply.config)]
    if not pairs:
        page.line(f"{name} has no configuration", priority=100)
        return
    title = f"{name} config, {len(pairs)} key{'s' * (len(pairs) > 1)}"
    part = onward(view, "config", name, "-k", "GLOB")
    if page.dress == "agent" and page.form == "text":
        lines = [[line] for line in _packed(f"{key}={value}" for key, value in pairs)]
        page.table([title], lines, priority=90, more=lambda dropped: f"cut: {dropped} of {len(lines)} lines; {part}")
    else:
        page.line(title, priority=100)
        page.table(["key", "value"], pairs, priority=90, more=lambda dropped: f"cut: {dropped} keys; {part}")
    if reply.hidden:
        page.line(f"hidden, {len(reply.hidden)}: --show-secrets shows them", priority=60)


def _packed(words: Iterable[str]) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + len(word) >= _WIDTH:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line


def _spelled(value: Any) -> str:
    """A value in the fewest characters that cannot be mistaken: text is quoted only where it would read as another."""
    if isinstance(value, str):
        text = clean(value)
        plain = text == value and not any(char in text for char in " =\"'{}[],") and not _reads_as_other(text)
        spelled = text if plain or text == HIDDEN else json.dumps(text, ensure_ascii=False)
    else:
        spelled = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(spelled) > _LONGEST_VALUE:
        return f"{clean(spelled[:_LONGEST_VALUE])}…({len(spelled)} characters)"
    return clean(spelled)


def _reads_as_other(text: str) -> bool:
    if text in _PLAIN_WORDS:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
