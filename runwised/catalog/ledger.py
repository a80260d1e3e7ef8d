"""What every run was like each time a cursor was given: so a cursor, some letters long, stands for all of it.

The ledger is a list of blocks; each says, of one project, which runs were not as the block before it said. A cursor is
the number of blocks there were, and three letters that depend on all of them: one that was given by another ledger, or
by this one before its last blocks were lost, is not taken for one of its own.

On disk: `MAGIC`, then frames of ``length (u32), check (u32), payload``, little-endian. The first payload is a `_Base`,
the others are blocks, in MessagePack. ``check`` is the payload's CRC-32; that of a block goes on from the one before,
the first from what the base says. A torn end is cut off. One process writes the file (flock); another one reads it, and
keeps what it adds to itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from runwised.catalog.store import temporary_in, write_all
from runwised.index.kept import Mark, Past

MAGIC = b"runwise ledger 1\n"
MOST_BYTES = 4 << 20
"""Of blocks; when there are more, the older half is folded into the base, and cursors from before end."""
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of cursors: no two look alike."""
CHECK_LETTERS = 3
MOST_KEPT = 16
"""Pasts that were looked up, kept for the next time."""

_log = logging.getLogger(__name__)


class _Base(msgspec.Struct, array_like=True):
    """What there was before the first block."""

    count: int
    """Blocks that were folded into it."""
    check: int
    projects: dict[bytes, dict[bytes, Mark]]
    """By name, as `_named` spells it."""


class _Block(msgspec.Struct, array_like=True):
    project: bytes
    marks: dict[bytes, Mark | None]
    """None: the run is gone."""


class _Frame(NamedTuple):
    project: bytes
    payload: bytes
    check: int


_encoder = msgspec.msgpack.Encoder()
_base_decoder = msgspec.msgpack.Decoder(_Base)
_block_decoder = msgspec.msgpack.Decoder(_Block)
_frame_head = struct.Struct("<II")


class Ledger:
    """The ledger in a file; in memory alone where there is none, or it cannot be written."""

    def __init__(self, path: Path | None) -> None:
        self.trouble = ""
        """Why cursors are not written down."""
        self._path = path
        self._file: int | None = None
        self._base = _Base(0, _lot(), {})
        self._frames: list[_Frame] = []
        self._bytes = 0
        self._now: dict[bytes, dict[bytes, Mark]] | None = None
        """The marks after the last block."""
        self._known: OrderedDict[tuple[str, int], Past] = OrderedDict()
        self._names: dict[bytes, str] = {}
        """Of every run that stands in one of those, as it is spelled."""

    def note(self, project: str, marks: Mapping[str, Mark | None]) -> str:
        """Have these marks, and the cursor that stands for them and everything before; all others are as they were."""
        known, place = self._opened(), _named(project)
        now = known.get(place, {})
        said = {_named(name): mark for name, mark in marks.items()}
        news = {name: mark for name, mark in said.items() if now.get(name) != mark}
        if news or place not in known:
            self._add(_Block(place, news))
            _fold(known.setdefault(place, now), news)
        return self._spelled(self._base.count + len(self._frames))

    def names(self, project: str) -> set[str]:
        """The runs of a project that were there when it was noted last."""
        return {_name(name) for name in self._opened().get(_named(project), ())}

    def past(self, project: str, cursor: str) -> Past | None:
        """What a project's runs were like when a cursor was given; None for a cursor that is not known, or no more."""
        self._opened()
        count = self._count(cursor)
        if count is None:
            return None
        known = self._known.get((project, count))
        if known is None:
            known = self._known[project, count] = self._past(project, count)
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end((project, count))
        return known

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what was written was looked after when it was
                os.close(file)

    def _past(self, project: str, count: int) -> Past:
        place, frames = _named(project), self._frames[: count - self._base.count]
        mine = [frame for frame in frames if frame.project == place]
        if not mine and place not in self._base.projects:
            return Past(None)
        marks = dict(self._base.projects.get(place, {}))
        for frame in mine:
            _fold(marks, _block_decoder.decode(frame.payload).marks)
        # Of ten thousand runs nearly all are as they were: what is known of them is held once, not once a cursor.
        now = self._opened().get(place, {})
        same = {name: now[name] if now.get(name) == mark else mark for name, mark in marks.items()}
        return Past({self._names.setdefault(name, _name(name)): mark for name, mark in same.items()})

    def _spelled(self, count: int) -> str:
        check = self._frames[count - self._base.count - 1].check if count > self._base.count else self._base.check
        text = ""
        while count or not text:
            count, digit = divmod(count, len(LETTERS))
            text = LETTERS[digit] + text
        for _ in range(CHECK_LETTERS):
            check, digit = divmod(check, len(LETTERS))
            text += LETTERS[digit]
        return f"@{text}"

    def _count(self, cursor: str) -> int | None:
        text = cursor.removeprefix("@").lower()
        digits = text[:-CHECK_LETTERS]
        if not digits or len(digits) > 12 or any(letter not in LETTERS for letter in text):
            return None
        count = 0
        for letter in digits:
            count = count * len(LETTERS) + LETTERS.index(letter)
        first = self._base.count
        known = first <= count <= first + len(self._frames) and self._spelled(count) == f"@{text}"
        return count if known else None

    def _add(self, block: _Block) -> None:
        payload = _encoder.encode(block)
        last = self._frames[-1].check if self._frames else self._base.check
        frame = _Frame(block.project, payload, zlib.crc32(payload, last))
        self._frames.append(frame)
        self._bytes += len(payload)
        if self._bytes > MOST_BYTES:
            self._shorten()
            if self._file is not None and self._path is not None:
                self._write_anew(self._path)
        elif self._file is not None:
            try:
                write_all(self._file, _framed(payload, frame.check))
            except OSError as error:
                self._give_up(error)

    def _shorten(self) -> None:
        """Fold the older half of the blocks into the base."""
        cut, held = 0, self._bytes
        while cut < len(self._frames) - 1 and held > MOST_BYTES // 2:
            frame = self._frames[cut]
            _fold(self._base.projects.setdefault(frame.project, {}), _block_decoder.decode(frame.payload).marks)
            held -= len(frame.payload)
            cut += 1
        self._base.count += cut
        self._base.check = self._frames[cut - 1].check if cut else self._base.check
        self._frames = self._frames[cut:]
        self._bytes = held
        self._known.clear()
        self._names.clear()

    def _opened(self) -> dict[bytes, dict[bytes, Mark]]:
        """Read the file, the first time; the marks as they are now."""
        if self._now is None:
            self._now = {}
            if self._path is not None:
                self._open(self._path)
            self._now = {project: dict(marks) for project, marks in self._base.projects.items()}
            for frame in self._frames:
                _fold(self._now.setdefault(frame.project, {}), _block_decoder.decode(frame.payload).marks)
        return self._now

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            is_mine = _is_locked(self._file, path)
            self._read(os.pread(self._file, os.fstat(self._file).st_size, 0))
        except OSError as error:
            self._give_up(error)
            return
        if is_mine:
            self._write_anew(path)
        else:
            self.close()

    def _read(self, data: bytes) -> None:
        """Take what is whole of a file's bytes."""
        frames = _whole(data)
        try:
            payload, check = next(frames, (b"", 0))
            if not payload or zlib.crc32(payload) != check:
                return
            self._base = _base_decoder.decode(payload)
            last = self._base.check
            for payload, check in frames:
                last = zlib.crc32(payload, last)
                if check != last:
                    return
                self._frames.append(_Frame(_block_decoder.decode(payload).project, payload, check))
                self._bytes += len(payload)
        except msgspec.MsgspecError as error:
            _log.warning("some cursors given before are void: %s", error)

    def _write_anew(self, path: Path) -> None:
        """Write the whole file, under another name first."""
        base = _encoder.encode(self._base)
        frames = [_framed(frame.payload, frame.check) for frame in self._frames]
        data = b"".join([MAGIC, _framed(base, zlib.crc32(base)), *frames])
        beside = Path(temporary_in(str(path.parent)))
        try:
            file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                write_all(file, data)
                os.fsync(file)
                beside.rename(path)
            except OSError:
                os.close(file)
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._give_up(error)
            return
        self.close()
        self._file = file

    def _give_up(self, error: OSError) -> None:
        self.trouble = f"cursors are good for this daemon alone: {error}"
        _log.warning("cursors are good for this daemon alone: %s", error)
        self.close()


def _named(name: str) -> bytes:
    """Names come from folders, and need be no UTF-8."""
    return name.encode(errors="surrogateescape")


def _name(spelled: bytes) -> str:
    return spelled.decode(errors="surrogateescape")


def _is_locked(file: int, path: Path) -> bool:
    """Whether this is the one process that writes the file: it could be locked, and is still the one at that path."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.path.samestat(os.fstat(file), path.stat())


def _fold(marks: dict[bytes, Mark], news: Mapping[bytes, Mark | None]) -> None:
    for name, mark in news.items():
        if mark is None:
            marks.pop(name, None)
        else:
            marks[name] = mark


def _framed(payload: bytes, check: int) -> bytes:
    return _frame_head.pack(len(payload), check) + payload


def _whole(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The frames that are whole, each with its check."""
    at = len(MAGIC) if data.startswith(MAGIC) else len(data)
    while at + _frame_head.size <= len(data):
        size, check = _frame_head.unpack_from(data, at)
        at += _frame_head.size
        if at + size > len(data):
            return
        yield data[at : at + size], check
        at += size


def _lot() -> int:
    """A number that tells this ledger's cursors from those of any other."""
    return int.from_bytes(os.urandom(4), "little")
