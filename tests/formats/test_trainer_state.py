"""The Trainer's state file: entries as they arrive, the other fields when it is whole."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import choose
from runwised.formats.record import NO_STEP, Damage, Exit, Resume
from runwised.formats.trainer_document import LONGEST_ENTRY
from runwised.formats.trainer_state import TRAINER_STATE

FIXTURE = Path(__file__).parents[1] / "fixtures" / "logs" / "hf_trainer"
TRUTH = json.loads((FIXTURE / "truth.json").read_text())
RUN = TRUTH["runs"]["out"]
PLAN = {
    "eval_steps": 10,
    "logging_steps": 2,
    "max_steps": 40,
    "num_train_epochs": 2,
    "save_steps": 10,
    "train_batch_size": 4,
}


def read(told: Any, data: bytes) -> Any:
    return told(TRAINER_STATE.reader().feed(data))


def pairs(series: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    return {key: list(zip(one["steps"], one["values"], strict=True)) for key, one in series.items()}


def until(series: dict[str, list[tuple[int, float]]], step: int) -> dict[str, list[tuple[int, float]]]:
    cut = {key: [point for point in points if point[0] <= step] for key, points in series.items()}
    return {key: points for key, points in cut.items() if points}


def test_a_finished_training_is_read_exactly(told: Any) -> None:
    data = (FIXTURE / "out" / "trainer_state.json").read_bytes()
    assert choose("trainer_state.json", data[:4096]) is TRAINER_STATE
    reader = TRAINER_STATE.reader()
    seen = told(reader.feed(data))
    assert reader.resume.offset == len(data)
    assert seen.served == pairs(RUN["series"])
    assert seen.logged == pairs(RUN["series"] | RUN["raw"])
    assert seen.trees["config"] == PLAN
    assert seen.trees["summary"]["global_step"] == RUN["max_steps"]
    assert RUN["state"] == "finished"
    assert seen.exit == Exit(data.rindex(b"{", 0, data.index(b"train_runtime")), 0, 0.2799)
    assert not seen.damage


@pytest.mark.parametrize("step", TRUTH["checkpoint_steps"])
def test_each_checkpoint_holds_what_had_been_logged(told: Any, step: int) -> None:
    data = (FIXTURE / "out" / f"checkpoint-{step}" / "trainer_state.json").read_bytes()
    seen = read(told, data)
    whole = read(told, (FIXTURE / "out" / "trainer_state.json").read_bytes())
    ended = RUN["series"]["train_runtime"]["steps"]
    kept = [row[1:] for row in whole.history if row[1] <= step and not (row[1] in ended and "train_runtime" in row[3])]
    assert [row[1:] for row in seen.history] == kept
    assert seen.served["loss"] == until(pairs(RUN["series"]), step)["loss"]
    assert seen.exit == (Exit(data.rindex(b"}"), 0) if step == RUN["max_steps"] else None)
    assert seen.trees["config"] == PLAN
    assert seen.trees["summary"] == {
        "epoch": step / 20,
        "global_step": step,
        "num_input_tokens_seen": 0,
        "total_flos": json.loads(data)["total_flos"],
    }


def document(*history: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**fields, "log_history": list(history)}


@pytest.mark.parametrize("style", [{"indent": 2}, {"indent": None}, {"separators": (",", ":")}, {"indent": "\t"}])
@pytest.mark.parametrize("turned", [False, True])
def test_order_and_blanks_of_the_document_do_not_matter(told: Any, style: dict[str, Any], turned: bool) -> None:
    state = document(
        {"loss": 2, "step": 1, "text": '}]{[\\"\n'},
        {"nested": {"a": [1, {"b": 2}], "c.d": 3}, "step": 2},
        {},
        epoch=1.5,
        max_steps=7,
        best_metric=math.nan,
        best_model_checkpoint=None,
        trial_params={"log_history": [{"step": 9}]},
        stateful_callbacks={"x": {"log_history": [{"step": 8}]}},
    )
    if turned:
        state = dict(reversed(state.items()))
    data = json.dumps(state, **style).encode()
    reader = TRAINER_STATE.reader()
    seen = told(reader.feed(data))
    assert reader.resume.offset == len(data)
    assert [row[1] for row in seen.history] == [1, 2, NO_STEP]
    assert [list(row[3]) for row in seen.history] == [["loss", "text"], ["nested.c\\.d", "nested.a"], []]
    assert seen.trees["config"] == {"max_steps": 7, "trial_params": {"log_history": [{"step": 9}]}}
    assert repr(seen.trees["summary"]) == repr({"best_metric": math.nan, "epoch": 1.5})
    assert not seen.damage


def test_a_row_is_read_back_exactly() -> None:
    data = json.dumps(document({"n": 2**70, "loss": math.inf, "step": 3.0}), indent=2).encode()
    offset = data.index(b"{", 1)
    row = TRAINER_STATE.row(data[offset:], offset, Resume())
    assert row is not None
    assert (row.step, row.values) == (3, {"n": 2**70, "loss": math.inf})
    assert TRAINER_STATE.row(b"", offset, Resume()) is None
    for wrong in (b"  {", b"{,}", b'{"a": 1, {', b"{" + b" " * LONGEST_ENTRY, b"{" + b" " * LONGEST_ENTRY + b"}"):
        with pytest.raises(ValueError, match=r"entry"):
            TRAINER_STATE.row(wrong, offset, Resume())


def test_a_half_written_document_gives_its_rows_and_is_not_whole(told: Any) -> None:
    data = json.dumps(document({"loss": 1, "step": 1}, {"loss": 2, "step": 2}, max_steps=5), indent=2).encode()
    ends = [(step, data.index(b"}", data.index(b'"step": %d' % step)) + 1) for step in (1, 2)]
    for size in range(len(data)):
        reader = TRAINER_STATE.reader()
        seen = told(reader.feed(data[:size]))
        assert [row[1] for row in seen.history] == [step for step, end in ends if size >= end]
        assert seen.trees == {"config": {}, "summary": {}}


@pytest.mark.parametrize(
    "data", [b"", b" \n", b"null", b"[1]", b"text", b"\xff\xfe", b"\0" * 9000, b" " * 9000 + b"{}"]
)
def test_what_is_no_document_gives_nothing(told: Any, data: bytes) -> None:
    reader = TRAINER_STATE.reader()
    seen = told([*reader.feed(data), *reader.close()])
    assert (seen.history, seen.damage, reader.resume) == ([], [], Resume())


def test_a_document_with_something_behind_it_is_not_whole(told: Any) -> None:
    data = b'\xef\xbb\xbf{"max_steps": 3, "log_history": [{"step": 1}]} \n'
    reader = TRAINER_STATE.reader()
    seen = told(reader.feed(data + b"}]}"))
    assert [row[1] for row in seen.history] == [1]
    assert seen.trees["config"] == {"max_steps": 3}
    assert reader.resume.offset == len(data)
    assert reader.feed(b'{"log_history": [{"step": 5}]}') == []


@pytest.mark.parametrize(
    ("entries", "steps", "lost"),
    [
        (b'{"step": 1, "a": x}, {"step": 2}', [2], ["entry is no JSON object"]),
        (b'{"step": 1,\n"a: 1\n}, {"step": 2}', [2], ["entry is no JSON object"]),
        (b'"step": 1}, {"step": 2}', [2], ["entry without its beginning"]),
        (b'{"step": 1, {"step": 2}', [2], ["entry without its end"]),
        (b'[1], {"step": 2}', [2], ["entry is no JSON object"]),
        (b'{"step": 1, "a": "%b"}, {"step": 2}' % (b"x" * LONGEST_ENTRY), [2], ["entry longer than 1 MiB"]),
        (b"%b%b" % (b'{"a":' * 70, b"}" * 70), [], ["entry is no JSON object"]),
    ],
)
def test_a_broken_entry_is_damage_and_costs_only_itself(
    told: Any, entries: bytes, steps: list[int], lost: list[str]
) -> None:
    data = b'{"log_history": [' + entries + b'], "max_steps": 3}'
    reader = TRAINER_STATE.reader()
    seen = told(reader.feed(data))
    assert [row[1] for row in seen.history] == steps
    assert [damage.reason for damage in seen.damage] == lost
    assert seen.trees["config"] == {"max_steps": 3}
    assert reader.resume.offset == len(data)


def test_what_has_no_end_is_held_within_bounds(told: Any) -> None:
    for begin in (b'{"log_history": [{"a": "', b'{"trial_params": "', b'{"', b'{"a": [', b'{"log_history": ["'):
        reader = TRAINER_STATE.reader()
        reader.feed(begin)
        tracemalloc.start()
        batches = [batch for _ in range(20) for batch in reader.feed(b"x" * (1 << 20))]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (batches, most < 6 * LONGEST_ENTRY) == ([], True)
    reader = TRAINER_STATE.reader()
    batches = reader.feed(b'{"log_history": [{"a": "') + reader.feed(b"x" * (5 << 20))
    seen = told(batches + reader.feed(b'"}, {"step": 4}], "max_steps": 3}'))
    assert [row[1] for row in seen.history] == [4]
    assert seen.damage == [Damage(17, (5 << 20) + 9, "entry longer than 1 MiB")]
    assert seen.trees["config"] == {"max_steps": 3}


MARKS = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\n", b" ", b"1", b"NaN", b"\xff", b"null", b'{"step": 2}']
WORDS = [b'"step": 1', b'"max_steps": 3', b'"log_history": [', b'"epoch"', b'{"step": 3, "s": "}\\""}']
STARTS = [b"", b"{", b'{"log_history": [', b'\xef\xbb\xbf {"epoch": 1, "log_history": [{}']


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.lists(st.sampled_from(MARKS + WORDS), max_size=30), start=st.sampled_from(STARTS))
def test_whatever_the_bytes_are_it_does_not_matter_how_they_are_cut(
    noise: list[bytes], start: bytes, told: Any
) -> None:
    data = start + b"".join(noise)
    reader = TRAINER_STATE.reader()
    whole = told(reader.feed(data)).picture()
    end = reader.resume
    reader = TRAINER_STATE.reader()
    before: list[Any] = []
    resume = reader.resume
    for at in range(len(data)):
        before += reader.feed(data[at : at + 1])
        if reader.resume != resume:
            resume = reader.resume
            assert told([*before, *TRAINER_STATE.reader(resume).feed(data[resume.offset :])]).picture() == whole
    assert told(before).picture() == whole
    assert reader.resume == end


def test_a_probe_of_a_long_history_reads_its_ends_only() -> None:
    history = [{"loss": 1 / (n + 1), "epoch": n / 100, "step": n, "note": "x" * 100} for n in range(4000)]
    data = json.dumps(document(*history, max_steps=4000, zz_steps=5), indent=2, sort_keys=True).encode()
    assert len(data) > 400000
    probe = TRAINER_STATE.probe(data[:65536], data[-131072:], len(data) - 131072)
    assert (probe.step, probe.summary["loss"], probe.exit) == (3999, 1 / 4000, None)
    assert probe.config == {"max_steps": 4000, "zz_steps": 5}
    cut = data[: -len(data) // 3]
    assert TRAINER_STATE.probe(cut[:65536], cut[-131072:], len(cut) - 131072).config == {}
    assert TRAINER_STATE.probe(b"", b"", 0).header is False


def test_it_is_known_by_its_name() -> None:
    assert TRAINER_STATE.matches("checkpoint-5/trainer_state.json", b"")
    assert TRAINER_STATE.matches("trainer_state.json", b"\xef\xbb\xbf\n{")
    assert not TRAINER_STATE.matches("trainer_state.json", b"[")
    assert not TRAINER_STATE.matches("state.json", b'{"log_history": []}')
    with pytest.raises(ValueError, match="no console"):
        TRAINER_STATE.text(b"{}", 0, Resume())
