"""The daemon: bytes become rows, rows become columns, columns become answers, answers become text.

For programs: ``from runwised import RunAnalyzer, RunwiseConfig, MetricSchema``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runwise_protocol import __version__ as __version__
    from runwise_protocol.errors import RunwiseError as RunwiseError

    from runwised.analyzer import RunAnalyzer as RunAnalyzer
    from runwised.settings import MetricSchema as MetricSchema
    from runwised.settings import RunwiseConfig as RunwiseConfig

_HOMES = {
    "MetricSchema": "runwised.settings",
    "RunAnalyzer": "runwised.analyzer",
    "RunwiseConfig": "runwised.settings",
    "RunwiseError": "runwise_protocol.errors",
    "__version__": "runwise_protocol",
}

__all__ = ("MetricSchema", "RunAnalyzer", "RunwiseConfig", "RunwiseError")


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: the daemon's own start needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'runwised' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
