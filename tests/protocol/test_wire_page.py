"""WIRE.md tells the truth: its dumps are read by the code, and its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from runwise_protocol import frames, messages
from runwise_protocol.errors import Kind
from runwise_protocol.queries import History
from runwise_protocol.query import Where

PAGE = (Path(__file__).resolve().parents[2] / "protocol" / "WIRE.md").read_text()


def dump(name: str) -> list[tuple[int, bytes]]:
    """The frames in the hex dump of this name."""
    found = re.search(rf"```hex {name}\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    data = b"".join(bytes.fromhex(line[10:57]) for line in found[1].splitlines())
    return frames.Frames(frames.REPLY_CAP).feed(data)


def test_the_command_line_is_what_the_page_says() -> None:
    ((kind, payload),) = dump("lane")
    assert kind == frames.LANE
    assert messages.lane_version(payload) == "0.1.0"
    where = Where(cwd="/data/gpt", environ={"WANDB_DIR": "/scratch"})
    assert messages.decode_lane(payload) == messages.Lane(where, 100, True, True, ["list", "-n", "5"])
    request = frames.lane_request("0.1.0", b"/data/gpt", 100, "tc", [b"WANDB_DIR=/scratch"], [b"list", b"-n", b"5"])
    assert request == frames.encode(kind, payload)


def test_the_beginning_of_an_mcp_session_is_what_the_page_says() -> None:
    ((kind, payload),) = dump("mcp")
    assert frames.mcp_request("0.1.0", b"/data/gpt", [b"WANDB_DIR=/scratch"]) == frames.encode(kind, payload)
    where = Where(cwd="/data/gpt", environ={"WANDB_DIR": "/scratch"})
    assert messages.decode_lane(payload) == messages.Lane(where, 0, False, False, [])
    assert dump("hello") == [(frames.HELLO, b"0.1.0")]


def test_the_stream_is_what_the_page_says() -> None:
    assert dump("stream") == [(frames.OUT, b"gpt-base finished\n"), (frames.EXIT, b"\0")]


def test_the_typed_question_is_what_the_page_says() -> None:
    hello, (kind, payload) = dump("ask")
    assert hello == (frames.HELLO, b"0.1.0")
    assert kind == frames.ASK
    ask = messages.Ask.of(History(run="gpt-base", keys=("loss",), samples=20), None, Where(cwd="/data/gpt"))
    assert messages.decode_ask(payload) == ask
    assert messages.encode_ask(ask) == payload


def test_the_error_is_what_the_page_says() -> None:
    ((kind, payload),) = dump("failure")
    assert kind == frames.FAILURE
    error = messages.decode_failure(payload)
    assert (error.kind, error.message, error.hint) == (Kind.NOT_FOUND, "no run 'gpt'", "runwise list")


def test_the_table_of_kinds_is_the_codes() -> None:
    told = re.findall(r"^\| ([A-Z]+) \| `([0-9a-f]{2})` ([A-Z]) \|", PAGE, re.MULTILINE)
    assert {name: int(byte, 16) for name, byte, _ in told} == {
        name: value
        for name, value in vars(frames).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int) and value < 0x80
    }
    assert all(chr(int(byte, 16)) == letter for _, byte, letter in told)


def test_the_table_of_errors_is_the_codes() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE)
    assert [(code, int(status)) for code, status in told] == [(kind.code, kind.exit_status) for kind in Kind]
