"""The real wandb, while it runs and after it was killed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from runwised.catalog.catalog import Catalog
from runwised.catalog.project import Project

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")]

TRAINING = """
import time, wandb
settings = wandb.Settings(x_transaction_log_flush_interval=1)
run = wandb.init(mode="offline", project="live", name="first", settings=settings)
print("started", flush=True)
step = 0
while True:
    run.log({"loss": 1 / (step + 1)})
    step += 1
    time.sleep(0.005)
"""


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    with subprocess.Popen(
        [sys.executable, "-c", TRAINING], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield process
        process.kill()


async def until_step(catalog: Catalog, root: Path, above: int) -> Project:
    with anyio.fail_after(60):
        while True:
            project = await catalog.view(str(root), {})
            if project.runs and (project.runs[0].step or 0) > above:
                return project
            await anyio.sleep(0.05)


async def test_a_run_is_running_until_it_is_killed_and_then_it_is_known_why(
    training: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    catalog = Catalog(None)
    (run,) = (await until_step(catalog, tmp_path, 0)).runs
    assert (run.condition.state, run.condition.proof) == ("running", f"pid {training.pid} is writing")
    first = run.step
    assert first is not None
    (run,) = (await until_step(catalog, tmp_path, first)).runs
    assert (run.name, run.project, run.segments) == ("first", "live", 1)
    training.kill()
    training.wait()
    (run,) = (await catalog.view(str(tmp_path), {})).runs
    assert (run.condition.state, run.condition.proof) == ("crashed", f"pid {training.pid} is gone")


async def test_a_copy_of_a_running_run_does_not_run(training: subprocess.Popen[bytes], tmp_path: Path) -> None:
    await until_step(Catalog(None), tmp_path, 0)
    shutil.copytree(tmp_path / "wandb", tmp_path / "copy/wandb", symlinks=True)
    (run,) = (await Catalog(None).view(str(tmp_path / "copy"), {})).runs
    assert run.condition.state == "crashed"
    assert training.poll() is None
