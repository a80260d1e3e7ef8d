"""SQLite databases read while others write them: without a lock, without a file made beside them, each read whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote

from runwised.catalog.identity import Seen, look
from runwised.catalog.processes import lives
from runwised.catalog.stores.snapshot import BEING_WRITTEN, State, copy, examine, remove

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
Ask: TypeAlias = Callable[["sqlite3.Connection", int], T]
"""Reads what is wanted, at most so many rows, as plain data; may be called again when a writer came between."""

ENDINGS = (".db", ".sqlite", ".sqlite3", ".db3")
MOST_OPEN = 8
IDLE_SECONDS = 60.0
STRAY_SECONDS = 3600.0
MOST_TRIES = 12
MOST_SECONDS = 5.0
LEAST_ROWS = 64
_PATIENCE = 4
"""So often a hot journal is waited for: a live writer's transaction is over in milliseconds."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.05
_SCHEMA_BYTES = 4 << 20
_PREFIX = "runwised-store-"
_STRAY = re.compile(re.escape(_PREFIX) + r"(\d+)-")
_CREATE = re.compile(rb"""CREATE TABLE (?:IF NOT EXISTS )?["'`\[]?(\w+)["'`\]]?\s*\(([^\0]{0,1000})""")


class Opened:
    """One database as it is open now: the original while it is quiet, else a copy in a folder of our own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.used_at = time.monotonic()
        self._state: State | None = None
        self._connection: sqlite3.Connection | None = None
        self._folder = ""
        self._delete: Callable[[], object] | None = None
        self._is_pristine = False
        """Whether the copied database file is as it was copied: nothing was rolled back in it."""

    def connect(self, path: str, state: State, make_folder: Callable[[], str]) -> sqlite3.Connection | None:
        """A connection to the database as it is in `state`; None when it could not be copied undisturbed.

        Raises OSError and sqlite3.Error.
        """
        known = self._state
        if self._connection is not None and known is not None and known.is_settled and known.is_same(state):
            return self._connection
        self._disconnect()
        if state.is_quiet:
            self.close()
            self._connection = _open(path, "mode=ro&immutable=1")
        elif not self._copy(path, state, make_folder):
            self.close()
            return None
        self._state = state
        return self._connection

    def _copy(self, path: str, state: State, make_folder: Callable[[], str]) -> bool:
        known = self._state
        has_main = self._is_pristine and known is not None and known.main == state.main and known.is_settled
        if not self._folder:
            self._folder = make_folder()
            self._delete = weakref.finalize(self, _remove_own, self._folder, os.getpid())
        self._is_pristine = False
        try:
            target = copy(path, state, self._folder, has_main=has_main)
        except FileNotFoundError:
            return False
        if not state.was_undisturbed(examine(path)):
            return False
        # Only a copy with a journal is written to (rolled back): the other stays fit to be used with a longer log.
        self._is_pristine = not state.is_hot
        self._connection = _open(target, "mode=rw" if state.is_hot else "mode=ro")
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close it and delete the copy."""
        self._disconnect()
        self._state, self._folder, self._is_pristine = None, "", False
        if self._delete is not None:
            self._delete()
            self._delete = None


class Databases:
    """The databases that are open, a few at a time; a context manager. Safe to use from several threads."""

    def __init__(self, scratch: str | None = None) -> None:
        self.scratch = scratch
        """Where copies are made; None: the system's temporary folder."""
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_swept = False

    def __enter__(self) -> Databases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._opened)

    def query(self, path: str, ask: Ask[T], most: int = 0) -> T:
        """What `ask` reads, all of it as it was at one moment; with fewer rows than `most` where writers are quick.

        Raises OSError: there is no database, it cannot be read, or it is never left alone.
        """
        # SQLite resolves links too before it names what belongs beside a database.
        path = os.path.realpath(path)
        deadline = time.monotonic() + MOST_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        with self._use(path) as opened:
            for tries in range(MOST_TRIES):
                state = examine(path)
                if not state.is_hot or tries >= _PATIENCE:
                    found = self._try(path, opened, state, ask, _fewer(most, tries))
                    if found is not None:
                        return found[0]
                if time.monotonic() > deadline:
                    break
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise BlockingIOError(errno.EBUSY, BEING_WRITTEN, path)

    def _try(self, path: str, opened: Opened, state: State, ask: Ask[T], most: int) -> tuple[T] | None:
        """What was read, in a tuple; None when a writer came between."""
        import sqlite3

        failed: sqlite3.Error | None = None
        try:
            connection = opened.connect(path, state, self._make_folder)
            if connection is None:
                return None
            found = (_ask(ask, connection, most),)
        except sqlite3.Error as error:
            failed = error
        if state.is_quiet and not state.was_undisturbed(examine(path)):
            opened.close()
            return None
        if failed is not None:
            opened.close()
            raise OSError(errno.EIO, f"cannot be read: {failed}", path) from failed
        return found

    @contextlib.contextmanager
    def _use(self, path: str) -> Iterator[Opened]:
        with self._lock:
            if self._pid != os.getpid():
                # A forked process shares its parent's connections and folders: it must not touch them.
                self._opened, self._pid = OrderedDict(), os.getpid()
            opened = self._opened.setdefault(path, Opened())
            self._opened.move_to_end(path)
            opened.used_at = time.monotonic()
            self._close_idle(opened)
        with opened.lock:
            yield opened

    def _close_idle(self, kept: Opened) -> None:
        now = time.monotonic()
        for path, opened in list(self._opened.items()):
            is_idle = now - opened.used_at > IDLE_SECONDS or len(self._opened) > MOST_OPEN
            if is_idle and opened is not kept and opened.lock.acquire(blocking=False):
                try:
                    opened.close()
                finally:
                    opened.lock.release()
                del self._opened[path]

    def close_idle(self) -> None:
        """Close what has not been used for a while; for a program that may not ask again for long."""
        with self._lock:
            self._close_idle(Opened())

    def close(self) -> None:
        """Close all and delete the copies; they are made again when they are needed."""
        with self._lock:
            opened, self._opened = list(self._opened.values()), OrderedDict()
        for each in opened:
            with each.lock:
                each.close()

    def _make_folder(self) -> str:
        scratch = self.scratch or tempfile.gettempdir()
        if not self._is_swept:
            self._is_swept = True
            _sweep(scratch)
        return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=scratch)


def peek_tables(path: str) -> Mapping[str, str]:
    """Tables of a database with what their definitions hold between the parentheses, at one short look.

    Empty where there is no database. Where it is being written the beginnings of its files are searched instead, which
    may miss a table. Never waits, never raises.
    """
    import sqlite3

    path = os.path.realpath(path)
    try:
        state = examine(path)
        if not state.is_quiet:
            return _search_tables(path)
        with contextlib.closing(_open(path, "mode=ro&immutable=1")) as connection:
            found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL")
            return {name: sql.partition("(")[2] for name, sql in found if isinstance(sql, str)}
    except (OSError, sqlite3.Error):
        return {}


def _search_tables(path: str) -> Mapping[str, str]:
    tables: dict[str, str] = {}
    for each in (path, path + "-wal"):
        with contextlib.suppress(FileNotFoundError), open(each, "rb") as file:
            for name, columns in _CREATE.findall(file.read(_SCHEMA_BYTES)):
                tables[name.decode()] = columns.decode("utf-8", "replace")
    return tables


def look_at(path: str) -> Seen | None:
    """Database and write-ahead log as one: sizes added up, the newest times; None when it is not there."""
    path = os.path.realpath(path)
    main = look(path)
    log = look(path + "-wal")
    return main and add_up(main, [main, log] if log else [main])


def add_up(first: Seen, files: list[Seen]) -> Seen:
    """Device and inode of the first, sizes added up, the newest times."""
    mtimes, ctimes = zip(*(each.times for each in files), strict=True)
    return Seen(first.device, first.inode, sum(each.size for each in files), max(mtimes), max(ctimes))


def _fewer(most: int, tries: int) -> int:
    """Fewer rows at every try: a short read fits between two transactions where a long one does not."""
    return max(most >> 2 * tries, min(most, LEAST_ROWS))


def _ask(ask: Ask[T], connection: sqlite3.Connection, most: int) -> T:
    """What is asked; text that is no UTF-8 costs no more than its own characters, and time only where there is any."""
    import sqlite3

    try:
        return ask(connection, most)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode"):
            raise
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return ask(connection, most)


def _open(path: str, how: str) -> sqlite3.Connection:
    import sqlite3  # late, here as elsewhere: it takes a megabyte, and few projects have a database

    return sqlite3.connect(f"file:{quote(os.fsencode(path))}?{how}", uri=True, check_same_thread=False)


def _remove_own(folder: str, pid: int) -> None:
    if pid == os.getpid():
        remove(folder)


def _sweep(scratch: str) -> None:
    """Delete what processes that are gone have left."""
    with contextlib.suppress(OSError), os.scandir(scratch) as entries:
        for entry in entries:
            stray = _STRAY.match(entry.name)
            if stray and entry.is_dir(follow_symlinks=False) and not lives(int(stray[1])):
                found = entry.stat(follow_symlinks=False)
                if found.st_uid == os.getuid() and time.time() - found.st_mtime > STRAY_SECONDS:
                    remove(entry.path)


def text_of(value: Any) -> str | None:
    """A text column's value; None where it is empty."""
    return None if value is None or value == "" else str(value)
