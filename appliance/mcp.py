"""The MCP server: tools and resources over the answers. It keeps no sessions, so any request may come at any time."""

import json
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from appliance import wire
from appliance.answers import Answers
from appliance.problems import Refused, mistakes
from appliance.tools import TOOLS, Tool

NAME: Final = "cradle-appliance"
INSTRUCTIONS: Final = (
    "This server holds a fixed set of documents. Search them in plain words of any language, read around a passage by"
    " its document and span, and cite document and page."
)
SCHEME: Final = "cradle"
DOCUMENTS: Final = f"{SCHEME}://documents/"
TEMPLATE: Final = DOCUMENTS + "{path}{?page}"
MOST_BODY: Final = 256 * 1024
Asked = TypeVar("Asked", bound=wire.Asked)
_READ_ONLY: Final = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


def build_server(answers: Answers, version: str) -> Server[Any]:
    """`version`: the image's, as clients show it."""
    tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def call_tool(_: Any, called: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(called.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no such tool. There are: {', '.join(tools)}.")
        return await _call(tool, answers, called.arguments or {})

    async def list_resources(_: Any, wanted: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        cursor = wanted.cursor if wanted else None
        entries = await answers.documents(_asked(wire.DocumentsAsked, {"after": cursor} if cursor else {}))
        return types.ListResourcesResult(
            resources=[_resource(entry) for entry in entries.documents], next_cursor=entries.next
        )

    async def list_templates(_: Any, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=[_TEMPLATE])

    async def read_resource(_: Any, wanted: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        text = await _whole_text(answers, wanted.uri)
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=wanted.uri, mime_type="text/plain", text=text)]
        )

    return Server(
        NAME,
        version=version,
        title="Documents",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


def sessions(server: Server[Any]) -> StreamableHTTPSessionManager:
    """Streamable HTTP for `server`, in every protocol version that the SDK speaks. `Host` and `Origin` are checked
    before, for all roads alike: see `appliance.guard`."""
    return StreamableHTTPSessionManager(server, stateless=True, json_response=True, max_request_body_size=MOST_BODY)


async def serve_stdio(server: Server[Any]) -> None:
    """Until standard input ends."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def resource_uri(path: str) -> str:
    return DOCUMENTS + quote(path, safe="")


_TEMPLATE: Final = types.ResourceTemplate(
    uri_template=TEMPLATE,
    name="document",
    title="A document's text",
    description="The text of the document of this path, or of one page of it.",
    mime_type="text/plain",
)


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.asked.model_json_schema(),
        output_schema=tool.answered.model_json_schema(mode="serialization"),
        annotations=_READ_ONLY,
    )


async def _call(tool: Tool, answers: Answers, arguments: dict[str, Any]) -> types.CallToolResult:
    """What is wrong with the arguments is the tool's answer, so that the model that asked can mend it."""
    try:
        answered = await tool.answer(answers, tool.asked.model_validate(arguments))
    except ValidationError as error:
        return _failed(*(f"{one['at']}: {one['message']}" for one in mistakes(error)))
    except Refused as refused:
        return _failed(refused.sentence)
    content = answered.model_dump(mode="json")
    text = types.TextContent(type="text", text=json.dumps(content, ensure_ascii=False))
    return types.CallToolResult(content=[text], structured_content=content)


def _failed(*sentences: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=one) for one in sentences], is_error=True)


def _resource(entry: wire.DocumentEntry) -> types.Resource:
    return types.Resource(uri=resource_uri(entry.path), name=entry.path, title=entry.title, mime_type="text/plain")


async def _whole_text(answers: Answers, uri: str) -> str:
    asked = _asked(wire.DocumentAsked, {**_parts(uri), "limit": wire.MOST_CHARACTERS})
    try:
        part = await answers.document(asked)
    except Refused as refused:
        raise MCPError(types.INVALID_PARAMS, refused.sentence, {"uri": uri}) from None
    if part.next is not None:
        sentence = f"The document has more than {wire.MOST_CHARACTERS} characters: read it by page, or by the tool."
        raise MCPError(types.INVALID_PARAMS, sentence, {"uri": uri, "pages": part.pages})
    return part.text


def _parts(uri: str) -> dict[str, Any]:
    split = urlsplit(uri)
    if not uri.startswith(DOCUMENTS):
        raise MCPError(types.INVALID_PARAMS, f"Resources here are {TEMPLATE}.", {"uri": uri})
    return {**dict(parse_qsl(split.query)), "path": unquote(split.path.removeprefix("/"))}


def _asked(model: type[Asked], content: dict[str, Any]) -> Asked:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        sentence = "; ".join(f"{one['at']}: {one['message']}" for one in mistakes(error))
        raise MCPError(types.INVALID_PARAMS, sentence) from None
