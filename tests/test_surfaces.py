"""Every question gets the same text wherever it is asked: in the engine, over the socket, by both parsers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import anyio
import pytest
from runwise_protocol.argv import parse
from runwise_protocol.client import Client
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import QUERIES
from runwise_protocol.query import Look, Where, checked

from runwise_cli.app import main
from runwised.catalog.catalog import Catalog
from runwised.server.answers import Answers

FIXTURES = Path(__file__).parent / "fixtures" / "wandb"
AGE = re.compile(r"\b\d+(s|m|h|d)\d*\b|@[0-9a-z]{4,}(?=[\n\"])")
"""Ages go on while the surfaces are asked one after the other, and each daemon gives cursors of its own."""
FINISHED, FAILED = "fxb2c515", "fx6ea763"
NOT_MET = f"wait {FINISHED} --until train/loss<0"
"""Answered, but with another exit status."""
ALONE = ("tag ", "note ", "list --all")
"""What begins like this has a daemon of its own: it writes, or tells what was asked before."""
QUESTIONS = [
    "list",
    "list -n 1 --format json",
    "latest",
    f"run {FAILED}",
    f"run {FINISHED} --format json",
    f"keys {FINISHED}",
    f"stats {FINISHED} -k train/*",
    f"history {FINISHED} -k train/loss,val/loss -n 20",
    f"history {FINISHED} -k train/loss --format csv",
    f"raw {FINISHED} --step 3:5",
    f"raw {FINISHED} --row -2: --format jsonl",
    f"config {FINISHED} --for human",
    f"notes {FINISHED}",
    f"raw {FINISHED} --at 100 --around 2 -k train/loss",
    f"raw {FINISHED} --at 100 --format json",
    f"log {FAILED} --errors",
    f"log {FAILED} --novel",
    f"log {FAILED} --novel --format json",
    "live",
    f"live {FINISHED}",
    "since",
    "since @0000 --format json",
    f"wait {FINISHED} --until step>0",
    f"wait {FINISHED} {FAILED} --all --until state!=running -t 1s --format json",
    NOT_MET,
    f"compare {FINISHED} {FAILED} -f loss",
    f"compare {FINISHED} {FAILED} --at step=50 --to train/loss<2 -t 1 -g",
    f"compare {FINISHED} {FAILED} --at now --format json",
    f"export {FAILED} --format csv",
    f"export {FAILED}",
    "list --where min(train/loss)<9 --sort=-step",
    "list -w val/loss@best<1e9 --match f --format json",
    "find lr",
    "find fx* --format json",
    "best train/loss --min",
    "best val/loss -n 1 --max -w step>0 --format json",
    f"diagnose {FAILED}",
    f"diagnose {FINISHED} --format json",
    f"diagnose {FAILED} --for human",
    "groups",
    "groups -k train/loss --last --format json",
    "sweep",
    "sweep -k train/loss --max -w step>0 -n 1 --format json",
    f"stability {FINISHED} -k train/*",
    f"stability {FINISHED} -k train/loss -w 5 -n 3 --format csv",
    f"rank {FINISHED}",
    f"rank {FAILED} -k train/loss --at step=3 --best --format json",
    "health",
    f"health {FINISHED} --format json",
    f"tag {FINISHED} good --remove",
    f"tag {FAILED} good",
    f"note {FAILED} --clear --format json",
    "schema",
    "list --all",
    "list -q -C wandb",
    f"run {FAILED} --verbose --project wandb",
    "sources",
    f"sources {FAILED} --format json",
    "local elsewhere/metrics.jsonl",
    "local elsewhere/metrics.jsonl --history --stats -k train/loss -n 10",
    "local elsewhere/metrics.jsonl --stability -k train/loss -w 10 -n 5",
    "local elsewhere --keys -r metrics --format csv",
    "tb elsewhere",
    "tb -d elsewhere/runs -r exp_a --stats --format json",
]
ERRORS = {
    "run nothing-like-it": 3,
    "run fx": 4,
    f"history {FINISHED} -k no/such": 3,
    "local nowhere": 3,
    "tb": 3,
    "list -w loss": 2,
    "best no/such": 3,
    "groups -k no/such": 3,
    "sweep --over lr": 3,
    "diagnose no-such": 3,
    "health no-such": 3,
    f"stability {FINISHED} -k no/such": 3,
    f"rank {FINISHED} -k no/such": 3,
    f"rank {FINISHED} --max --min": 2,
    "note no-such --clear": 3,
    "run -C no/such/project": 3,
    "list -q -v": 2,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("0.31.0-finished", "0.28.2-failed"):
        shutil.copytree(FIXTURES / name / "wandb", root / "wandb", dirs_exist_ok=True)
    for name in ("jsonl_basic", "tb_torch_basic"):
        shutil.copytree(FIXTURES.parent / "logs" / name, root / "elsewhere", dirs_exist_ok=True)
    return root


def engine_says(question: str, root: Path) -> tuple[str, int]:
    parsed = parse(question.split())
    assert parsed is not None
    look = checked(Look, {"dress": "agent", **parsed.look})

    async def ask() -> tuple[str, int]:
        catalog = Catalog(None)
        seen = await catalog.view(str(root), {})
        await catalog.indexed(seen, [run.id for run in seen.runs])
        written = await Answers(catalog, root).ask(parsed.query, look, parsed.seen_from(Where(cwd=str(root))))
        return "".join(written.chunks), written.exit_status

    try:
        return anyio.run(ask)
    except RunwiseError as error:
        return f"{error}\n", error.kind.exit_status


@pytest.fixture(scope="module")
def shared_env(
    project: Path, private_daemon: Callable[[], AbstractContextManager[dict[str, str]]]
) -> Iterator[dict[str, str]]:
    """The daemon that most questions are asked of, one after the other."""
    with private_daemon() as env:
        index_all(project, env)
        yield env


@pytest.fixture
def alone(daemon_env: dict[str, str], project: Path) -> dict[str, str]:
    """A daemon that was asked nothing before."""
    index_all(project, daemon_env)
    return daemon_env


def socket_says(question: str, root: Path) -> str:
    parsed = parse(question.split())
    assert parsed is not None
    with Client.connect() as client:
        look = checked(Look, {"dress": "agent", **parsed.look})
        return str(client.ask(parsed.query, look=look, where=parsed.seen_from(Where(cwd=str(root)))))


def lane_says(question: str, root: Path, env: dict[str, str]) -> tuple[str, int]:
    command = [sys.executable, "-m", "runwise_cli", *question.split()]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr, done.returncode


def typer_says(question: str, printed: pytest.CaptureFixture[str]) -> tuple[str, int]:
    status = main(question.split())
    sys.stdout.flush()
    said = printed.readouterr()
    return said.out + said.err, status


def ageless(said: tuple[str, int]) -> tuple[str, int]:
    return AGE.sub("AGE", said[0]), said[1]


def index_all(root: Path, env: dict[str, str]) -> None:
    """What is not indexed yet is answered in a shorter form: have both runs indexed, and their sidecars written."""
    assert lane_says(f"compare {FINISHED} {FAILED}", root, env)[1] == 0


def test_every_command_is_among_the_questions() -> None:
    assert {question.split()[0] for question in QUESTIONS} == {query.command for query in QUERIES}


@pytest.mark.parametrize("question", [*QUESTIONS, *ERRORS])
def test_every_surface_says_the_same(
    question: str,
    project: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    env = request.getfixturevalue("alone" if question.startswith(ALONE) else "shared_env")
    # This process asks the same daemon too, from inside the project.
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)
    said = ageless(engine_says(question, project))
    assert said[0].strip()
    assert said[1] == (1 if question == NOT_MET else ERRORS.get(question, 0))
    assert ageless(lane_says(question, project, env)) == said
    assert ageless(typer_says(question, capfd)) == said
    if question not in ERRORS and not question.startswith("export"):
        assert ageless((socket_says(question, project), said[1])) == said


def test_without_a_daemon_the_answer_is_the_same(project: Path, daemon_env: dict[str, str]) -> None:
    alone = {**daemon_env, "RUNWISE_NO_DAEMON": "1"}
    index_all(project, alone)
    for question in ("list", f"run {FAILED}", f"export {FAILED} --format csv"):
        assert ageless(lane_says(question, project, alone)) == ageless(engine_says(question, project))
    assert not Path(daemon_env["RUNWISE_RUNTIME_DIR"], "daemon.lock").exists()
