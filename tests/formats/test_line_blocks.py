"""Blocks of whole lines: the same lines at the same offsets as one by one, and little held of a line without end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from runwised.formats.line_blocks import BLOCK_BYTES, LineBlock, LineBlocks, Stretch
from runwised.formats.linelog import LONGEST_LINE, LineLog, LogLine
from runwised.formats.record import Damage


def lines_of(stretches: list[Stretch]) -> list[LogLine | Damage]:
    found: list[LogLine | Damage] = []
    for stretch in stretches:
        if isinstance(stretch, LineBlock):
            starts = stretch.starts.tolist()
            found += [LogLine(stretch.offset + start, stretch.line(n).rstrip(b"\r")) for n, start in enumerate(starts)]
        else:
            found.append(stretch)
    return found


@given(
    lines=st.lists(st.sampled_from([b"", b"a", b"\r", b"bc\r", b"d" * 300])),
    torn=st.binary(max_size=3),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    offset=st.integers(0, 1 << 40),
)
def test_blocks_hold_the_lines_that_are_found_one_by_one(
    lines: list[bytes], torn: bytes, cuts: list[float], offset: int
) -> None:
    data = b"".join(line + b"\n" for line in lines) + torn
    blocks, single = LineBlocks(offset), LineLog(offset)
    edges = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        assert lines_of(blocks.feed(data[start:stop])) == single.feed(data[start:stop])
        assert blocks.offset == single.offset


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(
        st.sampled_from([3, BLOCK_BYTES - 1, BLOCK_BYTES, LONGEST_LINE - 1, LONGEST_LINE, 2 * LONGEST_LINE]), max_size=3
    ),
    piece=st.sampled_from([1 << 18, 3 << 20, 1 << 30]),
)
def test_long_lines_are_whole_or_damage_however_they_come(sizes: list[int], piece: int) -> None:
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    blocks, single = LineBlocks(), LineLog()
    for start in range(0, len(data), piece):
        assert lines_of(blocks.feed(data[start : start + piece])) == single.feed(data[start : start + piece])
        assert blocks.offset == single.offset


def test_lines_behind_the_first_keep_their_places() -> None:
    (block,) = LineBlocks(100).feed(b"a\nbc\nd\n")
    assert isinstance(block, LineBlock)
    behind = block.behind(1)
    assert (behind.offset, behind.starts.tolist(), behind.line(0), behind.line(1)) == (100, [2, 5], b"bc", b"d")
