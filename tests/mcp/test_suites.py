"""The suites of others, and a load: outside the default selection; the commands stand in tests/README.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
NPM = (
    "npm i --prefix /tmp/npm "
    "@modelcontextprotocol/inspector@2.12 @modelcontextprotocol/conformance@0.2.0-alpha.12 node@22"
)
SCENARIOS = [
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "completion-complete",
    "resources-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
    "caching",
    "http-header-validation",
    "sep-2164-resource-not-found",
    "tools-call-error",
    "tools-list",
    "prompts-list",
]
CALLS = 500
P99_SECONDS = 0.015


def tool(name: str) -> str:
    """The path of a command from npm; skips where there is none, or no Node that can run it."""
    node, found = shutil.which("node"), shutil.which(name)
    if found is None or node is None:
        pytest.skip(f"no {name} or no node: {NPM}; put node_modules/node/bin and node_modules/.bin first in PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < 22:
        pytest.skip(f"node is {version}, 22 is needed: {NPM}; put node_modules/node/bin first in PATH")
    return found


def test_the_page_says_what_is_run_here() -> None:
    page = README.read_text(encoding="utf-8")
    assert NPM in page
    listed = page.partition("for scenario in ")[2].partition("\ndo ")[0].replace("\\\n", " ").split()
    assert listed == SCENARIOS


@pytest.mark.conformance
def test_the_inspector_finds_nothing_in_the_tools(shared_env: dict[str, str], project: Path) -> None:
    ours = [f"{name}={value}" for name, value in shared_env.items() if name.startswith(("RUNWISE_", "PYTHONPATH"))]
    asked = ["--cli", "--strict", "--method", "tools/list", *(word for each in ours for word in ("-e", each))]
    command = [tool("mcp-inspector"), *asked, sys.executable, "-m", "runwise_mcp"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert '"name": "annotate_run"' in done.stdout
    assert "issue" not in done.stderr


@pytest.fixture(scope="module")
def open_url(shared_env: dict[str, str]) -> Iterator[str]:
    """The address of a server that asks for no token, in the demonstration project."""
    command = [sys.executable, str(HERE / "open_server.py"), "0"]
    demo = HERE.parents[1] / "runwised" / "demo"
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=shared_env, cwd=demo, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().strip()
        process.terminate()


@pytest.mark.conformance
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_conformance_scenario_passes(scenario: str, open_url: str, tmp_path: Path) -> None:
    command = [tool("conformance"), "server", "--url", open_url, "--scenario", scenario]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, timeout=120, check=False
    )
    said = f"{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    counts = re.search(r"Passed: (\d+)/(\d+)", said)
    assert counts is not None, said
    assert int(counts[1]) == int(counts[2]) > 0, said


@pytest.mark.load
def test_five_hundred_calls_are_quick(
    lines: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    client = lines().initialize()
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer = client.ask("tools/call", {"name": "list_runs", "arguments": {}})
        taken.append(time.perf_counter() - begun)
        assert "gpt-base" in answer["result"]["content"][0]["text"]
    p50, p99 = sorted(taken)[CALLS // 2], sorted(taken)[CALLS * 99 // 100]
    record_property("p99_seconds", p99)
    print(f"{CALLS} calls: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    assert p99 <= P99_SECONDS
