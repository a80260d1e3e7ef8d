"""What every reader owes, tried on a small source of each format: see `runwised.formats.record.Reader`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from runwised.formats import all_formats, choose
from runwised.formats.record import NO_STEP, Format, Resume


def format_of(case: Any) -> Format:
    found = choose(case.filename, case.data[:4096])
    assert found is not None
    return found


def read(log: Format, pieces: Iterable[bytes], resume: Resume | None = None) -> list[Any]:
    reader = log.reader(resume)
    batches = [batch for piece in pieces for batch in reader.feed(piece)]
    return batches + list(reader.close())


def resume_points(case: Any) -> list[Resume]:
    """Everywhere a reader stands when it was fed byte after byte; each with the bytes fed so far."""
    reader = format_of(case).reader()
    points = [reader.resume]
    for at in range(len(case.data)):
        list(reader.feed(case.data[at : at + 1]))
        if reader.resume != points[-1]:
            points.append(reader.resume)
    return points


def places(case: Any) -> Iterator[int]:
    """Every offset of a short source; of a longer one those near the edge of a record, and some deep inside."""
    if len(case.data) < 4096:
        return iter(range(len(case.data)))
    edges = {point.offset for point in resume_points(case)} | {len(case.data), *range(32768, len(case.data), 32768)}
    near = {edge + by for edge in edges for by in range(-40, 40)}
    return (at for at in range(len(case.data)) if at in near or at % 29 == 0)


def test_every_format_has_a_case(cases: tuple[Any, ...]) -> None:
    assert {format_of(case).name for case in cases} == {log.name for log in all_formats()}


def test_byte_by_byte_gives_the_same_as_whole(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data]))
    assert whole.rows["history"] or whole.rows["system"]
    assert not whole.damage
    single = (case.data[at : at + 1] for at in range(len(case.data)))
    assert told(read(log, single)).picture() == whole.picture()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken(case: Any, told: Any, kind: Any) -> None:
    log = format_of(case)
    assert told(read(log, [kind(case.data)])).picture() == told(read(log, [case.data])).picture()


def test_split_anywhere_gives_the_same_as_whole(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data])).picture()
    for at in places(case):
        assert told(read(log, [case.data[:at], case.data[at:]])).picture() == whole, at


def test_at_every_length_exactly_the_whole_records_are_delivered(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data]))
    starts = record_starts(case)
    ends = {end_of(row[0], starts): row for rows in whole.rows.values() for row in rows}
    reader = log.reader()
    for length in range(1, len(case.data) + 1):
        seen = told(reader.feed(case.data[length - 1 : length]))
        assert seen.rows["history"] + seen.rows["system"] == ([ends[length]] if length in ends else []), length
        assert not seen.damage, length


def test_a_torn_source_is_no_damage_and_goes_on_when_the_rest_comes(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data]))
    for cut in places(case):
        reader = log.reader()
        torn = [*reader.feed(case.data[:cut]), *reader.close()]
        assert not told(torn).damage, cut
        assert reader.resume.offset <= cut
        assert told([*torn, *reader.feed(case.data[cut:])]).picture() == whole.picture(), cut


def record_starts(case: Any) -> list[int]:
    """Where records end and others begin, from the resume points."""
    return sorted({point.offset for point in resume_points(case)})


def end_of(offset: int, starts: list[int]) -> int:
    return next(start for start in starts if start > offset)


def test_a_new_reader_takes_over_at_every_resume_point(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data])).picture()
    reader = log.reader()
    before: list[Any] = []
    resume = reader.resume
    for at in range(len(case.data)):
        before += reader.feed(case.data[at : at + 1])
        if reader.resume != resume:
            resume = reader.resume
            assert told([*before, *read(log, [case.data[resume.offset :]], resume)]).picture() == whole, resume


def test_a_wrong_byte_costs_no_more_than_its_surroundings(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data]))
    starts = record_starts(case)
    for at in places(case):
        data = bytearray(case.data)
        data[at] ^= 1 << at % 8
        hurt = told(read(log, [data]))
        start, end = case.lost(at)
        for table, rows in whole.rows.items():
            left = {row[0]: row for row in hurt.rows[table]}
            safe = [row for row in rows if row[0] >= end or end_of(row[0], starts) <= start]
            assert [left.get(row[0]) for row in safe] == safe, at


def test_each_row_and_chunk_is_read_back_from_its_offset(case: Any, told: Any) -> None:
    log = format_of(case)
    reader = log.reader()
    whole = told(reader.feed(case.data))
    for offset, step, _, values in whole.rows["history"] + whole.rows["system"]:
        row = log.row(case.data[offset:], offset, reader.resume)
        assert row is not None
        assert row.step in (step, NO_STEP)
        assert set(row.values) == set(values)
        assert log.row(case.data[offset : offset + 5], offset, reader.resume) is None
    for offset, _, stderr, size in whole.console:
        text = log.text(case.data[offset:], offset, reader.resume)
        assert text is not None
        assert (text.stderr, len(text.text.encode())) == (stderr, size)
    with pytest.raises(ValueError, match=r"."):
        log.row(b"\xff" * 70000 + b"\n", 12345, reader.resume)


def test_a_probe_knows_the_last_step_and_time(case: Any, told: Any) -> None:
    log = format_of(case)
    whole = told(read(log, [case.data]))
    probe = log.probe(case.data[:65536], case.data[-65536:], max(len(case.data) - 65536, 0))
    assert probe.header
    if whole.history:
        assert probe.step == whole.history[-1][1]
