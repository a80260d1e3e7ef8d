"""Items become rows: dicts flattened, media whole, the step and the time found."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from runwised.formats.protowire import WireError
from runwised.formats.record import NO_STEP, Patch
from runwised.formats.wandb_items import HistoryRow, apply_patch, decode_history, decode_item, flatten, regroup


def row(writer: Any, values: dict[Any, Any], step: int | None = None, *, nested: bool = True) -> HistoryRow:
    log = writer()
    start = log.history(values, step, nested=nested)
    return decode_history(bytes(log.data[start + 7 :]))


def test_leaves_and_dicts_are_the_same_keys(log_writer: Any) -> None:
    exploded = row(log_writer, {("opt", "betas", "b1"): 0.9, "opt.lr": 1, "a\\b": 2, ("opt", "lr"): 3})
    whole = row(log_writer, {"opt": {"betas": {"b1": 0.9}, "lr": 3}, "opt.lr": 1, "a\\b": 2, "e": {}}, nested=False)
    assert exploded.values == {"opt.betas.b1": 0.9, "opt\\.lr": 1, "a\\\\b": 2, "opt.lr": 3}
    assert whole.values == exploded.values


def test_media_are_one_value_from_either_writer(log_writer: Any) -> None:
    image = {"_type": "image-file", "path": "a.png", "size": {"w": 8}, "boxes": [1]}
    leaves = {("v", "img", "_type"): "image-file", ("v", "img", "path"): "a.png", ("v", "img", "size", "w"): 8}
    exploded = row(log_writer, {**leaves, ("v", "img", "boxes"): [1], ("v", "loss"): 1})
    whole = row(log_writer, {"v": {"img": image, "loss": 1}}, nested=False)
    assert exploded.values == whole.values == {"v.img": image, "v.loss": 1}


def test_a_key_named_type_at_the_top_is_a_metric(log_writer: Any) -> None:
    assert row(log_writer, {"_type": "x", "a": 1}).values == {"_type": "x", "a": 1}
    assert row(log_writer, {("a", "_type"): 5, ("a", "b"): 1}).values == {"a._type": 5, "a.b": 1}


@pytest.mark.parametrize(
    ("values", "field_step", "step"),
    [
        ({"_step": 7}, None, 7),
        ({"_step": 7}, 9, 7),
        ({}, 9, 9),
        ({}, 0, 0),
        ({}, None, NO_STEP),
        ({"_step": b"1e3"}, None, 1000),
        ({"_step": -4}, None, -4),
    ],
)
def test_the_step_is_the_logged_one_else_the_records(
    log_writer: Any, values: dict[str, Any], field_step: int | None, step: int
) -> None:
    found = row(log_writer, values, field_step)
    assert found.step == step
    assert "_step" not in found.values


@pytest.mark.parametrize("odd", ["three", 2**63, 1.5, True, None, math.nan])
def test_a_step_that_is_no_step_stays_a_value(log_writer: Any, odd: Any) -> None:
    found = row(log_writer, {"_step": odd}, 4)
    assert found.step == 4
    assert repr(found.values) == repr({"_step": odd})


def test_an_empty_step_message_is_step_zero(log_writer: Any) -> None:
    assert decode_history(log_writer.field(2, log_writer.field(2, b""))).step == 0


def test_times_are_taken_out_and_runtime_stays(log_writer: Any) -> None:
    assert row(log_writer, {"_timestamp": b"1.79e+09", "_runtime": 5}) == (NO_STEP, 1.79e9, {"_runtime": 5})
    odd = row(log_writer, {"_timestamp": "now"})
    assert math.isnan(odd.time)
    assert odd.values == {"_timestamp": "now"}


TYPED = [
    (b"\x18\x01", None),
    (b"\x20\x00", False),
    (b"\x28\x03", -2),
    (b"\x31" + struct.pack("<d", 0.1), 0.1),
    (b"\x3a\x02hi", "hi"),
    (b"\x42\x03[1]", [1]),
    (b"", None),
]


@pytest.mark.parametrize(("typed", "value"), TYPED)
def test_typed_fields_stand_in_for_a_missing_value_json(log_writer: Any, typed: bytes, value: Any) -> None:
    assert decode_item(log_writer.field(2, b"k") + typed) == (("k",), value)
    assert decode_item(log_writer.field(1, b"k") + typed + log_writer.field(16, b"")) == (("k",), value)
    assert decode_item(typed + log_writer.item("k", 7)) == (("k",), 7)


def test_keys_of_any_length_in_either_field(log_writer: Any) -> None:
    for size in (0, 1, 126, 127, 128, 129, 130, 300):
        for nested in (False, True):
            for value in (b"1", b'"%s"' % (b"x" * 125), b'"%s"' % (b"x" * 126), b'"%s"' % (b"y" * 400)):
                path, decoded = decode_item(log_writer.item("k" * size, value, nested=nested))
                assert path == ("k" * size,)
                assert decoded == (1 if value == b"1" else value[1:-1].decode())


def test_a_path_of_thousands_of_elements_is_cut(log_writer: Any) -> None:
    path, _ = decode_item(log_writer.item(tuple("abc" * 1000), 1))
    assert len(path) == 64
    found = row(log_writer, {tuple("a" * 5000): 1, ("a", "_type"): "deep"})
    assert found.values["a"]["_type"] == "deep"


def test_a_record_without_a_history_is_refused(log_writer: Any) -> None:
    with pytest.raises(WireError):
        decode_history(log_writer.field(3, b""))
    with pytest.raises(WireError):
        decode_history(b"\x12\x05abc")


def test_flatten_and_regroup_undo_each_other() -> None:
    media = {"_type": "t", "a": {"b": 1, "c": [{"d": 2}]}}
    leaves = [(("k", "_type"), "t"), (("k", "a", "b"), 1), (("k", "a", "c"), [{"d": 2}]), (("l",), 3)]
    assert regroup(leaves) == [(("k",), media), (("l",), 3)]
    assert list(flatten([(("k",), media)])) == [(("k",), media)]


def test_a_patch_sets_in_order_then_removes_subtrees() -> None:
    tree: dict[str, Any] = {"old": 1, "gone": {"a": 1}}
    apply_patch(
        tree, Patch("summary", [(("old", "x"), 2), (("n",), {"y": 1}), (("n", "z"), 3)], [("gone",), ("no", "p")])
    )
    assert tree == {"old": {"x": 2}, "n": {"y": 1, "z": 3}}
