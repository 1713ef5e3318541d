"""The customer: it has the package, Docker and what the guide names, and nothing of ours. It follows the guide.

The commands are read out of INSTALL and run as they stand, but for the question, which the customer puts in. Debian has
Compose as a program only, so that the one word `docker compose` is brought by a plugin of three lines.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pyrage
import pytest

from appliance.encoder import load_encoder
from builders.image import BuiltImage, build_image
from infra.archive import open_archive
from infra.ledger import ImageRecord, NewDocument, NewJob, Outcome
from infra.ledger.memory import MemoryLedger
from infra.local.processes import free_port
from infra.parameters import Customer
from infra.parameters.memory import MemoryParameters
from infra.paths import CustomerPaths, file_url
from operations.package import Packaged, PackagePorts, load_signer, package
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.builders.corpus import Book, book, in_order, library
from tests.fakes import NOW
from tests.roads.docker import docker

pytestmark = pytest.mark.docker

CANTEEN = book("canteen.txt", "Lunch is served from noon until two.\nThe pump is serviced each spring.")
GUIDES = {
    "en": ("What are these documents about?", "When can I eat?", "Lunch is served from noon until two."),
    "de": ("Wovon handeln diese Dokumente?", "Wie viele Tage Urlaub habe ich?", "Der Urlaubsanspruch beträgt 30 Tage."),
}
"""Of each language: the question that the guide has, the customer's, and what answers that."""
PLUGIN = """#!/bin/sh
[ "$1" != docker-cli-plugin-metadata ] || { echo '{"SchemaVersion": "0.1.0", "Vendor": "Debian"}'; exit; }
shift; exec docker-compose "$@"
"""
TOOLS = "/usr/local/bin:/usr/bin:/bin"


@dataclass
class Site:
    """The customer's machine: a folder, a shell, Docker."""

    folder: Path
    engine: str
    home: Path
    transcript: list[str] = field(default_factory=list)

    def unpack(self, package: Path) -> None:
        """As somebody whose files nobody else may read, so that the mode of what the container reads is lost."""
        self.folder.parent.mkdir(parents=True)
        subprocess.run(["sh", "-c", 'umask 077 && cp -R "$0" "$1"', str(package), str(self.folder)], check=True)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        self.transcript.append("".join(f"$ {line}\n" for line in command.splitlines()) + done.stdout + done.stderr)
        assert done.returncode == 0, "\n".join(self.transcript)
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Of what is set for us, nothing."""
        return {
            "PATH": TOOLS,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": self.engine,
            "DOCKER_CONFIG": str(self.home / ".docker"),
            "CRADLE_PORT": str(self.port),
        }

    def __post_init__(self) -> None:
        self.port = free_port()
        plugin = self.home / ".docker" / "cli-plugins" / "docker-compose"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(PLUGIN)
        plugin.chmod(0o755)


@dataclass
class Delivery:
    packaged: Packaged
    identity: pyrage.x25519.Identity


@pytest.fixture(scope="module")
def delivery(base: Path, new_home: Callable[[], Path]) -> Delivery:
    """A small library, baked over the real base, packaged for a customer of its own: the engine is shared."""
    identity = pyrage.x25519.Identity.generate()
    customer = Customer(f"customer-{uuid4().hex[:8]}", recipient=str(identity.to_public()))
    return Delivery(asyncio.run(_package(customer, base, new_home())), identity)


async def _package(customer: Customer, base: Path, home: Path) -> Packaged:
    parameters = InstallationParameters(customer_id=customer.id, embedding_config=EmbeddingConfig(model="builtin"))
    store, ledger = MemoryParameters(), MemoryLedger()
    await store.put_customer(customer)
    await store.add_version(parameters)
    job = uuid4()
    books = in_order([_embedded(one) for one in (*library(), CANTEEN)])
    about = {"fingerprint": "f" * 64, "parameters": parameters.deciding()}
    built = build_image((one.baked() for one in books), about, base, CustomerPaths(home, customer.id).image(job, 1))
    await _record(ledger, job, customer.id, built)
    async with open_archive(file_url(home)) as archive:
        signer = load_signer(home / "signing" / "ed25519.pem")
        return await package(job, PackagePorts(ledger, store, archive, home, signer, lambda: NOW))


async def _record(ledger: MemoryLedger, job: UUID, customer: str, built: BuiltImage) -> None:
    """As the stages do, at once."""
    await ledger.open_job(NewJob(job, customer, "a reference", 1, "f" * 64, NOW))
    documents = tuple(NewDocument(f"{number:032x}", b"sealed") for number in range(built.documents))
    await ledger.record("admit", [Outcome(uuid4(), job, None, (), documents, built.documents)], now=NOW)
    [announcement] = await ledger.announcements()
    image = ImageRecord(built.digest, built.chunks, built.merkle, NOW, NOW)
    await ledger.baked(job, announcement.generation, image)


def _embedded(one: Book) -> Book:
    encoder = load_encoder()
    return Book(one.document, one.text, one.chunks, np.stack([encoder.encode(text) for text in one.texts]))


@pytest.fixture
def site(tmp_path: Path, docker_engine_host: str, delivery: Delivery) -> Iterator[Site]:
    site = Site(tmp_path / "site" / "package", docker_engine_host, tmp_path / "home")
    yield site
    if site.folder.exists():
        site.run("docker compose down --volumes")
    docker(docker_engine_host, "image", "rm", "--force", f"cradle/{delivery.packaged.record.customer}:v1.0")


@pytest.mark.parametrize("language", GUIDES)
def test_a_customer_follows_the_guide_and_gets_an_answer(language: str, delivery: Delivery, site: Site) -> None:
    said, question, answer = GUIDES[language]
    site.unpack(delivery.packaged.folder.path)
    (site.folder / "key.txt").write_text(f"{delivery.identity}\n")
    guide = (site.folder / f"INSTALL.{language}.md").read_text()
    steps = re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    told = [site.run(step.replace(said, question)) for step in steps]
    print("\n".join(site.transcript))

    [verified] = [output for step, output in zip(steps, told, strict=True) if step == "sh verify.sh\n"]
    assert delivery.packaged.folder.fingerprint in verified
    shown, answered = [output for step, output in zip(steps, told, strict=True) if said in step]
    assert shown.splitlines()[1] == answer
    assert json.loads(answered)["passages"][0]["text"] == answer


def test_the_appliance_is_confined_and_wants_the_token(delivery: Delivery, site: Site) -> None:
    site.unpack(delivery.packaged.folder.path)
    (site.folder / "key.txt").write_text(f"{delivery.identity}\n")
    guide = (site.folder / "INSTALL.en.md").read_text()
    for step in re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)[:5]:
        site.run(step)
    [container] = json.loads(site.run('docker inspect "$(docker compose ps --quiet appliance)"'))
    host = container["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Memory"]) == (True, ["ALL"], 512 * 1024**2)
    assert container["Config"]["User"] == "65532:65532"
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(site.port)}]}
    refused = site.run(
        "curl --silent --output /dev/null --write-out '%{http_code}' "
        '"http://$(docker compose port appliance 8080)/api/about"'
    )
    assert refused == "401"
