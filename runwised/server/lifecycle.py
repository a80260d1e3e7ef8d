"""The daemon's life: one per user, from the lock to the last save."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import resource
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.abc
import msgspec
from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, make_folder

from runwised.server.dispatch import Dispatcher, Engine, Host
from runwised.server.listener import Listener
from runwised.server.pulse import Pulse
from runwised.server.session import Limits, Session
from runwised.server.wire import Wire

LOCK_SECONDS = 3
"""Longest wait for a daemon that is just ending."""
CLOSE_SECONDS = 1.5
"""Longest wait for the last save."""
STOP_SECONDS = 1.9
"""From being told to end to the end."""
MOST_DESCRIPTORS = 8192
"""What the most clients need, and as much again."""
_RETRY_SECONDS = 0.02
_BACKLOG = 1024
_UNBOUND_NAME = "new.sock"
"""Where the socket is made before it takes its place; not longer than its own name."""

_log = logging.getLogger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a daemon is to live."""

    folder: str
    """Its runtime folder."""
    idle_seconds: float = 0
    """It ends after this long without a question; 0: never."""
    check_seconds: float = 60
    """Between two looks at whether the socket is still its own."""
    limits: Limits = Limits()


class Seat(msgspec.Struct, frozen=True):
    """The listening socket, and the file that leads to it."""

    listening: socket.socket
    path: str
    identity: tuple[int, int]
    """Device and inode."""

    @property
    def ours(self) -> bool:
        """Whether the path still leads to this socket."""
        found = _lstat(self.path)
        return found is not None and (found.st_dev, found.st_ino) == self.identity

    def leave(self) -> None:
        """Let nobody in any more."""
        self.listening.close()
        if self.ours:
            os.unlink(self.path)


def live(plan: Plan, make_engine: Callable[[], Engine], ready: Callable[[], None], host: Host | None = None) -> None:
    """Serve until asked to end; `ready` is called when the first question can be answered.

    Raises RunwiseError when it cannot begin. The caller should end the process with `os._exit`: threads may hang.
    """
    try:
        make_folder(plan.folder)
    except UnsafeFolder as unsafe:
        raise RunwiseError(Kind.UNREACHABLE, str(unsafe), unsafe.hint) from unsafe
    _take_descriptors()
    with _lock(plan.folder):
        anyio.run(_serve, plan, make_engine, ready, host)


def _take_descriptors() -> None:
    """A connection each for many who wait: as many as we may have, of what the limit for old programs leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def live_on_pipes(incoming: int, outgoing: int, make_engine: Callable[[], Engine], host: Host | None = None) -> None:
    """Serve the one client at the other ends of two pipes until it goes away."""
    anyio.run(_serve_pipes, Wire(incoming, outgoing), make_engine, host)


async def _serve(plan: Plan, make_engine: Callable[[], Engine], ready: Callable[[], None], host: Host | None) -> None:
    engine = make_engine()
    seat = _sit(plan.folder)
    dispatcher = Dispatcher(engine, host)
    listener = Listener(seat.listening, dispatcher, plan.limits)
    dispatcher.facts = lambda: {"socket": seat.path, "clients": listener.clients, "idle_limit": plan.idle_seconds}
    try:
        async with _working(engine, dispatcher) as group:
            group.start_soon(listener.run)
            group.start_soon(_watch_idle, plan, dispatcher)
            group.start_soon(_watch_seat, plan, seat, dispatcher)
            ready()
            if host is not None:
                group.start_soon(host.warm)
            _log.info("ready on %s", seat.path)
            await dispatcher.stop.wait()
            seat.leave()
    finally:
        seat.leave()
    _log.info("ended")


async def _serve_pipes(wire: Wire, make_engine: Callable[[], Engine], host: Host | None) -> None:
    engine = make_engine()
    dispatcher = Dispatcher(engine, host)
    limits = Limits(quiet_seconds=math.inf)
    pulse = Pulse(limits.alive_seconds)
    session = Session(wire, dispatcher, limits, pulse)

    async def serve() -> None:
        await session.run()
        dispatcher.stop.set()

    async with _working(engine, dispatcher) as group:
        group.start_soon(pulse.run)
        group.start_soon(serve)
        await dispatcher.stop.wait()


@contextlib.asynccontextmanager
async def _working(engine: Engine, dispatcher: Dispatcher) -> AsyncIterator[anyio.abc.TaskGroup]:
    """The engine at work, and signals obeyed; on leaving, all tasks are cancelled and the engine is closed."""
    try:
        async with anyio.create_task_group() as group:
            _obey_signals(dispatcher)
            await group.start(engine.run)
            yield group
            group.cancel_scope.cancel()
    finally:
        _end_within(STOP_SECONDS)
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await engine.close()


def _obey_signals(dispatcher: Dispatcher) -> None:
    """SIGTERM, SIGINT and SIGQUIT end the daemon; SIGHUP does not: it outlives the terminal it came from."""
    loop = asyncio.get_running_loop()

    def end(number: int, _: object) -> None:
        _end_within(STOP_SECONDS)
        _log.info("ending: %s", signal.Signals(number).name)
        loop.call_soon_threadsafe(dispatcher.stop.set)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_within(seconds: float) -> None:
    """Whatever hangs, be it the loop itself: the kernel ends us then."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if not signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, seconds)


async def _watch_idle(plan: Plan, dispatcher: Dispatcher) -> None:
    while plan.idle_seconds:
        left = plan.idle_seconds - dispatcher.idle_seconds
        if left <= 0:
            _log.info("ending: no question for %g s", plan.idle_seconds)
            dispatcher.stop.set()
        await anyio.sleep(max(left, _RETRY_SECONDS))


async def _watch_seat(plan: Plan, seat: Seat, dispatcher: Dispatcher) -> None:
    """End when nobody can find us any more: another socket took the place, or it was removed."""
    while seat.ours:
        await anyio.sleep(plan.check_seconds)
    _log.warning("ending: %s is not ours any more", seat.path)
    dispatcher.stop.set()


@contextlib.contextmanager
def _lock(folder: str) -> Iterator[None]:
    """Hold the right to be the daemon. Raises RunwiseError when another one does and does not end."""
    path = f"{folder}/{launch.LOCK_NAME}"
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := _held(path)) is None:
        _give_way(folder)
        if time.monotonic() > deadline:
            raise launch.not_responding(folder)
        time.sleep(_RETRY_SECONDS)
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _held(path: str) -> int | None:
    """The lock file, locked by us; None while another process has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    found = _lstat(path)
    if found is None or found.st_ino != os.fstat(lock).st_ino:  # removed meanwhile: this lock locks nobody out
        os.close(lock)
        return None
    return lock


def _sit(folder: str) -> Seat:
    """Listen at the folder's socket path, over the remains of an earlier daemon, never over a living one.

    Raises RunwiseError. The socket is closed to others, and accepts, from the moment it can be seen.
    """
    path, unbound = f"{folder}/{SOCKET_NAME}", f"{folder}/{_UNBOUND_NAME}"
    found = _lstat(path)
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        raise RunwiseError(Kind.UNREACHABLE, f"{path} is in the way: it is not a socket", f"rm -r {path}")
    _give_way(folder)
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


def _give_way(folder: str) -> None:
    """Raises RunwiseError when a daemon listens there."""
    living = launch.connect(folder)
    if living is not None:
        living.close()
        message = f"a daemon is already running (pid {launch.holder(folder)})"
        raise RunwiseError(Kind.UNREACHABLE, message, "runwise daemon status")


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
