"""Every reader, fed with anything: no exception, the same result in any pieces, and memory within a bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import all_formats
from tests.robust import fuzzing
from tests.robust.fuzzing import BY_NAME, FILES, SEEDS

NAMES = [log.name for log in all_formats()]
TOLD = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
LONG = settings(TOLD, max_examples=20_000)

places = st.lists(st.integers(0, 1 << 20), max_size=6)
numbers = st.integers(0, 1 << 30)
lies = st.sampled_from(
    [
        b"\xff" * 8,
        b"\x00" * 40,
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x80" * 12,
        b"\r",
        b"\n",
        b"\n\n\n",
        b'"',
        b'""""',
        b"{" * 300,
        b"[" * 3000,
        b"1e400",
        b"-" * 30,
        b"9" * 400,
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\x1b[31m",
        b"NaN",
        b"\\ud800",
        b",",
        b"step",
        b" 50%|##| 1/2 [00:00<00:01]",
    ]
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), numbers, st.integers(1, 255)),
        st.tuples(st.just("remove"), numbers, st.integers(1, 5000)),
        st.tuples(st.just("repeat"), numbers, st.integers(1, 5000)),
        st.tuples(st.just("put"), numbers, st.one_of(lies, st.binary(max_size=40))),
        st.tuples(st.just("end"), numbers, st.none()),
        st.tuples(st.just("begin"), numbers, st.none()),
    ),
    max_size=6,
)


class Harmed(NamedTuple):
    """A log with harm done to it, told in few words."""

    log: str
    number: int
    """Which of the real logs of its format."""
    what: Sequence[tuple[str, int, object]]

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return changed(SEEDS[self.log][self.number % len(SEEDS[self.log])], self.what)


class Plain(NamedTuple):
    """Bytes as they are."""

    data: bytes


def changed(data: bytes, what: Sequence[tuple[str, int, object]]) -> bytes:
    """The same with harm done to it."""
    for kind, at, how in what:
        place = at % (len(data) + 1)
        if kind == "flip" and isinstance(how, int) and place < len(data):
            data = data[:place] + bytes([data[place] ^ how]) + data[place + 1 :]
        elif kind == "remove" and isinstance(how, int):
            data = data[:place] + data[place + how :]
        elif kind == "repeat" and isinstance(how, int):
            data = data[: place + how] + data[place:]
        elif kind == "put" and isinstance(how, bytes):
            data = data[:place] + how + data[place:]
        elif kind == "end":
            data = data[:place]
        elif kind == "begin":
            data = data[place:]
    return data


def logs(name: str) -> st.SearchStrategy[Harmed | Plain]:
    """Real logs of a format, harmed; now and then those of another, and anything at all."""
    small = st.builds(Harmed, st.just(name), st.just(-1), changes)
    harmed = st.builds(Harmed, st.just(name), st.integers(0, 30), changes)
    others = st.builds(Harmed, st.sampled_from(NAMES), st.integers(0, 30), changes)
    anything = st.one_of(st.binary(max_size=500), st.lists(lies, max_size=30).map(b"".join))
    return st.one_of(small, small, harmed, others, anything.map(Plain))


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_takes_anything_in_any_pieces(name: str) -> None:
    _anything_in_any_pieces(name, settings(TOLD, max_examples=150))


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_a_reader_takes_very_much_in_any_pieces(name: str) -> None:
    _anything_in_any_pieces(name, LONG)


def _anything_in_any_pieces(name: str, how: settings) -> None:
    @how
    @given(log=logs(name), at=places)
    def see(log: Harmed | Plain, at: list[int]) -> None:
        fuzzing.check_reader(BY_NAME[name], log.data, at)
        fuzzing.check_index(BY_NAME[name], log.data)

    see()


@pytest.mark.parametrize("name", NAMES)
def test_reading_anything_takes_no_more_memory_than_its_length_allows(name: str) -> None:
    @settings(TOLD, max_examples=25)
    @given(log=logs(name))
    def see(log: Harmed | Plain) -> None:
        assert fuzzing.memory(lambda: fuzzing.check_index(BY_NAME[name], log.data)) <= fuzzing.room(log.data)

    see()


@pytest.mark.parametrize("name", FILES)
def test_what_reads_a_whole_file_raises_nothing_but_value_errors(name: str) -> None:
    texts = [path.read_bytes()[:5000] for path in sorted(fuzzing.FIXTURES.rglob("*")) if path.name == name]
    any_text = st.sampled_from([*texts, b"1717171717171 0.5 3\n", b'{"a": [1, {"b": NaN}]}', b"a: {value: 1}\n"])

    @settings(TOLD, max_examples=150)
    @given(data=st.one_of(st.builds(changed, any_text, changes), st.binary(max_size=300), lies))
    def see(data: bytes) -> None:
        fuzzing.check_file(FILES[name], data)

    see()
