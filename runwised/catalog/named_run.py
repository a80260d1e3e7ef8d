"""Who a run is: its id, name and labels, as its log, the files beside it, or else their names say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from runwised.catalog.annotations import NO_OVERLAY
from runwised.catalog.awake import Awake, remembered
from runwised.catalog.extras import Extras, fill
from runwised.catalog.segment import Segment, Told, merge
from runwised.catalog.tracked import TrackedRun
from runwised.formats.record import Identity
from runwised.index.kept import Annotation


class NamedRun(TrackedRun):
    """See `runwised.index.view.RunView` for what the properties of that name say."""

    __slots__ = ("_name", "label", "overlay")

    def __init__(self, segments: Sequence[Segment], awake: Awake) -> None:
        super().__init__(segments, awake)
        self._name: str | None = None
        """What it says it is called; kept at rest as well: to tell a run from others all names are asked for."""
        self.label = ""
        """What it goes by where its own id is not unique in the project; else empty."""
        self.overlay = NO_OVERLAY
        """What the user says of the project's runs."""

    def changed(self) -> None:
        """As `TrackedRun`."""
        self.slot.forget()
        self._name = None

    @property
    def memo(self) -> dict[str, Any]:
        """What was worked out of its index and the files beside it; see `remembered`."""
        return self.slot.memo

    @remembered
    def _extras(self) -> Extras:
        return Extras(self.parts[-1].found.folder)

    @property
    def indexed(self) -> bool:
        """See `RunView`."""
        return self.slot.filled

    @property
    def _is_console(self) -> bool:
        return all(part.is_console for part in self.parts)

    @remembered
    def _is_wandb(self) -> bool:
        return self.newest.format_name in ("", "wandb") or self._is_old

    @remembered
    def _is_old(self) -> bool:
        """Whether it was written before 0.10, when the files beside the log said what now stands in it."""
        return self.newest.format_name.startswith("wandb-")

    @remembered
    def told(self) -> Told:
        """What the probes say."""
        return merge(self.parts)

    @remembered
    def _identity(self) -> Identity:
        said = self.slot.ask(lambda index: index.identity) if self.indexed else self.told.identity
        return fill(said, self._extras.metadata.identity) if self._is_old else said

    @property
    def id(self) -> str:
        """See `RunView`."""
        return self.label or self.own_id

    @property
    def own_id(self) -> str:
        """The run id, as the log says or else the names of its folder and file."""
        return self.parts[0].said_id

    @property
    def name(self) -> str:
        """See `RunView`."""
        if self._name is None:
            self._name = self._identity.name or ""
        return self._name or self.parts[0].found.title or self.id

    @property
    def project(self) -> str | None:
        """See `RunView`."""
        return self._identity.project or (None if self._is_wandb else os.path.basename(self.newest.found.folder))

    @property
    def entity(self) -> str | None:
        """See `RunView`."""
        return self._identity.entity

    @property
    def group(self) -> str | None:
        """See `RunView`."""
        return self._identity.group

    @property
    def job_type(self) -> str | None:
        """See `RunView`."""
        return self._identity.job_type

    @property
    def notes(self) -> str | None:
        """See `RunView`."""
        return self.annotation.notes(self._identity.notes)

    @property
    def tags(self) -> Sequence[str]:
        """See `RunView`."""
        return self.annotation.tags(self._identity.tags or ())

    @property
    def annotation(self) -> Annotation:
        """See `RunView`."""
        return self.overlay.of(self.id, self.own_id)

    @property
    def sweep_id(self) -> str | None:
        """See `RunView`."""
        return self._identity.sweep_id

    @property
    def host(self) -> str | None:
        """See `RunView`."""
        return self._identity.host or self.facts.get("host")

    @property
    def facts(self) -> Mapping[str, Any]:
        """See `RunView`."""
        said = self.slot.ask(lambda index: index.facts) if self.indexed else self.told.facts
        return said if "program" in said or not self._is_wandb else {**self._extras.metadata.facts, **said}

    @property
    def packages(self) -> Mapping[str, str]:
        """See `RunView`."""
        return self._extras.packages if self._is_wandb else {}
