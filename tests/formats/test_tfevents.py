"""Event files: what the reader makes of events that are not plain scalars, and of files that are none."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest

from runwised.formats import choose
from runwised.formats.record import NO_STEP, Damage, Purge, Resume
from runwised.formats.tfevents import TFEVENTS
from tests.formats.tfevents_logs import (
    event,
    header,
    nested,
    number,
    plugin,
    record,
    session_start,
    simple,
    summary,
    tensor,
    varint,
)

NAME = "events.out.tfevents.1750000000.vm.1.0"


def read(told: Any, *records: bytes) -> Any:
    return told(TFEVENTS.reader().feed(b"".join(records)))


def numbers(told: Any, *records: bytes) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = read(told, *records).logged
    return found


def stepless(tag: str, *values: float, step: int = 0) -> bytes:
    return b"".join(summary(1.0, step, simple(tag, value)) for value in values)


def test_points_without_a_step_are_numbered(told: Any) -> None:
    found = numbers(told, header(), stepless("a", 3, 2, 1), stepless("b", 5, 4, step=7), stepless("a", 0))
    assert found == {"a": [(0, 3), (1, 2), (2, 1), (3, 0)], "b": [(7, 5), (8, 4)]}


def test_a_tag_that_moved_on_goes_back_when_its_step_does(told: Any) -> None:
    run = read(told, *(summary(1.0, step, simple("a", step)) for step in (0, 1, 2, 0)))
    assert run.logged["a"] == [(0, 0), (1, 1), (2, 2), (0, 0)]
    assert run.served["a"] == [(0, 0)]


def test_numbering_ends_where_a_step_is_told(told: Any) -> None:
    found = numbers(told, stepless("a", 3, 2, 1), summary(1.0, 9, simple("a", 8)), stepless("a", 7))
    assert found["a"] == [(0, 3), (1, 2), (2, 1), (9, 8), (0, 7)]


@pytest.mark.parametrize("step", [2**63 - 1, -(2**63)])
def test_the_farthest_steps_can_be_repeated(told: Any, step: int) -> None:
    reader = TFEVENTS.reader()
    run = told(reader.feed(stepless("a", 3, 2, 1, step=step)))
    assert [row[1] for row in run.history] == [min(step + n, 2**63 - 1) for n in range(3)]
    again = TFEVENTS.reader(reader.resume)
    assert len(told(again.feed(stepless("a", 0, step=step))).history) == 1


def test_values_of_one_event_are_numbered_together(told: Any) -> None:
    both = summary(1.0, 0, simple("a", 1), simple("b", 1))
    assert numbers(told, stepless("a", 0, 1), both, both, stepless("b", 2)) == {
        "a": [(0, 0), (1, 1), (2, 1), (3, 1)],
        "b": [(2, 1), (3, 1), (4, 2)],
    }


def test_text_without_a_step_is_numbered_too(told: Any) -> None:
    run = read(told, *(summary(1.0, 0, tensor("note", 7, nested(8, text))) for text in (b"one", b"two")))
    assert [row[1] for row in run.history] == [0, 1]
    assert run.others["note"] == ("string", b'"two"')


def test_a_reader_that_takes_over_numbers_on(told: Any) -> None:
    parts = [stepless("a", 3), stepless("b", 1), stepless("a", 2, 1), summary(1.0, 4, simple("b", 9)), stepless("b", 7)]
    whole = read(told, *parts)
    batches: list[Any] = []
    resume = Resume()
    for part in parts:
        reader = TFEVENTS.reader(resume)
        batches += reader.feed(part)
        resume = reader.resume
    assert told(batches).picture() == whole.picture()
    assert whole.logged == {"a": [(0, 3), (1, 2), (2, 1)], "b": [(0, 1), (4, 9), (0, 7)]}


def test_what_must_be_remembered_stays_small() -> None:
    reader = TFEVENTS.reader()
    for step in (1, 2):
        reader.feed(b"".join(summary(1.0, step, simple(f"layer {n}/weight/norm", 1)) for n in range(500)))
    assert len(reader.resume.state) < 500 * 8 + 20
    for n in range(5000):
        reader.feed(summary(1.0, 1, simple(f"tag {n}", 1)))
    assert len(reader.resume.state) < 100_000


def test_a_row_tells_its_step_unless_it_was_numbered() -> None:
    parts = [stepless("a", 3), stepless("a", 2), stepless("b", 1), summary(1.0, 5, simple("b", 1)), stepless("c", 1, 1)]
    parts.append(summary(1.0, 2, simple("c", 1)))
    reader = TFEVENTS.reader()
    reader.feed(b"".join(parts))
    rows = [TFEVENTS.row(part, 0, reader.resume) for part in parts]
    assert [row and row.step for row in rows] == [NO_STEP, NO_STEP, 0, 5, NO_STEP, 2]


def test_the_start_of_a_session_takes_back_every_tag(told: Any) -> None:
    first = [summary(1.0, step, simple(tag, step)) for step in range(1, 6) for tag in ("a", "b")]
    start = session_start(2.0, 3)
    run = read(told, *first, start, summary(2.0, 3, simple("a", 30)))
    assert run.places == [Purge(len(b"".join(first)), 3)]
    assert run.served == {"a": [(1, 1), (2, 2), (3, 30)], "b": [(1, 1), (2, 2)]}


@pytest.mark.parametrize("step", [0, -3])
def test_a_session_that_starts_at_the_beginning_takes_nothing_back(told: Any, step: int) -> None:
    assert read(told, header(), session_start(1.0, step)).places == []


def test_the_first_event_of_a_file_takes_nothing_back(told: Any) -> None:
    stop = record(event(1.0, 4, nested(7, number(1, 2))))
    assert read(told, session_start(1.0, 4), stop).places == []


DTYPES = [
    (1, 5, b"\x2d" + struct.pack("<f", 0.1), struct.pack("<f", 0.1), struct.unpack("<f", struct.pack("<f", 0.1))[0]),
    (2, 6, b"\x31" + struct.pack("<d", 0.1), struct.pack("<d", 0.1), 0.1),
    (3, 7, number(7, -5), struct.pack("<i", -5), -5),
    (4, 7, number(7, 200), struct.pack("<B", 200), 200),
    (5, 7, number(7, -300), struct.pack("<h", -300), -300),
    (6, 7, number(7, -7), struct.pack("<b", -7), -7),
    (9, 10, number(10, -(2**62) - 1), struct.pack("<q", -(2**62) - 1), -(2**62) - 1),
    (10, 11, number(11, 1), b"\1", 1),
    (14, 13, number(13, 0x3FC0), struct.pack("<H", 0x3FC0), 1.5),
    (17, 7, number(7, 60000), struct.pack("<H", 60000), 60000),
    (19, 13, number(13, 0x3E00), struct.pack("<e", 1.5), 1.5),
    (22, 16, number(16, 2**32 - 1), struct.pack("<I", 2**32 - 1), 2**32 - 1),
    (23, 17, number(17, 2**64 - 1), struct.pack("<Q", 2**64 - 1), 2**64 - 1),
]


@pytest.mark.parametrize(("dtype", "key", "unpacked", "content", "value"), DTYPES)
def test_a_scalar_of_any_type_is_exact_however_it_is_stored(
    told: Any, dtype: int, key: int, unpacked: bytes, content: bytes, value: float
) -> None:
    tag_size = 2 if key > 15 else 1
    packed = nested(key, unpacked[tag_size:])
    for fields in (unpacked, packed, nested(4, content)):
        for shape in ((), (1,)):
            data = summary(1.0, 3, tensor("x", dtype, fields, shape))
            row = TFEVENTS.row(data, 0, Resume())
            assert row == (3, 1.0, {"x": value})
            assert type(row.values["x"]) is type(value)
            assert numbers(told, data) == {"x": [(3, float(value))]}


@pytest.mark.parametrize(
    ("held", "kind", "last"),
    [
        (tensor("t", 7, nested(8, b"a") + nested(8, b"\xff"), (2,)), "list", ["a", "�"]),
        (tensor("t", 7, nested(8, b"4") + nested(8, b"6") + nested(8, b"GIF89a"), (3,)), "image-file", {"width": 4}),
        (tensor("t", 7, nested(8, b"RIFF...."), (1, 1)), "audio-file", {"format": "wav"}),
        (
            tensor("t", 2, nested(4, struct.pack("<6d", 0, 1, 2, 1, 3, 2)), (2, 3)),
            "histogram",
            {"mean": 1.25, "bins": 2},
        ),
        (
            tensor("t", 2, nested(4, struct.pack("<3d", 1, 0, 2)), (1, 3)),
            "tensor",
            {"shape": [1, 3], "dtype": "double"},
        ),
        (tensor("t", 1, nested(4, bytes(400)), (10, 10)), "tensor", {"shape": [10, 10]}),
        (tensor("t", 1, nested(4, bytes(6))), "tensor", {"shape": []}),
        (tensor("t", 1, nested(5, bytes(12))), "tensor", {"shape": []}),
        (tensor("t", 8, nested(9, bytes(8))), "tensor", {"dtype": "type 8"}),
        (nested(1, nested(1, b"t") + nested(6, number(2, 2) + nested(5, b"audio/wav"))), "audio-file", {"channels": 2}),
        (nested(1, nested(1, b"t") + nested(5, b"")), "histogram", {"bins": 0, "count": 0.0}),
    ],
)
def test_what_is_no_number_is_told_by_its_kind(told: Any, held: bytes, kind: str, last: Any) -> None:
    found_kind, found = read(told, summary(1.0, 3, held)).others["t"]
    assert found_kind == kind
    loaded = json.loads(found)
    assert loaded == last if isinstance(last, list) else last.items() <= loaded.items()


def test_a_tensor_without_elements_is_zero_as_tensorflow_reads_it(told: Any) -> None:
    assert numbers(told, summary(1.0, 1, tensor("x", 1, b""))) == {"x": [(1, 0.0)]}


def test_what_belongs_to_the_display_is_passed_over(told: Any) -> None:
    layout = tensor("custom_scalars__config__", 7, nested(8, b"layout"), (), plugin("custom_scalars"))
    graph = record(event(1.0, 0, nested(4, b"graph")))
    run = read(told, header(), graph, summary(1.0, 0, layout))
    assert (run.history, run.damage) == ([], [])
    with pytest.raises(ValueError, match="logs nothing"):
        TFEVENTS.row(graph, 0, Resume())


def test_an_event_that_cannot_be_read_is_damage(told: Any) -> None:
    good, bad = stepless("a", 1), record(b"\x2a\xff")
    run = read(told, good, bad, stepless("b", 1))
    assert run.damage == [Damage(len(good), len(bad), "unreadable event")]
    assert set(run.logged) == {"a", "b"}
    with pytest.raises(ValueError, match="cut inside a number"):
        TFEVENTS.row(bad, 0, Resume())


def test_a_tag_is_one_name_whatever_is_in_it(told: Any) -> None:
    assert list(numbers(told, stepless("train.loss/a\\b", 1))) == ["train\\.loss/a\\\\b"]
    probe = TFEVENTS.probe(b"", stepless("train.loss/a\\b", 1), 0)
    assert probe.summary == {"train.loss/a\\b": 1.0}


def test_steps_and_times_are_as_written(told: Any) -> None:
    untimed = record(nested(5, simple("a", 1)))
    run = read(told, untimed, summary(math.nan, 2**62, simple("a", 1)), summary(math.inf, -5, simple("a", 1)))
    assert [row[1:3] for row in run.history] == [(0, "nan"), (2**62, "nan"), (-5, "inf")]


@pytest.mark.parametrize("kind", ["simple", "tensor"])
def test_a_signalling_nan_is_a_nan(told: Any, kind: str) -> None:
    stored = b"\x01\x00\xa0\x7f"
    value = simple("a", 0).replace(b"\x15" + bytes(4), b"\x15" + stored)
    if kind == "tensor":
        value = tensor("a", 1, nested(4, stored))
    for count in (1, 50):
        run = read(told, *(summary(1.0, step, value) for step in range(count)))
        assert [math.isnan(number_) for _, number_ in run.logged["a"]] == [True] * count


def test_an_event_may_hold_many_values_and_the_last_of_a_tag_counts(told: Any) -> None:
    run = read(told, summary(1.0, 3, simple("a", 1), simple("b", 2), simple("a", 3)))
    assert run.logged == {"a": [(3, 3.0)], "b": [(3, 2.0)]}
    assert len(run.history) == 1


def test_unknown_fields_are_passed_over(told: Any) -> None:
    odd = event(1.0, 2, nested(10, number(1, 1)) + nested(5, simple("a", 1) + nested(99, b"?")) + number(50, 1))
    assert numbers(told, record(odd)) == {"a": [(2, 1.0)]}


def test_files_are_known_by_their_name_and_their_first_length() -> None:
    assert choose(NAME, b"") is TFEVENTS
    assert choose(NAME, header()[:5]) is TFEVENTS
    assert choose(f"{NAME}.v2", header()) is TFEVENTS
    assert choose(NAME, b"no event file at all") is None
    assert choose("tfevents_reader.py", b"") is None
    assert choose("tfevents.md", b"# Event files\n") is None
    assert choose("data.tfrecord", header()) is None
    assert choose("events.out.tfevents.1750000000.vm.profile-empty", b"") is None
    with pytest.raises(ValueError, match="no console"):
        TFEVENTS.text(header(), 0, Resume())


def test_a_probe_finds_the_records_in_the_middle_of_which_the_tail_begins() -> None:
    data = header() + b"".join(summary(step + 0.5, step, simple("a", step)) for step in range(200))
    torn = data + summary(9.0, 999, simple("a", 1))[:-1]
    for cut in range(300, 420):
        probe = TFEVENTS.probe(torn[:64], torn[-cut:], len(torn) - cut)
        assert (probe.step, probe.time, probe.summary, probe.header) == (199, 199.5, {"a": 199.0}, True)
    probe = TFEVENTS.probe(data[:64], bytes(100), 1000)
    assert (probe.step, probe.time, probe.summary) == (None, None, {})
    assert TFEVENTS.probe(b"", b"", 0).header is False


def test_lists_that_are_cut_are_damage(told: Any) -> None:
    for fields in (nested(7, b"\xff"), nested(6, b"\0" * 7), nested(7, varint(2**63) + b"\xff" * 11), b"\x3d\0\0\0\0"):
        dtype = 2 if fields[0] == 6 << 3 | 2 else 3
        assert len(read(told, summary(1.0, 1, tensor("x", dtype, fields))).damage) == 1
