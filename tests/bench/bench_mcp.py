"""How long an MCP client waits: for its tools, for a call, and what twenty sessions weigh in the daemon."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.bench_lane import BARE, PROJECT, ROOT, warm_daemon
from tests.bench.harness import Report

SCRIPT = ROOT / "runwise_cli" / "bin" / "runwise-mcp"
ROUNDS = 40
CALLS = 500
SESSIONS = 20
ENVELOPE = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Spawned:
    """A pump, and a client of few words."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        command = [sys.executable, str(SCRIPT)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environ, cwd=PROJECT, **pipes)  # type: ignore[call-overload]

    def ask(self, method: str, **params: object) -> str:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()
        answer: str = self._process.stdout.readline().decode()
        assert '"result"' in answer, answer
        return answer

    def close(self) -> None:
        self._process.communicate()


def run(report: Report) -> None:
    """Starts in turns with a bare Python's, then calls, then weight."""
    with warm_daemon() as environ:
        _listed(environ)  # compiles what is imported, as an installer does
        _daemon(environ, "stop")
        report.row("tools/list, no daemon, SDK not loaded (ms)", _listed(environ) * 1e3, target="at most 1000")
        _daemon(environ, "restart")
        report.row("tools/list, daemon up, SDK not loaded (ms)", _listed(environ) * 1e3)
        _starts(report, environ, "warm", "at most 2.5")
        with _busy():
            _starts(report, environ, "warm, every core busy", "ours at most 150")
        _calls(report, environ)
        _weight(report, environ)


def _daemon(environ: Mapping[str, str], verb: str) -> None:
    command = [sys.executable, "-m", "runwise_cli", "daemon", verb]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)


def _listed(environ: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    client = Spawned(environ)
    client.ask("tools/list")
    taken = time.perf_counter() - begun
    client.close()
    return taken


@contextmanager
def _busy() -> Iterator[None]:
    """Every core has a process that never rests."""
    command = [sys.executable, "-c", "while True: pass"]
    burning = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def _starts(report: Report, environ: Mapping[str, str], when: str, target: str) -> None:
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(_listed(environ))
        begun = time.perf_counter()
        subprocess.run(BARE, env=environ, check=True)
        bare.append(time.perf_counter() - begun)
    mine, theirs = statistics.median(ours), statistics.median(bare)
    report.row(f"tools/list, {when}; python -c pass (ms)", mine * 1e3, theirs * 1e3, mine / theirs, target)
    report.row(f"tools/list, {when}, slowest of {ROUNDS} (ms)", max(ours) * 1e3, max(bare) * 1e3)


def _calls(report: Report, environ: Mapping[str, str]) -> None:
    client, taken = Spawned(environ), []
    for _ in range(CALLS):
        begun = time.perf_counter()
        client.ask("tools/call", name="list_runs", arguments={})
        taken.append(time.perf_counter() - begun)
    client.close()
    taken.sort()
    report.row(f"list_runs, {CALLS} calls, p50 (ms)", taken[CALLS // 2] * 1e3)
    report.row(f"list_runs, {CALLS} calls, p99 (ms)", taken[CALLS * 99 // 100] * 1e3, target="at most 15")


def _weight(report: Report, environ: Mapping[str, str]) -> None:
    before = _resident(environ)
    clients = [Spawned(environ) for _ in range(SESSIONS)]
    for client in clients:
        client.ask("tools/call", name="list_runs", arguments={})
    each = (_resident(environ) - before) / SESSIONS
    for client in clients:
        client.close()
    report.row(f"{SESSIONS} sessions at once, each in the daemon (MiB)", each, target="at most 5")


def _resident(environ: Mapping[str, str]) -> float:
    pid = Path(environ["RUNWISE_RUNTIME_DIR"], "daemon.lock").read_text().strip()
    pages = int(Path("/proc", pid, "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    run(Report())
