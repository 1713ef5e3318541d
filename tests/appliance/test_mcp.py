"""Both protocol versions, by the official client, over HTTP and stdio."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import jsonschema
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from appliance.mcp import resource_uri
from tests.appliance.serving import HOSTILE, LONG, TOKEN, Appliance, program, shelf, surroundings

MODES = {"2026-07-28": "2026-07-28", "2025-11-25": "legacy"}
CONTRACT = "a/contract.txt"
TEXTS = {one.document.path: one.text for one in shelf()}


@asynccontextmanager
async def over_http(appliance: Appliance, mode: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http_client,
        Client(streamable_http_client(f"{appliance.url}/mcp", http_client=http_client), mode=mode) as client,
    ):
        yield client


def over_stdio(layers: Path, mode: str) -> Client:
    command, *arguments = [*program(layers), "stdio"]
    return Client(StdioServerParameters(command=command, args=arguments, env=surroundings()), mode=mode)


@pytest.fixture(params=MODES)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["http", "stdio"])
def connection(
    request: pytest.FixtureRequest, protocol: str, appliance: Appliance, layers: Path
) -> AbstractAsyncContextManager[Client]:
    if request.param == "http":
        return over_http(appliance, MODES[protocol])
    return over_stdio(layers, MODES[protocol])


async def test_every_tool_answers_as_its_schema_says(
    connection: AbstractAsyncContextManager[Client], protocol: str
) -> None:
    asked = {
        "search": {"question": "When does the contract end?", "limit": 1},
        "read_document": {"path": CONTRACT},
        "list_documents": {},
        "about": {},
    }
    async with connection as client:
        assert client.protocol_version == protocol
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == set(asked)
        answers = {name: await client.call_tool(name, arguments) for name, arguments in asked.items()}
    for name, answer in answers.items():
        assert not answer.is_error
        jsonschema.validate(asked[name], tools[name].input_schema)
        jsonschema.validate(answer.structured_content, tools[name].output_schema or {})
        assert json.loads(answer.content[0].text) == answer.structured_content
        assert tools[name].annotations and tools[name].annotations.read_only_hint
    [found] = answers["search"].structured_content["passages"]
    assert (found["document"], found["page"]) == (CONTRACT, 1)
    assert found["text"] == TEXTS[CONTRACT][found["start"] : found["end"]]
    assert answers["read_document"].structured_content["text"] == TEXTS[CONTRACT]
    assert answers["about"].structured_content["documents"] == len(TEXTS)


async def test_documents_are_resources(appliance: Appliance, protocol: str) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        listed = (await client.list_resources()).resources
        texts = {one.name: (await client.read_resource(one.uri)).contents[0].text for one in listed}
        [template] = (await client.list_resource_templates()).resource_templates
        page = await client.read_resource(f"{resource_uri(CONTRACT)}?page=1")
    assert texts == TEXTS
    assert template.uri_template.startswith("cradle://documents/{path}")
    assert page.contents[0].text == TEXTS[CONTRACT]


async def test_resources_come_some_at_a_time(
    appliance: Appliance, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        from_the_second = await client.list_resources(cursor=sorted(TEXTS, key=str.encode)[0])
        beyond = await client.list_resources(cursor="￿")
    assert [one.name for one in from_the_second.resources] == sorted(TEXTS, key=str.encode)[1:]
    assert beyond.resources == []


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search", {}, "question"),
        ("search", {"question": "x", "limit": 1000}, "limit"),
        ("search", {"question": "x", "colour": "red"}, "colour"),
        ("read_document", {"path": "none.txt"}, "no document"),
        ("read_document", {"path": CONTRACT, "page": 7}, "no page 7"),
        ("list_documents", {"since": "tomorrow"}, "since"),
    ],
)
async def test_what_is_wrong_is_told_to_who_can_mend_it(
    appliance: Appliance, protocol: str, tool: str, arguments: dict[str, object], told: str
) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert told in answer.content[0].text


@pytest.mark.parametrize("uri", ["cradle://documents/none.txt", "cradle://elsewhere/x", "file:///etc/passwd", "x"])
async def test_an_unknown_resource_is_an_error(appliance: Appliance, protocol: str, uri: str) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    assert caught.value.code == -32602


async def test_an_unknown_tool_is_an_error(appliance: Appliance, protocol: str) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        with pytest.raises(MCPError, match="search, read_document, list_documents, about"):
            await client.call_tool("delete_everything", {})


async def test_a_part_of_a_document_says_where_the_next_begins(appliance: Appliance, protocol: str) -> None:
    async with over_http(appliance, MODES[protocol]) as client:
        first = (await client.call_tool("read_document", {"path": LONG, "limit": 100})).structured_content
        second = await client.call_tool("read_document", {"path": LONG, "start": first["next"], "limit": 100})
    assert first["text"] + second.structured_content["text"] == TEXTS[LONG][:200]


@pytest.mark.parametrize("path", ["a/b c.txt", "ü/ß?#%.md", HOSTILE])
def test_a_resource_address_is_the_expanded_template(path: str) -> None:
    uri = httpx2.URL(resource_uri(path))
    assert uri.host == "documents"
    assert resource_uri(path).count("/") == 3


async def test_two_protocols_share_one_server(appliance: Appliance) -> None:
    async with over_http(appliance, "legacy") as older, over_http(appliance, "2026-07-28") as newer:
        asked = {"question": "Urlaub", "limit": 1}
        assert (await older.call_tool("search", asked)).structured_content == (
            await newer.call_tool("search", asked)
        ).structured_content
