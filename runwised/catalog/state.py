"""What a run is doing, and how that is known: weighs the log's own words, then processes, then signs of growth.

The order of the evidence. The newest segment's exit record decides. Where there is none, the run is alive when a
process of this machine holds its log open for writing and the training process it works for lives. Otherwise
``debug.log`` may have noted the exit code; and the run is dead when the process that held the log is gone, or when the
training process's number, out of ``debug.log``, belongs to nobody (or to a process that was started later). Where the
run's processes cannot be seen, on another host or in a container, growth is what is left: growth seen by us, or a
fresh modification time that is not a copy's.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from runwised.catalog.processes import Holder, Process
from runwised.formats.record import Exit
from runwised.index.view import Condition

FRESH_SECONDS = 120.0
"""A live writer of 0.31 or later writes every 15 s; this leaves room for slow disks and a missed turn."""
DEAD_SECONDS = 900.0
"""Older writers wait until 32 KiB are full; with system samples alone that takes up to ten minutes."""
SLACK_SECONDS = 10.0
"""How far clocks may be apart: a process's start is known to about a second."""
COPY_SECONDS = 60.0
KILLED_BY = {128 + number: number for number in (signal.SIGKILL, signal.SIGTERM)}


class Trainer(NamedTuple):
    """The training process, as ``debug.log`` names it."""

    pid: int
    process: Process | None
    """The process of this machine that has the number now."""
    visible: bool
    """Whether we may see which files it has open."""
    outlived: bool = False
    """The log went on growing after the number was found free: it belongs to another pid namespace than ours."""


class Evidence(NamedTuple):
    """What is known of a run's newest segment. Times are epoch seconds."""

    now: float
    empty: bool
    """No segment holds any data."""
    exit: Exit | None = None
    preempting: bool = False
    debug_exit_code: int | None = None
    """What ``debug.log`` says the exit code was."""
    host: str | None = None
    here: str = ""
    """This machine's own name."""
    started: float | None = None
    holder: Holder | None = None
    lost_holder: Holder | None = None
    """Pid of the process that held the log open when we last looked, and is gone."""
    trainer: Trainer | None = None
    last_time: float | None = None
    """Newest time inside the log."""
    grown_at: float | None = None
    """When we last saw it grow."""
    written_at: float = 0.0
    """Newest modification time of the log and of its console file."""
    oldest_file_at: float | None = None
    """Oldest modification time of the files a writer makes at its start."""
    tells_end: bool = True
    """Writers of this kind of log say when they end."""
    raised: bool = False
    """Its console ends with a traceback."""
    last_words: str = ""
    """Name of the signal, or the words, by which its console says that it was ended from outside."""


def judge(e: Evidence) -> Condition:
    """Weigh the evidence."""
    if e.exit is not None and not e.exit.not_complete:
        return _exited(e.exit.code, f"exit code {e.exit.code}")
    alive, proof, pid = _processes(e)
    if e.debug_exit_code is not None and not alive and not e.empty:
        return _exited(e.debug_exit_code, f"debug.log: exit code {e.debug_exit_code}")
    if e.empty:
        return Condition("empty", f"no data yet, {proof}" if proof else "no data yet", None, pid if alive else None)
    if alive is None:
        alive, proof = _growth(e)
    if alive:
        return Condition("running", proof, None, pid)
    if e.exit is not None:
        return Condition("unknown", f"this writer ended (exit code {e.exit.code}), the run may go on elsewhere", None)
    if e.preempting:
        return Condition("preempted", f"marked as preempting, {proof}", None, pid)
    if alive is None:
        return Condition("unknown", proof, None, pid)
    if e.last_words:
        return Condition("killed", f"{proof}, its console says {e.last_words}", None, pid)
    if e.raised:
        return Condition("crashed", f"{proof}, its console ends with a traceback", None, pid)
    return Condition("crashed" if e.tells_end else "ended", proof, None, pid)


def _exited(code: int, proof: str) -> Condition:
    if code == 0:
        return Condition("finished", proof, 0)
    number = -code if code < 0 else KILLED_BY.get(code)
    if number is None:
        return Condition("failed", proof, code)
    known = {int(each): each.name for each in signal.Signals}
    return Condition("killed", f"{proof} ({known.get(number, f'signal {number}')})", code)


def _processes(e: Evidence) -> tuple[bool | None, str, int | None]:
    """Whether the writer lives as far as processes tell (None: they do not), the proof, and the pid it stands on."""
    if e.holder is not None:
        pid = e.holder.trainer or e.holder.pid
        if e.holder.trainer_lives:
            return True, f"pid {pid} is writing", pid
        return False, f"pid {pid} is gone", pid
    if e.lost_holder is not None:
        pid = e.lost_holder.trainer or e.lost_holder.pid
        return False, f"pid {pid} is gone", pid
    trainer = e.trainer
    if trainer is None or trainer.outlived or not _same_host(e.host, e.here):
        return None, "", None
    if trainer.process is None or not _fits(trainer.process, e.started):
        return False, f"pid {trainer.pid} is gone", trainer.pid
    if trainer.visible and not e.empty:
        return False, f"pid {trainer.pid} lives, but nothing has this log open", trainer.pid
    return True, f"pid {trainer.pid} lives", trainer.pid


def _growth(e: Evidence) -> tuple[bool | None, str]:
    """The same from growth alone."""
    where = f", host {e.host}" if e.host and not _same_host(e.host, e.here) else ""
    if e.grown_at is not None and e.now - e.grown_at < FRESH_SECONDS:
        return True, f"grew {span(e.now - e.grown_at)} ago{where}"
    copied = is_copy(e)
    signs = [e.last_time, e.grown_at, None if copied else e.written_at, e.started if copied else None]
    silent = e.now - max((sign for sign in signs if sign), default=e.written_at)
    if silent < FRESH_SECONDS and not copied:
        return True, f"written {span(silent)} ago{where}"
    if silent < DEAD_SECONDS:
        return None, f"no exit record, last sign {span(silent)} ago{where}"
    missing = "no exit record" if e.tells_end else "such logs do not say how they end"
    return False, f"{missing}, silent for {span(silent)}{where}"


def is_copy(e: Evidence) -> bool:
    """Whether the modification times are those of a copy made later: they say nothing about the writer then.

    A writer makes some of its files at the start and leaves them alone. In a copy those are as new as the log.
    Where there are none, a log much newer than the last time inside it is taken for a copy.
    """
    if e.oldest_file_at is not None and e.started is not None:
        return e.oldest_file_at - e.started > FRESH_SECONDS and e.written_at - e.oldest_file_at < COPY_SECONDS
    inside = max((sign for sign in (e.last_time, e.started) if sign), default=None)
    return inside is not None and e.written_at - inside > DEAD_SECONDS


def _fits(process: Process, started: float | None) -> bool:
    """Whether this can be the process that had the number when the run was started."""
    if started is not None and process.started > started + SLACK_SECONDS:
        return False
    return bool(process.command) or process.started == 0.0


def _same_host(name: str | None, here: str) -> bool:
    return bool(name) and str(name).partition(".")[0] == here.partition(".")[0]


def span(seconds: float) -> str:
    """A length of time in one or two words' worth: ``5 s``, ``3 min``, ``2 h``, ``4 d``."""
    seconds = max(seconds, 0.0)
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
