"""The SDK's own protobuf classes read every fixture to the same values."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from runwised.formats import WANDB
from runwised.formats.blocklog import BlockLog, Framed
from runwised.formats.record import NO_STEP, Row, escape
from runwised.formats.wandb_items import decode_history
from runwised.formats.wandb_records import RUN, decode_chunk, decode_patch, decode_record, decode_stats, open_record

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from wandb.proto import wandb_internal_pb2 as sdk

LOGS = sorted((Path(__file__).parents[1] / "fixtures" / "wandb").glob("*/wandb/*run-*/run-*.wandb"))


@pytest.fixture(params=LOGS, ids=lambda path: path.parts[-4])
def records(request: pytest.FixtureRequest) -> list[tuple[bytes, Any]]:
    """Each record of a fixture: its bytes, and as the SDK's classes read them."""
    log = BlockLog()
    log.feed(request.param.read_bytes())
    found = [one.payload for one in log.take(1 << 30) if isinstance(one, Framed)]
    return [(payload, sdk.Record.FromString(payload)) for payload in found]


def path_of(item: Any) -> tuple[str, ...]:
    return tuple(item.nested_key) or (item.key,)


def leaves(path: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves((*path, key), inner)
    else:
        yield path, value


def exploded(items: Any) -> dict[tuple[str, ...], str]:
    """Every leaf, media and all, by its path; values by their repr, so that NaN equals NaN and 1 is not True."""
    return {path: repr(value) for item in items for path, value in leaves(path_of(item), json.loads(item.value_json))}


def test_numbers_and_kinds(records: list[tuple[bytes, Any]]) -> None:
    for payload, expected in records:
        record = open_record(payload)
        assert record.num == expected.num
        field = sdk.Record.DESCRIPTOR.fields_by_number.get(record.kind)
        if field is not None:
            assert field.name == expected.WhichOneof("record_type")


def test_rows(records: list[tuple[bytes, Any]]) -> None:
    rows = 0
    for payload, expected in records:
        if expected.WhichOneof("record_type") == "history":
            rows += 1
            row = decode_history(payload)
            wanted = exploded(expected.history.item)
            assert row.step == (json.loads(wanted.pop(("_step",))) if ("_step",) in wanted else NO_STEP)
            assert repr(row.time) == repr(float(wanted.pop(("_timestamp",))))
            got = {}
            for key, value in row.values.items():
                for path, inner in leaves((), value):
                    got[".".join([key, *([escape(path)] if path else [])])] = repr(inner)
            assert got == {escape(path): value for path, value in wanted.items()}
    assert rows > 90


def test_summaries_and_configs(records: list[tuple[bytes, Any]]) -> None:
    seen = 0
    for payload, expected in records:
        kind = expected.WhichOneof("record_type")
        if kind in ("summary", "config"):
            seen += 1
            patch = decode_patch(open_record(payload).body)
            change = getattr(expected, kind)
            assert {path: repr(inner) for key, value in patch.sets for path, inner in leaves(key, value)} == exploded(
                change.update
            )
            assert list(patch.removes) == [path_of(item) for item in change.remove]
    assert seen > 1


def test_runs(records: list[tuple[bytes, Any]]) -> None:
    runs = [(payload, expected.run) for payload, expected in records if expected.WhichOneof("record_type") == "run"]
    assert runs
    for payload, run in runs:
        identity: Any = decode_record(RUN, open_record(payload).body, 0)[0]
        assert identity.run_id == run.run_id
        assert identity.name == (run.display_name or None)
        assert identity.group == (run.run_group or None)
        assert identity.tags == tuple(run.tags)
        assert identity.notes == (run.notes or None)
        assert identity.host == run.host
        assert math.isclose(identity.start_time, run.start_time.ToNanoseconds() / 1e9, rel_tol=0, abs_tol=1e-6)


def test_samples_and_console(records: list[tuple[bytes, Any]]) -> None:
    for payload, expected in records:
        kind = expected.WhichOneof("record_type")
        record = open_record(payload)
        if kind == "stats":
            time, values = decode_stats(record.body)
            assert math.isclose(time, expected.stats.timestamp.ToNanoseconds() / 1e9, rel_tol=0, abs_tol=1e-6)
            assert values == {item.key: json.loads(item.value_json) for item in expected.stats.item}
        elif kind in ("output", "output_raw"):
            chunk = getattr(expected, kind)
            _, stderr, line = decode_chunk(record.kind, record.body)
            assert line == chunk.line.encode()
            assert stderr == (chunk.output_type == type(chunk).STDERR)


def test_exits(records: list[tuple[bytes, Any]]) -> None:
    for payload, expected in records:
        if expected.WhichOneof("record_type") == "exit":
            (end,) = decode_record(open_record(payload).kind, open_record(payload).body, 0)
            assert (end.code, end.runtime_seconds or 0) == (expected.exit.exit_code, expected.exit.runtime)  # type: ignore[union-attr]


@pytest.mark.parametrize("codes", [(0, 0), (1, 5), (255, 60), (-9, 2**31 - 1)])
def test_the_sdks_own_exits_of_any_code(log_writer: Any, told: Any, codes: tuple[int, int]) -> None:
    log = log_writer()
    log.raw(sdk.Record(num=1, exit=sdk.RunExitRecord(exit_code=codes[0], runtime=codes[1])).SerializeToString())
    end = told(WANDB.reader().feed(bytes(log.data))).exit
    assert (end.code, end.runtime_seconds or 0) == codes


def test_the_sdks_own_typed_items(log_writer: Any) -> None:
    items = [
        sdk.HistoryItem(nested_key=["i"], integer=-5),
        sdk.HistoryItem(nested_key=["f"], number=0.1),
        sdk.HistoryItem(nested_key=["t"], text="é"),
        sdk.HistoryItem(nested_key=["b"], boolean=True),
        sdk.HistoryItem(nested_key=["j"], json="[1]"),
        sdk.HistoryItem(nested_key=["n"], none=0),
    ]
    log = log_writer()
    record = sdk.Record(num=1, history=sdk.HistoryRecord(item=items, step=sdk.HistoryStep(num=3)))
    offset = log.raw(record.SerializeToString())
    row = WANDB.row(bytes(log.data[offset:]), offset, WANDB.reader().resume)
    assert isinstance(row, Row)
    assert row.step == 3
    assert row.values == {"i": -5, "f": 0.1, "t": "é", "b": True, "j": [1], "n": None}
