"""Signals, heard on a thread of their own: it hears them too while the loop hangs in a read that never ends."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

STOP_SECONDS = 1.9
"""From being told to end to the end."""
RESCUE_SECONDS = 1.0
"""When the loop has not begun its last save by then, it is done without it."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_HEARD = (*ENDING, signal.SIGHUP)

_log = logging.getLogger(__name__)


def hold() -> None:
    """Have signals wait until they are heard; to be called on the main thread, before there are others."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)


def end_within(seconds: float) -> None:
    """Whatever hangs, be it the loop itself: the kernel ends us then."""
    if not signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, seconds)


class Ear:
    """Hears signals until the process ends.

    SIGTERM, SIGINT and SIGQUIT end the daemon: `stop` is called, and where `saving` is not set in time, `rescue`, after
    which the process ends at once. SIGHUP calls `reload`. All are called on this thread.
    """

    def __init__(self, stop: Callable[[], None], reload: Callable[[], None], rescue: Callable[[], None]) -> None:
        self._stop = stop
        self._reload = reload
        self._rescue = rescue
        self.saving = threading.Event()
        """Set when the loop has begun its last save."""
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def _listen(self) -> None:
        while (number := signal.sigwait(_HEARD)) == signal.SIGHUP:
            self._reload()
        end_within(STOP_SECONDS)
        _log.info("ending: %s", signal.Signals(number).name)
        self._stop()
        if not self.saving.wait(RESCUE_SECONDS):
            _log.warning("something hangs: saving what can be saved without it")
            self._rescue()
            logging.shutdown()
            os._exit(0)
        while True:
            signal.sigwait(_HEARD)  # it is on its way
