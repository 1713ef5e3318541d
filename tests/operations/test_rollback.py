"""A version is packaged again from the archive alone, as it was archived, and without new credentials."""

import shutil
from pathlib import Path

import pytest

from infra.archive.memory import MemoryArchive
from infra.parameters import Customer
from infra.parameters.memory import MemoryParameters
from infra.paths import signing_key
from operations.package.signing import load_signer
from operations.rollback import RollbackPorts, RolledBack, roll_back
from operations.versions import remember, tar_name
from schemas.errors import Permanent
from schemas.parameters import InstallationParameters
from schemas.versions import read_version
from tests.remembered import ciphertext, make_record


@pytest.fixture
async def ports(tmp_path: Path) -> RollbackPorts:
    """Of acme: v1.0, two updates of it of which the first has no copy, and v2.0."""
    store = MemoryParameters()
    await store.put_customer(Customer("acme"))
    await store.add_version(InstallationParameters(customer_id="acme"))
    archive = MemoryArchive()
    await remember(archive, make_record("v1.0-init"), ciphertext(tmp_path, b"sealed first"))
    await remember(archive, make_record("v1.1-update", extends="v1.0-init"), None)
    await remember(archive, make_record("v1.2-update", extends="v1.1-update"), ciphertext(tmp_path, b"sealed update"))
    await remember(archive, make_record("v2.0-full"), ciphertext(tmp_path, b"sealed second"))
    home = tmp_path / "home"
    return RollbackPorts(archive, store, load_signer(signing_key(home)), home)


async def back(ports: RollbackPorts, version: str, **more: str) -> RolledBack:
    return await roll_back("acme", read_version(version), ports, **more)


async def test_the_package_holds_what_was_archived_and_no_credentials(ports: RollbackPorts) -> None:
    rolled = await back(ports, "v1.0")
    package = rolled.folder.path
    assert package == ports.home / "packages" / "acme" / "v1.0-init-rollback"
    assert (package / "image.tar.age").read_bytes() == b"sealed first"
    assert {"docker-compose.yml", "INSTALL.en.md", "INSTALL.de.md", "SHA256SUMS.sig"} <= rolled.folder.files.keys()
    assert not (package / "credentials").exists()
    assert not (package / ".env").exists(), "the customer's own settings stay"
    assert "cradle/acme:v1.0" in (package / "docker-compose.yml").read_text()
    assert "Unpack it over the folder that you have" in (package / "INSTALL.en.md").read_text()
    assert rolled.below == ()
    assert [path.name for path in package.parent.iterdir()] == [package.name], "nothing is left beside it"


async def test_again_gives_the_same_and_another_folder_may_be_named(ports: RollbackPorts, tmp_path: Path) -> None:
    first = await back(ports, "v1.0")
    before = {name: (first.folder.path / name).read_bytes() for name in first.folder.files}
    again = await back(ports, "v1.0")
    assert {name: (again.folder.path / name).read_bytes() for name in again.folder.files} == before
    elsewhere = await back(ports, "v1.0", to=str(tmp_path / "stick"))
    sent = tmp_path / "stick" / "acme-v1.0-init-rollback"
    assert elsewhere.sent_to == str(sent)
    assert {name: (sent / name).read_bytes() for name in elsewhere.folder.files} == before


async def test_the_first_package_and_its_credentials_stay(ports: RollbackPorts) -> None:
    first = ports.home / "packages" / "acme" / "v1.0-init" / "credentials"
    first.mkdir(parents=True)
    (first / "token").write_text("theirs")
    await back(ports, "v1.0")
    assert (first / "token").read_text() == "theirs"


async def test_an_update_says_what_has_to_be_below_it(ports: RollbackPorts) -> None:
    rolled = await back(ports, "v1.2")
    assert rolled.below == ("v1.1-update", "v1.0-init")
    assert (rolled.folder.path / "update.sh").exists()


@pytest.mark.parametrize(
    ("version", "code"), [("v1.1", "version.unarchived"), ("v3.0", "version.unknown"), ("v1.9", "version.unknown")]
)
async def test_what_cannot_be_packaged_again_is_told_and_leaves_nothing(
    ports: RollbackPorts, version: str, code: str
) -> None:
    with pytest.raises(Permanent) as error:
        await back(ports, version)
    assert error.value.code == code
    assert not (ports.home / "packages").exists()


async def test_a_damaged_copy_is_not_shipped(ports: RollbackPorts) -> None:
    assert isinstance(ports.archive, MemoryArchive)
    good = await back(ports, "v2.0")
    shipped = (good.folder.path / "image.tar.age").read_bytes()
    ports.archive.objects[tar_name(good.record)] = b"sealed seconD"
    with pytest.raises(Permanent) as error:
        await back(ports, "v2.0")
    assert error.value.code == "archive.damaged"
    assert (good.folder.path / "image.tar.age").read_bytes() == shipped, "what stood there stays"
    shutil.rmtree(good.folder.path)
    with pytest.raises(Permanent):
        await back(ports, "v2.0")
    assert [*good.folder.path.parent.iterdir()] == []


@pytest.mark.parametrize("customer", ["..", "../acme", "", "A"])
async def test_a_customer_that_is_none_is_refused(ports: RollbackPorts, customer: str) -> None:
    with pytest.raises(Permanent) as error:
        await roll_back(customer, read_version("v1.0"), ports)
    assert error.value.code == "customer.id"
