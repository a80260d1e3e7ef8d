"""Which file systems report changes is read from the table of mounts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runwised.catalog import mounts
from runwised.catalog.mounts import Mounts, parse_mount

TABLE = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw shared:5 - proc proc rw
40 22 0:40 / /home rw shared:9 master:2 propagate_from:3 - nfs4 server:/home rw,vers=4.2
41 40 0:41 / /home/me/scratch rw - xfs /dev/sdb1 rw
42 22 0:42 / /mnt/with\040space\011tab\134back\012line rw - fuse.sshfs me@host: rw
43 22 0:43 / /mnt/\134040 rw - cifs //server/share rw
44 22 0:44 / /twice rw - tmpfs none rw
45 44 0:45 / /twice rw - nfs server:/twice rw
46 22 0:46 / /fast rw - lustre 10.0.0.1@tcp:/fast rw
no mount at all
47 22 0:47 / - ext4
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mountinfo"
    path.write_bytes(TABLE)
    monkeypatch.setattr(mounts, "MOUNTINFO", str(path))
    monkeypatch.setattr(sys, "platform", "linux")
    return path


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("path", "kind", "reports"),
    [
        ("/", "ext4", True),
        ("/srv/runs", "ext4", True),
        ("/homes", "ext4", True),
        ("/home", "nfs4", False),
        ("/home/me/proj/wandb", "nfs4", False),
        ("/home/me/scratch/wandb", "xfs", True),
        ("/mnt/with space\ttab\\back\nline/wandb", "fuse.sshfs", False),
        ("/mnt/\\040/x", "cifs", False),
        ("/mnt/ /x", "ext4", True),
        ("/twice/x", "nfs", False),
        ("/fast/x", "lustre", False),
        ("/home/me/../../srv", "ext4", True),
    ],
)
def test_a_path_lies_on_what_is_mounted_nearest_above_it(path: str, kind: str, reports: bool) -> None:
    known = Mounts()
    assert (known.kind(path), known.reports(path)) == (kind, reports)


def test_a_link_lies_where_it_leads(table: Path) -> None:
    link = table.parent / "link"
    link.symlink_to("/home/me/scratch/there")
    assert Mounts().kind(str(link / "wandb")) == "xfs"


def test_without_a_table_nothing_is_hoped_for(table: Path) -> None:
    table.unlink()
    known = Mounts()
    assert (known.kind("/srv"), known.reports("/srv")) == ("", False)


def test_elsewhere_than_on_linux_changes_are_taken_to_be_reported(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.unlink()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Mounts().reports("/srv")


def test_the_table_is_read_again_after_a_while(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Mounts()
    assert known.kind("/srv") == "ext4"
    table.write_bytes(TABLE + b"60 22 0:60 / /srv rw - nfs server:/srv rw\n")
    assert known.kind("/srv") == "ext4"
    monkeypatch.setattr(mounts, "AGAIN_SECONDS", 0.0)
    assert known.kind("/srv") == "nfs"


def test_the_table_is_read_again_when_it_is_to_be_forgotten(table: Path) -> None:
    known = Mounts()
    assert known.kind("/srv") == "ext4"
    table.write_bytes(TABLE + b"60 22 0:60 / /srv rw - nfs server:/srv rw\n")
    known.forget()
    assert known.kind("/srv") == "nfs"


@pytest.mark.parametrize("line", [b"", b" - ", b"36 35 98:0 / /mnt rw", b"a b - ext4 x rw", b"\xff\xfe"])
def test_a_line_that_is_none_says_nothing(line: bytes) -> None:
    assert parse_mount(line) is None


def test_a_mount_point_that_is_no_utf8_is_a_path_all_the_same() -> None:
    assert parse_mount(b"1 1 0:1 / /mnt/\xff rw - nfs x rw") == ("/mnt/\udcff", "nfs")


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs /proc")
def test_this_machine_has_a_table_that_knows_its_proc() -> None:
    assert Mounts().kind("/proc/self") == "proc"
    assert not Mounts().reports("/proc/self")
