"""Payloads are read back as they were written; bad ones are refused by name."""

from __future__ import annotations

import math
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runwise_protocol import frames, messages
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.messages import Ask, Lane
from runwise_protocol.queries import History, ListRuns, ShowConfig
from runwise_protocol.queries.about import ConfigReply
from runwise_protocol.query import ENVIRON, Look, Where

words = st.binary(max_size=30).filter(lambda word: b"\0" not in word)


def lane_payload(*args: Any) -> bytes:
    ((kind, payload),) = frames.Frames(frames.REQUEST_CAP).feed(frames.lane_request(*args))
    assert kind == frames.LANE
    return payload


@given(words, st.integers(0, 9999), st.booleans(), st.booleans(), st.lists(words), words)
def test_a_command_line_of_any_bytes_is_read_back(
    cwd: bytes, width: int, terminal: bool, color: bool, argv: list[bytes], value: bytes
) -> None:
    flags = "t" * terminal + "c" * color
    payload = lane_payload("1.2.3", cwd, width, flags, [b"WANDB_DIR=" + value], argv)
    assert messages.lane_version(payload) == "1.2.3"
    where = Where(cwd=os.fsdecode(cwd), environ={"WANDB_DIR": os.fsdecode(value)})
    assert messages.decode_lane(payload) == Lane(where, width, terminal, color, [os.fsdecode(word) for word in argv])


def test_only_known_variables_are_taken_over() -> None:
    payload = lane_payload("1", b"/", 0, "", [b"PATH=/bin", *(f"{name}=x".encode() for name in ENVIRON)], [])
    assert messages.decode_lane(payload).where.environ == dict.fromkeys(ENVIRON, "x")


@pytest.mark.parametrize("payload", [b"1", b"1\0x\0\0000\0/", b"1\0000\0\0002\0/\0A=1", b"1\0000\0\0001\0/\0A"])
def test_a_malformed_command_line_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        messages.decode_lane(payload)


def test_the_terminal_completes_what_the_command_line_says_of_the_look() -> None:
    lane = Lane(Where(cwd="/"), 7, terminal=True, color=True, argv=[])
    assert lane.look({"form": "md"}) == Look(form="md", dress="human", color=True, width=20)
    piped = Lane(Where(cwd="/"), 0, terminal=False, color=False, argv=[])
    assert piped.look({}) == Look(dress="agent", width=100)
    assert piped.look({"dress": "human"}).dress == "human"


def test_a_question_from_a_folder_that_is_not_text_is_read_back() -> None:
    where = Where(cwd="/data/\udcff", environ={"WANDB_DIR": "/\udcfe"})
    for asked in (where, Where(cwd="/", project="../\udcff")):
        ask = Ask.of(History(run="a", keys=("loss",)), Look(form="json"), asked)
        assert messages.decode_ask(messages.encode_ask(ask)) == ask
        assert ask.where == asked


@pytest.mark.parametrize("query", [ListRuns(state="\udcff"), History(around=10**30)])
def test_a_question_that_cannot_be_sent_is_a_usage_error(query: ListRuns | History) -> None:
    with pytest.raises(RunwiseError, match="cannot be asked") as caught:
        messages.encode_ask(Ask.of(query, None, Where(cwd="/")))
    assert caught.value.kind is Kind.USAGE


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"ask": "list", "limit": 0}, r"\$\.query\.limit"),
        ({"ask": "list", "limit": "many"}, r"\$\.query\.limit"),
        ({"ask": "list", "colour": 1}, "`colour`"),
        ({"ask": "gossip"}, "gossip"),
        ({}, "`ask`"),
        ([], r"\$\.query"),
    ],
)
def test_a_question_out_of_bounds_is_refused_by_the_name_of_its_field(query: Any, named: str) -> None:
    payload = msgspec.msgpack.encode({"query": query, "cwd": b"/"})
    with pytest.raises(RunwiseError, match=named) as caught:
        messages.decode_ask(payload)
    assert caught.value.kind is Kind.USAGE


@given(st.binary(max_size=200))
def test_bytes_that_are_no_question_are_a_usage_error(payload: bytes) -> None:
    with pytest.raises(RunwiseError):
        messages.decode_ask(payload)


def test_a_question_nested_without_end_is_a_usage_error() -> None:
    with pytest.raises(RunwiseError):
        messages.decode_ask(b"\x82\xa5other" + b"\x91" * 500_000)


def test_an_answer_is_read_back_with_its_text() -> None:
    reply = ConfigReply(run="a", config={"lr": math.inf, "n": 3}, hidden=[])
    got, status = messages.decode_answer(messages.encode_answer(reply, "lr inf\n", 1), ShowConfig())
    assert (got, str(got), status) == (reply, "lr inf\n", 1)


def test_what_the_encoding_has_no_room_for_is_bent_and_not_refused() -> None:
    reply = ConfigReply(run="a\udcff", config={"seed": 10**30, "deep": [{"\udcfe": -(2**70)}]}, hidden=[])
    got, _ = messages.decode_answer(messages.encode_answer(reply, "\udcff", 0), ShowConfig())
    bent = {"seed": str(10**30), "deep": [{"\\udcfe": str(-(2**70))}]}
    assert got == ConfigReply(run="a\\udcff", config=bent, hidden=[])


@pytest.mark.parametrize("kind", Kind)
def test_an_error_is_read_back(kind: Kind) -> None:
    error = messages.decode_failure(messages.encode_failure(RunwiseError(kind, "what \udcff", "do this")))
    assert (error.kind, error.message, error.hint) == (kind, "what \\udcff", "do this")


def test_an_error_of_a_kind_yet_unknown_counts_as_internal() -> None:
    payload = msgspec.msgpack.encode({"kind": "melted", "message": "m"})
    assert messages.decode_failure(payload).kind is Kind.INTERNAL


@pytest.mark.parametrize("payload", [b"[]", b"{", b"\xff"])
def test_a_state_that_is_no_object_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        messages.decode_state(payload)


def test_an_error_is_shown_without_what_a_name_in_it_would_do_to_a_terminal() -> None:
    message = "'1' is ambiguous: 1\x1b[31mred\x1b[0m, 1\nerror: \u202eb"
    error = RunwiseError(Kind.AMBIGUOUS, message, "runwise run 1\x07")
    assert str(error) == "error: '1' is ambiguous: 1red, 1 error: b\nhint: runwise run 1"
