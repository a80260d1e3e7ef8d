"""Project settings: `runwise.json`, as the ancestor wrote it, and their defaults."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace


class SettingsError(ValueError):
    """A settings file that cannot be used; the message names the field, what was found and what was expected."""


class MetricFormat(msgspec.Struct, kw_only=True, frozen=True):
    """How one metric of a schema is shown."""

    display: str | None = None
    format: str | None = None
    """Format specification of Python, such as ``.4f``; only one that ends in ``%`` makes a percentage."""
    higher_is_better: bool | None = None


class MetricGroup(msgspec.Struct, kw_only=True, frozen=True):
    """Metrics that belong together."""

    name: str = ""
    display_name: str = ""
    metrics: dict[str, MetricFormat] = {}


class MetricSchema(msgspec.Struct, kw_only=True, frozen=True):
    """What the project's metrics mean. What is left out is recognised from the keys a run logged."""

    loss_key: str | None = None
    step_key: str | None = None
    primary_metric: str | None = None
    primary_metric_name: str | None = None
    per_step_pattern: str | None = None
    """Keys of an iterative model, such as ``train/loss_step_{i}``, for i from 0 to `num_steps` - 1."""
    num_steps: int = 0
    validation_sets: dict[str, str] = {}
    """Name by prefix of the keys."""
    groups: tuple[MetricGroup, ...] = ()

    @property
    def metrics(self) -> dict[str, MetricFormat]:
        """The metrics of all groups, in their order."""
        return {key: shown for group in self.groups for key, shown in group.metrics.items()}

    @property
    def per_step_keys(self) -> list[str]:
        """`per_step_pattern` spelled out."""
        pattern = self.per_step_pattern or ""
        return [pattern.replace("{i}", str(i)) for i in range(min(self.num_steps, 1000))] if "{i}" in pattern else []


class AnomalyDetection(msgspec.Struct, kw_only=True, frozen=True):
    """Thresholds of the detectors."""

    spike_threshold: float = 3.5
    """Distance from the median, in median absolute deviations."""
    spike_window: int = 100
    overfit_ratio_threshold: float = 1.5
    overfit_baseline_steps: tuple[int, int] = (100, 500)
    plateau_min_steps: int = 500
    plateau_improvement_threshold: float = 0.01
    gradient_vanish_threshold: float = 1e-7
    gradient_explode_multiplier: float = 10.0
    gradient_sustained_steps: int = 10
    throughput_drop_threshold: float = 0.4


class RunwiseConfig(msgspec.Struct, kw_only=True, frozen=True):
    """What `runwise.json` says. Folders are as written there: relative to the file's own."""

    project_name: str | None = None
    wandb_dir: str | None = None
    logs_dir: str | None = None
    log_dirs: tuple[str, ...] = ()
    """Further folders (or databases) with logs."""
    log_templates: tuple[str, ...] = ()
    """Lines of text logs as they look, with ``{name}`` where a number stands and ``{step}`` where the step does."""
    log_templates_path: str | None = None
    """Where the templates lie, one a line, when they are a file of their own: read it and call `with_templates`."""
    wandb_project: str | None = None
    downsample_interval: int = 1000
    max_validation_history: int = 10
    schema_path: str | None = None
    """Where the schema lies, when it is a file of its own: read it and call `with_schema`."""
    schema: MetricSchema = MetricSchema()
    anomaly_detection: AnomalyDetection = AnomalyDetection()

    @classmethod
    def parse(cls, data: bytes) -> RunwiseConfig:
        """Read `runwise.json`; fields it does not know are passed over, null is as good as nothing.

        Raises SettingsError.
        """
        fields = _object(data, "runwise.json")
        schema, inline = fields.pop("schema", None), fields.pop("schema_inline", None)
        if isinstance(schema, str):
            fields["schema_path"] = schema
        elif schema is not None:
            inline = schema
        if inline is not None:
            fields["schema"] = inline
        if isinstance(fields.get("log_templates"), str):
            fields["log_templates_path"] = fields.pop("log_templates")
        return _convert(fields, cls, "runwise.json")

    def with_templates(self, data: bytes) -> RunwiseConfig:
        """This configuration with the templates from the file at `log_templates_path`: lines with ``#`` are comments.

        Raises SettingsError.
        """
        try:
            lines = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.log_templates_path}: not UTF-8: {error.reason}") from error
        return replace(self, log_templates=tuple(line for line in lines if line.strip() and line[0] != "#"))

    def with_schema(self, data: bytes) -> RunwiseConfig:
        """This configuration with the schema from the file at `schema_path`. Raises SettingsError."""
        name = self.schema_path or "schema"
        return replace(self, schema=_convert(_object(data, name), MetricSchema, name))


T = TypeVar("T")

_OURS = ("schema_path", "log_templates_path")
"""Fields a file does not set itself."""


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{name}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{name}: expected a JSON object, found {type(found).__name__}")
    return {key: value for key, value in _without_null(found).items() if key not in _OURS}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def _convert(fields: dict[str, Any], kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`")
        raise SettingsError(f"{name}: {field}: {what}" if field else f"{name}: {what}") from error
