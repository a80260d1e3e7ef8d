"""What is known of a run where its log does not say it: from the files beside it, and from its own rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec.structs import asdict, replace

from runwised.catalog.identity import Seen, look
from runwised.catalog.opening import read_head
from runwised.formats.record import Exit, Identity
from runwised.formats.side_config import SIDE_CONFIGS, parse_side_config
from runwised.formats.wandb_files import Metadata, parse_config, parse_metadata, parse_requirements, parse_summary
from runwised.index.view import Table

T = TypeVar("T")

MOST_BYTES = 16 << 20
OLD_STATES = {"finished": 0, "failed": 1, "crashed": 1}
NO_METADATA = Metadata(Identity(), {}, None, None)


class Extras:
    """The side files of one run folder, each read when it is asked for."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, _SideFile[Any]] = {}

    @property
    def config(self) -> Mapping[str, Any]:
        """``config.yaml``."""
        return self._read("config.yaml", parse_config, {})

    @property
    def summary(self) -> Mapping[str, Any]:
        """``wandb-summary.json``."""
        return self._read("wandb-summary.json", parse_summary, {})

    @property
    def metadata(self) -> Metadata:
        """``wandb-metadata.json``."""
        return self._read("wandb-metadata.json", parse_metadata, NO_METADATA)

    @property
    def packages(self) -> Mapping[str, str]:
        """``requirements.txt``."""
        return self._read("requirements.txt", parse_requirements, {})

    def _read(self, name: str, parse: Callable[[bytes], T], nothing: T) -> T:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _SideFile(self._folder, name, parse, nothing)
        found: T = file.read()
        return found


class SideConfigs:
    """The configs that lie beside a log of any other kind: the best of those that are there and can be read."""

    def __init__(self, folder: str) -> None:
        nothing: dict[str, Any] = {}
        self._files = [
            _SideFile(folder, name, partial(parse_side_config, name), nothing, below=("",)) for name in SIDE_CONFIGS
        ]
        self._said: Mapping[str, Any] = nothing
        self._looked = -1

    def read(self, look: int) -> Mapping[str, Any]:
        """The first that says anything; the files are looked at once for each number given."""
        if look != self._looked:
            self._looked = look
            self._said = next((said for file in self._files if (said := file.read())), {})
        return self._said


class _SideFile(Generic[T]):
    """One file: read again when it changed; while it is being written, what it said before holds."""

    def __init__(
        self,
        folder: str,
        name: str,
        parse: Callable[[bytes], T],
        nothing: T,
        below: Sequence[str] = ("files", ""),
    ) -> None:
        self._paths = [os.path.join(folder, place, name) for place in below]
        self._parse = parse
        self._nothing = self._said = nothing
        self._seen: Seen | None = None

    def read(self) -> T:
        there = [(path, seen) for path in self._paths if (seen := look(path)) is not None]
        found = [(path, seen) for path, seen in there if seen.size]
        if not found:
            return self._said if there else self._nothing
        path, seen = found[0]
        if seen != self._seen:
            self._seen = seen
            try:
                self._said = self._parse(read_head(path, MOST_BYTES))
            except (OSError, ValueError):
                return self._said
        return self._said


def old_exit(metadata: Metadata) -> Exit | None:
    """The end of a run from before 0.10, as its metadata file tells it."""
    code = metadata.exit_code if metadata.exit_code is not None else OLD_STATES.get(metadata.state or "")
    return None if code is None else Exit(0, code)


def last_values(table: Table) -> dict[str, Any]:
    """Each key's last value: what a summary would say."""
    values: dict[str, Any] = {}
    steps: dict[str, int] = {}
    for name in table.names:
        found = table.stats(name)
        values[name], steps[name] = found.last, found.last_step
    for name, other in table.others.items():
        if name not in steps or other.last_step > steps[name]:
            values[name] = json.loads(other.last)
    return values


def without_bookkeeping(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration or summary without W&B's own entry."""
    return {key: value for key, value in said.items() if key != "_wandb"} if "_wandb" in said else said


def fill(said: Identity, more: Identity) -> Identity:
    """What is said, and where it says nothing what is known besides."""
    gaps = {name: value for name, value in asdict(more).items() if getattr(said, name) is None}
    return replace(said, **gaps)
