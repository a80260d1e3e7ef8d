"""Section G of the fault matrix: untrusted text and input."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import FindRuns, ListKeys, ListRuns, Log, ShowStats

from tests.faults.conftest import Cold
from tests.faults.service import Service, rows

CORPUS = (
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b2Jcleared",
    "\u202egpj.exe",
    "\u2066isolated",
    "zero\u200bwidth\ufeff",
    "two\r\nlines\x0b\x0c\u2028more",
    "[red]markup[/red] [link=http://x]y[/link]",
    "back\x08\x08space\x7f",
)
SECRETS = {
    "api_key": "abcd1234abcd1234",
    "optimizer.password": "hunter2hunter2",
    "hub": {"hf_token": "hf_abcdefghijklmnopqrstuvwxyz012345"},
    "openai": "sk-proj-abcdefghijklmnop12345678",
    "github": "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "aws": "AKIAABCDEFGHIJKLMNOP",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "database": "postgres://user:pw12345678@host/db",
    "header": "Authorization: Bearer abcdefghijklmnop0123456789",
}
VALUES = (
    *("abcd1234abcd1234", "hunter2hunter2", "hf_abcdefghijklmnopqrstuvwxyz012345", "sk-proj-abcdefghijklmnop12345678"),
    *("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "AKIAABCDEFGHIJKLMNOP", "0123456789abcdef0123456789abcdef01234567"),
    *("pw12345678", "abcdefghijklmnop0123456789"),
)
QUESTIONS = (
    ["list"],
    ["run", "evil"],
    ["latest"],
    ["keys", "evil"],
    ["stats", "evil"],
    ["history", "evil"],
    ["config", "evil"],
    ["notes", "evil"],
    ["log", "evil"],
    ["log", "evil", "--novel"],
    ["raw", "evil"],
    ["raw", "evil", "--at", "5"],
    ["diagnose", "evil"],
    ["health"],
    ["live"],
    ["sources"],
    ["compare", "evil", "other"],
    ["find", "e"],
    ["groups"],
    ["sweep"],
    ["since"],
    ["no-such\x1b[31m"],
    ["run", "none\x1b[31m\u202e"],
)


def runwise(service: Service, *argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "runwise_cli", *argv]
    return subprocess.run(line, cwd=cwd, env={**service.env, **env}, capture_output=True, check=False)


def at_terminal(service: Service, *argv: str, cwd: Path) -> bytes:
    """What a command shows at a terminal."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "runwise_cli", *argv]
    env = {**service.env, "PAGER": "cat", "TERM": "xterm"}
    with subprocess.Popen(line, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:  # EIO: the other side is closed
            pass
        process.wait()
    os.close(ours)
    return shown


@pytest.fixture
def hostile(project: Path) -> Path:
    """A project whose keys, values, console and names hold what would do something to a terminal, or is secret."""
    lines = [
        json.dumps({"step": step, "loss": 2 - step / 20, **dict.fromkeys(CORPUS, step), "said": CORPUS[step % 9]})
        for step in range(20)
    ]
    (project / "logs" / "evil").mkdir()
    (project / "logs" / "evil" / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (project / "logs" / "evil" / "config.json").write_text(json.dumps({**SECRETS, **{text: text for text in CORPUS}}))
    console = [f"step {step} loss {2 - step / 20:.3f}" for step in range(20)]
    spoken = [f"{key}={value}" for key, value in SECRETS.items() if isinstance(value, str)]
    trouble = [
        "Traceback (most recent call last):",
        *CORPUS,
        *spoken,
        *SECRETS["hub"].values(),
        f"ValueError: {CORPUS[0]} api_key=abcd1234abcd1234",
    ]  # type: ignore[union-attr]
    (project / "logs" / "evil" / "train.log").write_text("\n".join([*console, *trouble, ""]))
    for number, text in enumerate(CORPUS):
        name = text.replace("/", "|")
        (project / "logs" / f"{number}{name}").mkdir()
        (project / "logs" / f"{number}{name}" / "metrics.jsonl").write_bytes(rows(0, 5))
    (project / "logs" / "other.jsonl").write_bytes(rows(0, 5))
    return project


REFS = (
    "",
    "../x",
    "/etc/passwd",
    "../../../../etc/passwd",
    "a/../../b",
    ".",
    "..",
    "%2e%2e",
    "\0",
    "x" * 1_000_000,
    "x" * 999,
)


@pytest.mark.parametrize("ref", REFS, ids=range(len(REFS)))
def test_g01_a_run_id_is_never_a_path(service: Service, project: Path, ref: str) -> None:
    (project / "logs" / "run.jsonl").write_bytes(rows(0, 5))
    with pytest.raises(RunwiseError) as raised:
        service.ask(ShowStats(run=ref), project)
    assert raised.value.kind in (Kind.NOT_FOUND, Kind.USAGE, Kind.AMBIGUOUS)
    assert len(str(raised.value)) < 2000
    assert service.said(project)[0].listed[3] == 5


@pytest.mark.parametrize("argv", QUESTIONS, ids=lambda argv: " ".join(argv)[:12].encode("ascii", "replace").decode())
def test_g02_no_answer_does_anything_to_a_terminal(service: Service, hostile: Path, argv: list[str]) -> None:
    shown = at_terminal(service, *argv, cwd=hostile).decode()
    piped = runwise(service, *argv, cwd=hostile)
    plain = _without_colours(shown)
    for text in (plain, piped.stdout.decode(), piped.stderr.decode()):
        bad = {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert bad <= {"\n", "\r"} if text is plain else bad <= {"\n"}, bad


def _without_colours(shown: str) -> str:
    """Without the colours and the bold that we ourselves may use."""
    import re

    return re.sub(r"\x1b\[(?:[0-9]{1,3}(?:;[0-9]{1,3})*)?m", "", shown)


def test_g02_the_daemons_log_is_harmless_too(service: Service, hostile: Path) -> None:
    for argv in QUESTIONS:
        runwise(service, *argv, cwd=hostile)
    assert "\x1b" not in service.log()
    assert "\u202e" not in service.log()


@pytest.mark.parametrize("form", ["text", "json", "md"])
def test_g05_secrets_are_hidden_in_every_answer_and_never_logged(service: Service, hostile: Path, form: str) -> None:
    for argv in QUESTIONS[:-2]:
        told = runwise(service, *argv, "--format", form, cwd=hostile)
        for value in VALUES:
            assert value not in (told.stdout + told.stderr).decode(), argv
    if form == "json":
        shown = runwise(service, "config", "evil", "--show-secrets", "--format", form, cwd=hostile).stdout.decode()
        assert all(value in shown for value in VALUES)
    assert [value for value in VALUES if value in service.log()] == []


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "?*" * 60 + "b", "[" * 200, "(a+)+" * 20, "a" * 999])
def test_g06_no_pattern_keeps_the_daemon_busy_for_long(service: Service, project: Path, pattern: str) -> None:
    key = "a" * 400
    (project / "logs" / f"{'a' * 200}.jsonl").write_text(f'{{"step":1,"{key}":1,"note":"{"a" * 50_000}"}}\n' * 3)
    (project / "logs" / "run.log").write_text(f"step 1 loss 2\n{'a' * 50_000}\n")
    for query in (
        FindRuns(pattern=pattern),
        ListRuns(match=pattern),
        Log(run="run", grep=pattern),
        ListKeys(keys=(pattern,)),
    ):
        try:
            service.ask(query, project)
        except RunwiseError as error:
            assert error.kind is not Kind.INTERNAL  # noqa: PT017 - nothing found is an answer too


def test_g07_settings_that_would_run_code_or_grow_without_end_do_neither(
    service: Service, project: Path, tmp_path: Path, cold: Cold
) -> None:
    for name, text in (
        ("tags", f'lr: !!python/object/apply:os.system ["touch {tmp_path}/ran"]\n'),
        (
            "bomb",
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        ),
        ("deep", "a: " + "[" * 5000 + "]" * 5000 + "\n"),
    ):
        folder = project / "logs" / name
        folder.mkdir()
        (folder / "metrics.jsonl").write_bytes(rows(0, 5))
        (folder / "config.yaml").write_text(text)
        run = project / "wandb" / f"offline-run-20260101_000000-{name}"
        (run / "files").mkdir(parents=True)
        (run / "files" / "config.yaml").write_text(text)
        (run / "files" / "wandb-summary.json").write_text("[" * 100_000)
        (run / "files" / "wandb-metadata.json").write_text('{"a":' * 100_000)
    assert sum(1 for run in service.said(project) if run.listed[3] == 5) == 3
    for name in ("tags", "bomb", "deep"):
        runwise(service, "config", f"logs/{name}", cwd=project)
        runwise(service, "run", name, cwd=project)
    assert not (tmp_path / "ran").exists()
    assert service.said(project) == cold(project)
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("argv", [["list"], ["run", "evil"], ["history", "evil"], ["nonsense"], ["--help"]])
def test_g11_a_poor_terminal_gets_readable_text(service: Service, hostile: Path, argv: list[str]) -> None:
    poor = {
        "LC_ALL": "C",
        "LANG": "C",
        "TERM": "dumb",
        "COLUMNS": "20",
        "NO_COLOR": "1",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    told = runwise(service, *argv, cwd=hostile, **poor)
    assert told.returncode in (0, 2)
    assert b"Traceback" not in told.stderr
    assert b"\x1b" not in told.stdout + told.stderr
    assert told.stdout or told.stderr
