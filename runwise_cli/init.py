"""`runwise init`: writes a project's `runwise.json`, with `--auto` filled with what its runs tell."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from runwise_protocol.client import Client
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.schema import Learned, LearnSchema
from runwise_protocol.query import Look, Where

CONFIG_NAME = "runwise.json"
MARKS = (CONFIG_NAME, "wandb", "logs", "lightning_logs", "tb_logs", "mlruns", "mlflow.db")
"""What makes a folder a project."""
_SCHEMA = "schema_inline"


class Written(NamedTuple):
    """What was written, and where."""

    path: Path
    kept: tuple[str, ...] = ()
    """Fields that were there already, and were not touched."""


def init(cwd: Path, environ: Mapping[str, str], name: str | None, force: bool) -> Path:
    """Write the settings of the project around `cwd` and give the file's path.

    Raises RunwiseError when there are settings already (unless `force`), or when they cannot be written.
    """
    path = project_root(cwd, environ) / CONFIG_NAME
    _write(path, template(name or path.parent.name), force)
    return path


def init_auto(cwd: Path, environ: Mapping[str, str], name: str | None, force: bool) -> tuple[Written, Learned]:
    """Write the settings of the project around `cwd`, with a schema learned from its runs.

    With `force` settings that are there stay as they are, and only what they leave open is filled in. Raises
    RunwiseError as `init` does, and where there is no project.
    """
    learned = _ask(cwd, environ)
    path = Path(learned.root) / CONFIG_NAME
    if path.exists() and not force:
        raise _there_already(path, "runwise init --auto --force")
    present = _read(path) if path.exists() else {}
    settings = json.loads(template(path.parent.name))
    settings[_SCHEMA] |= _schema(learned)
    if name is not None:
        settings["project_name"] = present["project_name"] = name
    if isinstance(present.get("schema"), str):
        del settings[_SCHEMA]  # the schema is a file of its own: nothing beside it counts
    elif "schema" in present:
        settings["schema"] = settings.pop(_SCHEMA)
    kept: list[str] = []
    _write(path, _json(_merged(present, settings, "", kept)), force)
    return Written(path, tuple(kept)), learned


def project_root(cwd: Path, environ: Mapping[str, str]) -> Path:
    """The nearest folder from `cwd` up that is a project; `cwd` when none is."""
    asked = environ.get("RUNWISE_PROJECT_ROOT")
    if asked:
        return Path(os.path.normpath(cwd / Path(asked).expanduser()))
    return next((folder for folder in (cwd, *cwd.parents) if any((folder / mark).exists() for mark in MARKS)), cwd)


def template(name: str) -> str:
    """Settings that say what the defaults say, ready to be changed; null leaves a thing to be recognised."""
    settings = {
        "project_name": name,
        "wandb_dir": "wandb",
        "logs_dir": "logs",
        "log_dirs": [],
        "log_templates": [],
        _SCHEMA: {
            "loss_key": None,
            "step_key": None,
            "primary_metric": None,
            "validation_sets": {},
            "groups": [],
        },
    }
    return _json(settings)


def _ask(cwd: Path, environ: Mapping[str, str]) -> Learned:
    with Client.connect() as client:
        learned = client.ask(LearnSchema(), look=Look(quiet=True), where=Where(cwd=str(cwd), environ=dict(environ)))
    assert isinstance(learned, Learned)
    return learned


def _schema(learned: Learned) -> dict[str, Any]:
    """What was learned, without what the runs do not tell."""
    found: dict[str, Any] = msgspec.to_builtins(learned.settings)
    return {field: value for field, value in found.items() if value}


def _merged(present: Any, learned: Mapping[str, Any], path: str, kept: list[str]) -> dict[str, Any]:
    """What is there, and of the rest what was learned. `kept` takes the fields of which something else was learned."""
    merged = dict(present)
    for field, value in learned.items():
        there = merged.get(field)
        if isinstance(there, dict) and isinstance(value, dict) and field in ("schema", _SCHEMA):
            merged[field] = _merged(there, value, f"{field}.", kept)
        elif there:
            kept += [f"{path}{field}"] if value not in (there, None, [], {}) else []
        else:
            merged[field] = value
    return merged


def _read(path: Path) -> dict[str, Any]:
    """The settings that are there. Raises RunwiseError where they cannot be read: then nothing can be kept of them."""
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunwiseError(Kind.UNREADABLE, f"{path} is not JSON: {error}", "runwise init --force") from error
    if not isinstance(found, dict):
        raise RunwiseError(Kind.UNREADABLE, f"{path} holds no JSON object", "runwise init --force")
    return found


def _write(path: Path, text: str, force: bool) -> None:
    """Put the file in place as a whole. Raises RunwiseError."""
    try:
        if not force:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return
        _replace(path.resolve(), text)
    except FileExistsError as error:
        raise _there_already(path) from error
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot write {path}: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Put another file in the place of one that may be there: whole, or not at all. Raises OSError."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        whole.write_text(text, encoding="utf-8")
        if path.exists():
            whole.chmod(path.stat().st_mode & 0o777)
        whole.replace(path)


def _there_already(path: Path, hint: str = "runwise init --force") -> RunwiseError:
    return RunwiseError(Kind.USAGE, f"{path} is there already", hint)


def _json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
