"""Section D of the fault matrix: sidecars, and the disk they lie on."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from runwise_protocol.queries import ListRuns

from tests.faults.conftest import MakeService
from tests.faults.machine import bound_by_modes, own_mounts, strace, works
from tests.faults.service import ROOT, Said, Service, rows, until

Cold = Callable[..., list[Said]]
WORKER = "from runwised.catalog.worker import main; main()"
POWER = Path(__file__).with_name("power_cut.py")
CALLS = "openat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,unlink,mkdir,close,lseek"


class Point(NamedTuple):
    """One system call of a process: the `count`-th of its kind."""

    call: str
    count: int


def runs(project: Path, count: int, length: int = 20) -> list[Path]:
    paths = [project / "logs" / f"r{number}.jsonl" for number in range(count)]
    for path in paths:
        path.write_bytes(rows(0, length))
    return paths


def sidecar_of(cache: Path, log: Path) -> Path:
    (found,) = cache.rglob(f"{log.stem}-*.rwx")
    return found


def index(log: Path, sidecar: Path, prefix: Sequence[str] = (), **options: Any) -> int:
    """Have a worker index one log, as the daemon does; its exit status."""
    job = json.dumps({"sources": [{"path": str(log), "format": "jsonl"}], "sidecar": str(sidecar)})
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}", "PYTHONHASHSEED": "0"}
    env["OPENBLAS_NUM_THREADS"] = env["OMP_NUM_THREADS"] = "1"
    command = [*prefix, sys.executable, "-c", WORKER]
    given: dict[str, Any] = {"input": job.encode() + b"\n", "env": env, "capture_output": True, "check": False}
    return subprocess.run(command, **given, **options).returncode


def points_of_saving(trace: Path, folder: Path) -> list[Point]:
    """The system calls from the first that names the cache on, each as the so-manieth of its kind."""
    counted: Counter[str] = Counter()
    found: list[Point] = []
    for line in trace.read_text(errors="replace").splitlines():
        call = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if call is None:
            continue
        counted[call[1]] += 1
        if found or str(folder) in line:
            found.append(Point(call[1], counted[call[1]]))
    return found


def saved(make: MakeService, project: Path) -> Path:
    """The cache of a daemon that has indexed the project and ended."""
    service = make().start()
    service.said(project)
    assert service.stop() == 0
    return service.cache


def restarted(make: MakeService, cache: Path) -> Service:
    """A daemon that finds a copy of a cache."""
    service = make()
    shutil.copytree(cache, service.cache, symlinks=True)
    return service.start()


def strays(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix not in (".rwx", ".note")]


def saving_points(log: Path, sidecar: Path, trace: Path) -> list[Point]:
    """Every system call of one save, as a worker makes them."""
    kept = sidecar.read_bytes()
    assert index(log, sidecar, strace(trace, "--seccomp-bpf", "-e", f"trace={CALLS}")) == 0
    sidecar.write_bytes(kept)
    return [point for point in points_of_saving(trace, sidecar.parent) if point.call != "lseek"]


def killing(point: Point) -> list[str]:
    """Runs a command that is killed as it makes that system call."""
    inject = f"inject={point.call}:signal=KILL:when={point.count}"
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject]


def test_d01_a_save_killed_at_any_system_call_leaves_the_old_index_or_the_new(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold
) -> None:
    (probe,) = runs(project, 1)
    cache = saved(new_service, project)
    points = saving_points(probe, sidecar_of(cache, probe), tmp_path / "trace")
    assert {"openat", "write", "fsync", "rename"} <= {point.call for point in points}
    logs = runs(project, len(points))
    cache = saved(new_service, project)
    for log in logs:
        with log.open("ab") as file:
            file.write(rows(20, 30))
    with ThreadPoolExecutor(2) as threads:
        statuses = list(
            threads.map(lambda log, point: index(log, sidecar_of(cache, log), killing(point)), logs, points)
        )
    assert 0 not in statuses
    assert strays(cache)
    service = restarted(new_service, cache)
    assert strays(service.cache) == []
    assert service.said(project) == cold(project)
    assert service.status()["engine"]["restored"] == len(points)  # old or new, but never neither


def test_d02_a_power_cut_at_any_point_of_a_save_leaves_an_index_that_is_whole_or_made_anew(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold
) -> None:
    (probe,) = runs(project, 1)
    cache = saved(new_service, project)
    points = saving_points(probe, sidecar_of(cache, probe), tmp_path / "trace")
    first = next(place for place, point in enumerate(points) if point.call == "fsync")
    points = points[first:-1]  # before that nothing has a name yet
    logs = runs(project, len(points))
    cache = saved(new_service, project)
    disk = Disk(tmp_path)
    disk.run("cp", "-a", f"{cache}/runs", f"{disk.mount}/")
    for log, point in zip(logs, points, strict=True):
        with log.open("ab") as file:
            file.write(rows(20, 30))
        sidecar = disk.mount / sidecar_of(cache, log).relative_to(cache)
        disk.cut_power(
            lambda command, log=log, sidecar=sidecar, point=point: index(log, sidecar, [*command, *killing(point)])
        )  # type: ignore[misc]
    service = new_service()
    service.cache.mkdir()
    disk.run("cp", "-a", f"{disk.mount}/runs", f"{service.cache}/")
    service.start()
    assert service.said(project) == cold(project)


class Disk:
    """A small ext4 file system in a file, seen by nobody but the commands that are run on it."""

    def __init__(self, folder: Path) -> None:
        self.mount = folder / "disk"
        self.mount.mkdir()
        self._image = folder / "image"
        with self._image.open("wb") as file:
            file.truncate(16 << 20)
        if not works("mkfs.ext4", "-q", "-F", str(self._image)):
            pytest.skip("no file system can be made here")
        self._command = ["unshare", "-m", sys.executable, str(POWER), str(self._image), str(self.mount)]
        if not works(*self._command, "cut", "true"):
            pytest.skip("the power of a file system cannot be cut here: that takes root and loop devices")

    def run(self, *command: str) -> None:
        """Run a command that sees the file system, which is unmounted after it as it should be."""
        subprocess.run([*self._command, "keep", *command], check=True)

    def cut_power(self, run: Callable[[list[str]], int]) -> None:
        """Have `run` run a command behind the prefix it is given; then what was not on disk is gone."""
        run([*self._command, "cut"])


def harmed(make: MakeService, project: Path, harm: Callable[[int, bytes], bytes | None], count: int) -> Service:
    """A daemon whose cache holds a sidecar for each run, each with a harm of its own (None: it is not there)."""
    logs = runs(project, count)
    cache = saved(make, project)
    for number, log in enumerate(logs):
        path = sidecar_of(cache, log)
        data = harm(number, path.read_bytes())
        path.unlink()
        if data is not None:
            path.write_bytes(data)
    return restarted(make, cache)


def test_d03_no_flipped_bit_of_a_sidecar_changes_an_answer(new_service: MakeService, project: Path, cold: Cold) -> None:
    count, chance = 60, random.Random(3)

    def flip(number: int, data: bytes) -> bytes:
        at = number * len(data) // count
        return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]

    service = harmed(new_service, project, flip, count)
    assert service.said(project) == cold(project)


def test_d04_no_length_a_sidecar_is_cut_or_padded_to_changes_an_answer(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    count = 30

    def cut(number: int, data: bytes) -> bytes | None:
        odd = {0: b"", 1: data + b"more", 2: bytes(len(data)), 3: None, 4: data + data}
        return odd[number] if number in odd else data[: number * len(data) // count]

    service = harmed(new_service, project, cut, count)
    assert service.said(project) == cold(project)


def test_d06_a_newer_sidecar_is_left_alone_and_the_answer_comes_from_the_log(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    log = runs(project, 2)[0]
    cache = saved(new_service, project)
    path = sidecar_of(cache, log)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, 99)
    struct.pack_into("<I", data, 20, zlib.crc32(data[:20]))
    path.write_bytes(data)
    service = restarted(new_service, cache)
    with log.open("ab") as file:
        file.write(rows(20, 25))
    assert service.said(project) == cold(project)
    assert service.status()["engine"]["restored"] == 1
    assert service.stop() == 0
    assert sidecar_of(service.cache, log).read_bytes() == bytes(data)


def test_d08_sidecars_in_each_others_places_are_not_believed(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    logs = runs(project, 2)
    logs[1].write_bytes(rows(5, 40, "acc"))
    cache = saved(new_service, project)
    one, two = (sidecar_of(cache, log) for log in logs)
    beside = cache / "beside"
    one.rename(beside)
    two.rename(one)
    beside.rename(two)
    service = restarted(new_service, cache)
    assert service.said(project) == cold(project)


def test_d09_a_log_restored_from_a_backup_is_read_anew(new_service: MakeService, project: Path, cold: Cold) -> None:
    log = runs(project, 1)[0]
    shutil.copy2(log, project / "backup")
    with log.open("ab") as file:
        file.write(rows(20, 50))
    cache = saved(new_service, project)
    shutil.copy2(project / "backup", log)
    service = restarted(new_service, cache)
    assert service.said(project)[0].listed[3] == 20
    assert service.said(project) == cold(project)


@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=6"])
def test_d10_a_disk_without_room_keeps_indexes_in_memory_and_says_so(
    new_service: MakeService, project: Path, cold: Cold, options: str
) -> None:
    for number in range(6):
        (project / "logs" / f"r{number}.jsonl").write_bytes(rows(0, 9000, f"key{number}"))
    service = new_service(
        own_mounts('mkdir -p "$RUNWISE_CACHE_DIR" && mount -t tmpfs -o ' + options + ' none "$RUNWISE_CACHE_DIR"')
    )
    service.start()
    inside = Path(f"/proc/{service.pid}/root{service.cache}")
    assert service.said(project) == cold(project)
    until(lambda: "No space left" in " ".join(service.status()["engine"]["notes"]))
    assert strays(inside) == []
    for path in inside.rglob("*.rwx"):
        assert path.stat().st_size > 500
    assert service.said(project) == cold(project)


def test_d11_a_write_cut_short_never_makes_a_short_sidecar(new_service: MakeService, project: Path, cold: Cold) -> None:
    runs(project, 3)
    (project / "logs" / "long.jsonl").write_bytes(rows(0, 3000))
    service = new_service()
    most = 4096
    service.start(preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most)))
    assert service.said(project) == cold(project)
    assert service.stop() == 0
    found = list(service.cache.rglob("*.rwx"))
    assert all(path.stat().st_size < most for path in found)
    assert strays(service.cache) == []
    again = restarted(new_service, service.cache)
    assert again.said(project) == cold(project)
    assert again.status()["engine"]["restored"] == len(found)


@pytest.mark.parametrize(
    ("calls", "error"), [("write", "EDQUOT"), ("fsync", "EIO"), ("rename", "EROFS"), ("openat", "EMFILE")]
)
def test_d13_a_save_that_fails_leaves_the_old_sidecar_and_no_other(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold, calls: str, error: str
) -> None:
    (log,) = runs(project, 1)
    cache = saved(new_service, project)
    kept = sidecar_of(cache, log).read_bytes()
    points = [point for point in saving_points(log, sidecar_of(cache, log), tmp_path / "trace") if point.call == calls]
    with log.open("ab") as file:
        file.write(rows(20, 30))
    inject = f"inject={calls}:error={error}:when={points[0].count}..{points[-1].count - (calls == 'write')}"
    index(log, sidecar_of(cache, log), strace(tmp_path / "t", "-e", f"trace={calls}", "-e", inject))
    assert sidecar_of(cache, log).read_bytes() == kept
    assert strays(cache) == []
    service = restarted(new_service, cache)
    assert service.said(project) == cold(project)


def test_d14_a_cache_that_may_not_be_written_is_done_without(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    runs(project, 3)
    service = new_service(bound_by_modes())
    service.cache.mkdir(mode=0o500)
    service.start()
    assert service.said(project) == cold(project)
    notes = [note for note in service.status()["engine"]["notes"] if "cache cannot be written" in note]
    assert len(notes) == 1
    assert service.stop() == 0
    assert service.log().count("cache") <= 1


def test_d14_without_a_home_everything_is_in_memory(new_service: MakeService, project: Path, cold: Cold) -> None:
    runs(project, 3)
    service = new_service()
    for name in ("HOME", "RUNWISE_CACHE_DIR", "RUNWISE_STATE_DIR"):
        service.env.pop(name, None)
    service.env["XDG_CACHE_HOME"] = service.env["XDG_STATE_HOME"] = "/proc/none"
    service.start()
    assert service.said(project) == cold(project)


def test_d15_a_cache_removed_while_in_use_is_made_again(new_service: MakeService, project: Path, cold: Cold) -> None:
    logs = runs(project, 3)
    service = restarted(new_service, saved(new_service, project))
    service.said(project)
    shutil.rmtree(service.cache)
    with logs[0].open("ab") as file:
        file.write(rows(20, 30))
    assert service.said(project) == cold(project)
    assert service.stop() == 0
    assert sidecar_of(service.cache, logs[0]).exists()
    service.start()
    assert service.said(project) == cold(project)


def test_d16_a_link_in_the_place_of_a_sidecar_harms_nothing_it_points_to(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold
) -> None:
    logs = runs(project, 2)
    important = tmp_path / "important"
    important.write_text("mine")
    cache = saved(new_service, project)
    for log in logs:
        path = sidecar_of(cache, log)
        path.unlink()
        path.symlink_to(important)
        with log.open("ab") as file:
            file.write(rows(20, 30))
    service = restarted(new_service, cache)
    assert service.said(project) == cold(project)
    assert service.stop() == 0
    assert important.read_text() == "mine"
    assert not sidecar_of(service.cache, logs[0]).is_symlink()


def test_d17_two_daemons_with_one_cache_leave_whole_sidecars(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    logs = runs(project, 5)
    one, two = new_service(), new_service()
    two.env["RUNWISE_CACHE_DIR"] = one.env["RUNWISE_CACHE_DIR"]
    for turn in range(3):
        for service in (one, two):
            service.start()
            service.said(project)
        for log in logs:
            with log.open("ab") as file:
                file.write(rows(20 + turn, 21 + turn))
        assert one.said(project) == two.said(project)
        assert (one.stop(), two.stop()) == (0, 0)
    one.start()
    assert one.said(project) == cold(project)
    assert one.status()["engine"]["restored"] == 5


def test_d18_a_sidecar_truncated_while_it_is_read_changes_no_answer(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    logs = runs(project, 3, 2000)
    service = restarted(new_service, saved(new_service, project))
    expected = cold(project)
    for length in (3000, 1000, 100, 0):
        with service.connect() as client:
            client.ask(ListRuns(), project)
        for log in logs:
            os.truncate(sidecar_of(service.cache, log), length)
        assert service.said(project) == expected


def test_r1_nothing_below_a_watched_root_is_written(
    new_service: MakeService, project: Path, tmp_path: Path, cold: Cold
) -> None:
    logs = runs(project, 3)
    trace = tmp_path / "trace"
    calls = "openat,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,chmod,fchmodat,truncate,utimensat"
    service = new_service(strace(trace, "--seccomp-bpf", "-y", "-e", f"trace={calls}")).start()
    service.said(project)
    with logs[0].open("ab") as file:
        file.write(rows(20, 30))
    assert service.said(project) == cold(project)
    service.stop()
    touching = [line for line in trace.read_text(errors="replace").splitlines() if str(project) in line]
    assert touching
    allowed = re.compile(r"openat\(.*O_RDONLY")
    assert [line for line in touching if not allowed.search(line)] == []
    assert [line for line in touching if re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line)] == []
