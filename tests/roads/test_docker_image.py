"""The image as its customer runs it: loaded into a Docker engine, with no network, no rights and a read-only root."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from appliance.encoder import load_encoder
from builders.base import archive_mirror
from builders.image import build_image
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
    inside = json.loads(said)
    outside = search(layout.parent, str(layout), question, limit=3)
    assert inside[0]["text"] == answer
    assert [{name: one[name] for name in outside[0]} for one in inside] == outside


def test_the_image_says_what_it_holds(image: str, docker_engine_host: str) -> None:
    about = json.loads(docker(docker_engine_host, "run", *CONFINED, image, "about"))
    assert (about["documents"], about["chunks"]) == (4, 9)


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
