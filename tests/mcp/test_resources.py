"""Resources, subscriptions, prompts and completion, with the SDK's client in both eras."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

DEADLINE_SECONDS = 30
Connect = Callable[..., Any]
OLD = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
"""What the newer era has dropped is used as long as there are clients of the older one."""
BOTH = pytest.mark.parametrize("mode", ["auto", "legacy"])


def run(connect: Connect, mode: str, work: Callable[[Client], Any], **options: Any) -> Any:
    async def connected() -> Any:
        with anyio.fail_after(DEADLINE_SECONDS):
            async with connect(mode=mode, **options) as client:
                return await work(client)

    return anyio.run(connected)


def text_of(result: types.ReadResourceResult) -> str:
    (content,) = result.contents
    assert isinstance(content, types.TextResourceContents)
    assert content.mime_type == "text/plain"
    return content.text


@BOTH
def test_every_run_is_a_resource_and_reads_as_its_page(mode: str, connect: Connect) -> None:
    async def work(client: Client) -> tuple[list[types.Resource], str, str, list[str]]:
        listed = (await client.list_resources()).resources
        page = await client.read_resource("runwise://run/w8k2m4dq")
        curve = await client.read_resource("runwise://run/w8k2m4dq/val%2Floss")
        assert text_of(await client.read_resource("runwise://run/w8k2m4dq/val/loss")) == text_of(curve)
        templates = (await client.list_resource_templates()).resource_templates
        return listed, text_of(page), text_of(curve), [template.uri_template for template in templates]

    listed, page, curve, templates = run(connect, mode, work)
    assert [(each.name, each.uri) for each in listed][-1] == ("gpt-base", "runwise://run/p5v0x7ra")
    assert len(listed) == 6
    assert page.startswith("gpt-wide w8k2m4dq finished")
    assert "val/loss" in curve
    assert templates == ["runwise://run/{id}", "runwise://run/{id}/{key}"]


@BOTH
@pytest.mark.parametrize("uri", ["runwise://run/nobody", "runwise://run/w8k2m4dq/no", "runwise://run/", "file:///etc"])
def test_a_resource_that_is_not_there_is_an_error_that_names_it(uri: str, mode: str, connect: Connect) -> None:
    async def work(client: Client) -> MCPError:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        return caught.value

    error = run(connect, mode, work)
    assert (error.error.code, error.error.data) == (-32602, {"uri": uri})


def growing(root: Path) -> Path:
    log = root / "logs" / "grow.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps({"step": step, "loss": 5 - step}) + "\n" for step in range(3)))
    return log


def grow(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"step": 9, "loss": 0.5}\n')


@OLD
def test_a_subscriber_is_told_when_its_run_has_grown(connect: Connect, tmp_path: Path) -> None:
    log = growing(tmp_path / "live")
    told = anyio.Event()

    async def heed(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            assert message.params.uri == "runwise://run/grow"
            told.set()

    async def work(client: Client) -> None:
        await client.subscribe_resource("runwise://run/grow")
        grow(log)
        await told.wait()
        await client.unsubscribe_resource("runwise://run/grow")

    run(connect, "legacy", work, cwd=tmp_path / "live", message_handler=heed)


def test_a_listener_is_told_when_its_run_has_grown(connect: Connect, tmp_path: Path) -> None:
    log = growing(tmp_path / "live")

    async def work(client: Client) -> str:
        async with client.listen(resource_subscriptions=["runwise://run/grow/loss"]) as events:
            grow(log)
            async for event in events:
                return str(event.uri)
        raise AssertionError("the stream ended")

    assert run(connect, "auto", work, cwd=tmp_path / "live") == "runwise://run/grow/loss"


@OLD
def test_a_subscription_to_nothing_is_refused(connect: Connect) -> None:
    async def work(client: Client) -> str:
        with pytest.raises(MCPError) as caught:
            await client.subscribe_resource("runwise://run/nobody")
        return str(caught.value)

    assert run(connect, "legacy", work).startswith("error: no run 'nobody'")


@BOTH
def test_prompts_say_the_way_through_the_tools(mode: str, connect: Connect) -> None:
    async def work(client: Client) -> tuple[list[str], str, str]:
        names = [prompt.name for prompt in (await client.list_prompts()).prompts]
        found = await client.get_prompt("diagnose", {"run": "gpt\u202e-hot`\n"})
        content = found.messages[0].content
        assert isinstance(content, types.TextContent)
        with pytest.raises(MCPError) as caught:
            await client.get_prompt("compare", {})
        return names, content.text, str(caught.value)

    names, text, refused = run(connect, mode, work)
    assert names == ["diagnose", "compare", "sweep-report"]
    assert text.startswith("Diagnose `gpt-hot`. Call diagnose_run; then get_history around")
    assert refused == "error: compare needs runs: Runs: ids or names, comma-separated."


@BOTH
def test_names_and_keys_are_completed(mode: str, connect: Connect) -> None:
    async def work(client: Client) -> list[list[str]]:
        prompt = types.PromptReference(name="diagnose")
        runs = types.PromptReference(name="compare")
        curve = types.ResourceTemplateReference(uri="runwise://run/{id}/{key}")
        found = [
            await client.complete(prompt, {"name": "run", "value": "gpt-b"}),
            await client.complete(runs, {"name": "runs", "value": "gpt-base,gpt-w"}),
            await client.complete(curve, {"name": "id", "value": "w8"}),
            await client.complete(curve, {"name": "key", "value": "val/"}, {"id": "w8k2m4dq"}),
            await client.complete(curve, {"name": "key", "value": "val/"}, {"id": "nobody"}),
            await client.complete(prompt, {"name": "colour", "value": ""}),
        ]
        return [result.completion.values for result in found]

    assert run(connect, mode, work) == [["gpt-base"], ["gpt-base,gpt-wide"], ["w8k2m4dq"], ["val/loss"], [], []]
