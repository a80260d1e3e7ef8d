import os
import subprocess
import sys
from pathlib import Path

import pytest

from runwised.catalog import store as store_module
from runwised.catalog.store import SidecarFile, Store, remove_strays, write_file

FULL_DISK = """
import resource, signal, sys
from runwised.catalog.store import write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(sys.argv[1], [b"new" * 1000])
except OSError as error:
    print(error.errno)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_for_its_owner_only_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "made/here/a.rwx"
    write_file(str(path), [b"one", b"", b"two" * 100_000])
    assert path.read_bytes() == b"one" + b"two" * 100_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert names(path.parent) == ["a.rwx"]


def test_a_disk_that_runs_full_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.rwx"
    path.write_bytes(b"old")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "27"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.rwx"]


def test_a_link_in_the_sidecars_place_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "important").write_bytes(b"mine")
    (tmp_path / "a.rwx").symlink_to(tmp_path / "important")
    with pytest.raises(OSError, match="symbolic link"):
        Store(tmp_path).open(str(tmp_path / "a.rwx"))
    write_file(str(tmp_path / "a.rwx"), [b"new"])
    assert (tmp_path / "important").read_bytes() == b"mine"
    assert (tmp_path / "a.rwx").read_bytes() == b"new"


def test_an_open_sidecar_goes_on_reading_the_same_file_when_it_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "a.rwx")
    write_file(path, [b"first"])
    file = SidecarFile(path)
    assert file.read_at(0, 2) == b"fi"
    write_file(path, [b"other"])
    assert file.read_at(0, 5) == b"first"
    file.close()
    with pytest.raises(FileNotFoundError):
        file.read_at(0, 5)


def test_a_closed_sidecar_is_opened_again_when_it_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "a.rwx")
    write_file(path, [b"first"])
    file = SidecarFile(path)
    file.close()
    assert file.read_at(1, 100) == b"irst"
    file.close()


def test_only_so_many_sidecars_are_open_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MOST_OPEN", 3)
    paths = [store.path(f"/runs/{number}", "id") for number in range(10)]
    for path in paths:
        store.write(path, [path.encode()])
    inodes = {Path(path).stat().st_ino for path in paths}
    files = [store.open(path) for path in paths]
    assert _open_of(inodes) == 3
    for _ in range(2):
        assert [file.read_at(0, 1000).decode() for file in files] == paths
    assert _open_of(inodes) == 3
    store.close()


def test_names_are_readable_unique_and_harmless(store: Store) -> None:
    paths = {
        store.path(folder, run_id)
        for folder in ("/a/wandb/run-1", "/b/wandb/run-1", "/a/wandb/run-2")
        for run_id in ("../../etc", "Run", "run", "x" * 300, "имя", "")
    }
    assert len(paths) == 18
    assert len({path.casefold() for path in paths}) == 18
    assert all(path.startswith(f"{store.folder}/") and ".." not in path for path in paths)
    assert Path(store.path("/a", "my-run_7")).name.startswith("my-run_7-")


def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "cache/runs/project"
    folder.mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = store_module._host()
    for name in (f".{host}-{gone.pid}-0.tmp", f".{host}-{os.getpid()}-0.tmp", ".00000000-1-0.tmp", "a.rwx"):
        (folder / name).touch()
    (folder / ".11111111-1-0.tmp").touch()
    os.utime(folder / ".11111111-1-0.tmp", (1, 1))
    remove_strays(str(tmp_path / "cache"))
    assert names(folder) == sorted([f".{host}-{os.getpid()}-0.tmp", ".00000000-1-0.tmp", "a.rwx"])


def test_a_cache_that_cannot_be_made_is_said_once_and_not_tried_again_at_once(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    store = Store(tmp_path / "cache")
    store.prepare()
    assert "cannot be written" in store.note
    assert not store.usable
    assert not store.write(str(tmp_path / "cache/runs/x.rwx"), [b""])


def test_a_cache_folder_removed_while_in_use_is_made_again(store: Store, tmp_path: Path) -> None:
    path = store.path("/a/run", "id")
    (tmp_path / "cache/runs").rmdir()
    assert store.write(path, [b"data"])
    assert Path(path).read_bytes() == b"data"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder to another user")
def test_a_cache_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "cache/runs").mkdir(parents=True)
    os.chown(tmp_path / "cache/runs", 12345, 12345)
    store = Store(tmp_path / "cache")
    store.prepare()
    assert "belongs to another user" in store.note


def test_without_a_cache_nothing_is_written_and_nothing_is_wrong() -> None:
    store = Store(None)
    store.prepare()
    assert store.path("/a", "b") == ""
    assert not store.write("", [b"data"])
    assert store.note == ""


def _open_of(inodes: set[int]) -> int:
    """How many descriptors of ours are open of these files: others come and go as they like."""
    found = [_inode(int(path.name)) for path in Path("/dev/fd").iterdir()]
    return sum(inode in inodes for inode in found)


def _inode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:  # that of the listing itself
        return 0
