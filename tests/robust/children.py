"""Children that write, and end or are refused in the middle: `python -m tests.robust.children NAME HOME`.

It prepares one of `VICTIMS`, then reads a `Plan` a line, as JSON. For each it forks a child that writes, in folders as
they were prepared, and tells in a line how the child ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runwised.catalog import store as stores
from tests.robust.victims import VICTIMS, Victim

PATIENCE = 30
CALLS = ("open", "write", "pwrite", "fsync", "close", "rename", "unlink", "mkdir", "ftruncate")
"""What the file system is changed with, in `os`; the others in `SYSTEM_CALLS` serve them."""
SYSTEM_CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,close,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,"
    "fallocate,flock,lseek"
)


class Plan(msgspec.Struct):
    """What befalls a child at the n-th call, counted from 1; 0: nothing."""

    at: int = 0
    error: int = 0
    """Number of the error the call fails with; 0: the process ends before it."""
    short: int = 0
    """Bytes that every write takes at most; 0: all."""
    limit: int = 0
    """Bytes that no file may be longer than (RLIMIT_FSIZE); 0: none."""
    waits: bool = False
    """Begin only when told (a byte on stdin): somebody attaches a tracer."""


def befall(plan: Plan) -> Callable[[], int]:
    """Have it happen in this process, by functions in the place of those in `os`; gives what counts their calls."""
    calls = 0

    def instead(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == plan.at:
                if not plan.error:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(plan.error, os.strerror(plan.error))
            if plan.short and call.__name__ in ("write", "pwrite"):
                return call(args[0], memoryview(args[1])[: plan.short], *args[2:])
            return call(*args, **options)

        return counted

    for name in CALLS:
        setattr(os, name, instead(getattr(os, name)))
    return lambda: calls


def _limit(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _child(victim: Victim, plan: Plan) -> None:
    _tell({"pid": os.getpid()})
    if plan.waits:
        os.read(0, 1)
    if plan.limit:
        _limit(plan.limit)
    calls = (lambda: 0) if plan.waits else befall(plan)
    said = victim.act()
    _tell({"said": said, "calls": calls()})


def _tell(message: dict[str, Any]) -> None:
    """By a call that nothing befalls."""
    os.writev(1, [json.dumps(message).encode(), b"\n"])


def _line() -> bytes:
    """What children read of stdin must not be taken from them: a byte at a time."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line


def main(name: str, home: str) -> None:
    """Prepare, and fork a child for every line."""
    stores.RETRY_SECONDS = (0.0, 0.0)
    victim = VICTIMS[name](Path(home))
    victim.prepare()
    victim.keep()
    _tell({"prepared": True})
    while line := _line():
        plan = msgspec.json.decode(line.lstrip(b"."), type=Plan)  # who was killed before it began has left its word
        victim.put_back()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _child(victim, plan)
                status = 0
            finally:
                sys.excepthook(*sys.exc_info()) if status else None  # type: ignore[arg-type]
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        _tell({"exit": max(code, 0), "signal": max(-code, 0)})


if __name__ == "__main__":
    main(*sys.argv[1:])
