"""The image on a real engine with a published port, asked over plain HTTP and over MCP."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from appliance.__main__ import PORT
from appliance.settings import TOKEN_FILE
from tests.appliance.serving import TOKEN, wait_until_healthy, write_token_file
from tests.roads.test_docker_image import image, layout

__all__ = ["image", "layout"]

pytestmark = pytest.mark.docker

MODES = {"2026-07-28": "2026-07-28", "2025-11-25": "legacy"}
CONFINED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "user": "65532",
    "mem_limit": "512m",
}


@pytest.fixture(scope="module")
def engine(docker_engine_host: str) -> dict[str, Any]:
    """What testcontainers passes to Docker's client."""
    testcontainers_config.ryuk_disabled = True  # its image would have to be fetched; what is started here is stopped
    return {"environment": {"DOCKER_HOST": docker_engine_host}}


@pytest.fixture(scope="module")
def container(
    image: str, engine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerContainer]:
    credentials = tmp_path_factory.mktemp("credentials")
    credentials.chmod(0o755)
    write_token_file(credentials / "token.argon2").chmod(0o644)  # the container's user is nobody's
    with Network(docker_client_kw=engine) as network:  # of its own: an engine without network removes the common one
        made = DockerContainer(image, docker_client_kw=engine).with_kwargs(**CONFINED).with_network(network)
        made.with_volume_mapping(str(credentials), str(Path(TOKEN_FILE).parent), "ro")
        made.ports[PORT] = ("127.0.0.1",)
        with made as running:
            yield running


@pytest.fixture(scope="module")
def url(container: DockerContainer) -> str:
    address = f"http://127.0.0.1:{container.get_exposed_port(PORT)}"
    wait_until_healthy(address, None, time.monotonic() + 90)
    return address


def test_it_answers_over_http_whoever_sends_the_token(url: str) -> None:
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        answer = client.post("/api/search", json={"question": "When can I eat?", "limit": 1}).json()
        about = client.get("/api/about").json()
    assert answer["understood"] == "builtin"
    assert answer["passages"][0]["text"] == "Lunch is served from noon until two."
    assert (about["documents"], about["understands"]) == (4, "builtin")
    assert "numpy" in {one["name"] for one in about["components"]}
    assert httpx2.post(f"{url}/api/search", json={"question": "When can I eat?"}).status_code == 401


def test_it_shows_its_page(url: str) -> None:
    assert "default-src 'none'" in httpx2.get(url).headers["content-security-policy"]


@pytest.mark.parametrize("protocol", MODES)
async def test_it_answers_over_mcp(url: str, protocol: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http_client,
        Client(streamable_http_client(f"{url}/mcp", http_client=http_client), mode=MODES[protocol]) as client,
    ):
        assert client.protocol_version == protocol
        found = await client.call_tool("search", {"question": "Wie viele Tage Urlaub habe ich?", "limit": 1})
    [passage] = found.structured_content["passages"]
    assert passage["text"] == "Der Urlaubsanspruch beträgt 30 Tage."


def test_it_says_that_it_is_well_writes_nothing_and_stops_when_told(container: DockerContainer, url: str) -> None:
    running = container.get_wrapped_container()
    assert running.exec_run(["python3", "-m", "appliance", "healthcheck"]).exit_code == 0
    written = [change["Path"] for change in running.diff() or []]
    assert [path for path in written if not path.startswith("/run")] == []  # /run/credentials is mounted
    told = time.monotonic()
    running.stop(timeout=10)
    assert time.monotonic() - told < 5
    running.reload()
    assert running.attrs["State"]["ExitCode"] == 0


def test_without_its_token_it_does_not_start(image: str, engine: dict[str, Any]) -> None:
    confined = CONFINED | {"network_mode": "none"}
    with DockerContainer(image, docker_client_kw=engine).with_kwargs(**confined) as running:
        wrapped = running.get_wrapped_container()
        assert wrapped.wait(timeout=30)["StatusCode"] == 1
        assert b"--open" in wrapped.logs()
