"""Tells the service manager how the daemon is; see sd_notify(3), and nothing where there is no such manager."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

_MICROSECONDS = 1_000_000

_log = logging.getLogger(__name__)


class Notifier:
    """Sends states as datagrams to the manager's socket; without an address it does nothing."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0) -> None:
        """`address`: a path, or ``@`` and a name of the abstract namespace."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds
        """A sign of life is expected this often; 0: not at all."""

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Notifier:
        """As the environment has it; its variables are taken from there: they are not for our children."""
        address, period, pid = (environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
        is_ours = period.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address if address[:1] in ("/", "@") else "", int(period) / _MICROSECONDS if is_ours else 0)

    @property
    def is_heard(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Questions are answered (again)."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str, *, is_alive: bool) -> None:
        """How it is, in a line; with a sign of life for the watchdog where `is_alive`."""
        self._send(f"STATUS={status}" + ("\nWATCHDOG=1" if is_alive and self.watchdog_seconds else ""))

    def reloading(self) -> None:
        """Settings are being read; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reading settings")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=saving")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sender:
                sender.setblocking(False)  # a manager that does not listen must not hold us up
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            _log.warning("the service manager cannot be told: %s", error)
