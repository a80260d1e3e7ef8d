"""Section B of the fault matrix: folders, names and the finding of runs."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import ShowStats

from tests.faults.conftest import Cold, MakeService
from tests.faults.folders import ids, make_run, make_wandb
from tests.faults.machine import own_mounts
from tests.faults.service import Service, until

RENAME_EXCHANGE = 2


def test_b01_run_folders_made_at_once_with_their_files_are_all_found(
    service: Service, project: Path, cold: Cold
) -> None:
    make_run(project / "logs" / "first")
    data = make_wandb(project).read_bytes()
    service.said(project)
    for number in range(25):
        make_run(project / "logs" / f"r{number}" / "deep", 2)
        folder = project / "wandb" / f"offline-run-20260101_{number:06}-x{number}"
        folder.mkdir()
        (folder / f"run-x{number}.wandb").write_bytes(data[: 4096 + number])
    until(lambda: service.status()["engine"]["indexed"] == 52)  # no question helps to find them
    assert service.said(project) == cold(project)


def test_b02_a_folder_with_runs_that_is_moved_in_is_found_whole(
    service: Service, project: Path, tmp_path: Path, cold: Cold
) -> None:
    make_run(project / "logs" / "first")
    service.said(project)
    for number in range(10):
        make_run(tmp_path / "elsewhere" / "more" / f"r{number}")
    (tmp_path / "elsewhere").rename(project / "logs" / "moved")
    assert len(until(lambda: len(service.said(project)) == 11 and service.said(project))) == 11
    assert service.said(project) == cold(project)


def test_b03_run_folders_that_change_their_names_keep_their_own_rows(
    service: Service, project: Path, cold: Cold
) -> None:
    logs = project / "logs"
    make_run(logs / "one", 3)
    make_run(logs / "two", 8)
    service.said(project)
    (logs / "one").rename(logs / "other")
    until(lambda: ids(service.said(project)) == ["other", "two"])
    (logs / "other").rename(logs / "one")
    until(lambda: ids(service.said(project)) == ["one", "two"])
    libc = ctypes.CDLL(None, use_errno=True)
    paths = [os.fsencode(logs / name) for name in ("one", "two")]
    if libc.renameat2(-100, paths[0], -100, paths[1], RENAME_EXCHANGE) != 0:
        pytest.skip("this file system cannot swap two folders")
    until(lambda: [run.listed[3] for run in service.said(project)] == [8, 3])
    assert service.said(project) == cold(project)


def test_b04_a_run_that_is_removed_leaves_the_list(service: Service, project: Path, cold: Cold) -> None:
    make_run(project / "logs" / "one")
    make_run(project / "logs" / "two")
    make_wandb(project)
    assert len(service.said(project)) == 3
    shutil.rmtree(project / "wandb")
    shutil.rmtree(project / "logs" / "one")
    until(lambda: ids(service.said(project)) == ["two"])
    assert service.said(project) == cold(project)
    assert service.status()["engine"]["runs"] == 1


def test_b05_a_run_removed_under_a_query_gives_rows_or_says_so(service: Service, project: Path, cold: Cold) -> None:
    for _ in range(20):
        log = make_wandb(project)
        removing = threading.Thread(target=shutil.rmtree, args=(log.parent,))
        with service.connect() as client:
            query = ShowStats()
            client.put(query, project)
            removing.start()
            try:
                reply = client.answer(query)
            except RunwiseError as error:
                assert error.kind in (Kind.NOT_FOUND, Kind.UNREADABLE)  # noqa: PT017 - either is right
            else:
                assert isinstance(reply, ShowStats.reply)
            removing.join()
        assert service.said(project) == []
    make_wandb(project)
    assert service.said(project) == cold(project)


def test_b06_a_run_removed_and_made_anew_at_once_is_read_from_its_start(
    service: Service, project: Path, cold: Cold
) -> None:
    folder = project / "logs" / "one"
    make_run(folder, 10)
    for count in range(11, 21):
        service.said(project)
        shutil.rmtree(folder)
        make_run(folder, count, "acc" if count % 2 else "loss")
    assert [run.listed[3] for run in service.said(project)] == [20]
    assert service.said(project) == cold(project)


def test_b07_a_root_removed_and_made_again_is_picked_up_without_a_question(
    service: Service, project: Path, cold: Cold
) -> None:
    make_run(project / "logs" / "one")
    make_wandb(project)
    service.said(project)
    for name in ("logs", "wandb"):
        shutil.rmtree(project / name)

    def watching() -> str:
        return " ".join(service.status()["engine"]["watching"])

    until(lambda: watching().count("not there") >= 3)
    make_run(project / "logs" / "new", 7)
    until(lambda: service.status()["engine"]["indexed"] == 1)  # nobody asked about the project meanwhile
    assert service.said(project) == cold(project)
    assert ids(service.said(project)) == ["new"]


def test_b08_a_root_renamed_with_another_in_its_place_is_that_other(
    service: Service, project: Path, cold: Cold
) -> None:
    make_run(project / "logs" / "one")
    service.said(project)
    (project / "logs").rename(project / "old")
    make_run(project / "logs" / "two", 9)
    until(lambda: ids(service.said(project)) == ["two"])
    make_run(project / "old" / "three")
    assert service.said(project) == cold(project)


def test_b09_a_project_that_comes_later_is_found_when_it_does(
    service: Service, project: Path, tmp_path: Path, cold: Cold
) -> None:
    late = tmp_path / "not" / "yet"
    with pytest.raises(RunwiseError) as raised:
        service.said(late)
    assert raised.value.kind is Kind.NOT_FOUND
    make_run(project / "logs" / "one")
    assert ids(service.said(project)) == ["one"]
    make_run(late / "logs" / "two")
    assert service.said(late) == cold(late)
    assert ids(service.said(late)) == ["two"]


def test_b10_a_root_that_is_a_link_follows_where_it_is_pointed(
    service: Service, project: Path, tmp_path: Path, cold: Cold
) -> None:
    make_run(tmp_path / "disk1" / "one")
    make_run(tmp_path / "disk2" / "two", 8)
    (project / "logs").rmdir()
    (project / "logs").symlink_to(tmp_path / "disk1")
    assert ids(service.said(project)) == ["one"]
    (project / "new").symlink_to(tmp_path / "disk2")
    (project / "new").replace(project / "logs")
    until(lambda: ids(service.said(project)) == ["two"])
    assert service.said(project) == cold(project)


def test_b23_a_disk_that_is_gone_and_comes_back_changes_no_answer(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold
) -> None:
    disk = tmp_path / "disk"
    make_run(disk / "one")
    mount = f"mount --bind {disk} {project}/logs"
    service = new_service(own_mounts(mount)).start()
    assert ids(service.said(project)) == ["one"]
    inside = ["nsenter", "-t", str(service.pid), "-m", "-U", "--preserve-credentials"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        inside = ["nsenter", "-t", str(service.pid), "-m"]
    if subprocess.run([*inside, "umount", "-l", f"{project}/logs"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the daemon's mounts cannot be changed")
    until(lambda: ids(service.said(project)) == [])
    subprocess.run([*inside, "sh", "-c", mount], check=True)
    until(lambda: ids(service.said(project)) == ["one"])
    assert service.said(project) == cold(project, service.prefix)


def test_b24_a_root_inside_another_counts_its_runs_once(service: Service, project: Path, cold: Cold) -> None:
    make_run(project / "logs" / "sub" / "one")
    (project / "runwise.json").write_text('{"log_dirs": ["logs", "logs/sub", "./logs/", "logs"]}')
    assert len(service.said(project)) == 1
    assert service.said(project) == cold(project)
