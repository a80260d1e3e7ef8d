"""Hints that something changed: file events, where the system gives them. Sweeps, not events, are what is relied on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import NamedTuple

import anyio
import anyio.to_thread

MOST_FOLDERS = 256
TIMEOUT_MILLISECONDS = 60_000
AGAIN_SECONDS = 10.0
_LIMIT = "file watch limit reached"
"""What the library says when there are too few watches."""


class Beat(NamedTuple):
    """How long events are gathered, in milliseconds: at most `debounce`, or until none comes for one `step`.

    The library wakes up once a step, whatever happens.
    """

    debounce: int
    step: int


CALM = Beat(400, 200)
"""While nobody does: who asks looks for themselves."""
QUICK = Beat(20, 8)
"""While somebody waits for a change."""
FLOOD = 64
"""Events at once that are more than trainings make."""
FLOOD_SECONDS = 0.001
"""Of a flood, handing on rests so long for each event, and no longer than `MOST_SECONDS`."""
MOST_SECONDS = 0.2


def _ignore(watched: Sequence[str], why: str) -> None:
    del watched, why


async def follow(
    folders: Sequence[str],
    heed: Callable[[set[str]], None],
    beat: Beat = CALM,
    begun: Callable[[], None] = lambda: None,
    told: Callable[[Sequence[str], str], None] = _ignore,
) -> None:
    """Hand on the paths that change in these folders (not below them), until cancelled.

    `begun` is called once they are watched: what happened before is nobody's event. `told` is told which are watched
    from now on, and why not all, or none, are.

    What watching may meet (a folder that vanishes, too few watches, a name that is no UTF-8) is waited out: whoever
    sweeps finds what was missed. Where there are too few watches, as many folders as there are watches for are watched.
    """
    while True:
        watched = [folder for folder in folders if os.path.isdir(folder)]
        why, most = "", len(watched)
        while most:
            error = await _watch(watched[:most], heed, beat, begun, partial(told, watched[:most], why))
            why = _reason(error, most) if error is not None else why
            most = most // 2 if error is not None and _LIMIT in str(error) else 0
        told((), why)
        await anyio.sleep(AGAIN_SECONDS)


def _reason(error: Exception, count: int) -> str:
    """Why folders are not watched, and what helps."""
    if _LIMIT in str(error):
        return f"not all folders can be watched ({count} are too many): raise fs.inotify.max_user_watches"
    if os.strerror(errno.EMFILE) in str(error):
        return "no folder can be watched (too many watchers): raise fs.inotify.max_user_instances"
    return f"watching broke, and is begun anew: {error}"


async def _watch(
    folders: Sequence[str],
    heed: Callable[[set[str]], None],
    beat: Beat,
    begun: Callable[[], None],
    stands: Callable[[], None],
) -> Exception | None:
    """Watch until it breaks; what broke it, nothing where the folders are gone."""
    # It brings much with it: the first answer does not wait for that.
    awatch = (await anyio.to_thread.run_sync(import_module, "watchfiles")).awatch
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        # The watching thread does not notice a cancellation; this event it does.
        tasks.start_soon(_set_at_end, stop)
        tasks.start_soon(_told, begun, stands)  # has its turn when the watch stands, which nothing is awaited before
        try:
            async for changes in awatch(
                *folders,
                watch_filter=None,
                debounce=beat.debounce,
                step=beat.step,
                stop_event=stop,
                rust_timeout=TIMEOUT_MILLISECONDS,
                yield_on_timeout=False,
                debug=False,
                raise_interrupt=None,
                force_polling=False,
                poll_delay_ms=300,
                recursive=False,
                ignore_permission_denied=False,
            ):
                heed({path for _, path in changes})
                if len(changes) > FLOOD:  # the library gathers meanwhile, and many at once cost less
                    await anyio.sleep(min(FLOOD_SECONDS * len(changes), MOST_SECONDS))
        except (OSError, RuntimeError, UnicodeError) as error:
            return error
        finally:
            tasks.cancel_scope.cancel()
    return None


async def _told(begun: Callable[[], None], stands: Callable[[], None]) -> None:
    stands()
    begun()


async def _set_at_end(stop: anyio.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()
