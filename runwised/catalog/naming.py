"""Which run a loose log belongs to: one folder may hold several views of one run, or several runs."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

GENERIC = frozenset(
    {"metrics", "progress", "results", "result", "scalars", "history", "training", "train", "main", "trainer_state"}
    | {"log", "output", "stdout", "stderr", "console", "nohup"}
)
"""What files are called whose folder bears the run's name."""
OF_FOLDER = frozenset({"tfevents", "trainer_state"})
"""Formats of which all files of a folder are the folder's run."""


class LooseSource(NamedTuple):
    """One log that lies outside W&B's folders."""

    path: str
    """The file, the folder of an MLflow run, or the database."""
    key: str
    """Which of a store's runs; empty for files."""
    folder: str
    """The run's folder."""
    run_id: str
    """Unique within the project."""
    format: str
    """Name of the format, or of the store."""
    name: str = ""
    """A better name, where a store knows one."""


def run_ids(home: str, files: Sequence[tuple[str, str]], *, is_root: bool) -> list[str]:
    """The run of each file (name, format) of one folder.

    `home` is the folder's path below its root; of the root itself (`is_root`) its name. Event files and trainer
    states are the folder's run. Below a root so is every format of which there is one file, unless it is the only
    file and has a name of its own; and of several, the one that has a general name, where there is such a run. All
    other files are runs of their own, by their names without the ending: of two formats such files are one run when
    these are alike, of one format their endings tell them apart.
    """
    counts = Counter(kind for _, kind in files)
    general = Counter(kind for name, kind in files if is_generic(os.path.splitext(name)[0]))
    has_run = any(kind in OF_FOLDER or count == 1 for kind, count in counts.items())
    stems = Counter((kind, os.path.splitext(name)[0]) for name, kind in files)
    alone = len(files) == 1
    found = []
    for name, kind in files:
        stem = os.path.splitext(name)[0]
        own = stem if stems[kind, stem] == 1 else name
        if kind in OF_FOLDER:
            found.append(home)
        elif is_root:
            found.append(own)
        elif (counts[kind] == 1 and not alone) or (has_run and general[kind] == 1 and is_generic(stem)):
            found.append(home)
        else:
            found.append(f"{home}/{own}")
    return found


def is_generic(stem: str) -> bool:
    """Whether a file of this name (without its ending) says nothing of its run."""
    lower = stem.lower()
    return lower in GENERIC or lower.startswith("events.")


def distinct(roots: Iterable[tuple[str, Sequence[LooseSource]]]) -> list[LooseSource]:
    """All sources of several roots (each with what to call it), runs of different places under different ids.

    Runs of one root that would be called alike are called by the whole names of their files (or databases), those of
    different roots by their roots too.
    """
    every = [(label, source) for label, sources in roots for source in sources]
    alike = _alike(every)
    if not alike:
        return [source for _, source in every]
    every = [(label, _with_ending(source) if alike[source.run_id][label] > 1 else source) for label, source in every]
    alike = _alike(every)
    named = [
        source._replace(run_id=f"{label}/{source.run_id}") if label and len(alike[source.run_id]) > 1 else source
        for label, source in every
    ]
    left = _alike([("", source) for source in named])
    return [
        source._replace(run_id=f"{source.run_id}@{_place(source)}") if source.run_id in left else source
        for source in named
    ]


def _alike(every: Sequence[tuple[str, LooseSource]]) -> Mapping[str, Counter[str]]:
    """Ids that stand for runs in several places, and in how many of each root; no count for all others."""
    places: dict[str, set[tuple[str, str, str]]] = {}
    for label, source in every:
        places.setdefault(source.run_id, set()).add((label, _place(source), source.key))
    several = {run_id: Counter(label for label, _, _ in found) for run_id, found in places.items() if len(found) > 1}
    return defaultdict(Counter, several)


def _place(source: LooseSource) -> str:
    return source.path if source.key else source.folder


def _with_ending(source: LooseSource) -> LooseSource:
    """A run of one file by that file's whole name, one of a store by the store's too; others as they are."""
    if source.key:
        return source._replace(run_id=f"{os.path.basename(source.path)}/{source.run_id}")
    stem, ending = os.path.splitext(os.path.basename(source.path))
    if os.path.basename(source.run_id) != stem or source.folder.endswith(f"/{source.run_id}"):
        return source
    return source._replace(run_id=f"{source.run_id}{ending}")
