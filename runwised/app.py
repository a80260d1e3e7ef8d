"""Puts the daemon together; the only file that sees every layer."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from runwise_protocol import __version__
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.launch import READY, log_path
from runwise_protocol.paths import cache_folder, runtime_folder, state_folder

from runwised.catalog import allocator
from runwised.catalog.catalog import Catalog
from runwised.catalog.pruning import LIMITS, Limits
from runwised.mcp_host import McpHost
from runwised.server import lifecycle, logs
from runwised.server.answers import Answers
from runwised.server.dispatch import Engine
from runwised.server.options import IDLE_SECONDS, LOG_LEVEL, Options, options

_log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Run the daemon, and end the process."""
    given = _parser().parse_args(argv)
    os.umask(0o077)
    if given.forget_everything:
        from runwised.catalog.forgetting import forget_everything

        print(json.dumps(forget_everything(Path(cache_folder()), Path(state_folder()))))
        return
    if given.check:
        from runwised.catalog.checks import checks

        found = checks(Path(cache_folder()), Path(state_folder()), given.all)
        print(json.dumps([check._asdict() for check in found]), flush=True)
        os._exit(0)  # a disk that does not answer must not keep us
    logs.begin("info", log_path(), os.environ)
    status = 0
    host = McpHost(Path(cache_folder()))
    try:
        if given.stdio:
            _read_options(given)
            lifecycle.live_on_pipes(0, 1, _engine, host)
        else:
            reread = partial(_plan, given)
            lifecycle.live(reread(), _engine, partial(_tell, given.ready_fd, READY), host, reread)
    except RunwiseError as error:
        status = _failed(given.ready_fd, error)
    except Exception as error:  # noqa: BLE001 - the boundary: whoever waits for us must hear of it
        _log.critical("the daemon broke", exc_info=error)
        status = _failed(given.ready_fd, RunwiseError(Kind.INTERNAL, f"the daemon broke: {error!r}"))
    logs.end()
    os._exit(status)  # a thread that hangs in a read must not keep us


def _plan(given: argparse.Namespace) -> lifecycle.Plan:
    """As it is to live from now on. Raises RunwiseError."""
    return lifecycle.Plan(folder=runtime_folder(), idle_seconds=_read_options(given).idle_seconds)


def _read_options(given: argparse.Namespace) -> Options:
    said = {LOG_LEVEL: given.log_level, IDLE_SECONDS: given.idle_seconds}
    found = options({name: value for name, value in said.items() if value is not None}, os.environ)
    logs.set_level(found.log_level)
    return found


def _engine() -> Engine:
    allocator.begin()
    # What is held of runs has no cycles and stays: to go through it again and again would cost more than answers.
    gc.freeze()
    # What answers leave behind in knots waits for the next turn: not so much of it that it would show.
    gc.set_threshold(10_000, 20, 100)
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
        "--idle-seconds", metavar="S", help="end after this long without a question (0, the default: never)"
    )
    parser.add_argument("--log-level", metavar="L", help=f"{', '.join(logs.LEVELS)} (info by default)")
    parser.add_argument("--detach", action="store_true", help="go to the background at once")
    parser.add_argument("--stdio", action="store_true", help="serve one client on stdin and stdout")
    parser.add_argument("--check", action="store_true", help="look at caches and limits, tell as JSON, and end")
    parser.add_argument("--all", action="store_true", help="with --check: look at every index, not at a sample")
    parser.add_argument(
        "--forget-everything", action="store_true", help="remove caches, tags, notes and the log, tell which, and end"
    )
    parser.add_argument("--ready-fd", type=int, metavar="N", help="descriptor to write to when ready, or why not")
    return parser


def _tell(descriptor: int | None, message: bytes) -> None:
    """Say it to whoever started us, once."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, message)
    except BrokenPipeError:
        _log.info("nobody waits for us to be ready")
    os.close(descriptor)


def _failed(descriptor: int | None, error: RunwiseError) -> int:
    _log.error("%s", error)
    _tell(descriptor, f"{error.message}\n{error.hint}\n".encode(errors="backslashreplace"))
    return error.kind.exit_status
