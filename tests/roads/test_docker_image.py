"""The image as its customer runs it: loaded into a Docker engine, with no network, no rights and a read-only root."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from mcp import Client, StdioServerParameters

from appliance.encoder import load_encoder
from builders.base import archive_mirror
from builders.image import build_image
from builders.oci.archive import save
from builders.oci.read import open_image
from operations.search import search
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.builders.corpus import Book, book, in_order, library
from tests.conftest import ROOT
from tests.roads.docker import docker, loaded

pytestmark = pytest.mark.docker

CONFINED = (
    "--rm",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=65532",
    "--memory=512m",
)


@pytest.fixture(scope="session")
def layout(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library embedded by the builtin model."""
    encoder = load_encoder()
    books = in_order(
        [_embedded(one, np.stack([encoder.encode(text) for text in one.texts])) for one in (*library(), CANTEEN)]
    )
    parameters = InstallationParameters(customer_id="acme", embedding_config=EmbeddingConfig(model="builtin"))
    about = {"fingerprint": "f" * 64, "parameters": parameters.deciding()}
    into = tmp_path_factory.mktemp("image") / "layout"
    build_image((one.baked() for one in books), about, base, into)
    return into


CANTEEN = book("canteen.txt", "Lunch is served from noon until two.\nThe pump is serviced each spring.")


def _embedded(one: Book, vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> Book:
    return Book(one.document, one.text, one.chunks, vectors)


@pytest.fixture(scope="session")
def image(layout: Path, docker_engine_host: str) -> Iterator[str]:
    """The name under which the engine knows the image."""
    with loaded(layout, docker_engine_host) as name:
        yield name


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Wie viele Tage Urlaub habe ich?", "Der Urlaubsanspruch beträgt 30 Tage."),
        ("When can I eat?", "Lunch is served from noon until two."),
    ],
)
def test_the_image_answers_like_the_layout(
    image: str, layout: Path, docker_engine_host: str, question: str, answer: str
) -> None:
    said = docker(docker_engine_host, "run", *CONFINED, image, "search", question, "--limit", "3", "--json")
    answered = json.loads(said)
    assert answered["understood"] == "builtin"
    inside = answered["passages"]
    outside = search(layout.parent, str(layout), question, limit=3)
    assert inside[0]["text"] == answer
    assert [{name: one[name] for name in outside[0]} for one in inside] == outside


def test_the_image_says_what_it_holds(image: str, docker_engine_host: str) -> None:
    about = json.loads(docker(docker_engine_host, "run", *CONFINED, image, "about"))
    assert (about["documents"], about["chunks"]) == (4, 9)


@pytest.mark.parametrize(("protocol", "mode"), [("2026-07-28", "2026-07-28"), ("2025-11-25", "legacy")])
async def test_it_answers_over_stdio(
    image: str, layout: Path, docker_engine_host: str, protocol: str, mode: str
) -> None:
    """As an MCP client on the customer's desk starts it."""
    words = ["--host", docker_engine_host, "run", "--interactive", *CONFINED, image, "stdio"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(layout.parent)}
    async with Client(StdioServerParameters(command="docker", args=words, env=environment), mode=mode) as client:
        assert client.protocol_version == protocol
        answer = await client.call_tool("search", {"question": "Wie viele Tage Urlaub habe ich?", "limit": 3})
        about = await client.call_tool("about", {})
    [first, *_] = answer.structured_content["passages"]
    assert first["text"] == "Der Urlaubsanspruch beträgt 30 Tage."
    assert about.structured_content["documents"] == 4
    software = {one["name"] for one in about.structured_content["components"]}
    assert {"numpy", "mcp", "sqlite", "libc6"} <= software


def test_it_becomes_healthy_and_writes_nothing(image: str, docker_engine_host: str) -> None:
    options = [option for option in CONFINED if option != "--rm"]
    container = docker(docker_engine_host, "run", "--detach", *options, image, "serve", "--open").strip()
    try:
        deadline = time.monotonic() + 60
        while (state := _inspected(container, docker_engine_host)["State"]["Health"])["Status"] == "starting":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert state["Status"] == "healthy", state
        assert _inspected(container, docker_engine_host)["Config"]["Healthcheck"]["Test"] == [
            "CMD", "python3", "-m", "appliance", "healthcheck",
        ]  # fmt: skip
        assert docker(docker_engine_host, "diff", container) == ""
        docker(docker_engine_host, "stop", "--time", "10", container)
        assert _inspected(container, docker_engine_host)["State"]["ExitCode"] == 0
    finally:
        docker(docker_engine_host, "rm", "--force", container)


def test_it_does_not_start_open_by_itself(image: str, docker_engine_host: str) -> None:
    command = ["docker", "--host", docker_engine_host, "run", *CONFINED, image]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "does not start without a token" in done.stderr


@pytest.mark.parametrize("program", ["skopeo", "podman"])
def test_the_same_tar_is_taken_by(program: str, layout: Path, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not there: apt install {program}")
    tar = tmp_path / "image.tar"
    save(open_image(layout), tar, name="cradle/acme:v1.0")
    image = open_image(layout)
    config = image.manifest["config"]["digest"]
    if program == "podman":
        with tempfile.TemporaryDirectory(prefix="podman-") as runs:  # it refuses a longer path
            storage = ["--root", f"{tmp_path}/root", "--runroot", runs, "--storage-driver", "vfs"]
            _run("podman", *storage, "load", "--input", str(tar))
            [known] = json.loads(_run("podman", *storage, "image", "inspect", config.removeprefix("sha256:")))
            assert known["Id"] == config.removeprefix("sha256:")
            _run("podman", *storage, "image", "rm", "--force", config.removeprefix("sha256:"))
        return
    for kind in ("docker-archive", "oci-archive"):
        copy = tmp_path / f"{kind}.tar"
        _run("skopeo", "--insecure-policy", "copy", f"{kind}:{tar}", f"oci-archive:{copy}:v1.0")
        copied = json.loads(_run("skopeo", "inspect", "--config", "--raw", f"oci-archive:{copy}"))
        assert copied["rootfs"] == image.config["rootfs"]
        # out of Docker's form it is written anew, and OCI has no word for a health check
        assert (copied == image.config) == (kind == "oci-archive")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _inspected(container: str, host: str) -> dict[str, Any]:
    [known] = json.loads(docker(host, "inspect", container))
    return dict(known)


def test_it_runs_as_nobody_and_the_engine_knows_its_configuration(
    image: str, layout: Path, docker_engine_host: str
) -> None:
    [known] = json.loads(docker(docker_engine_host, "image", "inspect", image))
    assert known["Config"]["User"] == "65532:65532"
    assert known["RootFS"]["Layers"] == open_image(layout).config["rootfs"]["diff_ids"]
    # the user is the image's own choice: no option of `docker run` sets it
    uid = docker(docker_engine_host, "run", *CONFINED, "--entrypoint=id", image, "-u")
    assert uid.strip() == "65532"


def test_the_base_tells_nothing_of_the_machine_that_made_it(base: Path) -> None:
    image = open_image(base)
    hosts = [urlsplit(mirror).hostname or mirror for mirror in archive_mirror()]
    traces = [trace.encode() for trace in (*hosts, str(ROOT))]
    found: list[str] = []
    names: set[str] = set()
    for layer in image.layers:
        with image.blob(layer["digest"]).open() as blob, tarfile.open(fileobj=blob, mode="r|") as tar:
            for entry in tar:
                names.add(entry.name.removeprefix("./"))
                file = tar.extractfile(entry) if entry.isfile() else None
                content = file.read() if file else b""
                found += [entry.name for trace in traces if trace in content]
    assert found == []
    assert "usr/bin/python3" in names
    assert not names & {"etc/apt/sources.list", "etc/hostname", "etc/resolv.conf", "etc/shadow", "etc/machine-id"}
    assert not [name for name in names if name.startswith(("var/log/", "var/cache/", "debootstrap"))]
