"""MLflow's file store: the folder of one run, also while it is being written or only half there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from runwised.catalog.stores import StoreChangedError, find_store
from runwised.catalog.stores.mlflow_folder import MlflowFolder
from runwised.formats.record import Damage

CONFIG = {"lr": 0.0003, "model/layers": 12, "note": "a=b, c"}
CODES = {"finished": [0], "failed": [1], "running": []}
STORE = MlflowFolder()


@pytest.fixture
def folders(fixture_copy: Any, truth: Any) -> dict[str, Path]:
    """The runs' folders by state."""
    base = fixture_copy("mlflow_files")
    return {run["state"]: base / run["files"][0] for run in truth("mlflow_files")["runs"].values()}


@pytest.fixture
def folder(folders: dict[str, Path]) -> Path:
    """The run that goes on."""
    return folders["running"]


def write_run(folder: Path, **metrics: str) -> Path:
    for key, lines in metrics.items():
        (folder / "metrics").mkdir(parents=True, exist_ok=True)
        (folder / "metrics" / key).write_text(lines)
    (folder / "params").mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_every_run_says_what_was_logged(
    folders: dict[str, Path], truth: Any, read_whole: Any, told_as: Any, most: int
) -> None:
    for key, true in truth("mlflow_files")["runs"].items():
        folder = folders[true["state"]]
        assert isinstance(find_store(str(folder)), MlflowFolder)
        (run,) = STORE.list_runs(str(folder))
        assert (run.key, run.run_id, run.name, run.experiment) == ("", key, true["name"], true["experiment"])
        whole, cursor = read_whole(STORE, folder, "", most=most)
        for name, series in true["series"].items():
            told_as(whole.series.pop(name), series)
        assert whole.series == {"no_step": list(enumerate(true["stepless"]["no_step"]))}
        assert whole.config == CONFIG
        assert (whole.identity["name"], whole.identity["run_id"]) == (true["name"], key)
        assert (whole.identity["project"], whole.identity["tags"]) == ("tiny-lm", ("team=nlp",))
        assert [each.code for each in whole.exits] == CODES[true["state"]]
        rows = list(STORE.rows(str(folder), "", cursor, whole.offsets[::-1]))
        assert rows[-1].values == {"train/loss": true["series"]["train/loss"]["values"][0]}
        assert len(rows) == len(whole.offsets) == len(set(whole.offsets))


def test_other_folders_are_no_runs(folder: Path, tmp_path: Path) -> None:
    assert find_store(str(folder.parent)) is None
    assert find_store(str(folder / "metrics")) is None
    trash = tmp_path / ".trash" / folder.name
    shutil.copytree(folder, trash)
    assert find_store(str(trash)) is None
    bare = tmp_path / ("0" * 32)
    (bare / "artifacts").mkdir(parents=True)
    assert find_store(str(bare)) is None


def test_a_deleted_run_is_left_out(folder: Path) -> None:
    meta = folder / "meta.yaml"
    meta.write_text(meta.read_text().replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
    assert STORE.list_runs(str(folder)) == []


@pytest.mark.parametrize(
    "content", [None, b"", b"artifact_uri: file:///a\nend_ti", b"\0" * 100, b"a: [1", b"- a\n- b\n"]
)
def test_a_run_whose_meta_is_not_there_or_broken_has_its_metrics(
    folder: Path, read_whole: Any, content: bytes | None
) -> None:
    meta = folder / "meta.yaml"
    if content is None:
        meta.unlink()
    else:
        meta.write_bytes(content)
    assert isinstance(find_store(str(folder)), MlflowFolder)
    (run,) = STORE.list_runs(str(folder))
    assert (run.run_id, run.name, run.experiment, run.started) == (folder.name, "live-run", "tiny-lm", None)
    whole, _ = read_whole(STORE, folder, "")
    assert len(whole.series["train/loss"]) == 25
    assert (whole.identity["run_id"], whole.identity["name"], whole.config) == (folder.name, "live-run", CONFIG)


def test_a_run_that_ended_stays_so_while_its_meta_is_replaced(folders: dict[str, Path], read_whole: Any) -> None:
    folder = folders["finished"]
    meta = folder / "meta.yaml"
    whole, cursor = read_whole(STORE, folder, "")
    assert len(whole.exits) == 1
    kept = meta.read_text()
    for half in ("", kept[:40]):
        meta.write_text(half)
        more, cursor = read_whole(STORE, folder, "", cursor)
        assert more.batches == []
    meta.write_text(kept.replace("run_name: brave-run", "run_name: 'it''s: renamed'"))
    more, cursor = read_whole(STORE, folder, "", cursor)
    assert (more.identity["name"], more.exits) == ("it's: renamed", [])
    meta.write_text(kept.replace("status: 3", "status: 1"))
    with pytest.raises(StoreChangedError, match="goes on"):
        STORE.read(str(folder), "", cursor, 50)


def test_what_is_appended_later_comes_once_and_half_lines_wait(folder: Path, read_whole: Any) -> None:
    first, cursor = read_whole(STORE, folder, "")
    loss = folder / "metrics" / "train" / "loss"
    before = STORE.look(str(folder), "")
    with loss.open("a") as file:
        file.write("1750000025000 nan 25\n1750000026000 -in")
    more, cursor = read_whole(STORE, folder, "", cursor)
    assert repr(more.series) == "{'train/loss': [(25, nan)]}"
    with loss.open("a") as file:
        file.write("f 26\n")
    (folder / "metrics" / "aa").write_text("1750000000000 0.5 3\n")
    with (folder / "metrics" / "no_step").open("a") as file:
        file.write("1750000200000 4.0 0\n")
    after = STORE.look(str(folder), "")
    more, cursor = read_whole(STORE, folder, "", cursor)
    assert more.series == {"aa": [(3, 0.5)], "train/loss": [(26, float("-inf"))], "no_step": [(3, 4.0)]}
    assert not set(first.offsets) & set(more.offsets)
    assert next(STORE.rows(str(folder), "", cursor, more.offsets)).values == {"aa": 0.5}
    assert before is not None
    assert after is not None
    assert after.size - before.size == 21 + 17 + 5 + 20 + 20


def test_points_of_all_keys_come_by_their_times_however_few_are_read_at_once(tmp_path: Path, read_whole: Any) -> None:
    often = "".join(f"{1_750_000_000_000 + n} {n}.0 {n}\n" for n in range(3000))
    rarely = "".join(f"{1_750_000_000_000 + n} {n}.5 {n}\n" for n in range(0, 3000, 100))
    folder = write_run(tmp_path / ("a" * 32), often=often, rarely=rarely)
    whole, _ = read_whole(STORE, folder, "", most=70)
    steps = [step for batch in whole.batches if hasattr(batch, "steps") for step in batch.steps.tolist()]
    assert steps == sorted(steps)
    assert len(steps) == 3030
    assert whole.series["rarely"] == [(n, n + 0.5) for n in range(0, 3000, 100)]


def test_without_times_points_of_all_keys_come_by_their_steps(tmp_path: Path, read_whole: Any) -> None:
    lines = "".join(f"0 {n}.0 {n}\n" for n in range(5))
    whole, _ = read_whole(STORE, write_run(tmp_path / ("a" * 32), one=lines, two=lines), "", most=100)
    (rows,) = [batch for batch in whole.batches if hasattr(batch, "steps")]
    assert rows.steps.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_step_that_goes_back_keeps_its_place_in_its_file(tmp_path: Path, read_whole: Any) -> None:
    lines = "1750000005000 1.0 5\n1750000001000 2.0 6\n1750000002000 3.0 2\n"
    whole, _ = read_whole(STORE, write_run(tmp_path / ("a" * 32), one=lines), "", most=2)
    assert whole.series == {"one": [(5, 1.0), (6, 2.0), (2, 3.0)]}


def test_lines_that_are_no_points_are_damage_and_cost_only_themselves(tmp_path: Path, read_whole: Any) -> None:
    bad = ("1750000000000 1.0 11750000000010 2.0 1", "text", "\0" * 30, "1750000000000 x 3", "1750000000000 1.0 2.5")
    lines = "1750000000000 1.0 0\n" + "\n".join(bad) + "\n\n1750000000000 4.0 4 data digest\n1750000000 5.0\n"
    folder = write_run(tmp_path / ("a" * 32), one=lines, two="x" * 200_000 + "\n1750000000000 1.0 7\n")
    whole, cursor = read_whole(STORE, folder, "")
    assert whole.series == {"one": [(0, 1.0), (4, 4.0), (0, 5.0)], "two": [(7, 1.0)]}
    damage = [batch for batch in whole.batches if isinstance(batch, Damage)]
    assert sum(found.length for found in damage if found.offset < 1 << 40) == sum(len(each) + 1 for each in bad)
    assert sum(found.length for found in damage if found.offset >= 1 << 40) == 200_001
    rows = [row.values for row in STORE.rows(str(folder), "", cursor, sorted(whole.offsets))]
    assert rows == [{"one": 1.0}, {"one": 4.0}, {"one": 5.0}, {"two": 1.0}]


def test_a_metric_file_that_is_shorter_gone_or_another_is_refused(folder: Path, read_whole: Any) -> None:
    loss = folder / "metrics" / "train" / "loss"
    whole, cursor = read_whole(STORE, folder, "")
    kept = loss.read_text()
    for other in (kept[:-30], kept.replace("1750000024000", "1750000024001") + "1750000025000 1.0 25\n"):
        loss.write_text(other)
        with pytest.raises(StoreChangedError, match="loss"):
            STORE.read(str(folder), "", cursor, 50)
    loss.write_text("\n" * 2000)
    with pytest.raises(StoreChangedError):
        list(STORE.rows(str(folder), "", cursor, whole.offsets))
    loss.unlink()
    with pytest.raises(StoreChangedError, match="loss"):
        STORE.read(str(folder), "", cursor, 50)
    shutil.rmtree(folder)
    assert STORE.look(str(folder), "") is None
    for ask in (lambda: STORE.list_runs(str(folder)), lambda: STORE.read(str(folder), "", cursor, 50)):
        with pytest.raises(FileNotFoundError):
            ask()
