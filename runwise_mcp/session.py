"""`Session`: one client's MCP server: its handlers, and the project its questions are about."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import anyio
import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from runwise_protocol import __version__
from runwise_protocol.errors import RunwiseError
from runwise_protocol.harmless import clean
from runwise_protocol.queries.local import PathQuery
from runwise_protocol.query import Look, Query, Reply, Where

from runwise_mcp import completion, prompts, resources, waiting
from runwise_mcp.answering import Answering, Ask
from runwise_mcp.places import Choice, Places, folder_of
from runwise_mcp.tools import INSTRUCTIONS, TOOLS, Call, told, tool_named
from runwise_mcp.watching import Watching

Context: TypeAlias = ServerRequestContext[Any]

_log = logging.getLogger(__name__)

_ROOTS_SECONDS = 2.0
"""Longest wait for the client to say its roots."""
_AT_ONCE = 16
"""Questions of one session that are worked on at the same time: other sessions get their turn."""
_NOTHING = "nothing new\n"
"""What a model reads where the command says nothing: clients take an empty answer for a failure."""
_DAY = CacheHint(ttl_ms=86_400_000, scope="public")
_NOW = CacheHint(ttl_ms=0, scope="private")
_HINTS: dict[Any, CacheHint] = {
    "tools/list": _DAY,
    "prompts/list": _DAY,
    "resources/templates/list": _DAY,
    "server/discover": _DAY,
    "resources/list": _NOW,
    "resources/read": _NOW,
}


class Session:
    """Answers one client (over HTTP: all). `watch` has to run beside what serves `server`."""

    def __init__(self, answering: Answering, start: Where) -> None:
        self._answering = answering
        self._places = Places(answering, start)
        self._start = start
        self._roots: dict[str, Sequence[str]] = {}
        self._turn = anyio.Semaphore(_AT_ONCE)
        self._watching = Watching()
        self._subscribed: dict[tuple[str, str], Callable[[], None]] = {}
        self.watch = self._watching.run
        self.server = self._make_server()

    def _make_server(self) -> Server[Any]:
        server: Server[Any] = Server(
            "runwise",
            version=__version__,
            title="Runwise",
            instructions=INSTRUCTIONS,
            cache_hints=_HINTS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=self._listen,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
        )
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self._forget_roots
        )
        return server

    async def _list_tools(self, _: Context, __: object) -> types.ListToolsResult:
        return _TOOLS

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            call = tool_named(params.name).call(params.arguments or {})
            choice = await self._choose(context, call)
            text = "".join([await self._said(context, query, call.look, choice) for query in call.queries])
        except RunwiseError as error:
            return types.CallToolResult(content=[types.TextContent(text=told(error, params.name))], is_error=True)
        content = [types.TextContent(text=text or _NOTHING)]
        if choice.named is not None:
            content.append(types.TextContent(text=f"project {clean(choice.named)}"))
        return types.CallToolResult(content=[*content])

    async def _list_resources(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        try:
            return await resources.listed(await self._asking(context), params.cursor if params else None)
        except RunwiseError as error:
            raise MCPError(types.INVALID_PARAMS, told(error)) from error

    async def _list_templates(self, _: Context, __: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=resources.TEMPLATES)

    async def _read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            return await resources.read(await self._asking(context), params.uri)
        except RunwiseError as error:
            raise MCPError(types.INVALID_PARAMS, told(error), {"uri": params.uri}) from error

    async def _subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        await self._unsubscribe(context, params)
        ask = await self._asking(context)
        try:
            stop = await self._watching.add(params.uri, ask, lambda: context.session.send_resource_updated(params.uri))
        except RunwiseError as error:
            raise MCPError(types.INVALID_PARAMS, told(error), {"uri": params.uri}) from error
        self._subscribed[_client(context), params.uri] = stop
        return types.EmptyResult()

    async def _unsubscribe(
        self, context: Context, params: types.SubscribeRequestParams | types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        if stop := self._subscribed.pop((_client(context), params.uri), None):
            stop()
        return types.EmptyResult()

    async def _listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """What subscriptions are in the era without a handshake: a request that is answered when they end."""
        ask = await self._asking(context)
        bus = InMemorySubscriptionBus()
        stops = []
        try:
            for uri in params.notifications.resource_subscriptions or ():
                with contextlib.suppress(RunwiseError):  # one to something that is not there stands, and never tells
                    stops.append(await self._watching.add(uri, ask, partial(bus.publish, ResourceUpdated(uri))))
            return await ListenHandler(bus)(context, params)
        finally:
            for stop in stops:
                stop()

    async def _list_prompts(self, _: Context, __: object) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=prompts.PROMPTS)

    async def _get_prompt(self, _: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        try:
            return prompts.written(params.name, params.arguments or {})
        except RunwiseError as error:
            raise MCPError(types.INVALID_PARAMS, told(error)) from error

    async def _complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        try:
            return await completion.completed(await self._asking(context), params)
        except RunwiseError:  # no project, or no such run: nothing completes it
            return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))

    async def _choose(self, context: Context, call: Call) -> Choice:
        """From where to ask. Raises RunwiseError where there is no project and the question names no file."""
        try:
            return await self._places.choose(call.project, await self._client_roots(context))
        except RunwiseError:
            (query, *_) = call.queries
            if isinstance(query, PathQuery) and query.path and call.project is None:
                return Choice(self._start, None)
            raise

    async def _asking(self, context: Context) -> Ask:
        """Asks in the project that the client's questions are about. Raises RunwiseError where there is none."""
        choice = await self._places.choose(None, await self._client_roots(context))

        async def ask(query: Query) -> tuple[Any, str]:
            return await self._answer(query, Look(calls=True), choice)

        return ask

    async def _said(self, context: Context, query: Query, look: Look, choice: Choice) -> str:
        """The text of an answer; one that is waited for takes no turn, and its asker hears how far it is."""
        if not query.patience:
            return (await self._answer(query, look, choice))[1]

        async def ask(query: Query) -> tuple[Any, str]:
            return await self._answer(query, Look(calls=True), choice)

        said: str | RunwiseError
        async with anyio.create_task_group() as tasks:
            if context.meta and "progress_token" in context.meta:
                tasks.start_soon(waiting.tell, query, ask, context.session.report_progress)
            try:
                _, said = await self._answering.ask(query, look, choice.where)
            except RunwiseError as error:  # left to itself it would come out of the group as part of another
                said = error
            tasks.cancel_scope.cancel()
        if isinstance(said, RunwiseError):
            raise said
        return said

    async def _answer(self, query: Query, look: Look, choice: Choice) -> tuple[Reply, str]:
        async with self._turn:
            return await self._answering.ask(query, look, choice.where)

    async def _client_roots(self, context: Context) -> Sequence[str]:
        """Folders that the client says it works in; asked for once, where it can be asked."""
        capabilities = context.session.client_capabilities
        if capabilities is None or capabilities.roots is None or not context.session.can_send_request:
            return ()
        client = _client(context)
        if client not in self._roots:
            try:
                said = await context.session.send_request(
                    types.ListRootsRequest(),
                    types.ListRootsResult,
                    _ROOTS_SECONDS,
                    ServerMessageMetadata(related_request_id=context.request_id),
                )
                folders = [folder_of(str(root.uri)) for root in said.roots]
            except (MCPError, ValueError) as error:
                _log.info("the client does not say its roots: %s", error)
                folders = []
            self._roots[client] = [folder for folder in folders if folder is not None]
        return self._roots[client]

    async def _forget_roots(self, context: Context, _: object) -> None:
        self._roots.pop(_client(context), None)


def _client(context: Context) -> str:
    """Which client asks, where a session object serves several (over HTTP)."""
    return context.request.headers.get("mcp-session-id", "") if context.request is not None else ""


def tools_listed() -> types.ListToolsResult:
    """Every tool, as it is listed."""
    reads = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    writes = types.ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool.name,
                description=tool.description,
                input_schema=tool.schema,
                annotations=writes if tool.writes else reads,
            )
            for tool in TOOLS.values()
        ]
    )


_TOOLS = tools_listed()
