"""Where and how a W&B run was run: the environment, telemetry and header records, and the older `wandb-metadata.json`.

All three speak of the same things; here they use the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runwised.formats.protowire import Shape, length_delimited, shaped, text, timestamp, var


def _shape(texts: Mapping[int, str], numbers: Mapping[int, str]) -> Shape:
    return {length_delimited(n): (name, text) for n, name in texts.items()} | {
        var(n): (name, int) for n, name in numbers.items()
    }


_GIT = _shape({1: "remote", 2: "commit"}, {})
_DISK = _shape({}, {1: "total", 2: "used"})
_CPU = _shape({3: "model"}, {1: "count", 2: "count_logical"})
_APPLE = _shape({1: "name", 8: "model"}, {2: "ecpu_cores", 3: "pcpu_cores", 4: "gpu_cores", 5: "memory_gb"})
_NVIDIA = _shape({1: "name", 4: "architecture", 5: "uuid"}, {2: "memory_total", 3: "cuda_cores"})
_AMD = _shape({1: "id", 8: "series", 9: "model", 10: "vendor"}, {})
_TPU = _shape({1: "name"}, {2: "hbm_gib", 3: "devices_per_chip", 4: "count"})
_TRAINIUM = _shape({1: "name", 2: "vendor"}, {3: "neuron_device_count", 4: "neuroncore_per_device_count"})
_COREWEAVE = _shape({1: "cluster_name", 2: "org_id", 3: "region"}, {})


def _message(number: int, name: str, inner: Shape) -> Shape:
    return {length_delimited(number): (name, lambda body: shaped(body, inner))}


_ENVIRONMENT: Shape = {
    **_shape(
        {
            1: "os",
            2: "python",
            4: "docker",
            5: "args[]",
            6: "program",
            7: "code_path",
            8: "code_path_local",
            10: "email",
            11: "root",
            12: "host",
            13: "username",
            14: "executable",
            15: "colab",
            18: "gpu",
            25: "cuda_version",
            27: "slurm{}",
        },
        {16: "cpu_count", 17: "cpu_count_logical", 19: "gpu_count"},
    ),
    length_delimited(3): ("started_at", timestamp),
    **_message(9, "git", _GIT),
    **_message(20, "disk{}", _DISK),
    **_message(21, "memory", _DISK),
    **_message(22, "cpu", _CPU),
    **_message(23, "apple", _APPLE),
    **_message(24, "gpu_nvidia[]", _NVIDIA),
    **_message(26, "gpu_amd[]", _AMD),
    **_message(28, "trainium", _TRAINIUM),
    **_message(29, "tpu", _TPU),
    **_message(30, "coreweave", _COREWEAVE),
}
_TELEMETRY = _shape({4: "python", 5: "wandb", 6: "huggingface", 12: "wandb_core", 13: "platform"}, {})
_VERSION = _shape({1: "producer"}, {})
_HEADER = _message(1, "version", _VERSION)

_RENAMED = {"cuda": "cuda_version", "gpuapple": "apple"}
_FROZEN = frozenset({"state", "heartbeatAt", "writerId", "exitcode"})
"""Written once at the start (or no fact of the machine): ``state`` says "running" for ever."""


def decode_environment(message: bytes) -> dict[str, Any]:
    """Facts of an ``EnvironmentRecord``. Raises WireError.

    wandb 0.16 used the record's number for launch parameters: these begin with a message where a text should be.
    """
    facts = shaped(message, _ENVIRONMENT)
    return {} if facts.get("os", "").startswith("\n") or facts.get("python", "").startswith("\n") else facts


def decode_telemetry(message: bytes) -> dict[str, Any]:
    """Versions in a ``TelemetryRecord``; ``wandb`` is the SDK's. Raises WireError."""
    return shaped(message, _TELEMETRY)


def decode_header(message: bytes) -> dict[str, Any]:
    """What the ``HeaderRecord`` says of the Go writer (``writer``: version and commit). Raises WireError."""
    producer = shaped(message, _HEADER).get("version", {}).get("producer")
    return {"writer": producer} if producer else {}


def decode_git(message: bytes) -> dict[str, Any]:
    """Remote and commit in a ``GitRepoRecord``. Raises WireError."""
    return shaped(message, _GIT)


def facts_of_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in a parsed `wandb-metadata.json` of any version, named and measured as the records do it.

    Up to 0.17 the file gives sizes in GiB, later as decimal strings of bytes; here they are bytes.
    """
    facts: dict[str, Any] = {}
    for key, value in metadata.items():
        if value is not None and key not in _FROZEN:
            facts[_RENAMED.get(key, _snake(key))] = value
    if isinstance(started := facts.get("started_at"), str):
        facts["started_at"] = _epoch_seconds(started)
    for name in ("disk", "memory", "cpu", "apple"):
        if name in facts:
            facts[name] = _in_bytes(facts[name])
    if isinstance(cards := facts.get("gpu_nvidia"), list):
        facts["gpu_nvidia"] = [_in_bytes(card) for card in cards]
    return facts


def _snake(key: str) -> str:
    """``codePathLocal`` as ``code_path_local``."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in key).lstrip("_")


def _in_bytes(value: Any) -> Any:
    """Sizes inside as integers of bytes, keys in snake case."""
    if isinstance(value, dict):
        return {_snake(key): inner if key == "name" else _in_bytes(inner) for key, inner in value.items()}
    if isinstance(value, float) and 0 <= value < 2**40:
        return int(value * 2**30)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


def _epoch_seconds(stamp: str) -> float | str:
    """ISO time to epoch seconds; without a zone it is UTC, as the SDK wrote it."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
