"""Which of two versions is the newer one."""

from __future__ import annotations

import re


def is_newer(version: str, than: str) -> bool:
    """Whether `version` comes after `than`: by the numbers of the release, and a release comes after what led to it."""
    return _order(version) > _order(than)


def _order(version: str) -> tuple[tuple[int, ...], bool, str]:
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    rest = version[found.end() :] if found else version
    return tuple(numbers), not rest or rest.startswith((".post", "+")), rest
