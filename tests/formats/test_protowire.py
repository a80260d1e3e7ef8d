"""The wire format, against protobuf's own encoder where there is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.protowire import WireError, double, fields, length_delimited, shaped, signed, text, var, zigzag


def test_fields_of_every_wire_type_come_with_their_tags() -> None:
    message = bytes.fromhex("089601 121001020304050607080910111213141516 190000000000001440 2d01020304 b8feff0f05")
    assert list(fields(message)) == [
        (1 << 3 | 0, 150),
        (2 << 3 | 2, bytes.fromhex("01020304050607080910111213141516")),
        (3 << 3 | 1, bytes.fromhex("0000000000001440")),
        (5 << 3 | 5, bytes([1, 2, 3, 4])),
        (0x01FFFF38, 5),
    ]


@pytest.mark.parametrize("message", ["08", "0896", "0a05ff", "0b", "0c", "0f", "09010203", "08" + "ff" * 10 + "01"])
def test_cut_and_malformed_messages_are_refused(message: str) -> None:
    with pytest.raises(WireError):
        list(fields(bytes.fromhex(message)))


@given(st.binary())
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        total = sum(1 for _ in fields(message))
    except WireError:
        return
    assert total <= len(message)


def test_numbers_with_a_sign() -> None:
    assert [signed(2**64 - 1), signed(5), zigzag(1), zigzag(2**64 - 1)] == [-1, 5, -1, -(2**63)]
    assert double(bytes.fromhex("0000000000001440")) == 5.0
    assert text(b"a\xff") == "a\ufffd"


def test_a_shape_names_what_is_wanted_and_passes_over_the_rest() -> None:
    shape = {
        var(1): ("count", int),
        length_delimited(2): ("tags[]", text),
        length_delimited(3): ("labels{}", text),
    }
    message = bytes.fromhex("0801 0802 120161 120162 0a0178 1a060a016b120176 1a030a0165 1805")
    assert shaped(message, shape) == {"count": 2, "tags": ["a", "b"], "labels": {"k": "v", "e": ""}}
