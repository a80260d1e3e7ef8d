"""Lines come out whole, however their bytes arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runwise_mcp.lines import Lines


def fed(pieces: list[bytes], cap: int = 100) -> list[bytes | None]:
    lines = Lines(cap)
    return [line for piece in pieces for line in lines.feed(piece)]


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), st.data())
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(pieces) == [line for line in lines if line.strip()]


def test_a_line_that_is_too_long_is_told_once_and_passed_over() -> None:
    assert fed([b"a" * 60, b"b" * 60, b"c" * 60, b"c\nnext\n"]) == [None, b"next"]
    assert fed([b"a" * 101 + b"\nnext\n"]) == [None, b"next"]
    assert fed([b"a" * 100 + b"\nnext\n"]) == [b"a" * 100, b"next"]


def test_a_half_line_is_no_line() -> None:
    assert fed([b"one\ntw"]) == [b"one"]
