"""JSON as training programs write it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats.json_value import DEEPEST, as_float, decode_json, encode_json, kind_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_what_json_writes_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps(value).encode()
    assert repr(decode_json(text)) == repr(json.loads(text))
    assert repr(decode_json(encode_json(value))) == repr(json.loads(text))


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_raise(data: bytes) -> None:
    encode_json(decode_json(data))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"NaN", math.nan),
        (b"-Infinity", -math.inf),
        (b"[1, NaN]", [1, math.nan]),
        (b'"NaN"', "NaN"),
        (b'"12.5"', "12.5"),
        (b"1e400", math.inf),
        (b"1180591620717411303424", 2**70),
        (b"-" + b"9" * 10_000, -math.inf),
        (b"-0.0", -0.0),
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "😀"),
        (b'"a\xffb"', "a\ufffdb"),
        (rb'{"\udc00": [NaN]}', {"\ufffd": [math.nan]}),
        (b"{cut", "{cut"),
        (b"", ""),
        (b"[" * 100_000, "[" * 100_000),
        (b"[" * DEEPEST + b"]" * DEEPEST, json.loads("[" * DEEPEST + "]" * DEEPEST)),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)),
        (b'["' + b"[" * 100 + rb'\"]"]', ["[" * 100 + '"]']),
        (b"[" + b"[]," * 100 + b"0]", [[]] * 100 + [0]),
    ],
)
def test_odd_values(text: bytes, value: Any) -> None:
    assert repr(decode_json(text)) == repr(value)


def test_kinds() -> None:
    found = [kind_of(value) for value in ("a", True, None, [], {"_type": "histogram"}, {"a": 1})]
    assert found == ["string", "bool", "null", "list", "histogram", "object"]


def test_integers_beyond_float_become_infinite() -> None:
    assert (as_float(10**400), as_float(-(10**400)), as_float(2**53 + 1)) == (math.inf, -math.inf, 2.0**53)
