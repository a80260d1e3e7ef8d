"""Which file systems report changes: where events can be hoped for, and where only looking again finds anything."""

from __future__ import annotations

import os
import sys
import time

MOUNTINFO = "/proc/self/mountinfo"
AGAIN_SECONDS = 30.0
"""How long the table of mounts is taken to be as it was."""
MOST_LINKS = 40
"""Links one path may lead through, as for the kernel."""
LOCAL = frozenset(
    [
        "apfs",
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfs",
        "jfs",
        "msdos",
        "nilfs2",
        "ntfs3",
        "overlay",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "udf",
        "ufs",
        "vfat",
        "xfs",
        "zfs",
    ]
)
"""Kinds that report every change: none but this machine can make one."""


class Mounts:
    """The mounted file systems (Linux: ``/proc/self/mountinfo``, described in proc(5))."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._known: dict[str, str] = {}
        """What was answered since the mounts were read."""
        self._read_at = -AGAIN_SECONDS

    def forget(self) -> None:
        """Read the table anew before the next answer."""
        self._read_at = -AGAIN_SECONDS

    def kind(self, path: str) -> str:
        """The kind of file system a path lies on; empty where that cannot be known."""
        point = self.point(path)
        return self._kinds.get(point, "")

    def point(self, path: str) -> str:
        """Where the file system is mounted that a path lies on. Never waits for one that may not answer."""
        if time.monotonic() - self._read_at >= AGAIN_SECONDS:
            self._kinds, self._known, self._read_at = _read(), {}, time.monotonic()
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._point(self._resolved(path))
        return known

    def _point(self, path: str) -> str:
        while path not in self._kinds and path != os.path.dirname(path):
            path = os.path.dirname(path)
        return path

    def _resolved(self, path: str) -> str:
        """The path without links, as far as it lies on file systems of this machine: others may not answer."""
        done, rest, links = "/", path.split("/"), 0
        while rest:
            part = rest.pop(0)
            if part in ("", ".", ".."):
                done = os.path.dirname(done) if part == ".." else done
                continue
            here = os.path.join(done, part)
            if self._kinds.get(self._point(here)) not in LOCAL:
                return os.path.normpath(os.path.join(here, *rest))
            try:
                target = os.readlink(here)
            except (OSError, ValueError):  # no link, or nothing at all
                done = here
                continue
            links += 1
            if links > MOST_LINKS:
                return path
            done, rest = "/" if target.startswith("/") else done, [*target.split("/"), *rest]
        return done

    def reports(self, path: str) -> bool:
        """Whether changes made there are reported. Elsewhere than on Linux that is taken for granted."""
        return sys.platform != "linux" or self.kind(path) in LOCAL


def _read() -> dict[str, str]:
    """The kind of what is mounted at each path; of several the last, which hides the others."""
    try:
        with open(MOUNTINFO, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return dict(kind for line in lines if (kind := parse_mount(line)))


def parse_mount(line: bytes) -> tuple[str, str] | None:
    """Mount point and kind of one line: ``36 35 98:0 / /mnt rw shared:1 - ext4 /dev/sda1 rw``."""
    before, separator, after = line.partition(b" - ")
    fields = before.split(b" ")
    if not separator or len(fields) < 6:
        return None
    return os.fsdecode(_unescaped(fields[4])), after.split(b" ")[0].decode(errors="replace")


def _unescaped(field: bytes) -> bytes:
    """Space, tab, newline and backslash stand there as three octal digits behind a backslash."""
    for code in (b"040", b"011", b"012", b"134"):
        field = field.replace(b"\\" + code, bytes((int(code, 8),)))
    return field
