"""What this machine lets a test do, and the commands that inject faults; each skips where it cannot."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

FUSE = Path(__file__).with_name("fuse_mirror.py")


@functools.cache
def works(*command: str) -> bool:
    """Whether a command can be run here and succeeds."""
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        return False
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, check=False, timeout=20, **quiet).returncode == 0  # type: ignore[call-overload, no-any-return]


def need_strace() -> None:
    """Skip where system calls cannot be made to fail."""
    if not works("strace", "-f", "-e", "trace=getpid", "-e", "inject=getpid:error=EIO", "-o", "/dev/null", "true"):
        pytest.skip("strace is not here, or may not trace")


def bound_by_modes() -> list[str]:
    """Runs a command that the mode bits of files bind, as they do everybody but root."""
    if os.getuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if not works(*command, "true"):
        pytest.skip("root cannot lay down its privileges here")
    return command


def own_mounts(script: str = "") -> list[str]:
    """Runs a command where a shell script has mounted something that nobody else sees, and that ends with it."""
    unshare = (
        ["unshare", "-m"] if works("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt") else ["unshare", "-rm"]
    )
    if not works(*unshare, "mount", "-t", "tmpfs", "none", "/mnt"):
        pytest.skip("mount namespaces are not to be had")
    return [*unshare, "sh", "-c", f'{script or ":"} && exec "$@"', "sh"]


def own_limits(**limits: int) -> list[str]:
    """Runs a command with limits on inotify of its own: ``own_limits(watches=3)``."""
    script = " && ".join(f"echo {most} > /proc/sys/user/max_inotify_{name}" for name, most in limits.items())
    command = ["unshare", "-Ur", "sh", "-c", f'{script} && exec "$@"', "sh"]
    if not works(*command, "true"):
        pytest.skip("limits of one's own are not to be had: user namespaces are forbidden")
    return command


def mirrored(source: Path, mount: Path, mode: Path) -> list[str]:
    """Runs a command that sees `source` at `mount` through a file system of another kind; see `fuse_mirror`."""
    command = own_mounts()
    if not works(*command, sys.executable, str(FUSE), "/", "/mnt", "/dev/null", "true"):
        pytest.skip("file systems of one's own (FUSE) are not to be had")
    mode.write_text("ok")
    return [*command, sys.executable, str(FUSE), str(source), str(mount), str(mode)]


def strace(output: Path, *options: str) -> list[str]:
    """Runs a command under strace; what it saw is in `output`."""
    need_strace()
    return ["strace", "-f", "-qq", "-o", str(output), *options]


def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
    """A command that is to end soon, whatever its status."""
    given: dict[str, object] = {"capture_output": True, "timeout": 60, "check": False, **options}
    return subprocess.run(command, **given)  # type: ignore[call-overload, no-any-return]
