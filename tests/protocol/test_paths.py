"""The runtime folder: where it is, and that it is ours alone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from runwise_protocol.paths import (
    LONGEST_PATH,
    SOCKET_NAME,
    UnsafeFolder,
    cache_folder,
    check_folder,
    make_folder,
    runtime_folder,
    state_folder,
)

FALLBACK = f"/tmp/runwised-{os.getuid()}"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNWISE_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")


@pytest.fixture
def folder(short_path: Path) -> Path:
    """An empty folder of the test's own, whose path is short enough for sockets."""
    return Path(tempfile.mkdtemp(dir=short_path))


def test_it_lies_in_the_session_folder_where_that_is_ours(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert runtime_folder() == f"{folder}/runwised"


@pytest.mark.parametrize("value", ["", "relative/folder", "/no/such/folder"])
def test_it_lies_in_tmp_where_the_session_folder_is_of_no_use(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert runtime_folder() == FALLBACK


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_it_lies_in_tmp_where_the_session_folder_is_somebody_elses(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    os.chown(folder, 12345, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert runtime_folder() == FALLBACK


def test_it_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("RUNWISE_RUNTIME_DIR", f"{folder}/own/")
    assert runtime_folder() == f"{folder}/own"


def test_a_relative_folder_is_taken_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RUNWISE_RUNTIME_DIR", "own")
    assert runtime_folder() == f"{folder}/own"


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2])
def test_a_path_the_system_cannot_bind_is_replaced_by_one_it_can(
    monkeypatch: pytest.MonkeyPatch, folder: Path, beyond: int
) -> None:
    room = LONGEST_PATH - len(f"/{SOCKET_NAME}")
    asked = str(folder / ("x" * (room + beyond - len(str(folder)) - 1)))
    monkeypatch.setenv("RUNWISE_RUNTIME_DIR", asked)
    chosen = runtime_folder()
    if beyond <= 0:
        assert chosen == asked
    else:
        assert re.fullmatch(rf"/tmp/runwised-{os.getuid()}-[0-9a-f]{{12}}", chosen)
    assert chosen == runtime_folder()
    make_folder(chosen)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{chosen}/{SOCKET_NAME}")
    finally:
        shutil.rmtree(chosen)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_new_folder_is_ours_alone_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_folder(f"{folder}/own")
    finally:
        os.umask(before)
    assert (folder / "own").stat().st_mode & 0o7777 == 0o700


def test_a_folder_open_to_others_is_refused_with_what_mends_it(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(UnsafeFolder, match="has mode 0750, others must not get in") as caught:
        make_folder(str(folder))
    assert caught.value.hint == f"chmod 700 {folder}"


def test_a_symbolic_link_is_refused_though_it_leads_to_a_safe_folder(folder: Path) -> None:
    link = folder / "link"
    (folder / "real").mkdir(mode=0o700)
    link.symlink_to(folder / "real")
    with pytest.raises(UnsafeFolder, match="symbolic link"):
        make_folder(str(link))
    assert list((folder / "real").iterdir()) == []


def test_a_file_in_its_place_is_refused(folder: Path) -> None:
    (folder / "own").touch(0o600)
    with pytest.raises(UnsafeFolder, match="is not a folder"):
        make_folder(f"{folder}/own")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder_is_refused(folder: Path) -> None:
    os.chown(folder, 12345, 12345)
    with pytest.raises(UnsafeFolder, match="belongs to uid 12345"):
        check_folder(str(folder))


def test_state_and_cache_lie_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNWISE_STATE_DIR", f"{tmp_path}/state")
    monkeypatch.setenv("RUNWISE_CACHE_DIR", f"{tmp_path}/cache")
    assert (state_folder(), cache_folder()) == (f"{tmp_path}/state", f"{tmp_path}/cache")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has folders of its own")
def test_state_and_cache_lie_in_the_users_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RUNWISE_STATE_DIR", "RUNWISE_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/state")
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/cache")
    assert (state_folder(), cache_folder()) == (f"{tmp_path}/state/runwised", f"{tmp_path}/cache/runwised")
