"""trackio's JSON: numbers that are strings, dicts that stay nested, its own keys, steps that are none."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from runwised.formats.record import NO_STEP, Alert, Damage, Facts, Identity, Patch, Rows
from runwised.formats.step_keys import Steps
from runwised.formats.trackio import decode_alert, decode_metrics, decode_row, decode_rows, describe

STAMP = "2026-11-23T13:58:10.500000+00:00"
SECONDS = 1795442290.5


def rows(*batches: Any) -> Rows:
    (found,) = [batch for batch in batches if isinstance(batch, Rows)]
    return found


@pytest.mark.parametrize("as_text", [True, False])
def test_metrics_keep_their_nesting_and_get_their_numbers_back(as_text: bool) -> None:
    data = b'{"a.b": "NaN", "n": {"x": "-Infinity", "l": ["Infinity", 1]}, "t": "text", "i": {"_type": "t.image"}}'
    found = decode_metrics(data.decode() if as_text else data)
    assert repr(found) == repr(
        {"a\\.b": math.nan, "n.x": -math.inf, "n.l": [math.inf, 1], "t": "text", "i": {"_type": "t.image"}}
    )


@pytest.mark.parametrize("bad", [b"[1]", "{", b"\xff", None, 7, b"", "5"])
def test_what_is_no_object_is_damage_and_costs_only_itself(bad: Any) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        decode_metrics(bad)
    batches = decode_rows("history", [(1, STAMP, 0, b'{"a":1}'), (2, STAMP, 1, bad)], Steps("step"))
    assert rows(*batches).offsets.tolist() == [1]
    assert [(batch.offset, batch.reason) for batch in batches if isinstance(batch, Damage)] == [
        (2, "a row is no JSON object")
    ]
    assert decode_rows("history", [(2, STAMP, 1, bad)], Steps("step")) == batches[:1]


def test_a_logged_row_is_a_row_with_step_and_time() -> None:
    logged = [
        (3, STAMP, 4, b'{"a": 1.5, "s": "x"}'),
        (7, "2026-11-23 13:58:11", 5, '{"a": 2}'),
        (8, "soon", None, "{}"),
    ]
    found = rows(*decode_rows("history", logged, Steps("step")))
    assert found.by_key
    assert found.offsets.tolist() == [3, 7, 8]
    assert found.steps.tolist() == [4, 5, NO_STEP]
    assert repr(found.times.tolist()) == repr([SECONDS, 1795442291.0, math.nan])
    assert [(key, values.tolist()) for key, _, values in found.columns] == [("a", [1.5, 2.0])]
    assert [(other.key, other.last) for other in found.others] == [("s", b'"x"')]
    assert decode_row(STAMP, logged[0][3]) == (NO_STEP, SECONDS, {"a": 1.5, "s": "x"})


@pytest.mark.parametrize("cut", range(6))
def test_rows_that_are_all_logged_at_one_step_have_none(cut: int) -> None:
    logged = [(n, STAMP, step, b'{"a": 1}') for n, step in enumerate((0, 0, 0, 9, 0))]
    steps = Steps("step")
    first = decode_rows("history", logged[:cut], steps)
    steps = msgspec.msgpack.decode(msgspec.msgpack.encode(steps), type=Steps)
    both = [*first, *decode_rows("history", logged[cut:], steps)]
    served = [step for batch in both if isinstance(batch, Rows) for step in batch.steps.tolist()]
    assert served == [0, NO_STEP, NO_STEP, 9, 0]


def test_samples_have_no_step() -> None:
    found = rows(*decode_rows("system", [(1, STAMP, None, b'{"gpu": {"0": 5}}')], Steps("step")))
    assert (found.table, found.by_key, found.steps.tolist()) == ("system", False, [NO_STEP])
    assert [column.key for column in found.columns] == ["gpu.0"]


def test_a_config_loses_the_keys_that_are_not_the_users() -> None:
    config = b'{"lr": 0.1, "m": {"d": 2}, "_Username": "me", "_Created": "2026-11-23T13:58:10.5Z", "_Group": "g"}'
    assert describe("id", "name", "proj", 5.0, config) == [
        Identity(run_id="id", name="name", project="proj", group="g", start_time=SECONDS),
        Facts({"username": "me"}),
        Patch("config", [(("lr",), 0.1), (("m",), {"d": 2})]),
    ]
    alone = Identity(run_id="id", project="proj", start_time=5.0)
    assert describe("id", None, "proj", 5.0, None) == [alone]
    assert describe("id", None, "proj", 5.0, b"{}") == [alone]
    assert describe("id", None, "proj", 5.0, b"cut") == [alone, Damage(0, 3, "config: a row is no JSON object")]


def test_an_alert_may_lack_all_but_its_title() -> None:
    assert decode_alert(3, "stuck", None, None) == Alert(3, "stuck", "", "WARN")
    assert decode_alert(3, "stuck", "why", "error") == Alert(3, "stuck", "why", "ERROR")
