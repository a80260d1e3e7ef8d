"""`Recent`: which project an MCP client asked about last, over the daemon's lives."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

_NAME = "mcp-project"
_log = logging.getLogger(__name__)


class Recent:
    """A file of one line in the cache folder: losing it costs a second, and nothing else."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / _NAME
        self._noted: str | None = None

    @property
    def exists(self) -> bool:
        """Whether an MCP client ever asked."""
        return self._path.exists()

    def read(self) -> str | None:
        """The project's root."""
        try:
            return os.fsdecode(self._path.read_bytes()) or None
        except OSError:
            return None

    def note(self, root: str) -> None:
        """Remember it, where it is another one."""
        if root == self._noted:
            return
        self._noted = root
        fresh = self._path.with_name(f"{_NAME}.{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(os.fsencode(root))
            fresh.replace(self._path)
        except OSError as error:
            _log.warning("cannot remember the project: %s", error)
            with contextlib.suppress(OSError):
                fresh.unlink()
