"""Every fixture, written by the real writers, is read to exactly what was logged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from runwised.formats import choose
from runwised.formats.record import escape
from runwised.formats.tfevents import TFEVENTS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "logs"
CASES = ("tb_torch_basic", "tb_restart_purge", "tb_restart_nopurge", "tb_torn", "tb_tensor_scalars")
SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def truth_of(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / case / "truth.json").read_text())
    return found


RUNS = [(case, run) for case in CASES for run in truth_of(case)["runs"]]


def read(told: Any, case: str, files: list[str]) -> Any:
    """What the files of one run add up to."""
    batches: list[Any] = []
    for file in files:
        data = (FIXTURES / case / file).read_bytes()
        assert choose(Path(file).name, data[:4096]) is TFEVENTS
        reader = TFEVENTS.reader()
        batches += [*reader.feed(data), *reader.close()]
    return told(batches)


def points(series: dict[str, Any]) -> list[tuple[int, str]]:
    values = (SPELLED.get(value, value) for value in series["values"])
    return [(step, float(value).hex()) for step, value in zip(series["steps"], values, strict=True)]


def exact(logged: list[tuple[int, float]]) -> list[tuple[int, str]]:
    return [(step, value.hex()) for step, value in logged]


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_a_run_is_read_to_what_was_logged(told: Any, case: str, run: str) -> None:
    truth = truth_of(case)["runs"][run]
    found = read(told, case, truth["files"])
    wanted = {escape((key,)): points(series) for key, series in truth["series"].items()}
    optional = {escape((key,)): points(series) for key, series in truth.get("optional", {}).items()}
    stepless = {key: list(enumerate(map(float.hex, values))) for key, values in truth.get("stepless", {}).items()}
    served = {key: exact(left) for key, left in found.served.items()}
    assert served == wanted | optional | stepless
    raw = {key: points(series) for key, series in truth.get("raw", {}).items()}
    assert {key: exact(found.logged[key]) for key in raw} == raw
    assert found.others.keys() == {escape((tag,)) for tag in truth.get("non_scalar_tags", ())}
    assert found.trees["config"] == truth.get("config", {})
    assert not found.damage


def test_text_images_and_histograms_are_told_by_what_they_are(told: Any) -> None:
    truth = truth_of("tb_torch_basic")["runs"]["runs/exp_a"]
    others = read(told, "tb_torch_basic", truth["files"]).others
    assert others["notes/text_summary"] == ("string", b'"hello **world**"')
    kind, image = others["img"]
    wanted = {"_type": "image-file", "width": 8, "height": 8, "format": "png"}
    assert kind == "image-file"
    assert wanted.items() <= json.loads(image).items()
    kind, histogram = others["w/hist"]
    assert kind == "histogram"
    assert {"_type": "histogram", "count": 200.0}.items() <= json.loads(histogram).items()


def test_a_growing_file_gives_exactly_its_whole_events(told: Any) -> None:
    truth = truth_of("tb_torch_basic")
    data = (FIXTURES / "tb_torch_basic" / truth["growth_file"]).read_bytes()
    silent = 1
    """The file's header logs nothing."""
    for length, events in truth["growth"]:
        found = told(TFEVENTS.reader().feed(data[:length]))
        assert len(found.history) == max(events - silent, 0), length
        assert not found.damage


def test_the_events_of_a_trainer_are_its_state_in_single_precision(told: Any) -> None:
    truth = truth_of("hf_trainer")["runs"]
    (run,) = (name for name in truth if "/runs/" in name)
    found = read(told, "hf_trainer", truth[run]["files"])
    state = json.loads((FIXTURES / "hf_trainer" / "out" / "trainer_state.json").read_text())["log_history"]
    logged = {row["step"]: row["loss"] for row in state if "loss" in row}
    assert [step for step, _ in found.served["train/loss"]] == list(logged)
    assert [value for _, value in found.served["train/loss"]] == pytest.approx([*logged.values()], rel=1e-7)
    evaluated = {row["step"]: row["eval_loss"] for row in state if "eval_loss" in row}
    assert dict(found.served["eval/loss"]) == pytest.approx(evaluated, rel=1e-7)
    assert found.others["args/text_summary"][0] == "string"


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_a_probe_tells_the_end_of_what_a_reader_tells(told: Any, case: str, run: str) -> None:
    truth = truth_of(case)["runs"][run]
    data = (FIXTURES / case / truth["files"][-1]).read_bytes()
    found = read(told, case, truth["files"][-1:])
    probe = TFEVENTS.probe(data[:65536], data[-4000:], max(len(data) - 4000, 0))
    assert probe.header is (len(data) >= 12)
    assert probe.step == (found.history[-1][1] if found.history else None)
    for tag, value in probe.summary.items():
        if escape((tag,)) in found.logged:
            assert value.hex() == found.logged[escape((tag,))][-1][1].hex()
