"""Section B of the fault matrix: odd names, links, and what is no file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import ListRuns, ListSources, ShowStats
from runwise_protocol.query import Look

from tests.faults.conftest import Cold, MakeService
from tests.faults.folders import ids, make_run, make_wandb
from tests.faults.machine import bound_by_modes
from tests.faults.service import Service, rows, until

NAMES = (
    b"run-\xff\xfe",
    b"two\nlines",
    b"\x1b[31mred\x1b[0m",
    b"-rf",
    b"--help",
    b"n" * 250,
    b"with some  spaces ",
    b"a..look",
    b"%2e%2e",
    "\u202egpj.exe".encode(),
    "zero\u200bwidth".encode(),
    "cafe\u0301".encode(),
    "caf\u00e9".encode(),
    b"[red]x[red]",
    b"a,b",
    b"a:b",
    b"*",
    b"Run",
    b"run",
)


def test_b11_links_in_circles_and_out_of_the_project_are_not_followed(
    service: Service, project: Path, tmp_path: Path, cold: Cold
) -> None:
    make_run(project / "logs" / "one")
    make_run(tmp_path / "outside" / "other")
    make_wandb(project)
    for name, target in (("loop", "."), ("up", ".."), ("all", "/"), ("out", str(tmp_path / "outside"))):
        (project / "logs" / name).symlink_to(target)
        (project / "wandb" / name).symlink_to(target)
    (project / "logs" / "self").symlink_to("self")
    assert len(service.said(project)) == 2
    assert service.said(project) == cold(project)


def test_b12_the_link_to_the_latest_run_is_no_run(service: Service, project: Path, cold: Cold) -> None:
    log = make_wandb(project)
    for name in ("latest-run", "run-20200101_000000-alias"):
        (project / "wandb" / name).unlink(missing_ok=True)
        (project / "wandb" / name).symlink_to(log.parent.name)
    assert len(service.said(project)) == 1
    assert service.said(project) == cold(project)


def test_b13_what_is_no_file_but_named_like_a_log_is_passed_over_unopened(
    service: Service, project: Path, cold: Cold, short_path: Path
) -> None:
    logs = project / "logs"
    make_run(logs / "one")
    log = make_wandb(project)
    os.mkfifo(logs / "pipe.jsonl")
    os.mkfifo(log.parent.parent / "pipe.wandb")
    (logs / "folder.jsonl").mkdir()
    (logs / "link.csv").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(short_path / "s"))
        (short_path / "s").rename(logs / "socket.csv")
    if os.getuid() == 0:
        os.mknod(logs / "zero.log", 0o20600, os.makedev(1, 5))
    folder = project / "wandb" / "offline-run-20260101_000000-abc"
    folder.mkdir()
    os.mkfifo(folder / "run-abc.wandb")
    assert len(service.said(project)) == 3  # the last one has no log yet
    told = str(service.ask(ListSources(), project, Look(budget=1000)))
    assert "pipe" in told
    assert "socket" in told
    assert service.said(project) == cold(project)


def test_b14_a_log_swapped_for_a_pipe_or_a_link_is_not_waited_for(service: Service, project: Path, cold: Cold) -> None:
    log = project / "logs" / "run.jsonl"
    log.write_bytes(rows(0, 10))
    service.said(project)
    pipe, link, real = (project / name for name in ("pipe", "link", "real"))
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    real.write_bytes(rows(0, 10))
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for kept in (pipe, link, real):
                beside = project / "beside"
                os.link(kept, beside, follow_symlinks=False)
                beside.replace(log)

    swapping = threading.Thread(target=swap)
    swapping.start()
    with service.connect() as client:
        for _ in range(300):
            reply = client.ask(ListRuns(), project)
            assert isinstance(reply, ListRuns.reply)
            assert {run.rows for run in reply.runs} <= {10, 0, None}
    done.set()
    swapping.join()
    real.replace(log)
    assert service.said(project) == cold(project)


def test_b15_what_may_not_be_read_is_skipped_alone_and_said(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    prefix = bound_by_modes()
    service = new_service(prefix).start()
    for number in range(20):
        make_run(project / "logs" / f"r{number:02}")
    log = make_wandb(project)
    closed = [project / "logs" / "r03", project / "logs" / "r07" / "metrics.jsonl", log]
    for path in closed:
        path.chmod(0)
    try:
        found = service.said(project)
        assert len([run for run in found if run.listed[3]]) == 18
        notes = " ".join(service.status()["engine"]["notes"])
        told = notes + str(service.ask(ListSources(), project, Look(budget=1000)))
        assert all(str(path.relative_to(project)) in told for path in closed)
        assert "Permission denied" in notes
        assert found == cold(project, prefix)
    finally:
        for path in closed:
            path.chmod(0o700)
    until(lambda: len([run for run in service.said(project) if run.listed[3]]) == 21)
    assert service.said(project) == cold(project, prefix)


def test_b16_names_of_any_bytes_are_shown_harmlessly_and_taken_as_arguments(
    service: Service, project: Path, cold: Cold
) -> None:
    for number, name in enumerate(NAMES, 3):
        make_run(project / "logs" / os.fsdecode(name), number)
    with service.connect() as client:
        listed = client.ask(ListRuns(limit=100), project)
    assert isinstance(listed, ListRuns.reply)
    assert sorted(run.rows or 0 for run in listed.runs) == list(range(3, 3 + len(NAMES)))
    assert service.said(project) == cold(project)
    env = {**service.env, "RUNWISE_IDLE_SECONDS": "60"}
    command = [sys.executable, "-m", "runwise_cli"]
    shown = subprocess.run(
        [*command, "list", "-n", "100"], cwd=project, env=env, capture_output=True, check=True
    ).stdout
    assert not set(shown.decode()) & set("\x1b\x9b\u202e\u200b\r")
    for number, name in enumerate(NAMES, 3):
        told = subprocess.run(
            [*command, "export", "--raw", "--", name], cwd=project, env=env, capture_output=True, check=False
        )
        assert (told.returncode, told.stdout.count(b"\n")) == (0, number), (name, told.stderr)


def test_b17_a_path_longer_than_any_may_be_costs_only_itself(service: Service, project: Path, cold: Cold) -> None:
    make_run(project / "logs" / "one")
    deep = os.open(project / "logs", os.O_RDONLY)
    name = "d" * 200
    for _ in range(30):
        os.mkdir(name, dir_fd=deep)
        below = os.open(name, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    try:
        assert ids(service.said(project)) == ["one"]
        assert "deeper than" in str(service.ask(ListSources(), project, Look(budget=1000)))
        assert service.said(project) == cold(project)
    finally:
        shutil.rmtree(project / "logs")


def test_b18_one_run_id_in_two_projects_is_two_runs_and_an_ambiguous_name(
    service: Service, tmp_path: Path, cold: Cold
) -> None:
    for name in ("one", "two"):
        make_wandb(tmp_path / "all" / name)
    both = service.said(tmp_path / "all")
    assert len(both) == 2
    with pytest.raises(RunwiseError) as raised:
        service.ask(ShowStats(run="fxb2c515"), tmp_path / "all")
    assert raised.value.kind is Kind.AMBIGUOUS
    assert both == cold(tmp_path / "all")


def test_b19_names_that_differ_in_case_or_form_alone_are_runs_of_their_own(
    service: Service, project: Path, cold: Cold
) -> None:
    names = ["Run", "run", "RUN", "caf\u00e9", "cafe\u0301"]
    for number, name in enumerate(names, 1):
        make_run(project / "logs" / name, number)
    assert [run.listed[3] for run in sorted(service.said(project), key=lambda run: run.listed[3])] == [1, 2, 3, 4, 5]
    assert service.stop() == 0
    sidecars = [path.name.lower() for path in service.cache.rglob("*.rwx")]
    assert len(set(sidecars)) == 5
    service.start()
    assert service.said(project) == cold(project)
    assert service.status()["engine"]["restored"] == 5
