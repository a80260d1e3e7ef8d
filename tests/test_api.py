"""`from runwised import RunAnalyzer`: typed answers from the daemon, whose text is their `str()`."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runwise_protocol.queries import QUERIES
from runwise_protocol.queries.about import ShowConfig
from runwise_protocol.queries.live import LiveStatus
from runwise_protocol.query import Query, checked

from runwised import MetricSchema, RunAnalyzer, RunwiseConfig, RunwiseError
from runwised.settings import AnomalyDetection

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "runwised" / "demo", tmp_path / "demo"))


@pytest.fixture(autouse=True)
def private_daemon(daemon_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in daemon_env.items():
        monkeypatch.setenv(name, value)
    for name in ("RUNWISE_PROJECT_ROOT", "RUNWISE_WANDB_DIR", "RUNWISE_LOGS_DIR", "WANDB_DIR", "RUNWISE_NO_DAEMON"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def analyzer(project: Path) -> Iterator[RunAnalyzer]:
    with RunAnalyzer(project) as opened:
        yield opened


def test_every_question_has_a_typed_answer_that_is_also_a_text(analyzer: RunAnalyzer) -> None:
    runs = analyzer.list_runs()
    assert [run.name for run in runs.runs][-1] == "gpt-base"
    assert runs.total == 6
    assert len(analyzer.list_runs(limit=2).runs) == 2
    assert {run.name for run in analyzer.list_runs(state="finished").runs} == {"gpt-base", "gpt-wide", "gpt-hot"}

    assert analyzer.get_latest_run().run.id == "e7c3u5ho"
    wide = analyzer.summarize_run("gpt-wide")
    assert (wide.run.state, wide.run.step, wide.run.config["model"]["d"]) == ("finished", 1200, 512)
    assert analyzer.find_run("w8").run.id == wide.run.id

    curve = analyzer.get_history(wide, "val/loss").series["val/loss"]
    assert sum(bucket.n for bucket in curve) == 24
    assert min(bucket.min or 0 for bucket in curve) == wide.metrics["val/loss"].min
    few = analyzer.get_history(wide, ["val/*"], samples=4, start=100, end=500).series["val/loss"]
    assert (len(few), few[0].start, few[-1].end) == (4, 100, 500)

    stats = analyzer.get_history_stats("gpt-hot", "train/loss").metrics["train/loss"]
    assert (stats.count, stats.nonfinite, stats.last_finite is not None) == (90, 15, True)
    assert "grad_norm" in {entry.key for entry in analyzer.list_available_keys(wide).keys}
    assert analyzer.get_live_status().runs == []
    assert [run.name for run in analyzer.get_live_status(wide).runs] == ["gpt-wide"]
    news = analyzer.get_changes()
    assert (news.full, news.runs, sum(news.states.values())) == (True, [], 6)
    assert (analyzer.get_changes(news.cursor).runs, str(analyzer.get_changes(news.cursor))) == ([], "")
    waited = analyzer.wait_for("val/loss < 2", wide, timeout="1s")
    assert (waited.fired, waited.run, waited.key, waited.step) == (True, wide.run.id, "val/loss", 1200)

    assert {source.run for source in analyzer.list_sources(wide).sources} == {wide.run.id}
    local = analyzer.analyze_local_log(ROOT / "tests/fixtures/logs/jsonl_basic/metrics.jsonl")
    assert local.run is not None
    assert (local.run.run.step, local.run.metrics["lr"].count) == (499, 428)

    both = analyzer.compare_runs(runs.runs[-1], wide, filter="val")
    assert [run.name for run in both.runs] == ["gpt-base", "gpt-wide"]
    assert both.config["model.d"] == [384, 512]
    for answer in (runs, wide, both):
        assert "gpt-wide" in str(answer)


def test_every_question_has_a_method(analyzer: RunAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[type[Query]] = set()

    def noted(query: type[Query], fields: dict[str, Any]) -> Any:
        asked.add(query)
        return checked(query, fields)

    monkeypatch.setattr("runwised.analyzer.checked", noted)
    rows, log = io.BytesIO(), ROOT / "tests/fixtures/logs/tb_torch_basic/runs"
    answers = [
        analyzer.list_runs(where="finished", sort="-step"),
        analyzer.get_latest_run(),
        analyzer.summarize_run("gpt-wide"),
        analyzer.find_runs("wide"),
        analyzer.find_best_run("val/loss", higher_is_better=False, top=1),
        analyzer.compare_runs("gpt-base", "gpt-wide", at="step=500"),
        analyzer.rank_run("gpt-wide", "val/loss", at="step=500"),
        analyzer.group_runs("val/loss", "seed"),
        analyzer.sweep_runs("lr", "val/loss"),
        analyzer.get_live_status(),
        analyzer.get_changes(),
        analyzer.wait_for("step > 10", "gpt-wide", timeout="1s"),
        analyzer.diagnose("gpt-hot"),
        analyzer.check_health(),
        analyzer.check_stability("gpt-wide", "val/loss", window=5),
        analyzer.get_history("gpt-wide", "val/loss", x="time"),
        analyzer.get_history_stats("gpt-wide"),
        analyzer.get_rows("gpt-wide", at=500),
        analyzer.list_available_keys("gpt-wide"),
        analyzer.get_config("gpt-wide", "lr"),
        analyzer.tag_run("gpt-wide", "mine"),
        analyzer.note_run("gpt-wide", "seen"),
        analyzer.note_run("gpt-wide", None),
        analyzer.get_notes("gpt-wide"),
        analyzer.get_log("gpt-long", novel=True),
        analyzer.list_sources(),
        analyzer.learn_schema(),
        analyzer.analyze_local_log(ROOT / "tests/fixtures/logs/jsonl_basic/metrics.jsonl", stats=True),
        analyzer.analyze_tensorboard(log),
    ]
    analyzer.export_rows(rows, "gpt-wide", "val/loss")
    assert {query.command for query in QUERIES} - {query.command for query in asked} == set()
    assert all(str(answer).strip() for answer in answers if not isinstance(answer, LiveStatus))
    assert len(rows.getvalue().splitlines()) == 24
    assert str(analyzer.ask(ShowConfig(run="gpt-wide", keys=("lr",)))) == str(analyzer.get_config("gpt-wide", "lr"))


def test_an_option_no_contract_has_is_an_error(analyzer: RunAnalyzer) -> None:
    with pytest.raises(RunwiseError, match="unknown field `sampels`"):
        analyzer.get_history("gpt-wide", sampels=3)


def test_the_text_is_what_the_command_prints(analyzer: RunAnalyzer, project: Path, daemon_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "runwise_cli", "history", "gpt-hot", "-k", "grad_norm", "-n", "9"]
    printed = subprocess.check_output(command, cwd=project, env=daemon_env, text=True)
    assert str(analyzer.get_history("gpt-hot", "grad_norm", 9)) == printed


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [("gpt-wode", "NOT_FOUND", "nearest: gpt-wide"), ("gpt-", "AMBIGUOUS", "ambiguous: .*gpt-base")],
)
def test_a_run_that_is_not_one_run_is_an_error(analyzer: RunAnalyzer, name: str, kind: str, message: str) -> None:
    with pytest.raises(RunwiseError, match=message) as caught:
        analyzer.find_run(name)
    assert caught.value.kind.name == kind
    assert analyzer.find_run("gpt-base").run.name == "gpt-base"


def test_a_field_out_of_bounds_is_an_error_before_anything_is_asked(project: Path) -> None:
    with RunAnalyzer(project) as analyzer, pytest.raises(RunwiseError, match="limit") as caught:
        analyzer.list_runs(limit=0)
    assert caught.value.kind.name == "USAGE"


def test_without_a_project_it_asks_about_the_one_around_the_working_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "src").mkdir()
    monkeypatch.chdir(project / "src")
    with RunAnalyzer() as analyzer:
        assert analyzer.list_runs().total == 6


def test_settings_may_name_the_folder_of_the_logs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    with RunAnalyzer(RunwiseConfig(wandb_dir="demo/wandb")) as analyzer:
        assert analyzer.list_runs().total == 6


def test_a_schema_that_the_daemon_would_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = RunwiseConfig(schema=MetricSchema(loss_key="nll"))
    for config in (mine, RunwiseConfig(anomaly_detection=AnomalyDetection(spike_window=7))):
        with pytest.raises(ValueError, match=r"runwise\.json"):
            RunAnalyzer(config)
    (tmp_path / "runwise.json").write_text('{"schema_inline": {"loss_key": "nll"}}')
    RunAnalyzer(mine).close()


def test_a_connection_lost_between_questions_is_made_anew(
    analyzer: RunAnalyzer, daemon_env: dict[str, str], project: Path
) -> None:
    assert analyzer.list_runs().total == 6
    stop = [sys.executable, "-m", "runwise_cli", "daemon", "stop"]
    subprocess.run(stop, env=daemon_env, cwd=project, check=True, capture_output=True)
    assert analyzer.list_runs().total == 6


def test_importing_the_package_loads_none_of_its_public_names() -> None:
    code = "import sys, runwised; print(*sorted(set(sys.modules) & {'msgspec', 'numpy', 'runwised.analyzer'}))"
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protocol'}"}
    assert subprocess.check_output([sys.executable, "-c", code], env=environ, text=True) == "\n"
    import runwised

    assert all(getattr(runwised, name) for name in runwised.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        runwised.no_such  # noqa: B018
