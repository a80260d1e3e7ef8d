"""What a session has to say again, whatever has passed and in whichever pieces."""

from __future__ import annotations

import json

import pytest

from runwise_mcp import journal
from runwise_mcp.journal import CLIENT, DAEMON, Journal

BEGIN = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}
BEGUN = {"jsonrpc": "2.0", "method": "notifications/initialized"}
RUN = "runwise://run/a"


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def request(request_id: object, method: str = "tools/list", **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def answer(request_id: object, *, error: bool = False) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, **({"error": {"code": -1, "message": ""}} if error else {"result": {}})}


def noted(*passed: tuple[int, object], size: int = 1 << 16) -> Journal:
    """A journal of these messages, in pieces of so many bytes."""
    found = Journal()
    for origin, message in passed:
        data = message if isinstance(message, bytes) else line(message)
        pieces = [data[start : start + size] for start in range(0, len(data), size)] if origin == CLIENT else [data]
        for piece in pieces:
            found.passed(origin, piece)
    found.settle()
    return found


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_the_handshake_is_kept_word_by_word_and_what_is_not_answered_is_open(size: int) -> None:
    odd = b'  {"id":0 , "method":"initialize","jsonrpc":"2.0"}\n'
    found = noted(
        (CLIENT, odd), (DAEMON, answer(0)), (CLIENT, BEGUN), (CLIENT, request(1)), (CLIENT, request("1")), size=size
    )
    assert found.handshake == [odd[:-1], line(BEGUN)[:-1]]
    assert list(found.open) == ["1", '"1"']


def test_it_is_the_same_when_it_was_looked_at_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [(CLIENT, BEGIN), (DAEMON, answer(0)), (CLIENT, BEGUN), (CLIENT, request(1)), (CLIENT, b'{"id": 2, "me')]
    whole = noted(*passed)
    monkeypatch.setattr(journal, "LIMIT", 0)
    pieces = noted(*passed, size=1)
    assert (pieces.handshake, pieces.open, pieces.begun) == (whole.handshake, whole.open, whole.begun)
    assert whole.begun == b'{"id": 2, "me'


def test_an_answer_an_error_and_a_cancellation_close_a_request() -> None:
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}
    asked = [(CLIENT, request(number)) for number in (1, 2, 3, 4)]
    found = noted(*asked, (DAEMON, answer(1)), (DAEMON, answer(2, error=True)), (CLIENT, cancelled))
    assert list(found.open) == ["4"]


def test_what_the_daemon_asks_closes_no_request_of_the_client() -> None:
    found = noted((CLIENT, request(1)), (DAEMON, request(1, "roots/list")), (CLIENT, answer(1)))
    assert list(found.open) == ["1"]


def test_a_handshake_that_was_refused_is_none() -> None:
    assert noted((CLIENT, request(1)), (CLIENT, BEGIN), (DAEMON, answer(0, error=True))).handshake == []


def test_a_subscription_stands_until_it_is_ended_or_refused() -> None:
    subscribe = request(1, "resources/subscribe", uri=RUN)
    assert list(noted((CLIENT, subscribe), (DAEMON, answer(1))).subscriptions) == [RUN]
    assert noted((CLIENT, subscribe), (DAEMON, answer(1, error=True))).subscriptions == {}
    end = request(2, "resources/unsubscribe", uri=RUN)
    assert noted((CLIENT, subscribe), (DAEMON, answer(1)), (CLIENT, end)).subscriptions == {}


def test_what_is_no_request_is_passed_over() -> None:
    odd = [b"garbage\n", b"[1]\n", b"7\n", b"\xff\n", b"[" * 100_000 + b"\n", b'{"id": {}, "method": 5}\n', b"\n"]
    found = noted(*((CLIENT, each) for each in odd), (CLIENT, b"x" * 10_000_000))
    assert (found.handshake, found.open, found.begun) == ([], {}, b"")
