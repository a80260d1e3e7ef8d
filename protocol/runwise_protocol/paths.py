"""Where the socket and the daemon's other files lie: one rule, the same on both sides.

Loaded by the lane, so at import it needs `os` and `sys` only.
"""

import os
import sys

SOCKET_NAME = "runwised.sock"
LONGEST_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes that `sun_path` holds, without the closing zero."""


class UnsafeFolder(Exception):  # noqa: N818 - a finding, worded as one
    """The runtime folder cannot be trusted; `hint` is the command that mends it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def runtime_folder() -> str:
    """The folder of the socket and the locks; on the host alone, and nobody else's.

    ``$RUNWISE_RUNTIME_DIR``; else ``$XDG_RUNTIME_DIR/runwised`` where that is absolute, ours and writable; else
    ``runwised-UID`` in ``/tmp`` (macOS: ``$TMPDIR``). Where the socket's path would be too long for the system, a
    folder in /tmp named after a hash of it.
    """
    environ = os.environ
    folder = environ.get("RUNWISE_RUNTIME_DIR") or ""
    if folder:
        folder = os.path.abspath(folder)
    else:
        home = environ.get("XDG_RUNTIME_DIR") or ""
        folder = f"{home}/runwised" if home.startswith("/") and _ours(home) else _temporary()
    if len(os.fsencode(folder)) + 1 + len(SOCKET_NAME) > LONGEST_PATH:
        import hashlib  # only here: it costs more than all the rest

        folder = f"/tmp/runwised-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    return folder


def check_folder(folder: str) -> None:
    """Raises UnsafeFolder unless it is a folder, ours, and closed to everybody else; OSError when it is not there."""
    found = os.lstat(folder)
    kind = found.st_mode & 0o170000
    if kind == 0o120000:
        raise UnsafeFolder(f"{folder} is a symbolic link, it must be a folder", f"rm {folder}")
    if kind != 0o040000:
        raise UnsafeFolder(f"{folder} is not a folder", f"rm {folder}")
    if found.st_uid != os.getuid():
        message = f"{folder} belongs to uid {found.st_uid}, not to you ({os.getuid()})"
        raise UnsafeFolder(message, "export RUNWISE_RUNTIME_DIR=$HOME/.runwised")
    if found.st_mode & 0o077:
        message = f"{folder} has mode {found.st_mode & 0o7777:04o}, others must not get in"
        raise UnsafeFolder(message, f"chmod 700 {folder}")


def make_folder(folder: str) -> None:
    """Make the runtime folder, mode 0700 from birth whatever the umask, and check it.

    Raises UnsafeFolder, and OSError when it cannot be made.
    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    else:
        os.chmod(folder, 0o700)  # a umask of 0777 would have closed it to ourselves
    check_folder(folder)


def state_folder() -> str:
    """Where tags, notes, cursors and the daemon's own log lie: ``$RUNWISE_STATE_DIR``, else the user's state folder."""
    import platformdirs

    return os.environ.get("RUNWISE_STATE_DIR") or platformdirs.user_state_dir("runwised", appauthor=False)


def cache_folder() -> str:
    """Where indexes are kept: ``$RUNWISE_CACHE_DIR``, else the user's cache folder."""
    import platformdirs

    return os.environ.get("RUNWISE_CACHE_DIR") or platformdirs.user_cache_dir("runwised", appauthor=False)


def config_folder() -> str:
    """Where the daemon's own settings lie: ``$RUNWISE_CONFIG_DIR``, else the user's configuration folder."""
    import platformdirs

    return os.environ.get("RUNWISE_CONFIG_DIR") or platformdirs.user_config_dir("runwised", appauthor=False)


def _ours(folder: str) -> bool:
    try:
        return os.stat(folder).st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False


def _temporary() -> str:
    home = os.environ.get("TMPDIR") if sys.platform == "darwin" else None
    return f"{(home or '/tmp').rstrip('/')}/runwised-{os.getuid()}"
