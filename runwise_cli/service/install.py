"""`runwise daemon install` and `uninstall`: the service's files are shown before they are written; none is left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from runwise_protocol import launch
from runwise_protocol.channel import NotRunning
from runwise_protocol.client import Client
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.paths import SOCKET_NAME, UnsafeFolder, check_folder, make_folder, runtime_folder

from runwise_cli import daemon
from runwise_cli.installing import difference, read, write
from runwise_cli.service import units
from runwise_cli.service.manager import Manager, by_hand, running


def install(*, show: bool, hardening: bool) -> Iterator[str]:
    """Write what is missing or differs, and have it started; with `show` nothing is written, only shown.

    Gives what to tell, a diff before each file is written. Raises RunwiseError, before anything is written where a file
    is in the way that is not ours.
    """
    wanted = units.files(hardening=hardening)
    changes = [(file, difference(file.path, _replaceable(file.path), file.text)) for file in wanted]
    for file, changed in changes:
        if not changed:
            yield f"{file.path} is there already\n"
            continue
        yield changed
        if not show:
            write(file.path, file.text)
            yield f"{file.path}: written\n"
    if not show:
        if any(file.path == units.hardening_path() for file in wanted):
            _make_written_folders()
        yield from _started(running(), wanted[0].path, is_changed=any(changed for _, changed in changes))


def _make_written_folders() -> None:
    """They are let through as they are when the service starts; it cannot make them itself then."""
    for folder in units.written_folders():
        try:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RunwiseError(
                Kind.UNREADABLE, f"cannot make {folder}: {error.strerror}", f"mkdir -p {folder}"
            ) from error


def _replaceable(path: Path) -> str:
    """What is there now. Raises RunwiseError where that is somebody else's."""
    if path.is_symlink():
        raise RunwiseError(Kind.USAGE, f"{path} is a link to {path.readlink()}, not ours", f"rm {path}")
    text = read(path)
    if text and not units.is_ours(text):
        raise RunwiseError(Kind.USAGE, f"{path} is there, and not ours", f"mv {path} {path}.mine")
    return text


def _started(manager: Manager | None, agent: Path, *, is_changed: bool) -> Iterator[str]:
    if manager is None:
        _link_wanted()
        yield f"no service manager runs for you here: it starts at the next login, or after\n  {by_hand()}\n"
        return
    _prepare_runtime_folder()
    if runs_by_itself():
        yield daemon.stop()[0] + ": it had been started by a question\n"
    yield manager.start(agent, is_changed=is_changed) + "\n"


def _link_wanted() -> None:
    """What `systemctl --user enable` would do. Raises RunwiseError."""
    link = units.wanted_link()
    if sys.platform == "darwin" or link.is_symlink():
        return
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(units.folder() / units.SOCKET)
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot make {link}: {error.strerror}", by_hand()) from error


def _prepare_runtime_folder() -> None:
    """Our folder as clients will have it: who listens makes it too, but not everyone closes it to others."""
    try:
        make_folder(runtime_folder())
    except UnsafeFolder as unsafe:
        raise RunwiseError(Kind.UNREACHABLE, str(unsafe), unsafe.hint) from unsafe
    except OSError as error:
        raise RunwiseError(Kind.UNREACHABLE, f"{runtime_folder()}: {error.strerror}") from error


def runs_by_itself() -> bool:
    """Whether a daemon runs that was handed no socket. Raises RunwiseError."""
    try:
        with Client.connect(start=False) as client:
            return not client.control("status").get("handed_over", False)
    except NotRunning:
        return False


def uninstall(*, purge: bool) -> Iterator[str]:
    """Stop the service and the daemon, and remove all that was made; with `purge` what was learned and said too.

    Gives what to tell. Files that are not ours stay. Raises RunwiseError.
    """
    manager = running()
    ours = [file.path for file in units.files(hardening=True) if units.is_ours(read(file.path))]
    links = [link for link in (units.wanted_link(),) if link.is_symlink()]
    if manager is not None and (ours or links):
        manager.stop(ours[0] if ours else links[0])
        yield "the service is stopped\n"
    yield daemon.stop()[0] + "\n"
    for path in [*links, *ours]:
        _remove(path)
        yield f"{path}: removed\n"
    if manager is not None and (ours or links):
        manager.forget()
    _remove_empty(path.parent for path in [*links, *ours])
    _clear_runtime_folder()
    if purge:
        yield from _purge()
    if not (ours or links):
        yield "no service was installed\n"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot remove {path}: {error.strerror}", f"rm {path}") from error


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that were made for the files, unless somebody else has something there."""
    last = units.folder().parent.parent if sys.platform != "darwin" else units.folder()
    for folder in folders:
        with contextlib.suppress(OSError):
            while folder != last:
                folder.rmdir()
                folder = folder.parent


def _clear_runtime_folder() -> None:
    """Remove socket and locks, unless a daemon has just been started again."""
    folder = Path(runtime_folder())
    try:
        check_folder(str(folder))
        lock = os.open(folder / launch.LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (OSError, UnsafeFolder):
        return  # not there, or nothing that we made
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in (SOCKET_NAME, launch.LAUNCH_LOCK_NAME, launch.LOCK_NAME):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        return  # in use again
    finally:
        os.close(lock)


def _purge() -> Iterator[str]:
    """Have the daemon's own code remove what it has ever written: it knows its names. Raises RunwiseError."""
    command = [*launch.daemon_command(), "--forget-everything"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=launch.environment(os.environ))
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RunwiseError(Kind.UNREADABLE, f"cannot remove caches: {said}", " ".join(command))
    yield from (f"{path}: removed\n" for path in json.loads(done.stdout))
