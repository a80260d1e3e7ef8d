import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runwised.catalog.identity import Fingerprint, identify, is_same, look, read_piece
from runwised.catalog.opening import open_source

DATA = os.urandom(20_000)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = open_source(str(path))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def known(path: Path, offset: int) -> Fingerprint:
    with opened(path) as descriptor:
        return identify(descriptor, str(path), offset)


def same(path: Path, fingerprint: Fingerprint) -> bool:
    with opened(path) as descriptor:
        return is_same(descriptor, fingerprint)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("offset", [0, 7, 5000, 20_000])
def test_an_untouched_and_a_grown_file_are_the_same(log: Path, offset: int) -> None:
    fingerprint = known(log, offset)
    assert same(log, fingerprint)
    with log.open("ab") as file:
        file.write(b"more")
    assert same(log, fingerprint)


def test_a_truncated_file_is_another(log: Path) -> None:
    fingerprint = known(log, 15_000)
    os.truncate(log, 10_000)
    assert not same(log, fingerprint)


def test_a_file_truncated_and_grown_past_the_offset_again_is_another(log: Path) -> None:
    fingerprint = known(log, 15_000)
    with log.open("r+b") as file:
        file.truncate(10_000)
        file.seek(0, os.SEEK_END)
        file.write(os.urandom(12_000))
    assert not same(log, fingerprint)


def test_a_file_rewritten_in_place_is_another_even_with_its_old_time(log: Path) -> None:
    fingerprint = known(log, 15_000)
    times = log.stat()
    with log.open("r+b") as file:
        file.seek(9_000)
        file.write(b"rewritten")
    os.utime(log, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not same(log, fingerprint)


@pytest.mark.parametrize("place", [0, 4000, 14_999])
def test_a_changed_byte_at_the_head_or_before_the_offset_is_seen_in_a_grown_file(log: Path, place: int) -> None:
    fingerprint = known(log, 15_000)
    with log.open("r+b") as file:
        file.seek(place)
        file.write(bytes([DATA[place] ^ 1]))
        file.seek(0, os.SEEK_END)
        file.write(b"more")
    assert not same(log, fingerprint)


def test_a_file_put_in_its_place_is_another(log: Path, tmp_path: Path) -> None:
    fingerprint = known(log, 15_000)
    (tmp_path / "new").write_bytes(DATA + b"more")
    (tmp_path / "new").replace(log)
    assert not same(log, fingerprint)


def test_a_look_tells_size_and_times_and_nothing_of_what_is_no_file(log: Path, tmp_path: Path) -> None:
    seen = look(str(log))
    assert seen is not None
    assert seen.size == len(DATA)
    assert seen.times == (log.stat().st_mtime_ns, log.stat().st_ctime_ns)
    assert look(str(tmp_path)) is None
    assert look(str(tmp_path / "gone")) is None


@pytest.mark.parametrize("offset", [0, 100, 10_000])
def test_a_file_written_over_after_it_was_read_is_another(log: Path, offset: int) -> None:
    with opened(log) as descriptor:
        piece = read_piece(descriptor, offset, 5000)
        assert piece.data[offset - piece.start :] == DATA[offset : offset + 5000]
        before = log.stat().st_mtime_ns
        log.write_bytes(DATA[::-1] + b"more")
        os.utime(log, ns=(before + 10**9, before + 10**9))
        assert is_same(descriptor, known(log, 0), read_piece(descriptor, 0, 10))
        fingerprint = identify(descriptor, str(log), offset + 5000, piece)
    assert not same(log, fingerprint)


def test_a_file_that_grew_after_it_was_read_is_the_same(log: Path) -> None:
    with opened(log) as descriptor:
        piece = read_piece(descriptor, 10_000, 1 << 20)
        with log.open("ab") as file:
            file.write(b"more")
        fingerprint = identify(descriptor, str(log), 20_000, piece)
    assert fingerprint.size == 20_000
    assert same(log, fingerprint)
