"""What the catalog keeps of a run between questions: its segments, its index, and what went wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from runwised.catalog.identity import Fingerprint, Seen
from runwised.catalog.segment import Segment
from runwised.catalog.slot import IndexSlot
from runwised.catalog.warm import Log, Stamped


class TrackedRun:
    """One logical run, as the files behind it change. `parts` are its segments, oldest first."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.parts = list(segments)
        self.slot = IndexSlot()
        self.is_restored = False
        """Its sidecar was looked for."""
        self.is_locked = False
        """Its sidecar belongs to a newer version of this program: it is not to be written."""
        self.is_dropped = False
        """Its index was given up, to be made again when it is asked for: it could not be saved and took memory."""
        self.failures = 0
        """How often indexing it went wrong, one after the other."""
        self.error = ""

    @property
    def newest(self) -> Segment:
        """The segment started last."""
        return self.parts[-1]

    @property
    def logs(self) -> list[Log]:
        """The sources to index, oldest first."""
        return [log for log in (part.log() for part in self.parts) if log is not None]

    @property
    def unread_bytes(self) -> int:
        """Bytes in the sources that the index does not stand on."""
        read = self.read_to
        return sum(max(part.size - read.get(part.path, 0), 0) for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes in all its sources."""
        return sum(part.size for part in self.parts)

    @property
    def is_whole(self) -> bool:
        """Whether the index has all there was when the sources were last looked at, or all that can be had."""
        if not self.size or self.failures:
            return True
        if not self.slot.filled or self.compare() == "changed":
            return False
        read = self.read_to
        return all(read.get(part.path, 0) >= part.asked for part in self.parts)

    def compare(self) -> Literal["same", "grown", "changed"]:
        """What became of the sources the index was made from."""
        found = self._compare()
        if found == "changed":
            # The index may stand on more than was last seen of its sources.
            for part in self.parts:
                part.look_again()
            found = self._compare()
        return found

    def _compare(self) -> Literal["same", "grown", "changed"]:
        parts = [part for part in self.parts if part.seen is not None]
        known = self.slot.fingerprints
        if [file.path for file in known] != [part.path for part in parts[: len(known)]]:
            return "changed"
        grown = [_compare(part.seen, file) for part, file in zip(parts, known, strict=False) if part.seen]
        if "changed" in grown or "grown" in grown[:-1]:
            return "changed"
        return "grown" if "grown" in grown or len(parts) > len(known) or self.unread_bytes else "same"

    def learn(self, stamped: Sequence[Stamped]) -> None:
        """Indexing it went well; what the index knows of its sources is known of the segments."""
        self.error, self.failures = "", 0
        by_path = {source.file.path: source for source in stamped}
        for part in self.parts:
            source = by_path.get(part.path)
            if source is not None:
                part.run_id, part.said_start = source.run_id, source.started
                part.forget_probe()
                part.error = ""
                if not self.slot.ask(lambda index: index.history.total_rows):
                    part.check_start()

    @property
    def trouble(self) -> str:
        """Why it cannot be read, or not all of it; empty when it can."""
        return self.error or next((part.error for part in self.parts if part.error), "")

    def fail(self, error: str) -> None:
        """It could not be read."""
        self.error = error
        self.failures += 1

    def take_over(self, known: TrackedRun) -> None:
        """This is what became of that run: it has other segments now, and its index may still fit."""
        self.slot.take_over(known.slot)
        self.is_restored, self.is_locked = known.is_restored, known.is_locked

    @property
    def read_to(self) -> dict[str, int]:
        """How far each source was read, by its path."""
        return dict(zip((log.path for log in self.slot.logs), self.slot.offsets, strict=False))

    def changed(self) -> None:
        """Something it is read from, or its index, is not what it was."""

    def look(self, now: float) -> bool:
        """One stat for each source; whether anything changed."""
        changed = False
        for part in self.parts:
            changed = part.look(now) or changed
        if changed:
            self.changed()
            self.failures = 0
        return changed


def _compare(seen: Seen, file: Fingerprint) -> Literal["same", "grown", "changed"]:
    if seen.inode != file.inode or seen.size < file.size:
        return "changed"
    if seen.size > file.size:
        return "grown"
    return "same" if seen.times == (file.mtime_ns, file.ctime_ns) else "changed"
