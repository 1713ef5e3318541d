import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.guard import Guard
from tests.appliance.serving import TOKEN, Appliance


async def _answering(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(Request(scope).url.path)(scope, receive, send)


async def _status(app: ASGIApp, host: str, origin: str | None) -> int:
    headers = {"Host": host} | ({"Origin": origin} if origin is not None else {})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        return (await client.get("/", headers=headers)).status_code


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8080", None, 200),
        ("[::1]:8080", None, 200),
        ("192.168.0.7", None, 200),
        ("localhost:8080", "http://localhost:8080", 200),
        ("appliance:8080", None, 200),
        ("APPLIANCE", "https://appliance", 200),
        ("127.0.0.1:8080", "https://appliance", 200),
        ("evil.example:8080", None, 421),
        ("evil.example:8080", "http://evil.example:8080", 421),  # DNS rebinding
        ("127.0.0.1.evil.example", None, 421),
        ("localhost.evil.example", None, 421),
        ("", None, 421),
        ("[", None, 421),
        ("127.0.0.1:8080", "http://evil.example", 403),
        ("127.0.0.1:8080", "http://127.0.0.1:9090", 403),
        ("127.0.0.1:8080", "null", 403),
    ],
)
async def test_who_may_ask_a_server_without_a_token(host: str, origin: str | None, status: int) -> None:
    assert await _status(Guard(_answering, ["appliance"], any_host=False), host, origin) == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("docs.example.org", None, 200),
        ("docs.example.org", "https://docs.example.org", 200),
        ("docs.example.org", "https://evil.example", 403),
        ("docs.example.org", "http://[", 403),
        ("docs.example.org", "", 403),
        ("", "null", 403),
    ],
)
async def test_with_a_token_any_name_will_do(host: str, origin: str | None, status: int) -> None:
    assert await _status(Guard(_answering, [], any_host=True), host, origin) == status


def test_the_server_is_guarded_on_every_road(open_appliance: Appliance, appliance: Appliance) -> None:
    with open_appliance.client() as client:
        for path in ("/", "/healthz", "/api/about", "/mcp"):
            assert client.get(path, headers={"Host": "evil.example"}).status_code == 421
    with appliance.client(TOKEN) as client:
        assert client.get("/api/about", headers={"Host": "docs.example.org"}).status_code == 200
        assert client.get("/api/about", headers={"Origin": "https://evil.example"}).status_code == 403
