"""Reaches the daemon, and starts one where none answers: connect, lock, connect again, spawn, wait for "ready"."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.frames import ENVIRON
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, make_folder, runtime_folder, state_folder

IDLE_SECONDS = 4 * 3600
"""After this long without a question a daemon that was started by a question ends."""
STOP_SECONDS = 5
"""A daemon that was asked to end and has not by then is stuck."""
READY_SECONDS = 10
"""A daemon that has not said it is ready by then has failed."""
LOCK_NAME = "daemon.lock"
READY = b"ready\n"
LOG_CAP = 1 << 20
"""Bytes of the daemon's log; a longer one is set aside, in the place of the one before."""

LAUNCH_LOCK_NAME = "launch.lock"
_RETRY_SECONDS = 0.02
_KEPT = ("HOME", "PATH", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
_KEPT_FAMILIES = ("LC_", "XDG_", "RUNWISE_")
_OUR_FOLDERS = ("RUNWISE_RUNTIME_DIR", "RUNWISE_CACHE_DIR", "RUNWISE_STATE_DIR", "RUNWISE_CONFIG_DIR")


class NoDaemon(Exception):  # noqa: N818 - a finding, worded as one
    """No daemon can run here at all; `str()` says why."""


def patience() -> int:
    """Seconds to wait for a sign of life (``$RUNWISE_TIMEOUT_SECONDS``, 10 by default, 0: for ever)."""
    asked = os.environ.get("RUNWISE_TIMEOUT_SECONDS") or ""
    return int(asked) if asked.isdecimal() else 10


def reach(*, start: bool) -> socket.socket | None:
    """A connection to the user's daemon; None when there is none and `start` is false.

    Raises NoDaemon where none can run, and RunwiseError (unreachable) with what is wrong.
    """
    folder = runtime_folder()
    try:
        make_folder(folder) if start else check_folder(folder)
        return connect(folder) or (_launch(folder) if start else None)
    except UnsafeFolder as unsafe:
        raise RunwiseError(Kind.UNREACHABLE, str(unsafe), unsafe.hint) from unsafe
    except FileNotFoundError as error:
        if not start:
            return None
        raise NoDaemon(f"{error.filename or folder}: {error.strerror}") from error
    except OSError as error:
        raise NoDaemon(f"{error.filename or folder}: {error.strerror}") from error


def connect(folder: str) -> socket.socket | None:
    """A connection to the daemon whose socket lies there, if one listens.

    Raises RunwiseError when it does not take the connection in time or is somebody else's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A connection with a deadline of Python's own would fail at once when the queue is full: the kernel waits.
        limit = patience().to_bytes(8, sys.byteorder) + bytes(8)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection.connect(f"{folder}/{SOCKET_NAME}")
        if (uid := peer_uid(connection)) not in (None, os.getuid()):
            message = f"{folder}/{SOCKET_NAME} is served by uid {uid}, not by you ({os.getuid()})"
            raise RunwiseError(Kind.UNREACHABLE, message, f"rm {folder}/{SOCKET_NAME}")
    except BlockingIOError as error:
        connection.close()
        raise not_responding(folder) from error
    except (FileNotFoundError, ConnectionError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end; None where the system does not tell."""
    if sys.platform == "linux":
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    elif sys.platform == "darwin":
        peer = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred, version, uid, ...
    else:
        return None
    return int.from_bytes(peer[4:8], sys.byteorder)


def not_responding(folder: str) -> RunwiseError:
    """What to say of a daemon that is there and silent."""
    pid = holder(folder)
    return RunwiseError(
        Kind.UNREACHABLE, f"the daemon is not responding (pid {pid})", f"kill -9 {pid}, or set RUNWISE_NO_DAEMON=1"
    )


def holder(folder: str) -> str:
    """The pid that the daemon's lock file names, or ``?``: for people only, nothing is done by it."""
    try:
        return Path(folder, LOCK_NAME).read_text().strip() or "?"
    except (OSError, UnicodeDecodeError):
        return "?"


def wait_until_ended(seconds: float) -> bool:
    """Whether no daemon holds the lock any more, waiting for it at most so long."""
    deadline = time.monotonic() + seconds
    try:
        lock = os.open(f"{runtime_folder()}/{LOCK_NAME}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        while not _locked(lock):
            if time.monotonic() > deadline:
                return False
            time.sleep(_RETRY_SECONDS)
    finally:
        os.close(lock)
    return True


def replace(stop: Callable[[], bool]) -> None:
    """Start a daemon in the place of the one that `stop` ends (False: there is none); nobody else starts one meanwhile.

    Where a service manager has the socket it is what starts the next one. Raises RunwiseError.
    """
    folder = runtime_folder()
    with _launch_lock(folder, though_one_answers=True):
        if not stop():
            return
        if not wait_until_ended(STOP_SECONDS):
            raise not_responding(folder)
        found = connect(folder)
        failure = None if found else _spawn(folder)
        if found is not None:
            found.close()
    if failure is not None:
        raise failure


def _launch(folder: str) -> socket.socket:
    """Start a daemon, unless somebody else does it first. Raises RunwiseError and OSError."""
    with _launch_lock(folder) as early:
        found = early or connect(folder)
        if found is not None:
            return found
        failure = _spawn(folder)
        found = connect(folder)  # it may have failed because another one was already on its way
    if found is None:
        raise failure or RunwiseError(Kind.UNREACHABLE, "the daemon ended at once", f"see {log_path()}")
    return found


@contextlib.contextmanager
def _launch_lock(folder: str, *, though_one_answers: bool = False) -> Iterator[socket.socket | None]:
    """Hold the right to start a daemon; gives a connection instead where one answered while waiting for it."""
    deadline = time.monotonic() + READY_SECONDS + 5
    lock = os.open(f"{folder}/{LAUNCH_LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found = None
        while not _locked(lock) and (though_one_answers or (found := connect(folder)) is None):
            if time.monotonic() > deadline:
                message = "another process has been starting the daemon for too long"
                raise RunwiseError(Kind.UNREACHABLE, message, f"see {log_path()}")
            time.sleep(_RETRY_SECONDS)
        yield found
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn(folder: str) -> RunwiseError | None:
    """Start a daemon and wait until it is ready; gives why it is not. Raises OSError."""
    idle = idle_seconds()
    ready, told = os.pipe()
    try:
        try:
            with open_log() as log:
                begin = os.fstat(log).st_size
                subprocess.run(
                    [*daemon_command(), "--detach", "--ready-fd", str(told)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(told,),
                    start_new_session=True,
                    cwd="/",
                    umask=0o077,
                    env={**environment(os.environ), "RUNWISE_RUNTIME_DIR": folder, "RUNWISE_IDLE_SECONDS": idle},
                    check=False,
                )
        finally:
            os.close(told)
        return _outcome(ready, begin)
    finally:
        os.close(ready)


def _outcome(ready: int, begin: int) -> RunwiseError | None:
    deadline = time.monotonic() + READY_SECONDS
    said = b""
    while not said.endswith(READY):
        if not select.select([ready], [], [], max(0, deadline - time.monotonic()))[0]:
            message = f"the daemon did not come up within {READY_SECONDS} s"
            return RunwiseError(Kind.UNREACHABLE, message, f"see {log_path()}")
        data = os.read(ready, 4096)
        if not data:
            message, _, hint = said.decode(errors="replace").strip().partition("\n")
            reason = message or f"the daemon ended while it was starting: {_last_words(begin)}"
            return RunwiseError(Kind.UNREACHABLE, reason, hint or f"see {log_path()}")
        said += data
    return None


def _last_words(begin: int) -> str:
    """The last line of the log after offset `begin`."""
    try:
        said = Path(log_path()).read_bytes()[begin:].decode(errors="replace").split("\n")
    except OSError:
        said = []
    return next((line.strip() for line in reversed(said) if line.strip()), "no reason given")


def daemon_command() -> list[str]:
    """How this very installation's daemon is called: by name, from no folder of the user's."""
    return [sys.executable, "-P", "-m", "runwised"]


def idle_seconds() -> str:
    """``$RUNWISE_IDLE_SECONDS``, or the default. Raises RunwiseError when it is no number."""
    asked = os.environ.get("RUNWISE_IDLE_SECONDS") or str(IDLE_SECONDS)
    if not re.fullmatch(r"\d{1,9}(\.\d*)?", asked):
        message = f"RUNWISE_IDLE_SECONDS is {asked!r}, expected a number of seconds"
        raise RunwiseError(Kind.USAGE, message, "export RUNWISE_IDLE_SECONDS=14400")
    return asked


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What a daemon gets of the environment of who starts it: nothing that belongs to one project or one shell."""
    kept = {
        name: value
        for name, value in ours.items()
        if (name in _KEPT or name.startswith(_KEPT_FAMILIES)) and name not in ENVIRON
    }
    for name in {"PYTHONPATH", *_OUR_FOLDERS} & ours.keys():
        kept[name] = os.pathsep.join(os.path.abspath(part) for part in ours[name].split(os.pathsep) if part)
    return kept


def log_path() -> str:
    """The daemon's own log."""
    return f"{state_folder()}/daemon.log"


@contextlib.contextmanager
def open_log() -> Iterator[int]:
    """Descriptor of the daemon's log, to be appended to; of nowhere when that cannot be written."""
    path = Path(log_path())
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_CAP:
            path.replace(path.with_suffix(".log.old"))
        log = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError:
        log = os.open(os.devnull, flags)
    try:
        yield log
    finally:
        os.close(log)
