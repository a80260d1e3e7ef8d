"""Section D of the fault matrix: what happens while a sidecar is written."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.conftest import Cold, MakeService
from tests.faults.machine import own_mounts, strace, works
from tests.faults.service import ROOT, rows, until
from tests.faults.sidecars import restarted, runs, saved, sidecar_of, strays

WORKER = "from runwised.catalog.worker import main; main()"

POWER = Path(__file__).with_name("power_cut.py")

CALLS = "openat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,unlink,mkdir,close,lseek"


class Point(NamedTuple):
    """One system call of a process: the `count`-th of its kind."""

    call: str
    count: int


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
    assert service.said(project) == cold(project)
    until(lambda: strays(service.cache) == [])
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


@pytest.mark.parametrize("options", ["size=64k", pytest.param("nr_inodes=6", marks=pytest.mark.soak)])
def test_d10_a_disk_without_room_keeps_indexes_in_memory_and_says_so(
    new_service: MakeService, project: Path, cold: Cold, options: str
) -> None:
    for number in range(3):
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


@pytest.mark.parametrize(("calls", "error"), [("write", "EDQUOT"), ("fsync", "EIO"), ("rename", "EROFS")])
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
