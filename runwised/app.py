"""Puts the daemon together; the only file that sees every layer."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from runwise_protocol import __version__
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.launch import READY
from runwise_protocol.paths import cache_folder, runtime_folder, state_folder

from runwised.catalog.catalog import Catalog
from runwised.catalog.pruning import LIMITS, Limits
from runwised.mcp_host import McpHost
from runwised.server import lifecycle
from runwised.server.answers import Answers
from runwised.server.dispatch import Engine

_QUIET_SECONDS = 60
"""Between two log lines of one cause."""


def main(argv: Sequence[str]) -> None:
    """Run the daemon, and end the process."""
    options = _parser().parse_args(argv)
    os.umask(0o077)
    _log_to_stderr()
    status = 0
    host = McpHost(Path(cache_folder()))
    try:
        if options.stdio:
            lifecycle.live_on_pipes(0, 1, _engine, host)
        else:
            plan = lifecycle.Plan(folder=runtime_folder(), idle_seconds=options.idle_seconds)
            lifecycle.live(plan, _engine, lambda: _tell(options.ready_fd, READY), host)
    except RunwiseError as error:
        status = _failed(options.ready_fd, error)
    except Exception as error:  # the boundary: whoever waits for us must hear of it
        logging.getLogger(__name__).exception("the daemon broke")
        status = _failed(options.ready_fd, RunwiseError(Kind.INTERNAL, f"the daemon broke: {error!r}"))
    logging.shutdown()
    os._exit(status)  # a thread that hangs in a read must not keep us


def _engine() -> Engine:
    # What is held of runs has no cycles and stays: to go through it again and again would cost more than answers.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    cache = Path(cache_folder())
    return Answers(Catalog(cache, Path(state_folder()), limits=_limits()), cache)


def _limits() -> Limits:
    """What the cache may keep. Raises RunwiseError."""
    most = _number("RUNWISE_CACHE_GIB", LIMITS.most_bytes / 2**30)
    return Limits(int(most * 2**30), _number("RUNWISE_CACHE_DAYS", LIMITS.grace_seconds / 86_400) * 86_400)


def _number(name: str, default: float) -> float:
    """A setting of the environment. Raises RunwiseError."""
    asked = os.environ.get(name) or str(default)
    try:
        number = float(asked)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise RunwiseError(Kind.USAGE, f"{name} is {asked!r}, expected a number", f"export {name}={default:g}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runwised", description="The daemon that answers the runwise command.")
    parser.add_argument("--version", action="version", version=f"runwised {__version__}")
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=os.environ.get("RUNWISE_IDLE_SECONDS") or 0,
        metavar="S",
        help="end after this long without a question (0, the default: never)",
    )
    parser.add_argument("--detach", action="store_true", help="go to the background at once")
    parser.add_argument("--stdio", action="store_true", help="serve one client on stdin and stdout")
    parser.add_argument("--ready-fd", type=int, metavar="N", help="descriptor to write to when ready, or why not")
    return parser


def _tell(descriptor: int | None, message: bytes) -> None:
    """Say it to whoever started us, once."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, message)
    except BrokenPipeError:
        logging.getLogger(__name__).info("nobody waits for us to be ready")
    os.close(descriptor)


def _failed(descriptor: int | None, error: RunwiseError) -> int:
    logging.getLogger(__name__).error("%s", error)
    _tell(descriptor, f"{error.message}\n{error.hint}\n".encode(errors="backslashreplace"))
    return error.kind.exit_status


class _Sparing(logging.Filter):
    """Lets one line a minute through for each cause (the text of a message before its values are filled in)."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        cause = f"{record.msg}{record.exc_info[0] if record.exc_info else ''}"
        now = time.monotonic()
        due = now - self._last.get(cause, -_QUIET_SECONDS) >= _QUIET_SECONDS
        if due:
            self._last[cause] = now
        return due


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    handler.addFilter(_Sparing())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    faulthandler.register(signal.SIGUSR1)  # `kill -USR1` shows where every thread is
