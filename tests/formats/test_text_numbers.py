"""Numbers read as columns are those that Python reads one by one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runwised.formats.text_numbers import Number, TextBlock

WRITTEN = re.compile(r"([\d,]*)(?:\.(\d+))?(?:e([-+]?)(\d+))?")


def number_of(text: str) -> Number:
    found = WRITTEN.fullmatch(text)
    assert found is not None
    exponent = 0 if found[4] is None else -1 if found[3] == "-" else 1
    whole = len(found[1].split(",")) if found[1] else 0
    return Number(0, whole, found[2] is not None, exponent)


def value_of(text: str) -> float:
    return float(
        TextBlock(text.encode() + b"\n").floats(TextBlock(text.encode() + b"\n").first_runs, number_of(text))[0]
    )


finite = st.floats(0, allow_nan=False, allow_infinity=False)
digits = st.text("0123456789", min_size=1, max_size=30)


@given(finite.map(repr) | st.tuples(finite, st.integers(0, 25)).map(lambda told: f"{told[0]:.{told[1]}e}"))
@example("0.30000000000000004")
@example("9007199254740993.0")
@example("0.500000000000000166")
@example("1.00000000000000011")
@example("5e-324")
@example("1e400")
def test_a_float_s_text_is_that_float(text: str) -> None:
    assert value_of(text) == float(text)


@given(digits, digits, st.none() | st.integers(-400, 400))
def test_any_digits_are_what_python_makes_of_them(whole: str, fraction: str, exponent: int | None) -> None:
    text = f"{whole}.{fraction}" + ("" if exponent is None else f"e{exponent}")
    assert value_of(text) == float(text)


@given(st.lists(st.integers(0, 10**9).map(str) | finite.map(repr), min_size=1), st.booleans())
def test_many_lines_are_read_as_one_column(texts: list[str], negative: bool) -> None:
    for number in {number_of(text) for text in texts}:
        same = [text for text in texts if number_of(text) == number]
        block = TextBlock("".join(f"x{text}\n" for text in same).encode())
        found = block.floats(block.first_runs, number._replace(negative=negative)).tolist()
        assert found == [float(f"-{text}" if negative else text) for text in same]


@pytest.mark.parametrize("text", ["1,234", "12,345,678.5", ".5", "7"])
def test_commas_and_bare_points_are_read(text: str) -> None:
    assert value_of(text) == float(text.replace(",", ""))


def test_a_shape_is_the_text_without_its_numbers() -> None:
    block = TextBlock(b"step 12: loss 1.25e-03\r\nbar 5%|##3  | 1/5\bdone\n")
    assert block.shapes == [b"step 0: loss 0.0e-0", b"", b"bar 0%|0| 0/0", b"done"]
    assert block.offsets.tolist() == [0, 23, 24, 42]
    assert block.sizes.tolist() == [22, 0, 17, 4]
    assert block.speaking.tolist() == [0, 2]


@pytest.mark.parametrize("text", [b"loss NaN", b"loss=-inf,", b"loss Infinity"])
def test_a_line_without_digits_may_hold_a_number(text: bytes) -> None:
    block = TextBlock(b"INFO banana\n" + text + b"\nfinance\n")
    assert block.speaking.tolist() == [1]


@given(st.integers(0, 10**30))
def test_whole_numbers_are_exact_or_said_not_to_be(value: int) -> None:
    block = TextBlock(f"{value}\n".encode())
    found, exact = block.integers(block.first_runs, Number(0))
    assert exact.tolist() == [value < 10**18]
    assert not exact[0] or found.tolist() == [value]
