"""The bulk path reads what the decoder of single events reads, and never what is not of its pattern."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import tfevents
from runwised.formats.record import Rows, escape
from runwised.formats.tfevents import TFEVENTS
from runwised.formats.tfevents_fast import scalars
from runwised.formats.tfevents_values import decode_event
from runwised.formats.tfrecord import Framed, RecordLog
from tests.formats.tfevents_logs import event, nested, number, record, session_start, simple, summary, tensor

steps = st.one_of(st.integers(0, 3), st.integers(0, 2**15), st.integers(-(2**63), 2**63 - 1))
floats = st.floats(width=32)
tags = st.one_of(st.sampled_from(["loss", "acc1", "a", "é", "x\0", "x", "val/loss"]), st.text(max_size=130))
times = st.floats()


def scalar(time: float, step: int, tag: str, value: float) -> bytes:
    return event(time, step, nested(5, simple(tag, value)))


def near_miss(time: float, step: int, tag: str, value: float, at: int, octet: int) -> bytes:
    """A scalar with one byte of it changed."""
    data = bytearray(scalar(time, step, tag, value))
    data[at % len(data)] = octet
    return bytes(data)


plain = st.builds(scalar, times, steps, tags, floats)
events = st.one_of(
    plain,
    plain,
    st.builds(near_miss, times, steps, tags, floats, st.integers(0, 200), st.integers(0, 255)),
    st.builds(lambda time, tag, value: event(time, 5, nested(5, simple(tag, value) * 2)), times, tags, floats),
    st.builds(lambda tag: event(1.0, 5, nested(5, tensor(tag, 3, number(7, 9)))), tags),
    st.builds(lambda tag: event(1.0, 5, nested(5, tensor(tag, 7, nested(8, b"text")))), tags),
    st.builds(lambda step: event(1.0, step, nested(7, number(1, 1))), st.integers(-2, 5)),
    st.binary(max_size=40),
)


def framed(payloads: list[bytes]) -> Framed:
    (found,) = RecordLog().feed(b"".join(map(record, payloads)))
    assert isinstance(found, Framed)
    return found


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=40))
def test_what_is_of_the_pattern_is_decoded_as_alone(payloads: list[bytes]) -> None:
    found = scalars(framed(payloads))
    members = np.concatenate([*found.tags.values(), np.empty(0, np.int64)])
    assert sorted(members.tolist()) == list(range(len(found.records)))
    for tag, which in found.tags.items():
        assert which.tolist() == sorted(which.tolist())
        for index in which.tolist():
            alone = decode_event(payloads[found.records[index]])
            wanted = alone.step, struct.pack("<d", alone.time)
            assert (found.steps[index], struct.pack("<d", found.times[index])) == wanted
            ((key, value),) = alone.values.items()
            assert key == escape((tag.decode("utf-8", "replace"),))
            assert np.array_equal(value, found.values[index], equal_nan=True)


@given(times, st.integers(0, 2**49 - 1), st.text(min_size=1, max_size=29), floats)
def test_every_plain_scalar_is_of_the_pattern(time: float, step: int, tag: str, value: float) -> None:
    assert scalars(framed([scalar(time, step, tag, value)] * 3)).records.tolist() == [0, 1, 2]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=80), st.integers(1, 3000))
def test_a_reader_tells_the_same_with_and_without_it(told: Any, payloads: list[bytes], piece: int) -> None:
    data = b"".join(map(record, payloads))
    whole = told(TFEVENTS.reader().feed(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfevents, "_BULK_RECORDS", 1 << 30)
        alone = told(TFEVENTS.reader().feed(data))
    reader = TFEVENTS.reader()
    pieces = told(batch for at in range(0, len(data), piece) for batch in reader.feed(data[at : at + piece]))
    assert whole.picture() == alone.picture() == pieces.picture()
    assert whole.served.keys() == pieces.served.keys()
    assert all(np.array_equal(whole.served[key], pieces.served[key], equal_nan=True) for key in whole.served)


@pytest.mark.parametrize("count", [1, 12, 13, 90])
def test_any_number_of_tags_of_one_length_are_told_apart(count: int) -> None:
    payloads = [scalar(1.0, step, f"tag{tag:02}", tag) for step in range(1, 4) for tag in range(count)]
    found = scalars(framed(payloads))
    assert {tag: found.values[which].tolist() for tag, which in found.tags.items()} == {
        b"tag%02d" % tag: [tag] * 3 for tag in range(count)
    }


def test_rows_of_all_kinds_of_events_stand_in_file_order() -> None:
    parts: list[bytes] = []
    for step in range(1, 60):
        parts.append(summary(1.0, step, simple("plain", step)))
        if step % 5 == 0:
            parts.append(summary(1.0, step, tensor("tensor", 2, nested(4, struct.pack("<d", step)))))
        if step % 20 == 0:
            parts.append(session_start(1.0, step + 1))
    batches = TFEVENTS.reader().feed(b"".join(parts))
    offsets = [offset for batch in batches if isinstance(batch, Rows) for offset in batch.offsets.tolist()]
    assert offsets == sorted(offsets)
    assert [type(batch).__name__ for batch in batches] == ["Rows", "Purge", "Rows", "Purge", "Rows"]
    found = {"plain": 0, "tensor": 0}
    for batch in batches:
        for column in batch.columns if isinstance(batch, Rows) else ():
            found[column.key] += len(column.values)
            assert column.rows is not None
            assert column.values.tolist() == batch.steps[column.rows].tolist()
    assert found == {"plain": 59, "tensor": 11}
