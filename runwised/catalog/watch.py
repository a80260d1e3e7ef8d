"""Hints that something changed: file events, where the system gives them. Sweeps, not events, are what is relied on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio
from watchfiles import awatch

MOST_FOLDERS = 256
TIMEOUT_MILLISECONDS = 60_000
AGAIN_SECONDS = 10.0


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


async def follow(
    folders: Sequence[str],
    heed: Callable[[set[str]], None],
    beat: Beat = CALM,
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Hand on the paths that change in these folders (not below them), until cancelled.

    `begun` is called once they are watched: what happened before is nobody's event.

    What watching may meet (a folder that vanishes, too few watches, a name that is no UTF-8) is waited out: whoever
    sweeps finds what was missed.
    """
    while True:
        watched = [folder for folder in folders if os.path.isdir(folder)]
        if watched:
            with contextlib.suppress(OSError, RuntimeError, UnicodeError):
                await _watch(watched, heed, beat, begun)
        await anyio.sleep(AGAIN_SECONDS)


async def _watch(
    folders: Sequence[str], heed: Callable[[set[str]], None], beat: Beat, begun: Callable[[], None]
) -> None:
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        # The watching thread does not notice a cancellation; this event it does.
        tasks.start_soon(_set_at_end, stop)
        tasks.start_soon(_told, begun)  # has its turn when the watch stands: it is set up before anything is awaited
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
        tasks.cancel_scope.cancel()


async def _told(begun: Callable[[], None]) -> None:
    begun()


async def _set_at_end(stop: anyio.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()
