"""The listening socket: made at the runtime folder's path, or handed over by who made it (systemd, launchd)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import sys
from collections.abc import MutableMapping

import msgspec
from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import SOCKET_NAME

HANDED_NAME = "runwised"
"""What our socket is called among those handed over: ``FileDescriptorName`` in the unit, a key in the plist."""
_FIRST_HANDED = 3
_BACKLOG = 1024
_UNBOUND_NAME = "new.sock"
"""Where the socket is made before it takes its place; not longer than its own name."""
_ESRCH, _ENOENT = 3, 2
_INSTALL = "runwise daemon install"


class Seat(msgspec.Struct, frozen=True):
    """The listening socket, and the file that leads to it."""

    listening: socket.socket
    path: str
    identity: tuple[int, int]
    """Device and inode."""
    is_handed: bool = False
    """Whether somebody else made it, and goes on listening when we end."""

    @property
    def ours(self) -> bool:
        """Whether the path still leads to this socket."""
        found = lstat(self.path)
        return found is not None and (found.st_dev, found.st_ino) == self.identity

    def leave(self) -> None:
        """Let nobody in any more; who knocks at a socket that was handed over waits there for the next daemon."""
        self.listening.close()
        if not self.is_handed and self.ours:
            os.unlink(self.path)


def sit(folder: str) -> Seat:
    """Listen at the folder's socket path, over the remains of an earlier daemon, never over a living one.

    Raises RunwiseError. The socket is closed to others, and accepts, from the moment it can be seen.
    """
    path, unbound = f"{folder}/{SOCKET_NAME}", f"{folder}/{_UNBOUND_NAME}"
    found = lstat(path)
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        raise RunwiseError(Kind.UNREACHABLE, f"{path} is in the way: it is not a socket", f"rm -r {path}")
    give_way(folder)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unbound)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        listening.bind(unbound)
        listening.listen(_BACKLOG)
        os.rename(unbound, path)
    except OSError as error:
        listening.close()
        raise RunwiseError(Kind.UNREACHABLE, f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(umask)
    bound = os.lstat(path)
    return Seat(listening, path, (bound.st_dev, bound.st_ino))


def give_way(folder: str) -> None:
    """Raises RunwiseError when a daemon listens there."""
    living = launch.connect(folder)
    if living is not None:
        living.close()
        message = f"a daemon is already running (pid {launch.holder(folder)})"
        raise RunwiseError(Kind.UNREACHABLE, message, "runwise daemon status")


def handed_over(folder: str, environ: MutableMapping[str, str]) -> Seat | None:
    """The seat that who started us has made in `folder`; None where we are to make it ourselves.

    Raises RunwiseError where what was handed over is not what clients look for. The variables that announced it are
    taken from `environ`: they are not for our children.
    """
    descriptors = _from_systemd(environ) or (_from_launchd() if sys.platform == "darwin" else {})
    if not descriptors:
        return None
    number = _chosen(descriptors)
    try:
        listening = socket.socket(fileno=number)
        listening.set_inheritable(False)
    except OSError as error:
        message = f"what was handed over as descriptor {number} is no socket: {error.strerror}"
        raise RunwiseError(Kind.UNREACHABLE, message, _INSTALL) from error
    path = f"{folder}/{SOCKET_NAME}"
    if trouble := _trouble(listening, path):
        raise RunwiseError(Kind.UNREACHABLE, f"the socket that was handed over {trouble}", _INSTALL)
    bound = os.lstat(path)
    return Seat(listening, path, (bound.st_dev, bound.st_ino), is_handed=True)


def lstat(path: str) -> os.stat_result | None:
    """What is at a path; None where nothing is."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _from_systemd(environ: MutableMapping[str, str]) -> dict[int, str]:
    """Descriptors and their names, as sd_listen_fds(3) has them; none where they are meant for another process."""
    pid, count, names = (environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    descriptors = range(_FIRST_HANDED, _FIRST_HANDED + int(count))
    called = names.split(":") if names else []
    return dict(zip(descriptors, [*called, *[""] * (len(descriptors) - len(called))], strict=False))


def _from_launchd() -> dict[int, str]:
    """The same on macOS: launch_activate_socket(3) asks for a socket by its key in the plist."""
    system = ctypes.CDLL(None)
    activate = getattr(system, "launch_activate_socket", None)
    if activate is None:
        return {}
    activate.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_int)), ctypes.POINTER(ctypes.c_size_t)]
    activate.restype = ctypes.c_int
    system.free.argtypes, system.free.restype = [ctypes.c_void_p], None
    given, count = ctypes.POINTER(ctypes.c_int)(), ctypes.c_size_t()
    error = activate(HANDED_NAME.encode(), ctypes.byref(given), ctypes.byref(count))
    if error in (_ESRCH, _ENOENT):  # not started by launchd; its plist names no such socket
        return {}
    if error:
        message = f"launchd does not hand over the socket: {os.strerror(error)}"
        raise RunwiseError(Kind.UNREACHABLE, message, _INSTALL)
    try:
        return {given[at]: HANDED_NAME for at in range(count.value)}
    finally:
        system.free(ctypes.cast(given, ctypes.c_void_p))


def _chosen(descriptors: dict[int, str]) -> int:
    """Ours; the others are closed."""
    ours = [number for number, name in descriptors.items() if len(descriptors) == 1 or name == HANDED_NAME]
    if len(ours) != 1:
        names = ", ".join(name or "one without a name" for name in descriptors.values())
        message = f"{len(descriptors)} sockets were handed over ({names}), expected one called {HANDED_NAME}"
        raise RunwiseError(Kind.UNREACHABLE, message, _INSTALL)
    for number in descriptors.keys() - set(ours):
        os.close(number)
    return ours[0]


def _trouble(listening: socket.socket, path: str) -> str:
    """What is wrong with a socket that should listen at `path`; nothing where it does."""
    if listening.family != socket.AF_UNIX:
        return f"is of the family {socket.AddressFamily(listening.family).name}, expected AF_UNIX"
    if listening.type != socket.SOCK_STREAM:
        return f"is of the type {socket.SocketKind(listening.type).name}, expected SOCK_STREAM"
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen"
    name = listening.getsockname()
    if not isinstance(name, str) or os.path.realpath(name) != os.path.realpath(path):
        return f"lies at {os.fsdecode(name)!r}, clients look for {path!r}"
    found = lstat(path)
    return "" if found is not None and stat.S_ISSOCK(found.st_mode) else f"has lost its file {path}"
