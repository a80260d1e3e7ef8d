"""Which project a session's questions are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client

OWN_DAEMON = True
"""What was asked about before matters here."""
Connect = Callable[..., Any]
OLD = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
"""What the newer era has dropped is used as long as there are clients of the older one."""


def made(root: Path, name: str) -> Path:
    (root / name / "logs").mkdir(parents=True)
    (root / name / "logs" / f"{name}-run.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n')
    return root / name


async def listed(client: Client, **given: Any) -> tuple[str, ...]:
    """The texts of a list."""
    result = await client.call_tool("list_runs", given)
    assert not result.is_error, result
    return tuple(content.text for content in result.content if isinstance(content, types.TextContent))


def ask(connect: Connect, **options: Any) -> tuple[str, ...]:
    given = options.pop("given", {})

    async def work() -> tuple[str, ...]:
        async with connect(**options) as client:
            return await listed(client, **given)

    return anyio.run(work)


def rooted(*folders: Path) -> Callable[..., Any]:
    async def roots(_: object) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=folder.as_uri()) for folder in folders])  # type: ignore[arg-type]

    return roots


def test_the_folder_the_client_was_started_in_is_the_project(connect: Connect, tmp_path: Path) -> None:
    (said,) = ask(connect, cwd=made(tmp_path, "here") / "logs")
    assert "here-run" in said


def test_the_environment_comes_before_the_folder(connect: Connect, tmp_path: Path) -> None:
    other = made(tmp_path, "other")
    (said,) = ask(connect, cwd=made(tmp_path, "here"), env={"RUNWISE_PROJECT_ROOT": str(other)})
    assert "other-run" in said


@OLD
def test_the_clients_root_comes_before_the_folder(connect: Connect, tmp_path: Path) -> None:
    other = made(tmp_path, "o t her")
    roots = rooted(other)
    (said,) = ask(connect, mode="legacy", cwd=made(tmp_path, "here"), list_roots_callback=roots)
    assert "o t her-run" in said


@OLD
def test_of_several_roots_the_first_is_asked_and_named(connect: Connect, tmp_path: Path) -> None:
    first, second = made(tmp_path, "first"), made(tmp_path, "second")
    (tmp_path / "empty").mkdir()
    roots = rooted(tmp_path / "empty", first, second)
    said, named = ask(connect, mode="legacy", cwd=tmp_path, list_roots_callback=roots)
    assert "first-run" in said
    assert named == f"project {first}"


def test_a_project_that_is_named_comes_first(connect: Connect, tmp_path: Path) -> None:
    here, other = made(tmp_path, "here"), made(tmp_path, "other")
    env = {"RUNWISE_PROJECT_ROOT": str(here)}
    for name in (str(other), "../other", other.as_uri()):
        (said,) = ask(connect, cwd=here, env=env, given={"project": name})
        assert "other-run" in said


def test_a_project_that_was_asked_about_may_be_named_by_the_end_of_its_path(connect: Connect, tmp_path: Path) -> None:
    here = made(tmp_path, "here")
    ask(connect, cwd=made(tmp_path, "faraway"))
    (said,) = ask(connect, cwd=here / "logs", given={"project": "faraway"})
    assert "faraway-run" in said


def test_where_there_is_none_the_most_recent_is_asked_and_named(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    recent = made(tmp_path, "recent")
    ask(connect, cwd=recent)
    said, named = ask(connect, cwd=tmp_path / "empty")
    assert "recent-run" in said
    assert named == f"project {recent}"
