"""What MLflow says of a run beside its metrics: ``meta.yaml``, parameters, tags, status, as batches.

The same facts stand in a run's folder (``meta.yaml``, ``params/KEY``, ``tags/KEY``) and in a database (tables ``runs``,
``params``, ``tags``). Its metrics are read by `runwised.formats.mlflow_points`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from runwised.formats.record import Batch, Exit, Facts, Identity, Patch
from runwised.formats.wall_time import epoch_seconds

LONGEST_VALUE = 1 << 16
"""Bytes of a parameter or a tag beyond which it is cut; MLflow's own limit is 8000 characters."""

_STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_EXIT_CODES = {"FINISHED": 0, "FAILED": 1, "KILLED": -9}
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_LONGEST_NUMBER = 64
_FLAT_LINE = re.compile(r"(\w+): *(?:'([^'\n]*)'|([^\s'\"&*!|>%@`{\[#][^#:\n]*(?::\S[^#:\n]*)*)|\[\]|\{\}|)")
_FACTS = {"mlflow.user": "username", "mlflow.source.name": "program"}
_GIT = {
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.repoURL": "remote",
    "mlflow.source.git.branch": "branch",
}


class RunInfo(NamedTuple):
    """What the store holds of one run beside its metrics. Times are epoch seconds."""

    run_id: str
    name: str | None = None
    experiment: str | None = None
    status: str = ""
    """``RUNNING``, ``SCHEDULED``, ``FINISHED``, ``FAILED``, ``KILLED``, or empty where nothing is known."""
    started: float | None = None
    ended: float | None = None
    user: str | None = None
    program: str | None = None
    params: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}

    @property
    def has_ended(self) -> bool:
        """Whether the status is one a run does not leave by itself."""
        return self.status in _EXIT_CODES


def decode_meta(data: bytes) -> dict[str, str]:
    """The fields of a ``meta.yaml`` that are set, as text; empty when it is empty, half written or no YAML mapping.

    MLflow replaces the file by a copy where the temporary folder is on another disk, so half of one can be met.
    """
    flat = _decode_flat(data)
    if flat is not None:
        return flat
    from runwised.formats.yaml_value import decode_yaml  # its import takes 20 ms, and few files need it

    try:
        whole = decode_yaml(data, as_text=True)
    except ValueError:
        return {}
    if not isinstance(whole, dict):
        return {}
    return {key: str(value) for key, value in whole.items() if isinstance(value, str | int | float)}


def _decode_flat(data: bytes) -> dict[str, str] | None:
    """`decode_meta` where each line is ``key: scalar``, as nearly always; None where a YAML parser is needed."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").removesuffix("\n").split("\n"):
        found = _FLAT_LINE.fullmatch(line.rstrip(" \t\r"))
        if found is None:
            return None
        key, quoted, plain = found.groups()
        if quoted is not None:
            fields[key] = quoted
        elif plain is not None and plain not in ("null", "~", "Null", "NULL"):
            fields[key] = plain
    return fields


def status_of(value: Any) -> str:
    """The name of a status, from its number (``meta.yaml``) or its name (database); empty for anything else."""
    text = str(value).strip().upper()
    text = _STATUSES.get(text, text)
    return text if text in _STATUSES.values() else ""


def seconds_of(milliseconds: Any) -> float | None:
    """Epoch seconds of a time in milliseconds (a number or its text); None where it is none."""
    seconds = epoch_seconds(milliseconds)
    return None if math.isnan(seconds) else seconds


def decode_param(text: str) -> str | int | float:
    """A parameter, which MLflow keeps as text: a number where all of it is one as Python would print it.

    ``007`` and ``inf`` stay text, and so do digits that would not come back as they were (``1e999``).
    """
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    if text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else text


def describe(run: RunInfo, reported: str = "") -> list[Batch]:
    """The batches that say all this; `reported` is the status an earlier call has told: its exit is not told again."""
    tags = run.tags
    own = tuple(f"{key}={value}" for key, value in sorted(tags.items()) if not key.startswith("mlflow."))
    identity = Identity(
        run_id=run.run_id or None,
        name=run.name or tags.get("mlflow.runName") or None,
        project=run.experiment or None,
        group=tags.get("mlflow.parentRunId") or None,
        notes=tags.get("mlflow.note.content") or None,
        tags=own or None,
        start_time=run.started,
    )
    batches: list[Batch] = [identity]
    facts = _facts(run)
    if facts:
        batches.append(Facts(facts))
    if run.params:
        batches.append(Patch("config", [((key,), decode_param(text)) for key, text in run.params.items()]))
    if run.has_ended and run.status != reported:
        batches.append(Exit(0, _EXIT_CODES[run.status], _runtime(run)))
    return batches


def _facts(run: RunInfo) -> dict[str, Any]:
    facts: dict[str, Any] = {"username": run.user, "program": run.program}
    facts |= {fact: run.tags[tag] for tag, fact in _FACTS.items() if run.tags.get(tag)}
    facts["git"] = {fact: run.tags[tag] for tag, fact in _GIT.items() if run.tags.get(tag)}
    return {name: value for name, value in facts.items() if value and value != "unknown"}


def _runtime(run: RunInfo) -> float | None:
    if run.started is None or run.ended is None or run.ended < run.started:
        return None
    return run.ended - run.started
