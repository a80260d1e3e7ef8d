"""A connection's bytes become requests, whatever they are and however they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runwise_protocol import __version__, frames, messages
from runwise_protocol.queries import Latest, ListRuns
from runwise_protocol.query import Where

from runwised.server.conversation import CommandLine, Conversation, Greeting, Order, Question, Refusal

HELLO = frames.encode(frames.HELLO, __version__.encode())
LANE = frames.lane_request(__version__, b"/here", 80, "tc", [], [b"list"])
ASK = messages.Ask.of(ListRuns(limit=3), None, Where(cwd="/here"))
SAID = (
    HELLO
    + frames.encode(frames.CONTROL, b"ping")
    + frames.encode(frames.ASK, messages.encode_ask(ASK))
    + LANE
    + frames.encode(frames.WRITE, messages.encode_ask(messages.Ask.of(Latest(), None, Where(cwd="/"))))
)
MEANT = [
    Greeting(),
    Order("ping"),
    Question(ASK, streamed=False),
    CommandLine(messages.Lane(Where(cwd="/here"), 80, True, True, ["list"])),
    Question(messages.Ask.of(Latest(), None, Where(cwd="/")), streamed=True),
]


@given(st.lists(st.integers(0, len(SAID)), max_size=12))
def test_requests_come_in_order_wherever_the_bytes_are_split(cuts: list[int]) -> None:
    conversation = Conversation()
    edges = [0, *sorted(cuts), len(SAID)]
    got = [request for i in range(len(edges) - 1) for request in conversation.receive(SAID[edges[i] : edges[i + 1]])]
    assert got == MEANT
    assert not conversation.partial


@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_taken_without_an_exception(data: bytes) -> None:
    assert all(isinstance(request, Refusal | Greeting) for request in Conversation().receive(data))


@given(st.sampled_from([frames.LANE, frames.ASK, frames.WRITE, frames.CONTROL, frames.HELLO]), st.binary(min_size=1))
def test_any_payload_is_taken_without_an_exception(kind: int, payload: bytes) -> None:
    conversation = Conversation()
    conversation.receive(HELLO)
    assert len(conversation.receive(frames.encode(kind, payload))) == 1


@given(st.integers(0, len(SAID) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_taken_without_an_exception(place: int, flip: int) -> None:
    data = bytearray(SAID)
    data[place] ^= flip
    Conversation().receive(bytes(data))


def test_a_command_line_of_another_version_is_answered_with_ours_without_being_read() -> None:
    payload = b"9.9.9\0whatever comes then"
    assert Conversation().receive(frames.encode(frames.LANE, payload)) == [Greeting()]


@pytest.mark.parametrize("said", [b"", frames.encode(frames.HELLO, b"9.9.9")])
def test_a_typed_question_needs_a_greeting_of_our_version(said: bytes) -> None:
    conversation = Conversation()
    conversation.receive(said)
    (refusal,) = conversation.receive(frames.encode(frames.ASK, messages.encode_ask(ASK)))
    assert isinstance(refusal, Refusal)
    assert not refusal.last
    assert "a HELLO of that version comes first" in refusal.error.message


def test_a_request_of_an_unknown_kind_is_refused_and_the_next_one_taken() -> None:
    refusal, order = Conversation().receive(frames.encode(0x7A, b"?") + frames.encode(frames.CONTROL, b"ping"))
    assert isinstance(refusal, Refusal)
    assert "unknown kind 0x7a" in refusal.error.message
    assert order == Order("ping")


def test_what_came_before_a_broken_frame_is_taken_and_nothing_after_it() -> None:
    order, refusal = Conversation().receive(frames.encode(frames.CONTROL, b"ping") + b"\xff" * 5 + LANE)
    assert order == Order("ping")
    assert isinstance(refusal, Refusal)
    assert refusal.last
