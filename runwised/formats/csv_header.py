"""Headers of delimited tables: dialect, columns' names, and which files are logs of runs at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from runwised.formats import step_keys
from runwised.formats.csv_cells import MISSING, as_text, is_number
from runwised.formats.csv_records import split_cells
from runwised.formats.json_value import decode_json

BOM = b"\xef\xbb\xbf"

MOST_COLUMNS = 1 << 16

_DELIMITERS = (b",", b";", b"\t")
_QUOTED = re.compile(rb'"[^"]*"')
_KNOWN = frozenset({"metrics", "progress", "results", "training", "log", "logs", "history", "summary", "losses"})
_CERTAIN = frozenset({"metrics.csv", "progress.csv", "results.csv"})
_TRAINED = re.compile(
    r"(?:^|[_/. ])(?:loss|acc|accuracy|reward|lr|learning_rate|ppl|perplexity)(?:$|[_/. ])", re.IGNORECASE
)
_NAME = re.compile(r"[^\W\d][\w \-./:@%#+*^()|~,;\\]{0,199}")


def preamble(line: bytes) -> dict[str, Any] | None:
    """The object in a first line ``#{…}`` (gym's and Stable-Baselines' Monitor); None: it is no such line."""
    if not line.startswith((b"#{", BOM + b"#{")):
        return None
    told = decode_json(line.removeprefix(BOM)[1:].strip())
    return told if isinstance(told, dict) else None


def header(line: bytes) -> tuple[bytes, list[str]] | None:
    """The delimiter and the columns' names in a table's first line; None: a cell is a number, or there is no name.

    The delimiter is the most frequent of ``,`` ``;`` and tab outside of quotes. A ``#`` before the names (numpy's
    ``savetxt``) belongs to none of them.
    """
    line = line.removeprefix(BOM).strip(b"\r")
    commented = line.startswith(b"#")
    line = line.removeprefix(b"# ")
    bare = _QUOTED.sub(b"", line)
    delimiter = max(_DELIMITERS, key=bare.count)
    if commented and delimiter not in bare:
        return None
    cells = split_cells(line, delimiter)
    if len(cells) > MOST_COLUMNS or not any(cell.strip() for cell in cells) or any(map(is_number, cells)):
        return None
    return delimiter, names_of(cells)


def names_of(cells: Sequence[bytes]) -> list[str]:
    """The columns' names; empty where there is none, and with ``.1``, ``.2`` … after one that stands there again."""
    names: list[str] = []
    again: dict[str, int] = {}
    for cell in cells:
        name = plain = as_text(cell)
        while name and name in again:
            again[plain] += 1
            name = f"{plain}.{again[plain]}"
        again[name] = 0
        names.append(name)
    return names


def new_header(cells: Sequence[bytes], names: Sequence[str]) -> list[str] | None:
    """The names in a row that is a header amid a table with these names; None: it is a row like others.

    A header's cells are text. Its first is the first of the table's names, or all are different names and one of them
    is a name of the table, or of a step.
    """
    stripped = [cell.strip() for cell in cells]
    if len(cells) > MOST_COLUMNS or any(map(is_number, cells)) or MISSING.intersection(stripped) - {b""}:
        return None
    found = names_of(cells)
    first = next((column for column, name in enumerate(names) if name), 0)
    if len(found) > first and found[first] == names[first]:
        return found
    held = [cell for cell in stripped if cell]
    if len(held) < 2 or len(set(held)) < len(held):
        return None
    return found if not set(found).isdisjoint({*names, *step_keys.STEP_KEYS} - {""}) else None


def is_run_log(filename: str, head: bytes) -> bool:
    """Whether a file of this name that begins with `head` (maybe nothing) is the table of a run, and no data set.

    Its first line has at least two names, its second, if it is there, a number; and it has either a name that
    programs give to such tables, or a column that counts steps.
    """
    name = filename.rpartition("/")[2].lower()
    stem, _, ending = name.rpartition(".")
    if ending not in ("csv", "tsv", "log"):
        return False
    if not head:
        return name in _CERTAIN
    lines = head.split(b"\n")
    told = preamble(lines[0])
    first, *rows = lines if told is None else lines[1:] or [b""]
    if not rows:  # the header is longer than the head
        first = first[: max(map(first.rfind, _DELIMITERS)) + 1].rstrip(b",;\t")
    found = header(first)
    if found is None or not _are_names(found[1]) or (rows and not _is_row(rows, found[0])):
        return False
    if told is not None and (stem == "monitor" or stem.endswith(".monitor")):
        return True
    known = stem in _KNOWN or (stem.startswith("train") and any(map(_TRAINED.search, found[1])))
    return (ending != "log" and known) or step_keys.choose(found[1]) is not None


def _are_names(names: list[str]) -> bool:
    """The first may be missing: an index has none."""
    return len(names) > 1 and all(_NAME.fullmatch(name) for name in (names[1:] if not names[0] else names))


def _is_row(lines: list[bytes], delimiter: bytes) -> bool:
    """Whether the first of these lines may be a row; the last one is not whole."""
    line = lines[0].strip(b"\r")
    if len(lines) == 1:  # cut, or being written
        return True
    cells = split_cells(line, delimiter)
    return len(cells) > 1 and any(map(is_number, cells))
