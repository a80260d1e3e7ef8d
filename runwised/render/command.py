"""The exact command lines that answers hand on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from runwised.render.untrusted import clean


def command(*words: str | int | None) -> str:
    """A command line, quoted for a shell; None is left out. It does not begin with ``runwise``."""
    return " ".join(shlex.quote(clean(str(word))) for word in words if word is not None)


def keys_option(names: Iterable[str]) -> tuple[str, ...]:
    """``-k a,b`` for metric names as they are; nothing for no names. A comma inside a name becomes ``?``."""
    joined = ",".join(name.replace(",", "?") for name in names)
    return ("-k", joined) if joined else ()
