"""Project settings: `runwise.json`, as the ancestor wrote it, and their defaults."""

from __future__ import annotations

import msgspec


class RunwiseConfig(msgspec.Struct, kw_only=True):
    """What `runwise.json` says."""
