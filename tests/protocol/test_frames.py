"""Framing gives the same frames however the bytes arrive, and never takes in what it will refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runwise_protocol.frames import ASK, OUT, REQUEST_CAP, FrameError, Frames, encode

frames_of_any_kind = st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=1, max_size=300)), max_size=8)


@given(frames_of_any_kind, st.data())
def test_frames_come_out_as_they_went_in_wherever_the_bytes_are_split(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    frames = Frames(300)
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += frames.feed(stream[start:end])
    assert got == sent
    assert not frames.partial


def test_frames_come_out_byte_by_byte() -> None:
    frames = Frames(100)
    stream = encode(ASK, b"one") + encode(OUT, b"\0")
    got = [frame for byte in stream for frame in frames.feed(bytes((byte,)))]
    assert got == [(ASK, b"one"), (OUT, b"\0")]


def test_a_begun_frame_is_partial_until_its_last_byte() -> None:
    frames = Frames(100)
    stream = encode(ASK, b"payload")
    assert not frames.partial
    assert frames.feed(stream[:-1]) == []
    assert frames.partial
    assert frames.feed(stream[-1:]) == [(ASK, b"payload")]
    assert not frames.partial


def test_a_frame_at_the_cap_is_taken() -> None:
    assert Frames(REQUEST_CAP).feed(encode(ASK, bytes(REQUEST_CAP))) == [(ASK, bytes(REQUEST_CAP))]


@pytest.mark.parametrize("length", [0, 101, 2**32 - 1])
def test_a_length_of_zero_or_over_the_cap_is_refused_from_its_head_alone(length: int) -> None:
    with pytest.raises(FrameError, match=f"a frame of {length} bytes; 1 to 100 are allowed"):
        Frames(100).feed(length.to_bytes(4, "little") + bytes((ASK,)))


def test_what_came_whole_before_a_broken_frame_is_not_lost() -> None:
    with pytest.raises(FrameError) as caught:
        Frames(100).feed(encode(ASK, b"good") + bytes(5))
    assert caught.value.whole == [(ASK, b"good")]
