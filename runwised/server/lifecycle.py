"""The daemon's life: one per user, from the lock to the last save."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.abc
import msgspec
from runwise_protocol import launch
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import UnsafeFolder, make_folder

from runwised.server import signals
from runwised.server.dispatch import Dispatcher, Engine, Host
from runwised.server.listener import Listener
from runwised.server.logs import place
from runwised.server.notify import Notifier
from runwised.server.pulse import Pulse
from runwised.server.seat import Seat, give_way, handed_over, lstat, sit
from runwised.server.session import Limits, Session
from runwised.server.wire import Wire

LOCK_SECONDS = 6
"""Longest wait for a daemon that is just ending: longer than `DRAIN_SECONDS` and the last save together."""
DRAIN_SECONDS = 2
"""What answers that are being worked on have left when another daemon is to take over."""
CANCEL_SECONDS = 0.3
"""Longest wait for what the background does in threads, before the last save."""
CLOSE_SECONDS = 1.5
"""Longest wait for the last save."""
MOST_DESCRIPTORS = 8192
"""What the most clients need, and as much again."""
STALLED_SECONDS = 600
"""Indexing that has not moved for this long hangs; one large log may take minutes."""
STATUS_SECONDS = 10
"""Between two states that the service manager is told, where it does not expect more."""
_RETRY_SECONDS = 0.02

_log = logging.getLogger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a daemon is to live."""

    folder: str
    """Its runtime folder."""
    idle_seconds: float = 0
    """It ends after this long without a question; 0: never."""
    check_seconds: float = 2
    """Between two looks at whether the socket is still its own."""
    limits: Limits = Limits()


class Life:
    """What everybody in a daemon's life shares."""

    def __init__(self, plan: Plan, reread: Callable[[], Plan], engine: Engine, host: Host | None = None) -> None:
        self.plan = plan
        self.engine = engine
        self.host = host
        self.dispatcher = Dispatcher(engine, host)
        self.notifier = Notifier()
        self._reread = reread
        self._loop = asyncio.get_running_loop()
        self._ear = signals.Ear(self._stop_soon, self._reload_soon, engine.rescue)

    def _stop_soon(self) -> None:
        self._loop.call_soon_threadsafe(self.dispatcher.stop.set)

    def _reload_soon(self) -> None:
        self._loop.call_soon_threadsafe(self.reload)

    def reload(self) -> None:
        """Read the settings anew, and forget what was learned of the machine."""
        self.notifier.reloading()
        try:
            self.plan = self._reread()
        except RunwiseError as error:
            _log.error("the settings stay as they were: %s", error)
        self.engine.reload()
        _log.info("settings were read anew")
        self.notifier.ready(self.status())

    def status(self) -> str:
        """How it is, in a line."""
        counts = [f"{count} {name}" for name, count in self.engine.counts().items()]
        return ", ".join(["ready", *counts, f"{self.dispatcher.answered} answers"])

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[anyio.abc.TaskGroup]:
        """The engine at work; on leaving, all tasks are cancelled and the engine is closed.

        What hangs in a thread does not keep the engine from being closed; the process then ends here.
        """
        cancelled = anyio.Event()
        async with anyio.create_task_group() as outer:
            try:
                async with anyio.create_task_group() as group:
                    await group.start(self.engine.run)
                    yield group
                    outer.start_soon(self._close, cancelled)
                    group.cancel_scope.cancel()
            except BaseException:
                outer.start_soon(self._close, cancelled)
                raise
            finally:
                cancelled.set()

    async def _close(self, cancelled: anyio.Event) -> None:
        signals.end_within(signals.STOP_SECONDS)
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CANCEL_SECONDS):
                await cancelled.wait()
            self._ear.saving.set()
            with anyio.move_on_after(CLOSE_SECONDS):
                await self.engine.close()
        if not cancelled.is_set():
            _log.warning("ended, though something hangs")
            logging.shutdown()
            os._exit(0)


def live(
    plan: Plan,
    make_engine: Callable[[], Engine],
    ready: Callable[[], None],
    host: Host | None = None,
    reread: Callable[[], Plan] | None = None,
) -> None:
    """Serve until asked to end; `ready` is called when the first question can be answered.

    `reread` gives the plan as it is to be from then on, when SIGHUP asks for it. A socket that was handed over is taken
    as it is, else one is made. Raises RunwiseError when it cannot begin. The caller should end the process with
    `os._exit`: threads may hang.
    """
    try:
        make_folder(plan.folder)
    except UnsafeFolder as unsafe:
        raise RunwiseError(Kind.UNREACHABLE, str(unsafe), unsafe.hint) from unsafe
    except OSError as error:
        elsewhere = "export RUNWISE_RUNTIME_DIR=/a/folder/of/yours"
        raise RunwiseError(Kind.UNREACHABLE, f"{plan.folder}: {error.strerror}", elsewhere) from error
    signals.hold()
    _take_descriptors()
    notifier = Notifier.of(os.environ)
    handed = handed_over(plan.folder, os.environ)
    with _lock(plan.folder, handed):
        anyio.run(_serve, plan, reread or (lambda: plan), make_engine, ready, host, notifier, handed)


def _take_descriptors() -> None:
    """A connection each for many who wait: as many as we may have, of what the limit for old programs leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def live_on_pipes(incoming: int, outgoing: int, make_engine: Callable[[], Engine], host: Host | None = None) -> None:
    """Serve the one client at the other ends of two pipes until it goes away."""
    signals.hold()
    anyio.run(_serve_pipes, Wire(incoming, outgoing), make_engine, host)


async def _serve(
    plan: Plan,
    reread: Callable[[], Plan],
    make_engine: Callable[[], Engine],
    ready: Callable[[], None],
    host: Host | None,
    notifier: Notifier,
    handed: Seat | None,
) -> None:
    life = Life(plan, reread, make_engine(), host)
    life.notifier = notifier
    dispatcher = life.dispatcher
    seat = handed or sit(plan.folder)
    listener = Listener(seat.listening, dispatcher, plan.limits)
    dispatcher.facts = lambda: {
        "socket": seat.path,
        "handed_over": seat.is_handed,
        "clients": listener.clients,
        "idle_limit": life.plan.idle_seconds,
        "log": place(launch.log_path(), os.environ),
    }
    try:
        async with life.working() as group:
            group.start_soon(listener.run)
            group.start_soon(_watch_idle, life)
            group.start_soon(_watch_seat, life, seat)
            ready()
            if host is not None:
                group.start_soon(host.warm)
            group.start_soon(_beat, life)
            _log.info("ready on %s", seat.path)
            await dispatcher.stop.wait()
            notifier.stopping()
            await listener.close()
            seat.leave()
            await _drain(dispatcher)
    finally:
        seat.leave()
    _log.info("ended")


async def _serve_pipes(wire: Wire, make_engine: Callable[[], Engine], host: Host | None) -> None:
    nothing = Plan(folder="")
    life = Life(nothing, lambda: nothing, make_engine(), host)
    limits = Limits(quiet_seconds=math.inf)
    pulse = Pulse(limits.alive_seconds)
    session = Session(wire, life.dispatcher, limits, pulse)

    async def serve() -> None:
        await session.run()
        life.dispatcher.stop.set()

    async with life.working() as group:
        group.start_soon(pulse.run)
        group.start_soon(serve)
        await life.dispatcher.stop.wait()


async def _drain(dispatcher: Dispatcher) -> None:
    """Let those have their answers who are soon given one, where it is another daemon that we end for."""
    if dispatcher.gives_way:
        with anyio.move_on_after(DRAIN_SECONDS):
            await dispatcher.drained()


async def _watch_idle(life: Life) -> None:
    while True:
        idle, limit = life.dispatcher.idle_seconds, life.plan.idle_seconds
        if limit and idle >= limit:
            _log.info("ending: no question for %g s", limit)
            life.dispatcher.stop.set()
        left = limit - idle if limit else STATUS_SECONDS  # the limit may be another one by then
        await anyio.sleep(max(min(left, STATUS_SECONDS), _RETRY_SECONDS))


async def _watch_seat(life: Life, seat: Seat) -> None:
    """End when nobody can find us any more: another socket took the place, or it was removed."""
    while seat.ours:
        await anyio.sleep(life.plan.check_seconds)
    _log.warning("ending: %s is not ours any more", seat.path)
    life.dispatcher.stop.set()


async def _beat(life: Life) -> None:
    """Tell the service manager how it is, as long as the loop turns and indexing moves."""
    notifier = life.notifier
    if not notifier.is_heard:
        return
    notifier.ready(life.status())
    while True:
        await anyio.sleep(min(notifier.watchdog_seconds / 3 or STATUS_SECONDS, STATUS_SECONDS))
        stalled = life.engine.stalled_seconds
        if stalled >= STALLED_SECONDS:
            _log.error("indexing has not moved for %.0f s", stalled)
        notifier.status(life.status(), is_alive=stalled < STALLED_SECONDS)


@contextlib.contextmanager
def _lock(folder: str, handed: Seat | None) -> Iterator[None]:
    """Hold the right to be the daemon. Raises RunwiseError when another one does and does not end.

    Who was handed the socket waits for one that had made its own: that one sees that it lost its place.
    """
    path = f"{folder}/{launch.LOCK_NAME}"
    deadline = time.monotonic() + LOCK_SECONDS
    while (lock := _held(path)) is None:
        if handed is None:
            give_way(folder)
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
    found = lstat(path)
    if found is None or found.st_ino != os.fstat(lock).st_ino:  # removed meanwhile: this lock locks nobody out
        os.close(lock)
        return None
    return lock
