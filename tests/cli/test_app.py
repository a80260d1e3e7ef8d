"""The whole command line: help from the contracts, and every mistake answered by the next thing to type."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from runwise_protocol import __version__
from runwise_protocol.queries import QUERIES
from runwise_protocol.schema import parameters

from runwise_cli.app import main


def test_help_names_every_command_with_its_first_clause(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in [*(query.command for query in QUERIES), "demo", "init", "daemon", "status"]:
        assert f"\n  {command} " in text
    assert "List the project's runs, newest first\n" in text


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.command)
def test_help_of_a_command_names_every_flag(query, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([query.command, "-h"]) == 0
    text = capsys.readouterr().out
    assert (query.__doc__ or "").split()[0] in text
    for flag in ["--format", "--budget", "--for", *(flag for one in parameters(query) for flag in one.flags)]:
        assert flag in text


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"runwise {__version__}\n"


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("lst -n 3", "no command 'lst'", "runwise list -n 3"),
        ("3be9", "no command '3be9'", "runwise run 3be9, or runwise --help"),
        ("--format json", "--format stands before a command", "runwise list --format json"),
        ("--hepl", "no such option: --hepl", "runwise --help"),
        ("history --smaples 3", "no such option: --smaples", "runwise history --samples"),
        ("raw a b", "got unexpected extra argument(s) (b)", "runwise raw --help"),
        ("list -n", "option '-n' requires an argument", "runwise list -n"),
        ("list -n 0", "--limit: expected a whole number from 1 to 100000, found '0'", "runwise list --help"),
        ("list --format yaml", "--format: expected csv, json, jsonl, md or text, found 'yaml'", "runwise list --help"),
        ("compare", "RUNS: expected ids, unique prefixes or names, found nothing", "runwise compare --help"),
        ("daemon", "missing command", "runwise daemon --help"),
        ("daemon strat", "no such command 'strat'", "runwise daemon --help"),
    ],
)
def test_a_mistake_is_one_line_and_the_next_thing_to_type(
    line: str, error: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr() == ("", f"error: {error}\nhint: {hint}\n")


def test_a_shell_is_told_commands_and_choices() -> None:
    def completed(words: str, position: int) -> list[str]:
        told = {"_RUNWISE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        run = [sys.executable, "-c", "import sys; from runwise_cli.app import main; sys.exit(main([]))"]
        path = os.pathsep.join(sys.path)
        return subprocess.check_output(run, env={**os.environ, **told, "PYTHONPATH": path}, text=True).split()

    assert completed("runwise hi", 1) == ["history"]
    assert completed("runwise list --format js", 3) == ["json", "jsonl"]
