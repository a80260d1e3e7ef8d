"""A run's signs of life, gathered from the files beside its log and from the machine's processes."""

from __future__ import annotations

import math
import socket
from typing import NamedTuple

from runwised.catalog.companions import (
    console_changed_at,
    ends_in_traceback,
    oldest_file_at,
    read_debug_log,
    read_event_name,
    read_last_words,
)
from runwised.catalog.processes import Holder, Holders, can_see_files, lives, process
from runwised.catalog.segment import Segment
from runwised.catalog.state import Evidence, Trainer, judge
from runwised.formats.record import Exit
from runwised.index.view import Condition

UNREADABLE = Condition("unknown", "its log cannot be read", None)
OUTLIVED_SECONDS = 5.0
"""Growth this long after a pid was found gone was not still on its way to the disk."""
SILENT_AGAIN_SECONDS = 30.0
"""How long the words "silent for 3 min" are good for, at least."""
SILENT_SHARE = 0.01
"""The same as a share of that time: nobody tells three hours from three hours and a minute."""


class LogSays(NamedTuple):
    """What a run's log says of its state."""

    empty: bool
    unreadable: bool
    """It says nothing because it cannot be read."""
    exit: Exit | None
    preempting: bool
    host: str | None
    started: float | None
    last_time: float | None
    tells_end: bool = True
    console: str = ""
    """Path of what the program printed, where that is a source of the run."""


class Signs:
    """The condition of one run, worked out again only when it can have changed."""

    __slots__ = ("_condition", "_gone_at", "_good_until", "_held_by", "_holders")

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self._condition: Condition | None = None
        self._good_until = 0.0
        self._gone_at: float | None = None
        """When the training process was first found gone."""
        self._held_by: Holder | None = None
        """The process that held the log open when we last looked."""

    def forget(self) -> None:
        """Something changed: look again."""
        self._condition = None

    @property
    def good_until(self) -> float:
        """When the condition that was worked out last is to be looked at again, epoch seconds."""
        return self._good_until

    def is_good(self, now: float) -> bool:
        """Whether the condition that was worked out last still holds."""
        return self._condition is not None and now < self._good_until

    def condition(self, says: LogSays, newest: Segment, now: float) -> Condition:
        """What the run is doing. `newest` is its newest segment, as it was just looked at."""
        if self._condition is None or not self.is_good(now):
            self._condition, self._good_until = self._judge(says, newest, now)
        return self._condition

    def _judge(self, says: LogSays, newest: Segment, now: float) -> tuple[Condition, float]:
        if says.unreadable:
            return UNREADABLE, now
        evidence = Evidence(now, says.empty, says.exit, says.preempting, tells_end=says.tells_end)
        if says.exit is not None and not says.exit.not_complete:
            return judge(evidence), math.inf
        debug = read_debug_log(newest.found.folder)
        holder = self._holder(newest)
        self._held_by = holder or self._held_by
        lost = self._held_by if self._held_by and not lives(self._held_by.pid) else None
        named = read_event_name(newest.path)
        trainer = self._trainer(debug.pid or named.pid, newest) if holder is None else None
        evidence = evidence._replace(
            debug_exit_code=debug.exit_code,
            host=says.host or named.host,
            here=socket.gethostname(),
            started=says.started if says.started is not None else named.started,
            holder=holder,
            lost_holder=lost,
            trainer=trainer,
            last_time=says.last_time,
            grown_at=newest.grown_at,
            written_at=max(newest.changed_at, console_changed_at(newest.found.folder)),
            oldest_file_at=oldest_file_at(newest.found.folder),
        )
        condition = judge(evidence)
        if condition.state in ("crashed", "ended"):
            words = read_last_words(newest.found.folder)
            evidence = evidence._replace(last_words=words, raised=ends_in_traceback(says.console))
            condition = judge(evidence)
        if condition.state not in ("crashed", "killed", "preempted", "ended"):
            return condition, now
        if condition.pid is not None:
            self._gone_at = self._gone_at or now
        signs = [says.last_time, newest.grown_at, newest.changed_at]
        silent = now - max((sign for sign in signs if sign), default=now)
        return condition, now + max(SILENT_AGAIN_SECONDS, silent * SILENT_SHARE)

    def _holder(self, newest: Segment) -> Holder | None:
        return self._holders.of(newest.seen.device, newest.seen.inode) if newest.seen else None

    def _trainer(self, pid: int | None, newest: Segment) -> Trainer | None:
        if pid is None:
            return None
        outlived = (
            self._gone_at is not None
            and newest.grown_at is not None
            and newest.grown_at > self._gone_at + OUTLIVED_SECONDS
        )
        found = process(pid)
        # A writer of event files opens its file anew for each write: that it is not open now says nothing.
        shows = found is not None and newest.found.format == "" and can_see_files(pid)
        return Trainer(pid, found, shows, outlived)
