"""Configs that programs leave beside their logs: Lightning, Hydra, Ultralytics, Ray, and plain YAML or JSON.

None is written atomically: a file seen half written raises ValueError, and the caller keeps what it had. YAML cannot
tell by itself that its end is missing; what a program wrote ends with a line feed.
"""

from __future__ import annotations

from typing import Any

from runwised.formats.json_value import DEEPEST, decode_json

SIDE_CONFIGS = (
    ".hydra/config.yaml",
    "hparams.yaml",
    "args.yaml",
    "params.json",
    "args.json",
    "config.yaml",
    "config.yml",
    "config.json",
    ".hydra/overrides.yaml",
)
"""Paths below the folder of a log, the best first: a resolved config before what was only asked for."""

_OVERRIDES = "overrides.yaml"
_BY_HAND = frozenset({"config.yaml", "config.yml"})
_NO_CONFIG = frozenset({"_wandb", "wandb_version"})


def parse_side_config(name: str, data: bytes) -> dict[str, Any]:
    """The nested config in a file of this name (of which the last part counts).

    Hydra's overrides (a list of ``a.b=3``) come back as the mapping they make; a file whose every entry is W&B's
    ``{desc: …, value: v}`` as its values. Raises ValueError when the file is half written or holds no mapping.
    """
    last = name.rpartition("/")[2]
    if last.endswith(".json"):
        document = decode_json(data.removeprefix(b"\xef\xbb\xbf").strip())
    else:
        document = _decode_yaml(data, by_hand=last in _BY_HAND and not name.endswith(".hydra/" + last))
    if last == _OVERRIDES and isinstance(document, list):
        return _from_overrides(document)
    if not isinstance(document, dict):
        raise ValueError(f"{last} holds no mapping")
    return _unwrapped(document)


def _decode_yaml(data: bytes, *, by_hand: bool) -> Any:
    from runwised.formats.yaml_value import decode_yaml  # its import takes 20 ms, and few folders have such a file

    if not by_hand and not data.endswith(b"\n"):
        raise ValueError("the last line has no end")
    return decode_yaml(data)


def _unwrapped(document: dict[str, Any]) -> dict[str, Any]:
    entries = {key: entry for key, entry in document.items() if key not in _NO_CONFIG}
    if entries and all(isinstance(entry, dict) and _is_wrapped(entry) for entry in entries.values()):
        return {key: entry["value"] for key, entry in entries.items()}
    return document


def _is_wrapped(entry: dict[str, Any]) -> bool:
    return "value" in entry and entry.keys() <= {"desc", "value"}


def _from_overrides(overrides: list[Any]) -> dict[str, Any]:
    """What assignments say, later ones last; deletions (``~key``) say nothing."""
    config: dict[str, Any] = {}
    for override in overrides:
        if not isinstance(override, str):
            raise ValueError(f"{_OVERRIDES} holds no list of overrides")
        name, assigned, text = override.partition("=")
        if assigned and not name.startswith("~"):
            _assign(config, name.lstrip("+").split(".", DEEPEST - 1), _value_of(text))
    return config


def _value_of(text: str) -> Any:
    from runwised.formats.yaml_value import decode_yaml

    try:
        return decode_yaml(text.encode())
    except ValueError:  # Hydra's own grammar: sweeps, interpolations
        return text


def _assign(config: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = config.get(part)
        if not isinstance(inner, dict):
            inner = config[part] = {}
        config = inner
    config[path[-1]] = value
