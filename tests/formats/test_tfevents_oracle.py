"""TensorBoard's own writer and loaders are asked about the same bytes, and must tell the same."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing import event_accumulator, event_file_loader
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from runwised.formats.record import Resume, escape
from runwised.formats.tfevents import TFEVENTS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "logs"
FILES = sorted(path for path in FIXTURES.rglob("*tfevents*") if path.is_file())
BFLOAT16 = 14
"""Of which TensorBoard reads nothing."""
NO_LIST = {22, 23}
"""Types of which TensorBoard reads no list."""
MOST_SHOWN = 1
"""Elements of what is offered as a number."""

files = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.relative_to(FIXTURES).parts[0]}-{path.name[-3:]}"
)
share_fixtures = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bits(value: float) -> Any:
    return "nan" if math.isnan(value) else float(value).hex()


def loaded(path: Path) -> Iterator[Any]:
    """Events as TensorBoard frames and parses them."""
    for raw in event_file_loader.RawEventFileLoader(str(path)).Load():
        yield event_pb2.Event.FromString(raw)


def shown(value: Any) -> Any:
    """The number TensorBoard has for a value of a summary, or None."""
    if value.HasField("simple_value"):
        return value.simple_value
    if not value.HasField("tensor") or value.tensor.dtype == 7:
        return None
    if value.tensor.dtype == BFLOAT16:
        (stored,) = value.tensor.half_val or struct.unpack("<H", value.tensor.tensor_content)
        return struct.unpack("<f", struct.pack("<I", stored << 16))[0]
    array = tensor_util.make_ndarray(value.tensor)
    with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
        return array.astype(np.float64).item() if array.size == MOST_SHOWN and array.ndim < 2 else None


def theirs(path: Path) -> list[Any]:
    """Step, time and numbers by tag of every event that has some."""
    told = []
    for event in loaded(path):
        numbers = {escape((value.tag,)): shown(value) for value in event.summary.value}
        left = {key: bits(number) for key, number in numbers.items() if number is not None}
        if left:
            told.append((event.step, bits(event.wall_time), left))
    return told


def ours(told: Any, path: Path) -> list[Any]:
    """The same, each event read alone, as its own step is wanted; the whole gives the same numbers."""
    data = path.read_bytes()
    reader = TFEVENTS.reader()
    whole = told(reader.feed(data))
    assert not whole.damage
    events = []
    for offset, _, time, values in whole.history:
        row = TFEVENTS.row(data[offset:], offset, Resume())
        assert row is not None
        left = {key: bits(value) for key, value in row.values.items() if isinstance(value, int | float)}
        assert left == {key: value for key, value in values.items() if value != "other"}
        assert bits(row.time) == time
        if left:
            events.append((row.step, time, left))
    return events


@files
def test_every_fixture_holds_what_tensorboard_finds_in_it(told: Any, path: Path) -> None:
    if path.stat().st_size > 0:
        assert ours(told, path) == theirs(path)


@files
def test_the_points_of_a_file_are_those_of_the_accumulator(told: Any, path: Path) -> None:
    """Without the tags it cannot show, and without those that never had a step."""
    accumulator = event_accumulator.EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    accumulator.Reload()
    found = told(TFEVENTS.reader().feed(path.read_bytes()))
    for tag in accumulator.Tags()["scalars"]:
        points = [(event.step, bits(event.value)) for event in accumulator.Scalars(tag)]
        if len({step for step, _ in points}) == len(points):
            assert [(step, bits(value)) for step, value in found.logged[escape((tag,))]] == points


steps = st.one_of(st.just(0), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 1000))
tags = st.one_of(st.sampled_from(["loss", "val/loss", "train.acc"]), st.text(st.characters(codec="utf-8"), min_size=1))
times = st.floats(allow_nan=False).filter(lambda time: time != 0)


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """One number of any type, stored in one of the ways TensorFlow stores it."""
    kinds = {1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 9: np.int64, 10: np.bool_}
    kinds |= {17: np.uint16, 19: np.float16, 22: np.uint32, 23: np.uint64}
    dtype = draw(st.sampled_from(sorted(kinds)))
    kind = np.dtype(kinds[dtype])
    value = np.frombuffer(draw(st.binary(min_size=kind.itemsize, max_size=kind.itemsize)), kind)[0]
    if dtype == 10:
        value = np.bool_(draw(st.booleans()))
    rank = draw(st.integers(0, 1))
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)] * rank)
    held = tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape)
    if dtype in NO_LIST or draw(st.booleans()):
        held.tensor_content = value.tobytes()
        return held
    lists = {1: "float_val", 2: "double_val", 9: "int64_val", 10: "bool_val", 19: "half_val"}
    stored = struct.unpack("<H", value.tobytes())[0] if dtype == 19 else value.item()
    getattr(held, lists.get(dtype, "int_val")).append(stored)
    return held


@st.composite
def logged(draw: st.DrawFn) -> Any:
    """An event with some values."""
    values = []
    for tag in draw(st.lists(tags, min_size=1, max_size=3, unique=True)):
        value = summary_pb2.Summary.Value(tag=tag)
        if draw(st.booleans()):
            value.simple_value = draw(st.floats(width=32))
        else:
            value.tensor.CopyFrom(draw(tensors()))
        values.append(value)
    return event_pb2.Event(wall_time=draw(times), step=draw(steps), summary=summary_pb2.Summary(value=values))


@share_fixtures
@given(st.lists(logged(), min_size=1, max_size=40))
def test_what_tensorboards_writer_writes_is_read_as_its_loader_reads_it(
    told: Any, tmp_path_factory: pytest.TempPathFactory, events: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("written") / "events.out.tfevents.1750000000.vm.1.0"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()
    assert TFEVENTS.matches(path.name, path.read_bytes()[:4096])
    assert ours(told, path) == theirs(path)


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_file_ends_where_tensorboard_ends(told: Any, tmp_path: Path, cut: int) -> None:
    source = FIXTURES / "tb_torn" / "cut_in_data"
    (whole,) = source.iterdir()
    torn = tmp_path / whole.name
    torn.write_bytes(whole.read_bytes()[:-cut])
    assert ours(told, torn) == theirs(torn)
