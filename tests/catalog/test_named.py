import os
import shutil
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from runwised.catalog.catalog import MOST_NAMED, Catalog
from runwised.catalog.named import NoLog, NotThere, locate_named
from runwised.catalog.place import Settings, Settled

LOGS = Path(__file__).parents[1] / "fixtures" / "logs"
WANDB = Path(__file__).parents[1] / "fixtures" / "wandb"


def found(path: Any, cwd: Any = "/") -> Settled:
    return locate_named(str(path), str(cwd), Settings())


def test_a_file_and_a_folder_are_places_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,loss\n1,2\n")
    place = found("a.csv", tmp_path).place
    assert (place.root, place.logs_dirs, place.only) == (str(tmp_path), (str(tmp_path / "a.csv"),), True)
    assert (place.wandb_dirs, place.usual, place.nested) == ((), (), False)
    place = found("../" + tmp_path.name + "/", tmp_path).place
    assert (place.root, place.logs_dirs) == (str(tmp_path), (str(tmp_path),))


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "runs").mkdir()
    assert found("~/runs").place.root == str(tmp_path / "runs")


def test_a_named_link_leads_to_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "link.csv").symlink_to("there/a.csv")
    (tmp_path / "folder").symlink_to("there")
    assert found(tmp_path / "link.csv").place.logs_dirs == (str(tmp_path / "there/a.csv"),)
    assert found(tmp_path / "folder").place.root == str(tmp_path / "there")


def test_what_is_not_there_is_told_with_the_names_most_like_it(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    for path, nearest in (("metrics.json", ["metrics.jsonl"]), ("no/such/metrics.json", []), ("a\0b", [])):
        with pytest.raises(NotThere) as caught:
            found(path, tmp_path)
        assert (caught.value.path, caught.value.nearest) == (path, nearest)
    with pytest.raises(NotThere):
        found(tmp_path / "metrics.jsonl" / "below")


def test_pipes_sockets_and_devices_are_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as open_socket:
        here = os.open(tmp_path, os.O_RDONLY)
        open_socket.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        for name, kind in (("pipe", "a pipe"), ("link", "a pipe"), ("socket", "a socket"), ("/dev/null", "a device")):
            with pytest.raises(NoLog, match=f"not a log but {kind}"):
                found(name, tmp_path)


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/self/status", "/sys", "/dev"])
def test_what_is_on_no_disk_is_no_place_for_logs(path: str) -> None:
    with pytest.raises(NoLog, match="no place for logs"):
        found(path)


def test_a_link_that_leads_to_itself_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NoLog, match="symbolic links"):
        found("loop", tmp_path)


def test_settings_are_the_nearest_ones_upwards_and_their_paths_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "logs/exp").mkdir(parents=True)
    (tmp_path / "logs/exp/a.csv").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runwise.json").write_text('{"project_name": "mine", "logs_dir": "elsewhere"}')
    settled = found(tmp_path / "logs/exp/a.csv")
    assert settled.config.project_name == "mine"
    assert settled.place.logs_dirs == (str(tmp_path / "logs/exp/a.csv"),)


class Views:
    """Questions that name paths, to one catalog."""

    def __init__(self) -> None:
        self.catalog = Catalog(None)

    async def runs(self, path: Path) -> dict[str, list[str]]:
        """Formats of the sources by run."""
        view = await self.catalog.view_of(str(path), "/")
        return {run.id: sorted({part.format for part in run.sources}) for run in view.runs}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("jsonl_basic/metrics.jsonl", {"metrics": ["jsonl"]}),
        ("jsonl_basic", {"metrics": ["jsonl"]}),
        ("csv_keras/training.log", {"training": ["csv"]}),
        ("hf_trainer/out/trainer_state.json", {"trainer_state": ["trainer_state"]}),
        ("hf_trainer/out/checkpoint-10", {"checkpoint-10": ["trainer_state"]}),
        ("tb_restart_purge/run", {"run": ["tfevents"]}),
        ("jsonl_basic/truth.json", {}),
    ],
)
async def test_a_path_shows_the_logs_there_and_no_others(path: str, expected: dict[str, list[str]]) -> None:
    assert await Views().runs(LOGS / path) == expected


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["mlflow_sqlite/mlflow.db", "mlflow_files/mlruns", "mlflow_files"])
async def test_a_store_shows_all_its_runs(path: str) -> None:
    view = await Catalog(None).view_of(str(LOGS / path), "/")
    assert sorted(run.name for run in view.runs) == ["brave-run", "live-run", "sad-run"]


@pytest.mark.anyio
async def test_the_folder_of_one_of_mlflows_runs_shows_that_run() -> None:
    folders = [path.parent for path in (LOGS / "mlflow_files/mlruns").glob("*/*/metrics")]
    assert folders
    for folder in folders:
        assert set(await Views().runs(folder)) <= {folder.name}
    assert any([await Views().runs(folder) for folder in folders])


@pytest.mark.anyio
async def test_one_event_file_goes_by_its_folders_name() -> None:
    events = next((LOGS / "tb_restart_purge/run").glob("events*"))
    view = await Catalog(None).view_of(str(events), "/")
    assert [run.name for run in view.runs] == ["run"]


@pytest.mark.anyio
async def test_wandbs_own_logs_can_be_named_too(tmp_path: Path) -> None:
    shutil.copytree(WANDB / "0.28.2-failed" / "wandb", tmp_path / "wandb")
    (log,) = tmp_path.glob("wandb/*run-*/*.wandb")
    for path in (log, log.parent, tmp_path / "wandb", tmp_path):
        catalog = Catalog(None)
        view = await catalog.view_of(str(path), "/")
        assert [run.id for run in view.runs] == ["fx6ea763"]
        assert [log.format for place in view.places for log in place.sources] == ["wandb"]


@pytest.mark.anyio
async def test_a_trainers_folders_beside_a_named_file_are_left_alone(tmp_path: Path) -> None:
    shutil.copytree(LOGS / "hf_trainer/out", tmp_path / "out")
    shutil.copy(LOGS / "jsonl_basic/metrics.jsonl", tmp_path)
    assert set(await Views().runs(tmp_path / "metrics.jsonl")) == {"metrics"}


@pytest.mark.anyio
async def test_what_is_written_after_a_question_is_in_the_next_answer(tmp_path: Path) -> None:
    views = Views()
    (tmp_path / "a.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n')
    assert set(await views.runs(tmp_path)) == {"a"}
    with (tmp_path / "a.jsonl").open("a") as log:
        log.write('{"step": 3, "loss": 2.0}\n')
    for path in (tmp_path, tmp_path / "a.jsonl"):
        (run,) = (await views.catalog.view_of(str(path), "/")).runs
        assert run.step == 3


@pytest.mark.anyio
async def test_only_the_paths_named_last_are_kept_warm(tmp_path: Path) -> None:
    catalog = Catalog(None)
    (tmp_path / "proj/wandb").mkdir(parents=True)
    await catalog.view(str(tmp_path / "proj"), {})
    for number in range(MOST_NAMED + 2):
        path = tmp_path / f"{number}.csv"
        path.write_text("step,loss\n1,2\n2,1\n")
        await catalog.view_of(str(path), "/")
    await forgotten(catalog, 2)
    kept = catalog.status()["projects"]
    assert len(kept) == MOST_NAMED + 1
    assert str(tmp_path / "proj") in kept
    assert {str(tmp_path / "0.csv"), str(tmp_path / "1.csv")}.isdisjoint(kept)


async def forgotten(catalog: Catalog, number: int) -> None:
    """Let the background run until so many projects are gone."""
    least = len(catalog.status()["projects"]) - number
    async with anyio.create_task_group() as tasks:
        await tasks.start(catalog.run)
        with anyio.fail_after(30):
            while len(catalog.status()["projects"]) > least:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
