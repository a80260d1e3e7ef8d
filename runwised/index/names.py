"""What a person sees of a key: its plain path, or the escaped one where two paths print alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Names(NamedTuple):
    """Names of a table's keys, both ways; no two keys share one."""

    by_key: Mapping[str, str]
    keys: Mapping[str, str]
    """Escaped keys by name."""

    @classmethod
    def of(cls, keys: Iterable[str]) -> Names:
        """Name escaped keys (which may repeat)."""
        keys = list(keys)
        if not any("\\" in key for key in keys):
            same = dict(zip(keys, keys, strict=True))
            return cls(same, same)
        shown = {key: _ESCAPE.sub(r"\1", key) if "\\" in key else key for key in keys}
        while len(named := {name: key for key, name in shown.items()}) < len(shown):
            uses = Counter(shown.values())
            shown = {key: key if uses[name] > 1 else name for key, name in shown.items()}
        return cls(shown, named)
