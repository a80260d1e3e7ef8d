"""One logical run over all its segments: a `RunView` that stands on its index, or until there is one on probes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from runwised.catalog.awake import Awake, remembered
from runwised.catalog.companions import console_changed_at
from runwised.catalog.ends import end_of, final_exit, first_time_of, history_of, last_time_of, system_of
from runwised.catalog.extras import SideConfigs, last_values, old_exit, without_bookkeeping
from runwised.catalog.healed import HealedTable
from runwised.catalog.manifest import Glimpse, Rested, Shelf
from runwised.catalog.memory import Memory
from runwised.catalog.printing_run import PrintingRun
from runwised.catalog.processes import Holders
from runwised.catalog.readback import read_records, read_rows
from runwised.catalog.segment import Segment
from runwised.catalog.shelved import Shelved
from runwised.catalog.signs import LogSays, Signs
from runwised.catalog.stand_ins import find_stand_ins
from runwised.formats.record import Alert, Definition, Exit, Row
from runwised.index.kept import Mark
from runwised.index.metadata import SourceState
from runwised.index.run_index import IndexedRun
from runwised.index.view import Condition, Rewind, Source, Table

FOR_EVER = 1e300
GOING_ON = frozenset({"running", "unknown", "empty"})
"""States of runs of which more may come."""
NOT_READ = Condition("unknown", "not read yet", None)


class Run(PrintingRun):
    """See `runwised.index.view.RunView` for what the properties of that name say."""

    __slots__ = (
        "__weakref__", "_good_until", "_holders", "_is_mute", "_linked", "_links", "_signs",
        "current", "root", "was_packed",
    )  # fmt: skip

    def __init__(self, root: str, segments: Sequence[Segment], holders: Holders, awake: Awake) -> None:
        super().__init__(segments, awake)
        self.root = root
        self.current = NOT_READ
        self._holders = holders
        self._signs: Signs | None = None
        """None until it is worked out what the run is doing; what was known of a run at rest is `_good_until`."""
        self._good_until = 0.0
        self._linked: Sequence[Segment] = ()
        self._links: Sequence[str] | None = None
        self.was_packed = False
        """Whether it was looked at for the manifest since it changed."""
        self._is_mute: bool | None = None
        """Whether it has no rows; kept at rest as well: of all text that was printed every question asks that."""

    @remembered
    def history(self) -> Table:
        """See `RunView`."""
        return HealedTable(self.slot, history_of)

    @remembered
    def system(self) -> Table:
        """See `RunView`."""
        return HealedTable(self.slot, system_of)

    def changed(self) -> None:
        """Something it is read from, or its index, is not what it was."""
        super().changed()
        self._links = self._is_mute = None
        self.was_packed, self._good_until = False, 0.0
        if self._signs is not None:
            self._signs.forget()

    @property
    def is_going_on(self) -> bool:
        """Whether more may come of it."""
        return self.current.state in GOING_ON

    def rested(self) -> Rested | None:
        """What must be known of it while nobody asks; None while it is not over, or not as its sidecar has it.

        Raises OSError, SidecarDamaged and SidecarVersion.
        """
        file = self.slot.file
        is_plain = not (self.trouble or self.is_held or self._linked or len(self.every) > len(self.parts))
        if file is None or self.is_going_on or not is_plain or self.compare() != "same":
            return None
        sources = list(self.slot.stamped)
        if len(sources) != len(self.parts) or file.signature is None:
            return None
        if self._is_wandb and not self.slot.ask(self.has_rows):
            return None  # what stands in for its log may come yet
        return Rested(
            sources=sources,
            hints=[log.hints for log in self.slot.logs],
            condition=self.current,
            good_until=self._signs.good_until if self._signs else self._good_until,
            name=self._identity.name or "",
            links=[*self.links],
            signature=file.signature,
            mark=self.mark,
            last_time=self._last_row[1],
        )

    def rest_as(self, known: Glimpse, shelved: Shelved) -> bool:
        """Be as it was when that was known of it; its sources are the same. False where its settings are others now."""
        if [part.hints for part in self.parts] != known.hints:
            return False
        self.slot.put_on_shelf(shelved)
        self.is_restored = self.was_packed = True
        self.current, self._signs = known.condition, None
        self._good_until = math.inf if math.isinf(known.good_until) else known.good_until  # one object for all
        own = self.parts[0].said_id
        self._name = own if known.name == own else known.name
        self._links = tuple(known.links)
        return True

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be found out unless its sources change."""
        return self.is_settled(FOR_EVER) and self.indexed and not self.trouble

    def is_settled(self, now: float) -> bool:
        """Whether its condition cannot have changed since it was worked out."""
        return self._signs.is_good(now) if self._signs is not None else now < self._good_until

    def settle(self, now: float) -> None:
        """Work out what it is doing."""
        if self.size and not self.indexed and not any(part.is_probed for part in self.parts):
            self.current = NOT_READ
            return
        if self._signs is None:
            self._signs = Signs(self._holders)
        self.current = self._signs.condition(self._says(), self.newest, now)

    def _says(self) -> LogSays:
        told, identity = self.told, self._identity
        started = self.newest.said_start if self.newest.said_start is not None else identity.start_time
        if self.indexed:
            sources = self.slot.ask(self._last_words)
            final = final_exit([found for source in sources for found in source.exits])
            preempting = any(mark.kind == "preempting" for source in sources for mark in source.marks)
            empty = identity.run_id is None and not self.slot.ask(self.has_rows)
        else:
            final, preempting = told.exit, told.preempting
            empty = identity.run_id is None and told.exit is None and told.step is None
        return LogSays(
            empty and not (self.size and self._is_console),
            bool(empty and self.trouble),
            final or self._old_exit(),
            preempting,
            self.host,
            started,
            self._last_row[1],
            any(part.tells_end for part in self.parts),
            next((part.path for part in self.parts if part.is_console), ""),
        )

    def _last_words(self, index: IndexedRun) -> list[SourceState]:
        """The sources that may say how the run ended: W&B's newest, or all others."""
        names = {part.path for part in self.parts if part.goes_on_beside} or {self.newest.path}
        return [source for source in index.sources if source.key in names]

    def _old_exit(self) -> Exit | None:
        """Before 0.10 the end of a run stood in its metadata file (which later writers leave at "running")."""
        return old_exit(self._extras.metadata) if self._is_old else None

    @property
    def says_nothing(self) -> bool:
        """Whether it is text of a program that is over, with no metric in it and no word of how the program died."""
        if self.current.state != "ended" or not self._is_console:
            return False
        if self._is_mute is None:
            self._is_mute = not self.history.total_rows
        return self._is_mute

    @remembered
    def _last_row(self) -> tuple[int | None, float | None]:
        """Step of the last served row, and the newest time in the log."""
        if not self.indexed:
            return self.told.step, self.told.time
        # One question, not one for each number: a damaged sidecar is replaced by what is in the logs by then.
        return self._shelved_end or self.slot.ask(end_of)

    @property
    def _shelved_end(self) -> tuple[int | None, float | None] | None:
        """The same, as the manifest says; None where it says nothing."""
        try:
            rested = self.slot.rested
        except OSError:  # other bytes than were there
            return None
        return (rested.mark.step, rested.last_time) if rested else None

    @remembered
    def created(self) -> float | None:
        """See `RunView`."""
        said = self.slot.ask(lambda index: index.created) if self.indexed else self.told.created
        if said is None:
            said = self.slot.ask(lambda index: min((s.first_time for s in index.sources if s.first_time), default=None))
        if said is None and not self._is_wandb:
            first = self.slot.ask(first_time_of)
            said = first if math.isfinite(first) else None
        oldest = self.parts[0]
        return said if said is not None else (oldest.started if self._is_wandb else oldest.said_start) or None

    @property
    def updated(self) -> float | None:
        """See `RunView`."""
        last = self._last_row[1]
        if self.current.state in ("running", "unknown", "empty") or last is None:
            signs = [last or 0.0, *(part.grown_at or 0.0 for part in self.parts), self.newest.changed_at]
            return max(signs) or None
        return last

    @property
    def condition(self) -> Condition:
        """See `RunView`."""
        return self.current

    @property
    def sources(self) -> Sequence[Source]:
        """See `RunView`."""
        read, torn, every = self.read_to, self.incomplete, self.every
        own = [part for part in every if part.seen is not None]  # one that has just gone is a run's no more
        told = [(part, max(part.size - read.get(part.path, 0), 0), torn.get(part.path, 0)) for part in own]
        told += [(part, 0, 0) for part in self._linked if part not in every]
        return [Source(self._relative(part.path), part.format_name, part.size, *rest) for part, *rest in told]

    def find_stand_ins(self) -> Sequence[Segment]:
        """As `TrackedRun`: the other views of a run that W&B wrote."""
        return self._linked or (find_stand_ins(self.newest.found) if self._is_wandb and not self._is_old else [])

    @property
    def links(self) -> Sequence[str]:
        """Absolute folders where its log says that other logs of it lie."""
        if self._links is None:
            home = os.path.dirname(os.path.dirname(self.newest.found.folder))
            said = self.slot.ask(lambda index: [link for source in index.sources for link in source.links])
            self._links = tuple(os.path.realpath(os.path.join(home, folder)) for folder in dict.fromkeys(said))
        return self._links

    def take_linked(self, segments: Sequence[Segment]) -> None:
        """Have the logs its own log names for its own; they are read where that one has no rows."""
        if self._linked != tuple(segments):
            self._linked, self.stand_ins = tuple(segments), ()

    def _relative(self, path: str) -> str:
        below = self.root.rstrip(os.sep) + os.sep
        return path.removeprefix(below)

    @property
    def origin(self) -> str:
        """See `annotations.Origins`: W&B's folders are named by start and id; of other logs the inode tells."""
        path = self.parts[0].path
        below = self._relative(path)
        if below == path:
            return ""
        try:
            return below if self._is_wandb else f"{below}#{os.stat(path).st_ino}"
        except OSError:
            # It is gone meanwhile, and not to be known again.
            return ""

    @property
    def segments(self) -> int:
        """See `RunView`."""
        if not self._is_wandb:
            return self.slot.ask(lambda index: len({source.session for source in index.sources})) or 1
        return len(self._starts)

    @property
    def step(self) -> int | None:
        """See `RunView`."""
        return self._last_row[0]

    @property
    def config(self) -> Mapping[str, Any]:
        """See `RunView`."""
        said = self._said_config
        if not self._is_wandb:
            return {**said, **self._beside()} if self._is_folder else said
        return said or without_bookkeeping(self._extras.config)

    @remembered
    def _said_config(self) -> Mapping[str, Any]:
        return without_bookkeeping(self.slot.ask(lambda index: index.config) if self.indexed else self.told.config)

    def _beside(self) -> Mapping[str, Any]:
        """The configuration that lies beside its log, as it was when the run was last looked at."""
        return self._side.read(self.looks)

    @remembered
    def _side(self) -> SideConfigs:
        return SideConfigs(self.parts[-1].found.folder)

    @remembered
    def _is_folder(self) -> bool:
        """Whether it bears the name of its folder: then what else lies there is its own."""
        found = self.parts[0].found
        return not found.store_key and os.path.basename(found.run_id) == os.path.basename(found.folder)

    @property
    def summary(self) -> Mapping[str, Any]:
        """See `RunView`. Where nothing says it (writers up to 0.17 do so only at the end): each key's last value."""
        said = without_bookkeeping(self.slot.ask(lambda index: index.summary) if self.indexed else self.told.summary)
        if any(not key.startswith("_") for key in said):
            return said
        kept = without_bookkeeping(self._extras.summary) if self._is_wandb else {}
        return {**last_values(self.history), **kept, **said}

    @property
    def from_console(self) -> Sequence[str]:
        """See `RunView`."""
        printed = {part.path for part in self.every if part.is_console}
        return self.slot.ask(
            lambda index: [
                name
                for rank in {source.rank for source in index.sources if source.key in printed}
                for name in index.history.names_of(rank)
            ]
        )

    @property
    def definitions(self) -> Sequence[Definition]:
        """See `RunView`."""
        return self.slot.ask(lambda index: index.definitions)

    @property
    def alerts(self) -> Sequence[Alert]:
        """See `RunView`."""
        return self.slot.ask(lambda index: index.alerts)

    @property
    def rewinds(self) -> Sequence[Rewind]:
        """See `RunView`."""
        return self.slot.ask(lambda index: index.rewinds)

    @property
    def damage(self) -> Mapping[str, int]:
        """See `RunView`."""
        return self.slot.ask(lambda index: index.damage)

    @property
    def memory(self) -> Memory:
        """See `RunView`."""
        return self.slot.memory

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        """See `RunView`. Raises Unreadable."""
        return read_rows(self.slot, start, stop)

    def records(self, start: int, stop: int) -> Iterator[tuple[int, Row]]:
        """See `RunView`. Raises Unreadable."""
        return read_records(self.slot, np.arange(max(start, 0), min(stop, self.history.total_rows)))

    @property
    def heard(self) -> float | None:
        """See `RunView`."""
        last = float(np.nan_to_num(self.slot.ask(last_time_of))) if self.indexed else self.told.time or 0.0
        if not self._is_wandb:  # its log holds nothing but what the program itself says
            last = max(last, self.newest.grown_at or 0.0) or self.newest.changed_at
        return max(last, console_changed_at(self.newest.found.folder)) or None

    @property
    def mark(self) -> Mark:
        """See `RunView`."""
        records = self.history.total_rows if self.indexed else -1
        state, _, code, pid = self.current
        state = "running" if state == "empty" and pid else state
        return Mark(records, self.step, state, code, self.segments, self.console_end, self.beginning)

    def mark_of(self, marks: Mapping[tuple[Shelf, int], Mark]) -> Mark:
        """The same, out of those that stand in the manifest where it still holds."""
        place = self.slot.place_on_shelf
        known = marks.get(place) if place is not None else None
        is_so = known is not None and (known.state, known.exit_code) == (self.current.state, self.current.exit_code)
        return known if known is not None and is_so else self.mark
