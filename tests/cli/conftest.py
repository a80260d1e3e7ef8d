"""A user of the machine: a home and a session of their own, and nothing of ours set."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEADLINE_SECONDS = 60

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class User:
    """Somebody with a home and a session; `run` is their shell."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.home, self.session = folder / "home", folder / "run"
        for made in (self.home, self.session):
            made.mkdir(mode=0o700)
        foreign = ("RUNWISE_", "XDG_", "DBUS_", "NOTIFY_", "LISTEN_")
        self.environ = {name: value for name, value in environ.items() if not name.startswith(foreign)}
        self.environ |= {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.session)}

    def run(self, *argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `runwise`."""
        return self.shell(sys.executable, "-m", "runwise_cli", *argv, cwd=cwd)

    def shell(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run any command."""
        return subprocess.run(
            command,
            cwd=cwd or self.home,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    @property
    def units(self) -> Path:
        return self.home / ".config" / "systemd" / "user"

    def files(self) -> list[str]:
        """All that lies in home and session, folders left out."""
        return sorted(
            str(path.relative_to(folder))
            for folder in (self.home, self.session)
            for path in folder.rglob("*")
            if not path.is_dir() or path.is_symlink()
        )


@pytest.fixture
def user(daemon_env: dict[str, str], short_path: Path) -> Iterator[User]:
    user = User(Path(tempfile.mkdtemp(dir=short_path)), daemon_env)
    yield user
    stopped = user.run("daemon", "stop")
    assert stopped.returncode == 0, stopped.stderr
