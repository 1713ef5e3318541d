"""A customer is taken back a version while the newer one runs: from the archive alone, over the folder that is there.

What the customer does is done with `age`, Docker and Compose, as the guide says; nothing of ours but the folder.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import numpy as np
import pyrage
import pytest

from appliance.encoder import load_encoder
from builders.image import build_image
from builders.oci.archive import save
from builders.oci.read import open_image
from infra.archive import open_archive
from infra.local.processes import free_port
from infra.parameters import Customer
from infra.parameters.memory import MemoryParameters
from infra.paths import CustomerPaths, file_url, signing_key
from operations.package.folder import Kind, write_folder
from operations.package.signing import load_signer
from operations.package.statements import image_name
from operations.rollback import RollbackPorts, RolledBack, roll_back
from operations.versions import next_version, records, remember
from schemas.parameters import EmbeddingConfig, InstallationParameters
from schemas.versions import VersionRecord, read_version
from tests.builders.corpus import Book, book
from tests.remembered import fields_of, make_record
from tests.roads.docker import docker
from tests.roads.road import wait_until

pytestmark = pytest.mark.docker

QUESTION = "When is the canteen open?"
OLD = "Lunch is served in the canteen from noon until two."
NEW = "Lunch is served in the canteen from eleven until three."
DATA_FOLDER = "/var/lib/appliance"


@dataclass
class Delivering:
    """The installation that packages versions, and the archive that it adds them to."""

    home: Path
    customer: str
    recipient: pyrage.x25519.Recipient
    base: Path

    @property
    def parameters(self) -> InstallationParameters:
        return InstallationParameters(customer_id=self.customer, embedding_config=EmbeddingConfig(model="builtin"))

    async def ports(self, exits: AsyncExitStack) -> RollbackPorts:
        store = MemoryParameters()
        await store.put_customer(Customer(self.customer))
        await store.add_version(self.parameters)
        archive = await exits.enter_async_context(open_archive(file_url(self.home)))
        return RollbackPorts(archive, store, load_signer(signing_key(self.home)), self.home)

    async def package(self, text: str, kind: Kind) -> Path:
        """The package of a full version whose one document says `text`."""
        async with AsyncExitStack() as exits:
            ports = await self.ports(exits)
            version = str(next_version(await records(ports.archive, self.customer), update=False))
            job = uuid4()
            tar = self._bake(job, version, text)
            record = await remember(ports.archive, self._record(job, version), tar)
            place = CustomerPaths(self.home, self.customer).package(version)
            write_folder(
                place,
                record=record,
                tar=tar,
                parameters=self.parameters,
                kind=kind,
                credentials=kind == "first",
                signer=ports.signer,
            )
        return place

    async def roll_back(self, version: str) -> RolledBack:
        async with AsyncExitStack() as exits:
            return await roll_back(self.customer, read_version(version), await self.ports(exits))

    def forget_everything_but_the_archive(self) -> None:
        for name in ("images", "packages"):
            shutil.rmtree(self.home / name)

    def _bake(self, job: UUID, version: str, text: str) -> Path:
        layout = CustomerPaths(self.home, self.customer).image(job, 1)
        about = {"fingerprint": "f" * 64, "parameters": self.parameters.deciding()}
        build_image([_embedded(book("canteen.txt", text)).baked()], about, self.base, layout)
        plain, sealed = layout.parent / "image.tar", layout.parent / "image.tar.age"
        save(open_image(layout), plain, name=f"cradle/{self.customer}:{read_version(version).tag}")
        pyrage.encrypt_file(str(plain), str(sealed), [self.recipient])
        plain.unlink()
        return sealed

    def _record(self, job: UUID, version: str) -> VersionRecord:
        image = open_image(CustomerPaths(self.home, self.customer).image(job, 1))
        return make_record(
            version,
            job=job,
            customer=self.customer,
            parameters_sha256=self.parameters.sha256(),
            fingerprint="f" * 64,
            documents=1,
            chunks=1,
            **fields_of(image),
        )


def _embedded(one: Book) -> Book:
    encoder = load_encoder()
    return Book(one.document, one.text, one.chunks, np.stack([encoder.encode(text) for text in one.texts]))


@dataclass
class Site:
    """The customer: a folder, an age identity, Docker, Compose, curl."""

    folder: Path
    identity: Path
    engine: str
    port: int

    def unpack(self, package: Path) -> None:
        """Over what is there."""
        shutil.copytree(package, self.folder, dirs_exist_ok=True)

    def install(self) -> None:
        self._run("age", "--decrypt", "--identity", str(self.identity), "--output", "image.tar", "image.tar.age")
        docker(self.engine, "load", "--input", str(self.folder / "image.tar"))
        self.compose("up", "-d")
        wait_until(self._healthy, seconds=60, why=lambda: self.compose("logs"))

    def ask(self) -> str:
        """The text of the best passage, over HTTP with the token."""
        url = f"http://127.0.0.1:{self.port}/api/search?question={quote(QUESTION)}&limit=1"
        request = Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        return str(found["passages"][0]["text"])

    @property
    def token(self) -> str:
        return (self.folder / "credentials" / "token").read_text().strip()

    def compose(self, *words: str) -> str:
        return self._run("docker-compose", *words)

    def settings(self) -> str:
        return (self.folder / ".env").read_text()

    def _healthy(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                return True
        except OSError:
            return False

    def _run(self, *command: str) -> str:
        environment = {**os.environ, "DOCKER_HOST": self.engine}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def customer() -> str:
    """Each run has its own: the engine is shared."""
    return f"rollback-{uuid4().hex[:8]}"


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def delivering(new_home: Callable[[], Path], base: Path, customer: str, identity: pyrage.x25519.Identity) -> Delivering:
    return Delivering(new_home(), customer, identity.to_public(), base)


@pytest.fixture
def site(tmp_path: Path, docker_engine_host: str, customer: str, identity: pyrage.x25519.Identity) -> Iterator[Site]:
    key = tmp_path / "key.txt"
    key.write_text(str(identity))
    site = Site(tmp_path / "site", key, docker_engine_host, free_port())
    yield site
    if site.folder.exists():
        site.compose("down", "--volumes")
    docker(docker_engine_host, "image", "rm", "--force", *(f"cradle/{customer}:{tag}" for tag in ("v1.0", "v2.0")))


async def test_a_customer_goes_back_while_the_newer_version_runs(delivering: Delivering, site: Site) -> None:
    site.unpack(await delivering.package(OLD, "first"))
    (site.folder / ".env").write_text(site.settings().replace("CRADLE_PORT=8080", f"CRADLE_PORT={site.port}"))
    site.install()
    token, settings = site.token, site.settings()
    keep_in_volume(site, delivering.customer, "what the first version kept")
    assert site.ask() == OLD

    site.unpack(await delivering.package(NEW, "update"))
    site.install()
    assert site.ask() == NEW
    docker(site.engine, "image", "rm", "--force", f"cradle/{delivering.customer}:v1.0")

    delivering.forget_everything_but_the_archive()
    rolled = await delivering.roll_back("v1.0")
    sealed = (rolled.folder.path / "image.tar.age").read_bytes()
    assert sealed == (delivering.home / "versions" / delivering.customer / "v1.0-init.oci.age").read_bytes()
    assert not (rolled.folder.path / "credentials").exists()
    assert site.ask() == NEW, "it runs all the while"
    site.unpack(rolled.folder.path)
    site.install()

    assert site.ask() == OLD
    assert (site.token, site.settings()) == (token, settings)
    assert kept_in_volume(site, delivering.customer) == "what the first version kept"
    running = site.compose("ps", "--quiet").strip()
    [container] = json.loads(docker(site.engine, "inspect", running))
    assert container["Config"]["Image"] == image_name(rolled.record)
    assert f"cradle-{delivering.customer}-data" in {mount.get("Name") for mount in container["Mounts"]}


def keep_in_volume(site: Site, customer: str, text: str) -> None:
    _in_volume(site, customer, f"open('/data/kept', 'w').write({text!r})")


def kept_in_volume(site: Site, customer: str) -> str:
    return _in_volume(site, customer, "print(open('/data/kept').read(), end='')")


def _in_volume(site: Site, customer: str, program: str) -> str:
    """Runs it in the running version's image, with the customer's volume at /data."""
    [container] = json.loads(docker(site.engine, "inspect", site.compose("ps", "--quiet").strip()))
    volume = f"cradle-{customer}-data:/data"
    words = ("--rm", "--network=none", "--user=0", f"--volume={volume}", "--entrypoint=python3")
    return docker(site.engine, "run", *words, container["Image"], "-c", program)
