"""Updates as a customer takes them: update.sh, beside a tar of the new layer alone, on each engine that customers have.

Every session makes documents of its own, so that no engine has a layer of them from somewhere else.
"""

import gzip
import json
import signal
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from appliance.encoder import Encoder, load_encoder
from appliance.question import Questions
from builders.image import HEALTH, Below, build_image
from builders.oci.archive import save
from builders.oci.layout import write_blob, write_layout
from builders.oci.read import open_image
from builders.update_script import update_script
from operations.search import open_library
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.builders.corpus import LIBRARY, Book, book, in_order
from tests.roads.engines import Engine, containerd_store, docker_with, podman

pytestmark = [pytest.mark.docker, pytest.mark.apart]

TAGS = ("v1.0", "v1.1", "v1.2")
QUESTIONS = (
    "Wie viele Tage Urlaub habe ich?",
    "When does the contract end?",
    "pump VS-55",
    "When can I eat?",
    "notice in writing",
    '"twenty four months"',
)


@dataclass(frozen=True)
class Delivered:
    """What the customer was sent: one folder a version, and beside it a full bake of the same documents."""

    folder: Path

    def tar(self, tag: str) -> Path:
        return self.folder / tag / "image.tar"

    def layout(self, tag: str) -> Path:
        return self.folder / f"{tag}-layout"

    def full(self, tag: str) -> Path:
        return self.layout(tag) if tag == "v1.0" else self.folder / f"{tag}-full"

    @property
    def name(self) -> str:
        return f"cradle-test/{self.folder.name}"


@pytest.fixture(scope="module")
def delivered(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    marker = uuid4().hex
    first = {
        **LIBRARY,
        "canteen.txt": f"Lunch is served from noon until two.\nThe pump is serviced each spring.\n{marker}",
        "old/prices.txt": "A pump costs 700 EUR.\nA seal costs 10 EUR.",
    }
    renewed = {"a/contract.txt": "The contract ends after twenty four months.\nNotice is given by telephone."}
    added = {"new/garden.txt": "The garden is open in summer.\nThe pump in the garden is off in winter."}
    at_last = {"new/roof.txt": "The roof was renewed.\nA contract for the roof ends after two months."}
    second = {path: text for path, text in {**first, **renewed, **added}.items() if not path.startswith("old/")}
    third = {path: text for path, text in {**second, **at_last}.items() if path != "z.csv"}

    made = Delivered(tmp_path_factory.mktemp("delivered") / marker)
    made.folder.mkdir()
    _build(made.layout("v1.0"), first, base)
    _build(made.layout("v1.1"), {**renewed, **added}, base, _below(made.layout("v1.0")), ["old/"])
    _build(made.layout("v1.2"), at_last, base, _below(made.layout("v1.1")), ["z.csv"])
    _build(made.full("v1.1"), second, base)
    _build(made.full("v1.2"), third, base)
    for tag in TAGS:
        made.tar(tag).parent.mkdir()
        save(open_image(made.layout(tag)), made.tar(tag), name=f"{made.name}:{tag}")
    for below, tag in pairwise(TAGS):
        names = {"name": made.name, "tag": tag, "below_tag": below}
        script = update_script(_below(made.layout(tag)), _below(made.layout(below)), **names)
        (made.tar(tag).parent / "update.sh").write_text(script)
    return made


def _build(
    into: Path, documents: dict[str, str], base: Path, below: Below | None = None, removed: Sequence[str] = ()
) -> None:
    encoder = _encoder()
    books = in_order([book(path, text) for path, text in documents.items()])
    embedded = (
        Book(one.document, one.text, one.chunks, np.stack([encoder.encode(text) for text in one.texts]))
        for one in books
    )
    parameters = InstallationParameters(customer_id="acme", embedding_config=EmbeddingConfig(model="builtin"))
    about = {"fingerprint": "f" * 64, "parameters": parameters.deciding()}
    build_image((one.baked() for one in embedded), about, base, into, below=below, removed=removed)


@cache
def _encoder() -> Encoder:
    return load_encoder()


def _below(layout: Path) -> Below:
    image = open_image(layout)
    return Below(image.digest, image.manifest, image.config)


@pytest.fixture(params=["classic", "containerd", "podman"])
def engine(
    request: pytest.FixtureRequest, delivered: Delivered, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """One that has nothing of what was delivered."""
    if request.param == "podman":
        engine = podman(tmp_path_factory.mktemp("podman"))
    elif request.param == "containerd":
        engine = containerd_store()
    else:
        engine = docker_with(request.getfixturevalue("docker_engine_host"))
    yield engine
    for tag in TAGS:
        engine.tried("image", "rm", "--force", f"{delivered.name}:{tag}")


docker_only = pytest.mark.parametrize("engine", ["classic", "containerd"], indirect=True)
containerd_only = pytest.mark.parametrize("engine", ["containerd"], indirect=True)


def _update(engine: Engine, delivered: Delivered, tag: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    script = delivered.tar(tag).parent / "update.sh"
    variables = engine.variables()
    return subprocess.run(["sh", script, *arguments], check=False, capture_output=True, text=True, env=variables)


def _load(engine: Engine, tar: Path) -> None:
    engine("load", "--input", str(tar))


ASK = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from appliance.question import Questions
from appliance.search import open_layers
with open_layers(Path("/data")) as library:
    questions = Questions(library.about)
    for question in sys.argv[1:]:
        found = library.search(question, questions.embed(question)[0], limit=9)
        print(json.dumps([asdict(passage) for passage in found]))
"""


def _answers(engine: Engine, image: str) -> list[list[tuple[object, ...]]]:
    """To all questions in one container, which so loads the encoder once."""
    said = engine.run("--entrypoint=python3", image, "-c", ASK, *QUESTIONS)
    return [[_passage(one) for one in json.loads(line)] for line in said.splitlines()]


@cache
def _expected(layout: Path) -> list[list[tuple[object, ...]]]:
    with closing(open_library(layout)) as library:
        questions = Questions(library.about)
        found = [library.search(question, questions.embed(question)[0], limit=9) for question in QUESTIONS]
    return [[_passage(asdict(one)) for one in passages] for passages in found]


def _passage(found: dict[str, object]) -> tuple[object, ...]:
    return tuple(found[name] for name in ("document", "page", "start", "end", "text"))


def test_updates_answer_as_full_bakes_of_the_same_documents(engine: Engine, delivered: Delivered) -> None:
    _load(engine, delivered.tar("v1.0"))
    for tag in TAGS[1:]:
        done = _update(engine, delivered, tag)
        assert done.returncode == 0, done.stderr
        assert f"{delivered.name}:{tag} is here, and answers." in done.stdout
        answers = _answers(engine, f"{delivered.name}:{tag}")
        assert answers == _expected(delivered.full(tag))
        documents = {passage[0] for found in answers for passage in found}
        assert "new/garden.txt" in documents
        assert "old/prices.txt" not in documents
    again = _update(engine, delivered, "v1.2")
    assert again.returncode == 0
    assert again.stdout.startswith(f"{delivered.name}:v1.2 is here already, and answers.")
    # for going back, v1.0 is what it was
    assert _answers(engine, f"{delivered.name}:v1.0") == _expected(delivered.full("v1.0"))


def test_without_the_version_below_nothing_is_changed(engine: Engine, delivered: Delivered) -> None:
    before = engine.names()
    done = _update(engine, delivered, "v1.1")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{delivered.name}:v1.0 is not here. Load v1.0 from its own package first")
    assert engine.names() == before
    assert engine.tried("image", "inspect", f"{delivered.name}:v1.1").returncode != 0


@docker_only
def test_another_image_below_is_refused(engine: Engine, delivered: Delivered) -> None:
    _load(engine, delivered.tar("v1.0"))
    done = _update(engine, delivered, "v1.2", f"{delivered.name}:v1.0")
    assert done.returncode == 1
    assert f"{delivered.name}:v1.0 is not the image that this update extends." in done.stderr


def test_the_new_layer_alone_gives_no_image_that_runs(engine: Engine, delivered: Delivered) -> None:
    """The reason for update.sh: an engine without the older layers refuses, or keeps something that does not run."""
    image = f"{delivered.name}:v1.1"
    engine.tried("load", "--input", str(delivered.tar("v1.1")))
    assert engine.tried("run", "--pull=never", "--rm", "--network=none", image, "about").returncode != 0
    # and what it kept does no harm
    _load(engine, delivered.tar("v1.0"))
    done = _update(engine, delivered, "v1.1")
    assert done.returncode == 0, done.stderr
    assert json.loads(engine.run(image, "about"))["documents"] == 5


@pytest.fixture(scope="module")
def registered(delivered: Delivered) -> tuple[str, Path]:
    """A tar of v1.0 as it comes out of a registry to which an engine pushed it, its layers compressed, and its name."""
    name = f"registry.example:5000/{delivered.name}:one"
    image = open_image(delivered.layout("v1.0"))
    into = delivered.folder / "registered"
    into.mkdir()
    layers = []
    for layer in image.layers:
        data = gzip.compress(image.blob(layer["digest"]).read(), 1, mtime=0)
        layers.append(write_blob(into, f"{layer['mediaType']}+gzip", lambda write, data=data: write(data)))
    write_layout(into, image.config, layers, {})
    save(open_image(into), into / "image.tar", name=name)
    return name, into / "image.tar"


@docker_only
def test_a_version_that_came_through_a_registry_is_extended(
    engine: Engine, delivered: Delivered, registered: tuple[str, Path], tmp_path: Path
) -> None:
    name, tar = registered
    _load(engine, tar)
    try:
        done = _update(engine, delivered, "v1.1", name)
        assert done.returncode == 0, done.stderr
        image = f"{delivered.name}:v1.1"
        assert _answers(engine, image) == _expected(delivered.full("v1.1"))
        # whole: it can be saved, and the next update finds all that it needs
        engine("save", "--output", str(tmp_path / "saved.tar"), image)
        with tarfile.open(tmp_path / "saved.tar") as saved:
            assert max(member.size for member in saved) > 10_000_000
        assert _update(engine, delivered, "v1.2").returncode == 0
        assert {f"{delivered.name}:v1.1", f"{delivered.name}:v1.2"} <= engine.names()
    finally:
        engine("image", "rm", "--force", name)
    assert not list(delivered.tar("v1.1").parent.glob(".update*"))


@containerd_only
def test_interrupted_anywhere_it_is_run_again(
    engine: Engine, delivered: Delivered, registered: tuple[str, Path], tmp_path: Path
) -> None:
    """The script is lost with all it started as it calls the engine, at each of the calls that change something."""
    name, tar = registered
    _load(engine, tar)
    script = delivered.tar("v1.1").parent / "update.sh"
    try:
        for call, loss in (
            ("load --input image.tar", signal.SIGKILL),
            (f"save {name}", signal.SIGKILL),
            ("load", signal.SIGKILL),
            ("load", signal.SIGTERM),
        ):
            failing = _losing(tmp_path / "docker", call, loss)
            ask, variables = ["sh", script, name], {**engine.variables(), "ENGINE": str(failing)}
            lost = subprocess.run(ask, check=False, capture_output=True, start_new_session=True, env=variables)
            assert lost.returncode != 0
        done = _update(engine, delivered, "v1.1", name)
        assert done.returncode == 0, done.stderr
        assert _answers(engine, f"{delivered.name}:v1.1") == _expected(delivered.full("v1.1"))
        assert not list(script.parent.glob(".update*"))
    finally:
        engine("image", "rm", "--force", name)


def _losing(program: Path, call: str, loss: signal.Signals) -> Path:
    """Docker, but this call ends the whole group of processes."""
    program.write_text(f'#!/bin/sh\n[ "$*" != "{call}" ] || kill -{loss.value} 0\nexec docker "$@"\n')
    program.chmod(0o755)
    return program


def test_an_encrypted_tar_is_opened_first(docker_engine_host: str, delivered: Delivered, tmp_path: Path) -> None:
    script = tmp_path / "update.sh"
    script.write_bytes((delivered.tar("v1.1").parent / "update.sh").read_bytes())
    variables = docker_with(docker_engine_host).variables()
    ask = ["sh", script]
    without = subprocess.run(ask, check=False, capture_output=True, text=True, env=variables)
    assert (without.returncode, without.stderr) == (
        1,
        "image.tar is not beside this script. Unpack the whole package.\n",
    )
    (tmp_path / "image.tar.age").touch()
    encrypted = subprocess.run(ask, check=False, capture_output=True, text=True, env=variables)
    assert encrypted.returncode == 1
    assert encrypted.stderr.startswith("image.tar.age is encrypted. Open it first: age --decrypt")


def test_a_tar_of_an_update_holds_the_new_layer_alone(delivered: Delivered) -> None:
    image = open_image(delivered.tar("v1.1"))
    assert len(image.missing) == len(image.layers) - 1
    new = image.blob(image.layers[-1]["digest"]).size
    full = open_image(delivered.full("v1.1"))
    print(f"tar of v1.1: {delivered.tar('v1.1').stat().st_size:,} bytes; its image in full: {full.size:,}")
    assert delivered.tar("v1.1").stat().st_size < new + 20_000 < full.size / 100


@docker_only
def test_a_whole_image_keeps_its_health_check_and_annotations(
    engine: Engine, delivered: Delivered, tmp_path: Path
) -> None:
    _load(engine, delivered.tar("v1.0"))
    name = f"{delivered.name}:v1.0"
    [known] = json.loads(engine("image", "inspect", name))
    image = open_image(delivered.layout("v1.0"))
    assert known["Config"]["Healthcheck"]["Test"] == HEALTH["Test"]
    assert known["Config"]["User"] == "65532:65532"
    if known["Id"] == image.digest:  # the containerd store keeps the manifest itself, and so what it is annotated with
        engine("save", "--output", str(tmp_path / "saved.tar"), name)
        assert open_image(tmp_path / "saved.tar").manifest == image.manifest
    else:
        assert known["Id"] == image.manifest["config"]["digest"]
