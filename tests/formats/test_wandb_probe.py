"""A first answer from head and tail agrees with what the whole log says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.formats import WANDB
from runwised.formats.blocklog import FILE_HEADER

LOGS = sorted((Path(__file__).parents[1] / "fixtures" / "wandb").glob("*/wandb/*run-*/run-*.wandb"))


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.parts[-4])
@pytest.mark.parametrize("tail_bytes", [65536, 131072, 1 << 22])
def test_a_probe_of_a_fixture_says_what_the_whole_log_says(told: Any, path: Path, tail_bytes: int) -> None:
    data = path.read_bytes()
    run = told(WANDB.reader().feed(data))
    probe = WANDB.probe(data[:65536], data[-tail_bytes:], max(len(data) - tail_bytes, 0))
    assert probe.identity.run_id == run.identity["run_id"]
    if len(data) <= 65536 + tail_bytes:
        assert {name for name, value in run.identity.items() if getattr(probe.identity, name) != value} == set()
        assert probe.config == run.trees["config"]
    assert {name: run.facts[name] for name in probe.facts} == probe.facts
    assert probe.step == run.history[-1][1]
    assert probe.time == float.fromhex(run.history[-1][2])
    assert probe.exit == run.exit
    assert probe.closed == any(getattr(place, "kind", "") == "closed" for place in run.places)
    assert probe.header
    for key, value in probe.summary.items():
        assert json.dumps(value, sort_keys=True) == json.dumps(run.trees["summary"][key], sort_keys=True)
    if len(data) <= tail_bytes and len(data) < 1 << 20:
        assert len(probe.summary) == len(run.trees["summary"])


@pytest.mark.parametrize(("data", "header"), [(b"", False), (FILE_HEADER[:5], False), (FILE_HEADER, True)])
def test_an_empty_log_and_one_of_a_header_only(data: bytes, header: bool) -> None:
    probe = WANDB.probe(data, data, 0)
    assert (probe.header, probe.step, probe.exit, probe.config) == (header, None, None, {})


def test_a_rename_in_the_tail_wins_and_shared_rows_fall_back_to_the_summary(log_writer: Any) -> None:
    log = log_writer()
    log.record(17, log.field(1, b"id") + log.field(8, b"first"))
    for _ in range(300):
        log.history({"a": 1, "pad": "x" * 900})
    log.summary({"_step": 12, "_timestamp": 99})
    log.record(17, log.field(1, b"id") + log.field(8, b"second"))
    log.record(23, b"")
    data = bytes(log.data)
    probe = WANDB.probe(data[:65536], data[-65536:], len(data) - 65536)
    assert (probe.identity.run_id, probe.identity.name) == ("id", "second")
    assert (probe.step, probe.time, probe.preempting, probe.exit) == (12, 99.0, True, None)


def test_a_damaged_tail_is_read_from_its_next_block_on(log_writer: Any) -> None:
    log = log_writer(7)
    for step in range(400):
        log.history({"_step": step, "pad": "x" * 900})
        log.summary({"_step": step})
    data = bytearray(log.data)
    data[-50000] ^= 1
    head, tail = bytes(data[:65536]), bytes(data[-131072:])
    assert WANDB.probe(head, tail, len(data) - 131072).step == 399


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 10**6))
def test_no_bytes_raise(head: bytes, tail: bytes, offset: int) -> None:
    WANDB.probe(FILE_HEADER + head, tail, offset)
