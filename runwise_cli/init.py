"""`runwise init`: writes a project's `runwise.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from runwise_protocol.errors import Kind, RunwiseError

CONFIG_NAME = "runwise.json"
MARKS = (CONFIG_NAME, "wandb", "logs", "lightning_logs", "tb_logs", "mlruns", "mlflow.db")
"""What makes a folder a project."""


def init(cwd: Path, environ: Mapping[str, str], name: str | None, force: bool) -> Path:
    """Write the settings of the project around `cwd` and give the file's path.

    Raises RunwiseError when there are settings already (unless `force`), or when they cannot be written.
    """
    path = project_root(cwd, environ) / CONFIG_NAME
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template(name or path.parent.name))
    except FileExistsError as error:
        raise RunwiseError(Kind.USAGE, f"{path} is there already", "runwise init --force") from error
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot write {path}: {error.strerror}") from error
    return path


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
        "schema_inline": {
            "loss_key": None,
            "step_key": None,
            "primary_metric": None,
            "validation_sets": {},
            "groups": [],
        },
    }
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
