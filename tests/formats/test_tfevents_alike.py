"""Events that differ in time, step and numbers only are decoded at once to what each is alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import tfevents
from runwised.formats.record import escape
from runwised.formats.tfevents import TFEVENTS
from runwised.formats.tfevents_alike import Alike, alike
from runwised.formats.tfevents_values import decode_event
from runwised.formats.tfrecord import Framed, RecordLog
from tests.formats.tfevents_logs import event, nested, number, plugin, record, simple, tensor


def held(pack: str, key: int) -> Callable[[float], bytes]:
    """A list of one packed number."""
    return lambda value: nested(key, struct.pack(pack, value))


def unpacked(value: float) -> bytes:
    return b"\x2d" + struct.pack("<f", value)


def whole(pack: str) -> Callable[[float], bytes]:
    """An integer as ``tensor_content``."""
    return lambda value: nested(4, struct.pack(pack, int(value)))


FORMS: dict[str, Callable[[float], bytes]] = {
    "content": lambda value: tensor("x", 1, held("<f", 4)(value), (), plugin("scalars")),
    "of rank one": lambda value: tensor("x", 2, held("<d", 4)(value), (1,)),
    "float list": lambda value: tensor("x", 1, held("<f", 5)(value), (), plugin("")),
    "float": lambda value: tensor("x", 1, unpacked(value)),
    "double list": lambda value: tensor("x", 2, held("<d", 6)(value)),
    "half": lambda value: tensor("x", 19, held("<e", 4)(value)),
    "int64": lambda value: tensor("x", 9, whole("<q")(value)),
    "int8": lambda value: tensor("x", 6, whole("<b")(value)),
    "two": lambda value: simple("x", value) + simple("y", -value),
    "two kinds": lambda value: simple("x", value) + tensor("y", 2, held("<d", 4)(value)),
    "long": lambda value: simple("x" * 200, value),
}
ODD: dict[str, Callable[[float], bytes]] = {
    "text": lambda value: tensor("x", 7, nested(8, b"%05d" % (int(value) % 99999))),
    "matrix": lambda value: tensor("x", 1, nested(4, struct.pack("<2f", value, 0)), (2,)),
    "a scalar of rank two": lambda value: tensor("x", 1, held("<f", 4)(value), (1, 1)),
    "of another plugin": lambda value: tensor("x", 1, held("<f", 4)(value), (), plugin("custom_scalars")),
    "hyperparameters": lambda value: simple("_hparams_/x", value) + simple("y", value),
    "twice": lambda value: simple("x", value) + simple("x", -value),
    "twice in other bytes": lambda value: (
        (simple("x", value) + simple("y", 1)).replace(b"\1x", b"\1\xff").replace(b"\1y", b"\1\xfe")
    ),
    "of the wrong size": lambda value: tensor("x", 2, held("<f", 4)(value)),
    "of two lists": lambda value: tensor("x", 1, held("<f", 4)(value) + held("<f", 5)(value)),
    "bfloat16": lambda value: tensor("x", 14, nested(4, struct.pack("<f", value)[2:])),
    "cut": lambda value: b"\x0a\x7f" + struct.pack("<d", value),
}
values = st.integers(-100, 100).map(lambda value: value / 2)


def framed(payloads: list[bytes]) -> Framed:
    (found,) = RecordLog().feed(b"".join(map(record, payloads)))
    assert isinstance(found, Framed)
    return found


def logged(form: Callable[[float], bytes], count: int = 12) -> list[bytes]:
    return [event(1.5 + n, 200 + n, nested(5, form(n * 1.5 - 3))) for n in range(count)]


def check(found: list[Alike], payloads: list[bytes]) -> set[int]:
    """Which records were decoded, after making sure that each was as alone."""
    seen: set[int] = set()
    for group in found:
        assert group.records.tolist() == sorted(set(group.records.tolist()))
        assert seen.isdisjoint(group.records.tolist())
        seen |= set(group.records.tolist())
        for index, number_ in enumerate(group.records.tolist()):
            alone = decode_event(payloads[number_])
            assert (alone.step, alone.time) == (group.steps[index], group.times[index])
            numbers = {escape((tag,)): column[index] for tag, column in group.numbers.items()}
            assert numbers == alone.values
    return seen


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_events_of_a_form_are_read_together(form: Callable[[float], bytes]) -> None:
    payloads = logged(form)
    assert check(alike(framed(payloads), np.arange(12)), payloads) == set(range(12))


@pytest.mark.parametrize("form", ODD.values(), ids=ODD)
def test_what_is_no_number_at_a_fixed_place_is_left(form: Callable[[float], bytes]) -> None:
    assert alike(framed(logged(form)), np.arange(12)) == []


@pytest.mark.parametrize("step", [0, 1, 127, 128, 2**40, 2**63 - 1, -1, -(2**63)])
def test_steps_of_any_length_are_read(step: int) -> None:
    payloads = [event(1.5, step, nested(5, FORMS["content"](n))) for n in range(9)]
    assert check(alike(framed(payloads), np.arange(9)), payloads) == set(range(9))


def test_tags_of_one_length_are_told_apart() -> None:
    payloads = [
        event(1.5, n, nested(5, tensor(tag, 2, held("<d", 4)(n)))) for n in range(1, 99) for tag in ("aa", "bb")
    ]
    assert check(alike(framed(payloads), np.arange(len(payloads))), payloads) == set(range(len(payloads)))


def test_events_without_a_time_or_with_more_than_values_are_left() -> None:
    body = nested(5, FORMS["content"](1))
    for payload in (body, event(1.5, 3, body + body), event(1.5, 3, body + nested(7, number(1, 1))), b"", bytes(20)):
        assert alike(framed([payload] * 9), np.arange(9)) == []


mixed = st.lists(
    st.tuples(st.sampled_from([*FORMS.values(), *ODD.values()]), st.integers(0, 200), values, st.integers(1, 9)),
    max_size=25,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mixed, st.integers(0, 400), st.integers(0, 255))
def test_a_reader_tells_the_same_with_and_without_it(told: Any, parts: list[Any], at: int, octet: int) -> None:
    payloads = [
        event(1.5 + n, step + n, nested(5, form(value + n))) for form, step, value, count in parts for n in range(count)
    ]
    for number_ in range(0, len(payloads), 7):
        changed = bytearray(payloads[number_])
        changed[at % len(changed)] = octet
        payloads[number_] = bytes(changed)
    data = b"".join(map(record, payloads))
    together = told(TFEVENTS.reader().feed(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfevents, "_BULK_RECORDS", 1 << 30)
        alone = told(TFEVENTS.reader().feed(data))
    assert together.picture() == alone.picture()
