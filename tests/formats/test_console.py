"""Console chunks as lines."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.console import LONGEST_LINE, SCREEN, ConsoleLine, LineResolver, resolve, resolve_bytes


def shown(text: str) -> list[str]:
    return [line.text for line in resolve([(0.0, False, text)])]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\r\r\nb\n", ["a", "b"]),
        ("\n\na\n", ["", "", "a"]),
        ("", []),
        ("\r 0%\r 50%\r100%\n", ["100%"]),
        ("long line\rshort\n", ["shortline"]),
        ("long line\r\x1b[Kshort\n", ["short"]),
        ("long line\x1b[2K\rshort\n", ["short"]),
        ("\x1b[1;32mgreen\x1b[0m text\n", ["green text"]),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\n", ["alink"]),
        ("bar 1\nbar 2\n\x1b[2Abar 1 done\n\n", ["bar 1 done", "bar 2"]),
        ("one\n\x1b[Atwo\n", ["two"]),
        ("\x1b[99Aup\n", ["up"]),
        ("ab\b\bcd\n", ["cd"]),
        ("a\x07b\x00c\x0cd\x9be\n", ["abcde"]),
        ("a\tb\n", ["a\tb"]),
        ("a\x1b[5Cb\x1b[2Dc\n", ["a    cb"]),
        ("a\x1b[3Gb\n", ["a b"]),
        ("x\x1b(Bz\x1b=\n", ["xz"]),
        ("данные ✓\n", ["данные ✓"]),
        ("\x1b[31", []),
        ("a\x1b[" + "9" * 10_000 + "Cb\n", ["a"]),
    ],
)
def test_text_as_a_terminal_shows_it(text: str, lines: list[str]) -> None:
    assert shown(text) == lines


def test_lines_stand_in_the_order_they_were_begun_with_the_time_of_their_first_chunk() -> None:
    chunks = [(1.0, False, "step 1"), (2.0, True, "  0%"), (3.0, False, " done\nstep 2\n"), (4.0, True, "\r100%\nend")]
    assert list(resolve(chunks)) == [
        ConsoleLine(1.0, False, "step 1 done"),
        ConsoleLine(2.0, True, "100%"),
        ConsoleLine(3.0, False, "step 2"),
        ConsoleLine(4.0, True, "end"),
    ]


def test_lines_above_the_screen_are_final_and_the_rest_comes_at_the_end() -> None:
    resolver = LineResolver()
    final = [line for n in range(100) for line in resolver.feed(n, False, f"{n}\n")]
    assert [line.text for line in final] == [str(n) for n in range(100 - SCREEN + 1)]
    assert [line.text for line in resolver.close()] == [str(n) for n in range(100 - SCREEN + 1, 100)]
    assert resolver.close() == []


def test_a_line_that_never_ends_does_not_hold_the_other_stream_back_for_ever() -> None:
    resolver = LineResolver()
    resolver.feed(0.0, True, "bar")
    final = [line for n in range(2000) for line in resolver.feed(n, False, f"{n}\n")]
    assert len(final) > 1000
    texts = [line.text for line in final + resolver.close()]
    assert sorted(texts) == sorted(["bar", *map(str, range(2000))])


def test_a_line_is_kept_up_to_its_limit() -> None:
    assert [len(line) for line in shown("x" * 100_000 + "\n" + "y")] == [LONGEST_LINE, 1]


alphabet = st.sampled_from(
    ["a", "bc", "\n", "\r", "\r\n", "\b", "\x1b[A", "\x1b[K", "\x1b[31m", "\x1b]0;t\x07", "\x1b", "é"]
)


@given(st.lists(st.tuples(st.booleans(), st.text() | st.lists(alphabet).map("".join))))
def test_cutting_chunks_changes_nothing(chunks: list[tuple[bool, str]]) -> None:
    whole = list(resolve((0.0, stderr, text) for stderr, text in chunks))
    single = list(resolve((0.0, stderr, letter) for stderr, text in chunks for letter in text))
    assert single == whole


def test_bytes_of_a_text_log_in_any_pieces() -> None:
    data = "épîc\r\n50%\r100%\nlast ✓".encode() + b"\xff"
    for size in (1, 2, 3, 100):
        found = list(resolve_bytes(data[at : at + size] for at in range(0, len(data), size)))
        assert [line.text for line in found] == ["épîc", "100%", "last ✓\ufffd"]
        assert all(math.isnan(line.time) and not line.stderr for line in found)
