"""Section D of the fault matrix: sidecars, and the disk they lie on."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from runwise_protocol.queries import ListRuns

from tests.faults.conftest import Cold, MakeService
from tests.faults.machine import bound_by_modes, strace
from tests.faults.service import Service, rows
from tests.faults.sidecars import restarted, runs, saved, sidecar_of


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
    count, chance = 40, random.Random(3)

    def flip(number: int, data: bytes) -> bytes:
        at = number * len(data) // count
        return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]

    service = harmed(new_service, project, flip, count)
    assert service.said(project) == cold(project)


def test_d04_no_length_a_sidecar_is_cut_or_padded_to_changes_an_answer(
    new_service: MakeService, project: Path, cold: Cold
) -> None:
    count = 20

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
    for turn in range(2):
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
    lines = trace.read_text(errors="replace").splitlines()
    touching = [line for line in lines if str(project) in line and "resumed>" not in line]
    assert touching
    allowed = re.compile(r"openat\(.*O_RDONLY")
    assert [line for line in touching if not allowed.search(line)] == []
    assert [line for line in touching if re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line)] == []
