"""What the catalog keeps of a run between questions: its segments, its index, and what went wrong with them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from runwised.catalog.awake import Awake
from runwised.catalog.feeds import Log, Stamped
from runwised.catalog.identity import PROOF_BYTES, Fingerprint
from runwised.catalog.segment import Segment
from runwised.catalog.slot import IndexLostError, IndexSlot
from runwised.formats.record import NO_HINTS, Hints
from runwised.index.run_index import IndexedRun

REST_SECONDS = 2.0
LONGEST_HOLD_SECONDS = 10.0
"""No writer takes so long to write a file anew: one that still says less by then was begun anew, with less to say."""


class TrackedRun:
    """One logical run, as the files behind it change. `parts` are its segments, oldest first."""

    __slots__ = (
        "_held_since", "_waits", "error", "failures", "hints", "is_dropped", "is_held", "is_restored", "lacks_memory",
        "looks", "parts", "slot", "stand_ins",
    )  # fmt: skip

    def __init__(self, segments: Sequence[Segment], awake: Awake) -> None:
        self.parts = tuple(segments)
        self.stand_ins: Sequence[Segment] = ()
        """Sources that are read as well while those in `parts` hold no rows."""
        self.slot = IndexSlot(awake)
        self.hints = NO_HINTS
        self.is_restored = False
        """Its sidecar was looked for."""
        self.is_dropped = False
        """Its index was given up, to be made again when it is asked for: it could not be saved and took memory."""
        self.looks = 0
        """How often its files were looked at."""
        self.failures = 0
        """How often indexing it went wrong, one after the other."""
        self.error = ""
        self.is_held = False
        """A source is being written anew: until it is whole, the index stands on what it said before."""
        self.lacks_memory = False
        """There was none to index it when that was tried last."""
        self._waits = False
        self._held_since = 0.0

    def hold(self) -> None:
        """Have what is known stand for now."""
        if not self.is_held:
            self._held_since = time.monotonic()
        self.is_held = True
        self._waits = not self.is_at_rest

    @property
    def is_due_again(self) -> bool:
        """Whether a source that was being written anew can be no more by now."""
        return self.is_held and self._waits and self.is_at_rest

    @property
    def is_written_anew(self) -> bool:
        """Whether a source that is not as the index knows it is one whose writer writes it anew as a whole."""
        known = {file.path: file for file in self.slot.fingerprints}
        rewritten = [part for part in self.every if part.is_rewritten and part.seen is not None]
        return any(part.path not in known or compare(part, known[part.path]) == "changed" for part in rewritten)

    @property
    def is_at_rest(self) -> bool:
        """Whether no source can be half-written any more of those that are written anew as a whole."""
        if self.is_held and time.monotonic() - self._held_since > LONGEST_HOLD_SECONDS:
            return True
        changed_at = max((part.changed_at for part in self.every if part.is_rewritten), default=0.0)
        return time.time() - changed_at > REST_SECONDS

    @property
    def begins_stand_ins(self) -> bool:
        """Whether there are stand-ins to be read that the index does not know yet."""
        return bool(self.stand_ins) and len(self.logs) > len(self.slot.fingerprints)

    @property
    def beginning(self) -> int:
        """See `Mark`. A log that is written anew as a whole, or is still short, has none."""
        first = self.parts[0]
        if first.is_stored or first.is_rewritten:
            return 0
        known = (file for file in self.slot.fingerprints if file.path == first.path)
        return next((int.from_bytes(file.head[:4]) for file in known if file.offset >= PROOF_BYTES), 0)

    @property
    def newest(self) -> Segment:
        """The segment started last."""
        return self.parts[-1]

    def take_hints(self, hints: Hints) -> bool:
        """Have the settings' word on logs; whether any of its sources heeds it."""
        self.hints = hints
        heeding = [part for part in (*self.parts, *self.stand_ins) if part.found.format]
        for part in heeding:
            part.hints = hints
        return bool(heeding)

    @property
    def every(self) -> Sequence[Segment]:
        """All its sources in the order they are read: stand-ins last, once the index shows that they are needed."""
        if not self.slot.filled or self.slot.ask(self.has_rows):
            return self.parts
        if not self.stand_ins:
            self.stand_ins = self.find_stand_ins()
            for part in self.stand_ins:
                part.hints = self.hints
                part.look_again()
        return [*self.parts, *self.stand_ins]

    def find_stand_ins(self) -> Sequence[Segment]:
        """What else tells of the run."""
        return ()

    def has_rows(self, index: IndexedRun) -> bool:
        """Whether an index has rows that are not from stand-ins."""
        names = {part.path for part in self.stand_ins}
        return any(index.sources[source].key not in names for source in index.history.rows.stretches.sources)

    @property
    def logs(self) -> list[Log]:
        """The sources to index, in the order they are read."""
        return [log for log in (part.log() for part in self.every) if log is not None]

    @property
    def logs_at_last(self) -> list[Log]:
        """The same where the sidecar may be another by now; with an index that is lost they are those to begin with."""
        try:
            return self.logs
        except IndexLostError:
            return self.logs

    @property
    def unread_bytes(self) -> int:
        """Bytes in the sources that the index does not stand on."""
        read = self.read_to
        return sum(max(part.size - read.get(part.path, 0), 0) for part in self.every if part.is_readable)

    @property
    def size(self) -> int:
        """Bytes in all its sources."""
        return sum(part.size for part in self.every if part.is_readable)

    @property
    def is_whole(self) -> bool:
        """Whether the index has all there was when the sources were last looked at, or all that can be had."""
        if not self.size or self.failures or self.is_held:
            return True
        if not self.slot.filled or self.compare() == "changed":
            return False
        read = self.read_to
        return all(read.get(part.path, 0) >= part.asked for part in self.every if part.is_readable)

    def compare(self) -> Literal["same", "grown", "changed"]:
        """What became of the sources the index was made from."""
        found = self._compare()
        if found == "changed":
            # The index may stand on more than was last seen of its sources.
            for part in self.every:
                part.look_again()
            found = self._compare()
        return found

    def _compare(self) -> Literal["same", "grown", "changed"]:
        parts = [part for part in self.every if part.is_readable]
        known = self.slot.fingerprints
        if [file.path for file in known] != [part.path for part in parts[: len(known)]]:
            return "changed"
        grown = [compare(part, file) for part, file in zip(parts, known, strict=False)]
        if "changed" in grown or _ended_one_grew(parts, grown):
            return "changed"
        return "grown" if "grown" in grown or len(parts) > len(known) or self.unread_bytes else "same"

    def learn(self, stamped: Sequence[Stamped]) -> None:
        """Indexing it went well; what the index knows of its sources is known of the segments."""
        self.error, self.failures = "", 0
        self.is_held = self.lacks_memory = False
        by_path = {source.file.path: source for source in stamped}
        for part in self.parts:
            source = by_path.get(part.path)
            if source is not None:
                part.take(source)
                part.forget_probe()
                part.error = ""
                if not self.slot.ask(lambda index: index.history.total_rows):
                    part.check_start()

    @property
    def trouble(self) -> str:
        """Why it cannot be read, or not all of it; empty when it can."""
        if self.lacks_memory:
            return f"{self.newest.path}: there is no memory to index it"
        return self.error or next((part.error for part in self.parts if part.error), "")

    def fail(self, error: str) -> None:
        """It could not be read."""
        self.error = error
        self.failures += 1

    def leave_out(self, error: OSError) -> bool:
        """A source could not be read: whether there are others, which are to be read without it until it changes."""
        left = [part for part in self.every if part.is_readable]
        lost = [part for part in left if error.filename in (part.path, part.found.path)]
        if not lost or len(lost) == len(left):
            return False
        for part in lost:
            part.close(error)
        return True

    def take_over(self, known: TrackedRun) -> None:
        """This is what became of that run: it has other segments now, and its index may still fit."""
        self.slot.take_over(known.slot)
        self.is_held, self._held_since = known.is_held, known._held_since
        self.is_restored = known.is_restored

    @property
    def read_to(self) -> dict[str, int]:
        """How far each source was read, by its path."""
        return dict(zip((log.name for log in self.slot.logs), self.slot.offsets, strict=False))

    @property
    def incomplete(self) -> dict[str, int]:
        """Bytes with which each log ends that are the beginning of a record, by its path; of whole files none."""
        known = self.slot.ask(lambda index: {found.key: found.size - found.resume.offset for found in index.sources})
        grows = (part.path for part in self.every if not (part.is_stored or part.is_rewritten))
        return {path: known[path] for path in grows if known.get(path)}

    def changed(self) -> None:
        """Something it is read from, or its index, is not what it was."""

    def look(self, now: float) -> bool:
        """One stat for each source; whether anything changed."""
        self.looks += 1
        changed = False
        for part in (*self.parts, *self.stand_ins):
            changed = part.look(now) or changed
        if changed:
            self.changed()
            self.failures = 0
        return changed


def _ended_one_grew(parts: Sequence[Segment], grown: Sequence[str]) -> bool:
    """Whether a source has grown that had ended when a later one began."""
    alone = [became for part, became in zip(parts, grown, strict=False) if not part.goes_on_beside]
    return "grown" in alone[:-1]


def compare(part: Segment, file: Fingerprint) -> Literal["same", "grown", "changed"]:
    """What became of a source since it was as this fingerprint says."""
    seen = part.seen
    assert seen is not None
    if part.is_stored:
        signs = (file.size, file.mtime_ns, file.ctime_ns)
        is_same = (seen.size, seen.mtime_ns, seen.ctime_ns) == signs and file.offset >= seen.size
        return "changed" if seen.inode != file.inode else "same" if is_same else "grown"
    if seen.is_of(file.inode, file.size, file.mtime_ns, file.ctime_ns):
        return "same"
    if seen.inode != file.inode or seen.size < file.size:
        return "changed"
    return "grown" if seen.size > file.size else "changed"
