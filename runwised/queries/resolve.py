"""Which run a reference means, and the shortest reference that means a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.harmless import portable

from runwised.index.view import RunView
from runwised.queries.everywhere import home_of, known_by
from runwised.queries.onward import listing
from runwised.queries.project import ProjectView
from runwised.render.untrusted import clean

_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+?)/?$")
_PLAIN = re.compile(r"[\w./:@+][\w./:@+-]{0,31}", re.ASCII)
"""Names that need no quotes in a shell and are no longer than an id would be worth."""


def resolve(ref: str | None, view: ProjectView) -> RunView:
    """The run a reference means: exact id, exact name, the last folders of one id that is a path, the beginning of
    one id or of one name, the file or folder of one of its sources, or a name that is no plain text as answers show it.

    None means the run that was started last. The name of a run's folder (``run-20240131_120000-ID``) will do too.
    Raises RunwiseError: AMBIGUOUS when several runs are meant, NOT_FOUND when none is.
    """
    runs = view.runs
    if not runs:
        raise RunwiseError(Kind.NOT_FOUND, f"no runs under {clean(view.root)}", listing(view))
    if ref is None:
        return runs[0]
    folder = _FOLDER.search(ref)
    for text in (ref, folder[1]) if folder else (ref,):
        for found in _readings(text, runs):
            if len(found) == 1:
                return found[0]
            if found:
                raise _ambiguous(ref, found, view)
    raise _unknown(ref, view)


def _readings(ref: str, runs: Sequence[RunView]) -> Iterable[list[RunView]]:
    """The runs a reference could mean, reading by reading, the strictest first."""
    yield [run for run in runs if run.id == ref]
    yield [run for run in runs if run.name == ref]
    if ref:
        yield [run for run in runs if run.id.endswith(f"/{ref}")]
        yield [run for run in runs if run.id.startswith(ref)]
        yield [run for run in runs if run.name.startswith(ref)]
        yield [run for run in runs if any(_is_at(source.path, ref.rstrip("/")) for source in run.sources)]
        yield [run for run in runs if ref in (portable(run.id), portable(run.name))]
        yield [run for run in runs if ref in (clean(run.id), clean(run.name))]


def _is_at(path: str, ref: str) -> bool:
    """Whether a source is the file, or lies in the folder, that the end of its path names."""
    return f"/{path}".endswith(f"/{ref}") or f"/{ref}/" in f"/{path}"


def _ambiguous(ref: str, found: Sequence[RunView], view: ProjectView) -> RunwiseError:
    known = handles(found[:8], view)
    listed = ", ".join(
        f"{known[run.id]} ({clean(run.name)})" if run.name not in (run.id, known[run.id]) else known[run.id]
        for run in found[:8]
    )
    rest = f" and {len(found) - 8} more" if len(found) > 8 else ""
    message = f"'{clean(ref)}' is ambiguous: {listed}{rest}"
    return RunwiseError(Kind.AMBIGUOUS, message, listing(view))


def _unknown(ref: str, view: ProjectView) -> RunwiseError:
    known = list(dict.fromkeys(name for run in view.runs for name in (run.name, run.id)))
    import difflib

    near = difflib.get_close_matches(ref[:100], known, n=3, cutoff=0.4)
    nearest = f"; nearest: {', '.join(clean(name) for name in near)}" if near else ""
    return RunwiseError(Kind.NOT_FOUND, f"no run '{clean(ref)[:100]}'{nearest}", listing(view))


def handle(run: RunView, view: ProjectView) -> str:
    """The shortest reference that means this run and no other: its name, or else the beginning of its id."""
    return handles([run], view)[known_by(run)]


def handles(runs: Sequence[RunView], view: ProjectView) -> dict[str, str]:
    """The `handle` of each of several runs, by what they are `known_by`: in each one's own project."""
    homes = {home.root: home for run in runs if (home := home_of(run))} or {"": view}
    known = {
        root: (Counter(run.name for run in home.runs), [run.id for run in home.runs]) for root, home in homes.items()
    }
    return {known_by(run): _handle(run, *known[home.root if (home := home_of(run)) else ""]) for run in runs}


def _handle(run: RunView, names: Mapping[str, int], ids: Sequence[str]) -> str:
    name = run.name
    if name != run.id and names[name] == 1 and _PLAIN.fullmatch(name) and name not in ids:
        return name
    is_made_up = not run.sources or run.sources[0].format.startswith(_MAKERS)
    return short_id(run.id, ids, names) if is_made_up else run.id


def called(ids: Iterable[str], view: ProjectView) -> list[tuple[RunView, str]]:
    """The runs with these ids, in that order, each with its `handle`."""
    wanted = dict.fromkeys(ids)
    runs = {run.id: run for run in view.runs if run.id in wanted}
    known = handles(list(runs.values()), view)
    return [(runs[run_id], known[run_id]) for run_id in wanted]


_MADE_UP = re.compile(r"[^\W_]{8}|[0-9a-f]{32}", re.ASCII)
"""An id as W&B, or as MLflow and trackio make it up."""
_MAKERS = ("wandb", "mlflow", "trackio")
"""What the formats of logs begin with whose writers make ids up; elsewhere they are names of files and folders."""


def short_id(run_id: str, ids: Iterable[str], names: Iterable[str] = ()) -> str:
    """The beginning of an id, four characters or more, that no other id begins with and no run is called.

    Only ids that were made up are cut: one that a person chose says something.
    """
    if not _MADE_UP.fullmatch(run_id):
        return run_id
    others = [other for other in ids if other != run_id]
    for length in range(4, len(run_id)):
        others = [other for other in others if other.startswith(run_id[:length])]
        if not others and run_id[:length] not in names:
            return run_id[:length]
    return run_id
