"""Runs from before 0.10: rows and samples as JSON lines."""

from __future__ import annotations

from typing import Any

import pytest

from runwised.formats import WANDB, choose
from runwised.formats.linelog import LONGEST_LINE
from runwised.formats.record import NO_STEP, Damage, Resume
from runwised.formats.wandb_legacy import LEGACY_EVENTS, LEGACY_HISTORY


def test_rows_are_those_of_a_transaction_log(told: Any) -> None:
    lines = (
        b'{"loss": NaN, "opt": {"lr": 0.1, "a.b": 2}, "h": {"_type": "histogram"}, "_timestamp": 15.5, "_step": 4}\n'
    )
    ((offset, step, time, values),) = told(LEGACY_HISTORY.reader().feed(lines)).history
    assert (offset, step, time) == (0, 4, (15.5).hex())
    assert values == {"loss": "nan", "opt.lr": (0.1).hex(), "opt.a\\.b": (2.0).hex(), "h": "other"}


def test_samples_lose_the_prefix_newer_logs_do_not_have() -> None:
    line = b'{"system.gpu.0.gpu": 5, "_wandb": true, "_timestamp": 15, "_runtime": 3}\n'
    assert LEGACY_EVENTS.row(line, 0, Resume()) == (NO_STEP, 15.0, {"gpu.0.gpu": 5, "_runtime": 3})


@pytest.mark.parametrize("bad", [b"[1]", b"{cut", b"\0" * 50, b"\xff", b'"text"', b"12"])
def test_a_line_that_is_no_row_is_damage_and_costs_only_itself(told: Any, bad: bytes) -> None:
    run = told(LEGACY_HISTORY.reader().feed(b'{"_step": 0}\n' + bad + b'\n{"_step": 1}\n'))
    assert [row[1] for row in run.history] == [0, 1]
    assert run.damage == [Damage(13, len(bad) + 1, "a line is no JSON object")]
    with pytest.raises(ValueError, match="no JSON object"):
        LEGACY_HISTORY.row(bad + b"\n", 13, Resume())


def test_a_line_without_end_is_held_within_bounds(told: Any) -> None:
    reader = LEGACY_HISTORY.reader()
    batches = [*reader.feed(b'{"_step": 0}\n')]
    for _ in range(20):
        batches += reader.feed(b"x" * (1 << 20))
    assert reader.resume == Resume(13)
    batches += reader.feed(b'\n{"_step": 1}\n')
    run = told(batches)
    assert [row[1] for row in run.history] == [0, 1]
    assert run.damage == [Damage(13, (20 << 20) + 1, "line longer than 4 MiB")]
    with pytest.raises(ValueError, match="longer than"):
        LEGACY_HISTORY.row(b"x" * LONGEST_LINE, 13, Resume())


def test_they_are_known_by_their_names() -> None:
    assert choose("wandb-history.jsonl", b"") is LEGACY_HISTORY
    assert choose("wandb-events.jsonl", b'{"a') is LEGACY_EVENTS
    assert choose("wandb-history.jsonl", b":W&B") is WANDB
    with pytest.raises(ValueError, match="no console"):
        LEGACY_HISTORY.text(b"{}\n", 0, Resume())


def test_a_probe_has_the_last_whole_row() -> None:
    data = b'{"_step": 3, "_timestamp": 9, "a": {"b": 1}}\n{"_step": 4'
    probe = LEGACY_HISTORY.probe(data, data[-30:], len(data) - 30)
    assert (probe.step, probe.summary) == (None, {})
    probe = LEGACY_HISTORY.probe(data, data, 0)
    assert (probe.step, probe.time, probe.summary["a"]) == (3, 9.0, {"b": 1})
    assert LEGACY_HISTORY.probe(b"", b"", 0).header is False
