"""Changes to files of other programs: shown as a diff, then written whole, and only where something differs."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from pathlib import Path

from runwise_protocol.errors import Kind, RunwiseError


def read(path: Path) -> str:
    """What is there; nothing where no file is. Raises RunwiseError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot read {path}: {error}") from error


def difference(path: Path, old: str, new: str) -> str:
    """A unified diff; empty where nothing differs."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=2)
    return "".join(f"{line}\n" for line in lines)


def write(path: Path, text: str) -> None:
    """Put a text in the place of a file, keeping its mode; a link stays one. Raises RunwiseError."""
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            Path(fresh).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(fresh).unlink()
            raise
    except OSError as error:
        raise RunwiseError(Kind.UNREADABLE, f"cannot write {path}: {error.strerror}") from error
