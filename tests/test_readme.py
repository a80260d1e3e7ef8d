"""Everything README.md shows is done and compared: commands, outputs, fields, exit statuses, links.

The two install commands are run by `tests/test_packaging.py` and `.ci/run`. Where an output has changed,
``python tests/test_readme.py FOLDER`` writes what the commands say in FOLDER (`runwise demo` names it) into the page.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec import inspect
from runwise_protocol.errors import Kind
from runwise_protocol.queries import QUERIES
from runwise_protocol.queries.run import MetricStats
from runwise_protocol.queries.runs import RunEntry
from runwise_protocol.query import Query

from runwised.analysis.curve import Kind as EventKind

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = "pip install -e '.[test]' && python -m pytest -n 2 --dist worksteal"


def steady(text: str) -> str:
    """A text without what depends on when it is asked for: how long ago something was."""
    return re.sub(r"\b(?:\d+d\d+h|\d+h\d\d|\d+[smhd])\b", "AGE", text).rstrip()


def examples() -> Iterator[tuple[str, str]]:
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


EXAMPLES = list(examples())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The demonstration project, which the examples speak of."""
    return Path(shutil.copytree(ROOT / "runwised" / "demo", tmp_path / "demo"))


def test_every_kind_of_event_is_named() -> None:
    paragraph = PAGE.partition("\n`diagnose` looks at")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", paragraph.partition("Kinds of events:")[2].partition("`health`")[0])
    assert sorted(named) == sorted(get_args(EventKind))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_gives_what_the_page_shows(
    command: str, output: str, project: Path, runwise: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    name, *argv = shlex.split(command)
    done = runwise(*argv, cwd=project)
    assert (name, done.returncode, done.stderr) == ("runwise", 0, "")
    assert steady(done.stdout) == steady(output)


def test_the_python_example_runs(project: Path, daemon_env: dict[str, str]) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[0].replace("path/to/project", str(project))
    text = subprocess.check_output([sys.executable, "-W", "error", "-c", code], env=daemon_env, text=True)
    assert "gpt-base" in text
    assert float(text.split()[-1]) == pytest.approx(1.514, abs=0.001)


ANSWERS = {query.reply: query.command for query in QUERIES}
"""What an answer that holds others calls them."""
NAMED = {RunEntry: "RUN", MetricStats: "STATS"}
"""What several answers hold has a row of its own."""


def shape(kind: inspect.Type, *, whole: bool = False) -> str:
    """The fields of an answer as JSON has them; a plain value shows nothing but its name."""
    if isinstance(kind, inspect.StructType):
        if not whole and (kind.cls in NAMED or kind.cls in ANSWERS):
            return NAMED.get(kind.cls) or f"ANSWER TO {ANSWERS[kind.cls]}"
        base = next((known for known in NAMED if known in kind.cls.__mro__[1:]), None)
        inherited = base.__struct_fields__ if base else ()
        own = [one for one in kind.fields if one.name not in inherited]
        fields = ", ".join(
            f"{one.encode_name}: {inner}" if (inner := shape(one.type)) else one.encode_name for one in own
        )
        return f"{NAMED[base]} + {{{fields}}}" if base else f"{{{fields}}}"
    if isinstance(kind, inspect.ListType):
        return f"[{shape(kind.item_type)}]"
    if isinstance(kind, inspect.DictType):
        return f"{{KEY: {shape(kind.value_type)}}}".replace(": }", "}")
    return next(filter(None, map(shape, getattr(kind, "types", ()))), "")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.command)
def test_the_fields_of_every_command_stand_in_the_table(query: type[Query]) -> None:
    assert f"| `{query.command}` | `{shape(inspect.type_info(query.reply), whole=True)}` |\n" in PAGE


@pytest.mark.parametrize("struct", NAMED, ids=lambda struct: NAMED[struct])
def test_what_several_answers_hold_stands_in_the_table(struct: type[msgspec.Struct]) -> None:
    assert f"| {NAMED[struct]} | `{shape(inspect.type_info(struct), whole=True)}` |\n" in PAGE


def test_the_exit_statuses_stand_in_the_table() -> None:
    told = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)}
    assert {kind.exit_status for kind in Kind} <= told


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert len(links) >= 3
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_test_command_is_what_continuous_integration_runs_last() -> None:
    assert f"```sh\n{TEST_COMMAND}\n```" in PAGE
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith(f"\n{TEST_COMMAND}")


def refresh(folder: str) -> None:
    page = PAGE
    for command, output in EXAMPLES:
        argv = [sys.executable, "-m", "runwise_cli", *shlex.split(command)[1:]]
        now = subprocess.check_output(argv, cwd=folder, text=True)
        page = page.replace(f"$ {command}\n{output}", f"$ {command}\n{now}")
    (ROOT / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    refresh(sys.argv[1])
