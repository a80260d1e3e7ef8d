"""A real daemon that is told anything at all: whoever does so hears what is wrong, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runwise_protocol import __version__, frames, messages
from runwise_protocol.errors import Kind
from runwise_protocol.queries import QUERIES, WaitFor
from runwise_protocol.query import Query

from tests.robust.real_daemon import RealDaemon, cold, questions, until

ROWS = 200
ROOM = 32 << 20
"""Bytes that the daemon may hold for good of all it was told."""
QUIET_SECONDS = 0.02
SILENT_SECONDS = 0.2
"""Who has heard nothing for so long goes away; some questions wait for what never comes."""
TOLD = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ASKED = [kind for kind in QUERIES if kind is not WaitFor]

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=20),
        st.sampled_from(
            ["run0", "loss", "loss<1", "../../etc", "/", "\x00", "@zzzz", "1:2", "-1", "x" * 5000, "*", "%"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)
kinds = st.one_of(
    st.sampled_from([frames.HELLO, frames.LANE, frames.ASK, frames.WRITE, frames.CONTROL]), st.integers(0, 255)
)
words = st.one_of(
    st.sampled_from([kind.command for kind in QUERIES if kind is not WaitFor]),
    st.sampled_from(["run0", "-k", "loss", "--format", "json", "--budget", "20", "-n", "0", "--where", "loss<", "-C"]),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30),
)


def framed(kind: int, payload: bytes) -> bytes:
    return frames.encode(kind, payload)


@st.composite
def asked(draw: st.DrawFn, cwd: bytes) -> bytes:
    """A question, with fields that may hold anything."""
    kind = draw(st.sampled_from(ASKED))
    names = [name for name in kind.__struct_encode_fields__ if name != "path"]
    query = {"ask": kind.__struct_config__.tag}
    query |= draw(st.dictionaries(st.sampled_from(names), values, max_size=3)) if names else {}
    look = draw(st.dictionaries(st.sampled_from(["form", "budget", "dress", "quiet", "width"]), values, max_size=2))
    ask: dict[str, Any] = {"query": query, "cwd": cwd}
    ask |= {"look": look} if draw(st.booleans()) else {}
    ask |= draw(st.dictionaries(st.sampled_from(["cwd", "environ", "project", "more"]), values, max_size=1))
    return framed(draw(st.sampled_from([frames.ASK, frames.WRITE])), msgspec.msgpack.encode(ask))


def typed(cwd: bytes) -> st.SearchStrategy[bytes]:
    """A command line."""
    flags = st.sampled_from(["", "t", "c", "tc", "zzz"])
    return st.builds(
        lambda argv, width, flag: frames.lane_request(__version__, cwd, width, flag, [], [w.encode() for w in argv]),
        st.lists(words, max_size=6),
        st.integers(-5, 1 << 40),
        flags,
    )


def said(cwd: bytes) -> st.SearchStrategy[list[bytes]]:
    """What a client says."""
    payloads = st.one_of(st.binary(max_size=200), values.map(msgspec.msgpack.encode)).filter(
        lambda data: data != b"stop"
    )
    one = st.one_of(
        asked(cwd),
        asked(cwd),
        typed(cwd),
        st.builds(framed, kinds.filter(lambda kind: kind != frames.MCP), payloads),
        st.binary(max_size=300),
        st.builds(
            lambda size, rest: size.to_bytes(4, "little") + rest, st.integers(0, 2**32 - 1), st.binary(max_size=50)
        ),
    )
    return st.lists(one, min_size=1, max_size=4)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "proj"
    for number in range(3):
        log = root / f"logs/run{number}/metrics.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text("".join(f"{json.dumps({'step': step, 'loss': 1 / (step + 1)})}\n" for step in range(ROWS)))
    return root


@pytest.fixture
def daemon(short_path: Path, project: Path) -> Iterator[RealDaemon]:
    running = RealDaemon(Path(tempfile.mkdtemp(dir=short_path)), project)
    try:
        yield running
        running.end()
    finally:
        running.process.kill()
        running.process.wait()


def tell(daemon: RealDaemon, data: bytes, cuts: int, told: Counter[int]) -> None:
    """Say it in pieces, hear what comes (and count it), and go away; what is heard must make sense."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(SILENT_SECONDS)
        peer.connect(str(daemon.path))
        size = max(len(data) // cuts, 1)
        heard = frames.Frames(frames.REPLY_CAP)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            for at in range(0, len(data), size):
                peer.sendall(data[at : at + size])
            while piece := _next(peer):
                for kind, payload in heard.feed(piece):
                    told[kind] += 1
                    check(kind, payload)


def _next(peer: socket.socket) -> bytes:
    """The next of what comes. Who closes the sending side has left, so that waits until nothing comes any more."""
    if not select.select([peer], [], [], QUIET_SECONDS)[0]:
        with contextlib.suppress(OSError):  # it has closed its side
            peer.shutdown(socket.SHUT_WR)
    return peer.recv(1 << 16)


def check(kind: int, payload: bytes) -> None:
    """A failure must be one that is foreseen."""
    if kind == frames.FAILURE:
        error = messages.decode_failure(payload)
        assert error.kind is not Kind.INTERNAL, error
    elif kind == frames.ERR:
        assert b"internal error" not in payload, payload


def see(daemon: RealDaemon, project: Path, examples: int) -> None:
    queries: list[Query] = questions("run1")
    wanted = cold(project, queries)
    assert daemon.ask_all(queries) == wanted
    before = daemon.resident
    heard: Counter[int] = Counter()
    hello = st.sampled_from([framed(frames.HELLO, __version__.encode())] * 5 + [b""])

    @settings(TOLD, max_examples=examples)
    @given(first=hello, rest=said(str(project).encode()), cuts=st.integers(1, 5))
    def told(first: bytes, rest: list[bytes], cuts: int) -> None:
        tell(daemon, first + b"".join(rest), cuts, heard)
        assert daemon.process.poll() is None

    told()
    assert {frames.ANSWER, frames.OUT, frames.EXIT, frames.FAILURE, frames.HELLO, frames.DECLINE} <= heard.keys(), heard
    assert daemon.ask_all(queries) == wanted
    until(lambda: daemon.status()["clients"] == 1)
    assert daemon.resident - before < ROOM
    assert "internal error" not in daemon.log.read_text()


def test_whatever_one_client_says_the_others_are_answered(daemon: RealDaemon, project: Path) -> None:
    see(daemon, project, examples=800)


@pytest.mark.soak
def test_whatever_very_many_clients_say_the_others_are_answered(daemon: RealDaemon, project: Path) -> None:
    see(daemon, project, examples=50_000)
