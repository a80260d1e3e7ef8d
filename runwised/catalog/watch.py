"""Hints that something changed: file events, where the system gives them. Sweeps, not events, are what is relied on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

import anyio
from watchfiles import awatch

MOST_FOLDERS = 256
DEBOUNCE_MILLISECONDS = 200
STEP_MILLISECONDS = 50
TIMEOUT_MILLISECONDS = 60_000
AGAIN_SECONDS = 10.0


async def follow(folders: Sequence[str], heed: Callable[[set[str]], None]) -> None:
    """Hand on the paths that change in these folders (not below them), until cancelled.

    What watching may meet (a folder that vanishes, too few watches, a name that is no UTF-8) is waited out: whoever
    sweeps finds what was missed.
    """
    while True:
        watched = [folder for folder in folders if os.path.isdir(folder)][:MOST_FOLDERS]
        if watched:
            with contextlib.suppress(OSError, RuntimeError, UnicodeError):
                await _watch(watched, heed)
        await anyio.sleep(AGAIN_SECONDS)


async def _watch(folders: Sequence[str], heed: Callable[[set[str]], None]) -> None:
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        # The watching thread does not notice a cancellation; this event it does.
        tasks.start_soon(_set_at_end, stop)
        async for changes in awatch(
            *folders,
            watch_filter=None,
            debounce=DEBOUNCE_MILLISECONDS,
            step=STEP_MILLISECONDS,
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


async def _set_at_end(stop: anyio.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()
