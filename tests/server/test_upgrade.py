"""An upgrade while daemon and clients run: two real versions, and nobody sees an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol import __version__
from runwise_protocol.client import Client
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries.wait import Waited, WaitFor
from runwise_protocol.query import Where
from runwise_protocol.versions import is_newer

from tests.server.service_manager import ServiceManager
from tests.server.writer import Writer

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "runwised" / "demo"
DEADLINE_SECONDS = 30
NEWER = "99.0.0"
WAIT = ("wait", "mine", "--until", "new(loss)", "-t", "30s", "--since")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def install(site: Path, version: str) -> Path:
    """Put a whole runwise of that version into a folder; over one that is there, as an upgrade does."""
    for package in ("runwised", "runwise_cli", "runwise_mcp", "protocol/runwise_protocol"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, site / Path(package).name, ignore=skipped, dirs_exist_ok=True)
    shutil.copytree(ROOT / "systemd", site / "runwise_cli" / "systemd", dirs_exist_ok=True)
    told = site / "runwise_protocol" / "__init__.py"
    told.write_text(told.read_text().replace(f'"{__version__}"', f'"{version}"'))
    return site


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "demo"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A run that goes on, `mine`, with one row."""
    writer = Writer(tmp_path / "live" / "wandb")
    yield writer
    writer.close()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, daemon_env: dict[str, str]) -> None:
    """This process asks the test's own daemon too."""
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)


def runs(env: dict[str, str], *argv: str, cwd: Path) -> subprocess.Popen[str]:
    """`runwise` as a process that is not waited for."""
    command = [sys.executable, "-P", "-m", "runwise_cli", *argv]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=env, **pipes)  # type: ignore[call-overload, no-any-return]


def ended(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return out, err, process.returncode


def cursor(env: dict[str, str], cwd: Path) -> str:
    """From where on what comes is new."""
    return str(json.loads(ended(runs(env, "since", "--format", "json", cwd=cwd))[0])["cursor"])


def status() -> dict[str, Any]:
    """What the daemon says, whatever its version; empty while there is none."""
    try:
        with Client(start=False) as client:
            return client.control("status")
    except RunwiseError:
        return {}


def until(so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not so(found := status()):
        assert time.monotonic() < deadline, found
    return found


@pytest.fixture(params=["by itself", "as a service"])
def managed(request: pytest.FixtureRequest, daemon_env: dict[str, str]) -> Iterator[ServiceManager | None]:
    """With a service manager that has the socket, and without."""
    if request.param == "by itself":
        yield None
        return
    with ServiceManager(daemon_env) as manager:
        yield manager


@pytest.mark.usefixtures("here")
def test_a_newer_client_has_the_daemon_replaced_and_who_waits_goes_on_waiting(
    managed: ServiceManager | None, daemon_env: dict[str, str], writer: Writer, tmp_path: Path
) -> None:
    """The upgrade is made in place: what the old clients would start now is the new version."""
    site = install(tmp_path / "site", __version__)
    env = {**daemon_env, "PYTHONPATH": str(site)}
    if managed is not None:
        managed.use(env)
    began = cursor(env, tmp_path / "live")
    waiting = runs(env, *WAIT, began, cwd=tmp_path / "live")
    assert until(lambda found: found.get("answering") == 1)["version"] == __version__
    old = status()["pid"]
    install(site, NEWER)
    told = ended(runs(env, "list", "--format", "json", cwd=tmp_path / "live"))
    assert (told[1], told[2]) == ("", 0)
    assert json.loads(told[0])["total"] == 1
    now = until(lambda found: found.get("answering") == 1)
    assert (now["version"], now["pid"] != old) == (NEWER, True)
    writer.tell("append", "mine")
    out, err, exit_status = ended(waiting)
    assert out.startswith("new(loss): mine loss .5 at step 1 @")
    assert (err, exit_status) == ("", 0)
    log = Path(daemon_env["RUNWISE_STATE_DIR"], "daemon.log")
    if managed is None:
        assert re.findall(r" ERROR .*", log.read_text()) == []
    else:
        assert len(managed.pids) == 2


@pytest.mark.usefixtures("here")
def test_an_older_client_beside_a_newer_daemon_answers_by_an_engine_of_its_own(
    managed: ServiceManager | None, daemon_env: dict[str, str], writer: Writer, tmp_path: Path
) -> None:
    """Two installations, each of which goes on being used: neither ends the other's daemon for ever."""
    newer = {**daemon_env, "PYTHONPATH": str(install(tmp_path / "site", NEWER))}
    where = Where(cwd=str(tmp_path / "live"))
    began = cursor(daemon_env, tmp_path / "live")
    query = WaitFor(runs=("mine",), until="new(loss)", timeout="30s", since=began)
    replies: list[Any] = []

    def wait() -> None:
        with Client() as client:
            replies.append(client.ask(query, where=where))

    thread = threading.Thread(target=wait)
    thread.start()
    lane = runs(daemon_env, *WAIT, began, cwd=tmp_path / "live")
    until(lambda found: found.get("answering") == 2)
    if managed is not None:
        managed.use(newer)
    told = ended(runs(newer, "list", cwd=tmp_path / "live"))
    assert (told[1], told[2]) == ("", 0)
    writer.tell("append", "mine")
    out, err, exit_status = ended(lane)
    note = f"note: the daemon is version {NEWER}, newer than this ({__version__}); answering without it\n"
    assert out.startswith("new(loss): mine loss .5 at step 1 @")
    assert (err, exit_status) == (note, 0)
    thread.join(DEADLINE_SECONDS)
    (reply,) = replies
    assert isinstance(reply, Waited)
    assert (reply.fired, reply.step) == (True, 1)
    assert status()["version"] == NEWER


@pytest.mark.usefixtures("here")
def test_a_service_that_goes_on_starting_an_older_one_is_named_and_done_without(
    daemon_env: dict[str, str], runwise: Run, project: Path, tmp_path: Path
) -> None:
    with ServiceManager(daemon_env) as manager:
        manager.use({**daemon_env, "PYTHONPATH": str(install(tmp_path / "site", "0.0.1"))})
        told = runwise("list", cwd=project)
    assert told.returncode == 0
    assert told.stdout.startswith("6 runs; ")
    assert told.stderr == (
        f"note: the service starts version 0.0.1, this is {__version__}; answering without it; "
        "runwise daemon install puts this one in its place\n"
    )
    assert len(manager.pids) == 2


@pytest.mark.usefixtures("here")
def test_twenty_newer_clients_at_once_replace_the_daemon_once(
    daemon_env: dict[str, str], runwise: Run, project: Path, tmp_path: Path
) -> None:
    newer = {**daemon_env, "PYTHONPATH": str(install(tmp_path / "site", NEWER))}
    assert runwise("list", cwd=project).returncode == 0
    clients = [runs(newer, "list", cwd=project) for _ in range(20)]
    told = [ended(client) for client in clients]
    assert {(err, exit_status) for _, err, exit_status in told} == {("", 0)}
    log = Path(daemon_env["RUNWISE_STATE_DIR"], "daemon.log").read_text()
    assert log.count(" ready on ") == 2


@pytest.mark.usefixtures("here")
def test_a_program_that_runs_since_before_the_upgrade_is_told_to_be_started_anew(
    daemon_env: dict[str, str], project: Path, tmp_path: Path
) -> None:
    site = install(tmp_path / "site", __version__)
    env = {**daemon_env, "PYTHONPATH": str(site)}
    code = """
import sys
from runwised import RunAnalyzer
with RunAnalyzer(sys.argv[1]) as analyzer:
    print(len(analyzer.list_runs().runs), flush=True)
    sys.stdin.readline()
    analyzer.list_runs()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    program = subprocess.Popen([sys.executable, "-c", code, str(project)], cwd=project, env=env, **pipes)  # type: ignore[call-overload]
    assert program.stdout.readline() == "6\n"
    install(site, NEWER)
    assert ended(runs(env, "list", cwd=project))[2] == 0
    out, err = program.communicate("\n", timeout=DEADLINE_SECONDS)
    assert out == ""
    assert f"runwise was upgraded to {NEWER} after this {__version__} had begun" in err


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        ("0.2.0", "0.1.9", True),
        ("0.10", "0.9", True),
        ("1.0", "1.0.0", False),
        ("1.0.0", "1.0", False),
        ("1.0", "1.0rc1", True),
        ("1.0rc1", "1.0", False),
        ("1.0.post1", "1.0", True),
        ("1.0+local", "1.0", True),
        ("", "0.1", False),
        ("0.1", "unknown", True),
    ],
)
def test_which_version_is_newer(version: str, than: str, newer: bool) -> None:
    assert is_newer(version, than) is newer
    assert not (newer and is_newer(than, version))
