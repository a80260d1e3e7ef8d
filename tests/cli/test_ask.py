"""What the daemon leaves to the full parser is answered all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_line_that_is_not_plain_reaches_the_daemon_by_the_longer_road(
    runwise: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    told = runwise("history", "gpt-hot", "-k", "-odd", cwd=ROOT / "runwised" / "demo")
    assert told.returncode == 3
    assert told.stderr.startswith("error: no ")
    assert "-odd" in told.stderr
