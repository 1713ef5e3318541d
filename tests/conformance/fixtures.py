"""What the conformance suite asks of the server that it tests: tools, prompts, resources of given names and contents.

    python -m tests.conformance.fixtures PORT

An appliance has no such tools, so they are served here by the appliance's own transport, guard and server loop. What
the appliance never does, it does not do here either: it asks nothing back of the client and sends it no notifications.
"""

import asyncio
import base64
import json
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from appliance.serve import build_app, run

SCHEMA_2020_12: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PIXEL: Final = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _chunk(b"IEND", b"")
).decode()
"""One red pixel, PNG."""
SILENCE: Final = base64.b64encode(
    struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 0)
).decode()
"""No samples, WAV."""


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    resource = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=resource)


IMAGE: Final = types.ImageContent(type="image", data=PIXEL, mime_type="image/png")
TOOLS: Final[dict[str, list[types.ContentBlock]]] = {
    "test_simple_text": [_text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")],
    "test_embedded_resource": [
        _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        IMAGE,
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "test_error_handling": [_text("This tool intentionally returns an error for testing")],
    "json_schema_2020_12_tool": [_text("done")],
}
Messages = list[types.ContentBlock]
PROMPTS: Final[dict[str, tuple[tuple[str, ...], Callable[[dict[str, str]], Messages]]]] = {
    "test_simple_prompt": ((), lambda _: [_text("This is a simple prompt for testing.")]),
    "test_prompt_with_arguments": (
        ("arg1", "arg2"),
        lambda given: [_text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")],
    ),
    "test_prompt_with_embedded_resource": (
        ("resourceUri",),
        lambda given: [
            _embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing."),
            _text("Please process the embedded resource above."),
        ],
    ),
    "test_prompt_with_image": ((), lambda _: [IMAGE, _text("Please analyze the image above.")]),
}
TEXT, BINARY, TEMPLATE = "test://static-text", "test://static-binary", "test://template/{id}/data"


async def list_tools(*_: Any) -> types.ListToolsResult:
    tools = [
        types.Tool(
            name=name,
            description="For the conformance suite.",
            input_schema=SCHEMA_2020_12 if name.startswith("json_schema") else {"type": "object"},
        )
        for name in TOOLS
    ]
    return types.ListToolsResult(tools=tools)


async def call_tool(_: Any, called: types.CallToolRequestParams) -> types.CallToolResult:
    if called.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, "There is no such tool.")
    return types.CallToolResult(content=TOOLS[called.name], is_error=called.name == "test_error_handling")


async def list_resources(*_: Any) -> types.ListResourcesResult:
    text = types.Resource(uri=TEXT, name="static text", mime_type="text/plain")
    binary = types.Resource(uri=BINARY, name="static binary", mime_type="image/png")
    return types.ListResourcesResult(resources=[text, binary])


async def list_templates(*_: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template=TEMPLATE, name="template", mime_type="application/json")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_: Any, wanted: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    return types.ReadResourceResult(contents=[_contents(wanted.uri)])


def _contents(uri: str) -> types.TextResourceContents | types.BlobResourceContents:
    before, after = TEMPLATE.split("{id}")
    if uri == TEXT:
        text = "This is the content of the static text resource."
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    if uri == BINARY:
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
    if uri.startswith(before) and uri.endswith(after):
        name = uri.removeprefix(before).removesuffix(after)
        content = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(content))
    raise MCPError(types.INVALID_PARAMS, "There is no such resource.", {"uri": uri})


async def list_prompts(*_: Any) -> types.ListPromptsResult:
    prompts = [
        types.Prompt(
            name=name,
            description="For the conformance suite.",
            arguments=[types.PromptArgument(name=one, description="Any text.", required=True) for one in arguments],
        )
        for name, (arguments, _) in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=prompts)


async def get_prompt(_: Any, wanted: types.GetPromptRequestParams) -> types.GetPromptResult:
    if wanted.name not in PROMPTS:
        raise MCPError(types.INVALID_PARAMS, "There is no such prompt.")
    arguments, contents = PROMPTS[wanted.name]
    given = wanted.arguments or {}
    if missing := set(arguments) - set(given):
        raise MCPError(types.INVALID_PARAMS, f"missing: {sorted(missing)}")
    return types.GetPromptResult(
        messages=[types.PromptMessage(role="user", content=content) for content in contents(given)]
    )


async def complete(*_: Any) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=["paris", "park"], total=2, has_more=False))


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


async def main(port: int) -> None:
    server: Server[Any] = Server(
        "conformance-fixtures",
        version="1",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
    )
    await run(
        build_app(server, [Route("/healthz", healthz)], None, ()), "127.0.0.1", port, once_it_listens=lambda: None
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
