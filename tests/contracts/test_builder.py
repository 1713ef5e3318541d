"""One suite over every builder of images: this process alone, and a Docker engine that runs a Dockerfile.

Of the second it is skipped where no engine answers; CI starts one.
"""

import gc
import tarfile
from pathlib import Path
from typing import Any

import pytest

from builders.backends import Backend, open_backend
from builders.image import build_image, data_layers, run_settings
from builders.oci.archive import save
from builders.oci.layout import Layer
from builders.oci.read import Image, open_image, read_files
from schemas.errors import CradleError, Retryable
from tests.builders.corpus import ABOUT, book, library
from tests.builders.test_image import updated
from tests.builders.test_sbom import RELEASE
from tests.builders.test_sbom import base as made_base
from tests.roads.docker import docker, docker_engine_host

__all__ = ["docker_engine_host"]

FILES: dict[str, bytes] = {
    "data/000/data.sqlite": b"one" * 5000,
    "data/000/vectors.f32": b"two",
    "opt/x/empty": b"",
}
LAYERS = [Layer("appliance", {"opt/cradle/p.py": b"pass"}), Layer("data-000", FILES, {"cradle.x": "y"})]


@pytest.fixture(params=["daemonless", pytest.param("docker", marks=pytest.mark.docker)])
def builder(request: pytest.FixtureRequest) -> str:
    """As CRADLE_BUILDER names it."""
    if request.param == "docker":
        return f"docker:{request.getfixturevalue('docker_engine_host')}"
    return str(request.param)


@pytest.fixture
def backend(builder: str) -> Backend:
    return open_backend(builder)


@pytest.fixture
def base(tmp_path: Path) -> Image:
    return made_base(tmp_path / "base", {"usr/lib/os-release": RELEASE}, {"opt/of-the-base": "stays"})


def written(backend: Backend, folder: Path, base: Image | None) -> Image:
    folder.mkdir()
    digest = backend.write(folder, base, LAYERS, run_settings(), {"a": "b"})
    image = open_image(folder)
    assert image.digest == digest
    return image


def layer_files(image: Image, role: str) -> dict[str, tuple[Any, ...]]:
    """Name, content and what an unpacked file has of it, of each file in a layer."""
    with image.layer(role).open() as blob, tarfile.open(fileobj=blob, mode="r|") as archive:
        return {
            entry.name: (archive.extractfile(entry).read(), entry.mode & 0o7777, entry.uid, entry.gid, entry.mtime)  # type: ignore[union-attr]
            for entry in archive
            if entry.isfile()
        }


@pytest.mark.parametrize("over_base", [False, True])
def test_the_files_are_in_their_layers(backend: Backend, tmp_path: Path, base: Image, over_base: bool) -> None:
    below = base if over_base else None
    image = written(backend, tmp_path / "image", below)
    image.verify()
    assert [layer.get("annotations", {}).get("cradle.layer") for layer in image.layers[-2:]] == [
        "appliance",
        "data-000",
    ]
    assert image.layers[-1]["annotations"]["cradle.x"] == "y"
    assert image.layers[:-2] == (base.layers if over_base else [])
    expected = {name: (content, 0o644, 0, 0, 0) for name, content in FILES.items()}
    assert layer_files(image, "data-000") == expected
    assert layer_files(image, "appliance") == {"opt/cradle/p.py": (b"pass", 0o644, 0, 0, 0)}
    assert ("opt/of-the-base" in read_files(image, lambda _: True)) == over_base


def test_a_container_of_it_starts_alike(backend: Backend, tmp_path: Path, base: Image) -> None:
    image = written(backend, tmp_path / "image", base)
    expected = written(open_backend("daemonless"), tmp_path / "expected", base)
    assert image.config["config"] == expected.config["config"]
    assert image.config["history"] == expected.config["history"]
    assert image.manifest["annotations"] == expected.manifest["annotations"]
    if backend.__class__ is expected.__class__:
        assert image.digest == expected.digest


def test_nothing_else_is_left_in_the_layout(backend: Backend, tmp_path: Path, base: Image) -> None:
    image = written(backend, tmp_path / "image", base)
    files = {str(path.relative_to(tmp_path / "image")) for path in (tmp_path / "image").rglob("*") if path.is_file()}
    assert files == {"index.json", "oci-layout", *image.blobs}


def test_a_library_becomes_an_image_that_is_searched(builder: str, tmp_path: Path) -> None:
    built = build_image((one.baked() for one in library()), ABOUT, None, tmp_path / "image", builder=builder)
    image = open_image(tmp_path / "image")
    image.verify()
    assert (image.digest, built.chunks) == (built.digest, 7)
    database, _ = data_layers(image)[0]
    assert database.read().startswith(b"SQLite format 3\0")
    again = build_image((one.baked() for one in library()), ABOUT, None, tmp_path / "again", builder=builder)
    assert (again.digest == built.digest) or builder != "daemonless"
    assert again.merkle == built.merkle


def test_an_update_is_the_same_whoever_builds(builder: str, tmp_path: Path) -> None:
    build_image((one.baked() for one in library()), ABOUT, None, tmp_path / "full")
    books = [book("new.txt", "New.")]
    expected = updated(tmp_path / "expected", tmp_path / "full", books)
    assert updated(tmp_path / "update", tmp_path / "full", books, builder=builder) == expected


@pytest.mark.docker
def test_an_engine_takes_what_is_built(backend: Backend, tmp_path: Path, base: Image, docker_engine_host: str) -> None:
    image = written(backend, tmp_path / "image", base)
    save(image, tmp_path / "image.tar", name="cradle-contract/image:v1.0")
    docker(docker_engine_host, "load", "--input", str(tmp_path / "image.tar"))
    said = docker(docker_engine_host, "image", "inspect", "--format", "{{.Id}}", "cradle-contract/image:v1.0")
    docker(docker_engine_host, "image", "rm", "--force", "cradle-contract/image:v1.0")
    assert said.strip() == image.manifest["config"]["digest"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_engine_that_does_not_answer_is_away(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="Docker engine"):
        written(open_backend(f"docker:unix://{tmp_path}/none.sock"), tmp_path / "image", None)
    gc.collect()  # the SDK leaves the socket that found nobody to the collector


def test_another_builder_is_wrong_use() -> None:
    with pytest.raises(CradleError, match="daemonless"):
        open_backend("kaniko")
