"""Readers fuzzed by atheris, where it is installed (the extra ``fuzz``); RUNWISE_FUZZ_SECONDS for each (60)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runwised.formats import all_formats

ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("RUNWISE_FUZZ_SECONDS") or 60)
MOST_MIB = 1024

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("name", [log.name for log in all_formats()])
def test_coverage_leads_to_nothing_that_breaks_a_reader(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install -e '.[fuzz]'")
    limits = [f"-max_total_time={SECONDS}", f"-rss_limit_mb={MOST_MIB}", "-timeout=20", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, "-m", "tests.robust.coverage_fuzz", name, *limits]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "DONE" in done.stderr
