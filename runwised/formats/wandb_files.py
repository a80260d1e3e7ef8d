"""The side files of a W&B run: `wandb-summary.json`, `config.yaml`, `wandb-metadata.json`, `requirements.txt`.

None is written atomically: each function raises ValueError for a file seen half written, and the caller keeps what it
had.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from runwised.formats.json_value import decode_json
from runwised.formats.record import Identity
from runwised.formats.wandb_facts import facts_of_metadata

_NO_CONFIG = frozenset({"_wandb", "wandb_version"})


class Metadata(NamedTuple):
    """What `wandb-metadata.json` says."""

    identity: Identity
    facts: dict[str, Any]
    state: str | None
    """True only before wandb 0.10; from then on it stays at "running" for ever."""
    exit_code: int | None


def parse_summary(data: bytes) -> dict[str, Any]:
    """The nested summary in `wandb-summary.json` (NaN and infinities bare). Raises ValueError."""
    return _object(data, "wandb-summary.json")


def parse_config(data: bytes) -> dict[str, Any]:
    """The config in `config.yaml`: ``key: {desc: …, value: v}``, bookkeeping left out. Raises ValueError."""
    from runwised.formats.yaml_value import decode_yaml  # its import takes 20 ms, and few folders have this file

    document = decode_yaml(data)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError(f"config.yaml holds a {type(document).__name__}, expected a mapping")
    return {
        key: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
        for key, entry in document.items()
        if key not in _NO_CONFIG
    }


def parse_metadata(data: bytes) -> Metadata:
    """What is told in `wandb-metadata.json` of any version. Raises ValueError."""
    document = _object(data, "wandb-metadata.json")
    code = document.get("exitcode")
    return Metadata(
        identity=_identity(document),
        facts=facts_of_metadata(document),
        state=_text(document.get("state")),
        exit_code=code if type(code) is int else None,
    )


def parse_requirements(data: bytes) -> dict[str, str]:
    """Versions by package in `requirements.txt`; of a package without one, where it is from."""
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    pairs = (re.split("==|@", line, maxsplit=1) for line in lines if not line.startswith(("#", "-")))
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _identity(document: dict[str, Any]) -> Identity:
    return Identity(
        name=_text(document.get("displayName")),
        project=_text(document.get("project")),
        entity=_text(document.get("entity")),
        job_type=_text(document.get("jobType")),
        sweep_id=_text(document.get("sweep")),
        host=_text(document.get("host")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(data: bytes, name: str) -> dict[str, Any]:
    document = decode_json(data)
    if not isinstance(document, dict):
        raise ValueError(f"{name} holds no JSON object")
    return document
