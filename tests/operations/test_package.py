"""A baked job becomes a package: what lies in it, what is archived, and what if it is killed or made twice."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyrage
import pytest
import yaml
from argon2 import PasswordHasher

from builders.oci.read import open_image
from infra.archive.memory import MemoryArchive
from infra.ledger import JobState, JobView
from infra.ledger.memory import MemoryLedger
from infra.paths import CustomerPaths
from operations.package import PackagePorts, load_signer, newest_job, package
from operations.package.signing import files_of
from operations.versions import records
from schemas.errors import CradleError
from tests.entrance import NOW
from tests.operations.workshop import SOURCES, Workshop

VERSIONS = "versions/acme/"


@dataclass
class Packing:
    """An installation with a baked job, and the age identity of its customer."""

    workshop: Workshop
    job: UUID
    identity: pyrage.x25519.Identity

    @property
    def ports(self) -> PackagePorts:
        entrance = self.workshop.entrance
        signer = load_signer(self.home / "signing" / "key.pem")
        return PackagePorts(entrance.ledger, entrance.store, entrance.archive, self.home, signer, lambda: NOW)

    @property
    def home(self) -> Path:
        return self.workshop.home

    @property
    def archive(self) -> MemoryArchive:
        return self.workshop.entrance.archive

    async def with_recipient(self) -> "Packing":
        store = self.workshop.entrance.store
        customer = await store.customer("acme")
        await store.put_customer(replace(customer, recipient=str(self.identity.to_public())))
        return self

    def opened(self, folder: Path) -> Path:
        """As the customer opens it."""
        plain = folder.parent / "opened.tar"
        pyrage.decrypt_file(str(folder / "image.tar.age"), str(plain), [self.identity])
        return plain


@pytest.fixture
async def plain(tmp_path: Path) -> Packing:
    """Of a customer without a recipient."""
    workshop = await Workshop.open(tmp_path)
    job = await workshop.finish({**SOURCES, "broken.pdf": b"%PDF-1.7 nothing"})
    return Packing(workshop, job, pyrage.x25519.Identity.generate())


@pytest.fixture
async def packing(plain: Packing) -> Packing:
    return await plain.with_recipient()


def verified(folder: Path, *fingerprint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / "verify.sh"), *fingerprint],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(CradleError) as caught:
        yield
    assert caught.value.code == code


# -- what is in it ----------------------------------------------------------------------------------------------------


async def test_a_customer_gets_everything_it_needs(packing: Packing) -> None:
    packaged = await package(packing.job, packing.ports)
    assert packaged.folder.path == packing.home / "packages" / "acme" / "v1.0-init"
    assert set(files_of(packaged.folder.path)) == {
        ".env", "INSTALL.de.md", "INSTALL.en.md", "SHA256SUMS", "SHA256SUMS.sig", "credentials/token",
        "credentials/token.argon2", "docker-compose.yml", "image.tar.age", "job.json", "provenance.intoto.json",
        "public.pem", "sbom.cdx.json", "verify.sh",
    }  # fmt: skip
    assert (await packing.workshop.view(packing.job)).state is JobState.PACKAGED
    assert (await packing.workshop.view(packing.job)).version == "v1.0-init"


async def test_only_its_owner_enters_the_folder_and_reads_the_token(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    modes = {
        name: stat.S_IMODE((folder / name).stat().st_mode)
        for name in ("", "credentials", "credentials/token", "credentials/token.argon2")
    }
    assert modes == {"": 0o700, "credentials": 0o700, "credentials/token": 0o600, "credentials/token.argon2": 0o644}


async def test_the_modes_of_what_is_sent_are_no_matter_of_the_umask(packing: Packing) -> None:
    before = os.umask(0o077)
    try:
        folder = (await package(packing.job, packing.ports)).folder.path
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}
    assert modes == {name: 0o755 if name.endswith(".sh") else 0o644 for name in modes}


async def test_the_appliance_gets_the_hash_of_the_token(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    token = (folder / "credentials/token").read_text().strip()
    assert len(token) >= 43
    assert PasswordHasher().verify((folder / "credentials/token.argon2").read_text().strip(), token)
    compose = yaml.safe_load((folder / "docker-compose.yml").read_text())
    mounts = compose["services"]["appliance"]["volumes"]
    assert mounts[0] == "./credentials/token.argon2:/run/credentials/token.argon2:ro"


async def test_the_container_is_confined(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    appliance = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]["appliance"]
    assert (appliance["image"], appliance["pull_policy"]) == ("cradle/acme:v1.0", "never")
    assert (appliance["read_only"], appliance["cap_drop"], appliance["user"]) == (True, ["ALL"], "65532:65532")
    assert appliance["security_opt"] == ["no-new-privileges:true"]
    assert appliance["ports"] == ["${CRADLE_ADDRESS:-127.0.0.1}:${CRADLE_PORT:-8080}:8080"]


async def test_the_job_is_told_without_a_path(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    view = await packing.workshop.view(packing.job)
    told = json.loads((folder / "job.json").read_text())
    assert told["documents"] == 3
    [(code, count)] = told["left_out"].items()
    assert (code.partition(".")[0], count) == ("document", 1)
    assert (told["image"]["digest"], told["merkle"]) == (view.image, view.merkle)
    texts = [path.read_bytes() for name, path in files_of(folder).items() if not name.startswith("image.tar")]
    assert not [text for text in texts for path in (*SOURCES, "broken.pdf") if path.encode() in text]


async def test_the_provenance_names_the_image_and_what_decided_it(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    view = await packing.workshop.view(packing.job)
    statement = json.loads((folder / "provenance.intoto.json").read_text())
    tar = hashlib.sha256((folder / "image.tar.age").read_bytes()).hexdigest()
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [
        {"name": "cradle/acme:v1.0", "digest": {"sha256": view.image.removeprefix("sha256:")}},  # type: ignore[union-attr]
        {"name": "image.tar.age", "digest": {"sha256": tar}},
    ]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = statement["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["fingerprint"] == view.fingerprint
    _, parameters = await packing.workshop.entrance.store.version("acme", 1)
    assert {"name": "parameters/1", "digest": {"sha256": parameters.sha256()}} in definition["resolvedDependencies"]


async def test_the_bill_of_materials_is_the_image_s(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["components"]


# -- encryption -------------------------------------------------------------------------------------------------------


async def test_what_holds_data_opens_for_the_customer_alone(packing: Packing) -> None:
    packaged = await package(packing.job, packing.ports)
    assert list(packing.home.rglob("*.tar")) == []
    view = await packing.workshop.view(packing.job)
    image = open_image(packing.opened(packaged.folder.path))
    image.verify()
    assert image.digest == view.image
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt((packaged.folder.path / "image.tar.age").read_bytes(), [pyrage.x25519.Identity.generate()])
    assert packing.archive.objects[f"{VERSIONS}v1.0-init.oci.age"] == (
        (packaged.folder.path / "image.tar.age").read_bytes()
    )


async def test_without_a_recipient_nothing_is_archived_but_the_record(plain: Packing) -> None:
    packaged = await package(plain.job, plain.ports)
    view = await plain.workshop.view(plain.job)
    assert not packaged.folder.encrypted
    assert open_image(packaged.folder.path / "image.tar").digest == view.image
    assert list(plain.archive.objects) == [f"{VERSIONS}v1.0-init.json"]
    guide = (packaged.folder.path / "INSTALL.en.md").read_text()
    assert "age --decrypt" not in guide


async def test_a_recipient_that_is_none_is_refused(plain: Packing) -> None:
    customer = await plain.workshop.entrance.store.customer("acme")
    await plain.workshop.entrance.store.put_customer(replace(customer, recipient="age1nobody"))
    with refused("package.recipient"):
        await package(plain.job, plain.ports)
    assert plain.archive.objects == {}


async def test_an_image_that_cannot_be_read_to_its_end_is_not_archived(
    packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(image: Any, write: Any, *, name: str) -> None:
        write(b"half of it")
        raise OSError("the disk is gone")

    monkeypatch.setattr("operations.package.encrypting.stream", cut)
    with pytest.raises(OSError, match="the disk is gone"):
        await package(packing.job, packing.ports)
    assert packing.archive.objects == {}
    assert left_over(packing) == []


# -- the signature ----------------------------------------------------------------------------------------------------


async def test_verify_tells_the_key_s_fingerprint(packing: Packing) -> None:
    packaged = await package(packing.job, packing.ports)
    done = verified(packaged.folder.path)
    assert done.returncode == 0, done.stderr
    assert packaged.folder.fingerprint in done.stdout
    assert verified(packaged.folder.path, packaged.folder.fingerprint).returncode == 0
    assert "another key" in verified(packaged.folder.path, "0" * 64).stderr


async def test_no_file_can_be_changed(packing: Packing, tmp_path: Path) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    passed = []
    for name in files_of(folder):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        content = (copy / name).read_bytes()
        at = len(content) // 2
        # a comment line of a script stays a script: what runs must notice it
        changed = (
            content + b"\n# more\n"
            if name == "verify.sh"
            else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        )
        (copy / name).write_bytes(changed)
        if verified(copy).returncode == 0:
            passed.append(name)
        (copy / name).unlink()
        if name != "verify.sh" and verified(copy).returncode == 0:
            passed.append(f"{name} removed")
        shutil.rmtree(copy)
    assert passed == []


@pytest.mark.parametrize("name", ["compose.yaml", "docker-compose.override.yml"])
async def test_no_file_can_be_added_that_docker_would_read(packing: Packing, name: str) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    (folder / name).write_text("services: {appliance: {privileged: true}}\n")
    assert name in verified(folder).stderr
    assert verified(folder).returncode == 1


async def test_sums_that_were_made_anew_do_not_fit_the_signature(packing: Packing) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    (folder / "job.json").write_text("{}")
    names = [name for name in files_of(folder) if not name.startswith("SHA256SUMS")]
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(sums))
    assert "signature" in verified(folder).stderr


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = tmp_path / "signing" / "key.pem"
    first, second = load_signer(key), load_signer(key)
    assert first.fingerprint == second.fingerprint
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["key.pem"]


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_signs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with refused("signing.key"):
        load_signer(tmp_path / "key.pem")


# -- again, at once, killed -------------------------------------------------------------------------------------------


async def test_again_is_the_same_version_image_and_token(packing: Packing) -> None:
    first = await package(packing.job, packing.ports)
    before = contents(first.folder.path)
    second = await package(packing.job, packing.ports)
    assert (first.again, second.again) == (False, True)
    assert contents(second.folder.path) == before
    assert not second.folder.new_credentials
    assert len(packing.archive.objects) == 2


async def test_where_the_folder_is_gone_the_token_is_new_and_all_else_the_same(packing: Packing) -> None:
    first = await package(packing.job, packing.ports)
    before = contents(first.folder.path)
    shutil.rmtree(packing.home / "packages")
    shutil.rmtree(packing.home / "images")
    second = await package(packing.job, packing.ports)
    after = contents(second.folder.path)
    assert second.folder.new_credentials
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"credentials/token", "credentials/token.argon2", "SHA256SUMS", "SHA256SUMS.sig"}


async def test_an_erased_job_s_package_can_be_made_again(packing: Packing) -> None:
    first = await package(packing.job, packing.ports)
    await packing.workshop.entrance.ledger.erased(packing.job, now=NOW)
    again = await package(packing.job, packing.ports)
    assert again.record == first.record


async def test_two_at_once_make_one_version(packing: Packing) -> None:
    one, other = await asyncio.gather(package(packing.job, packing.ports), package(packing.job, packing.ports))
    assert one.record == other.record
    assert sorted([one.again, other.again]) == [False, True]
    assert len(packing.archive.objects) == 2
    assert verified(one.folder.path).returncode == 0


async def test_two_machines_at_once_make_one_version(packing: Packing, tmp_path: Path) -> None:
    """They share the archive and the ledger, but no folder, so neither waits for the other."""
    elsewhere = replace(packing.ports, home=tmp_path / "elsewhere")
    shutil.copytree(packing.home / "images", elsewhere.home / "images")
    one, other = await asyncio.gather(package(packing.job, packing.ports), package(packing.job, elsewhere))
    assert one.record == other.record
    tars = [(made.folder.path / "image.tar.age").read_bytes() for made in (one, other)]
    assert tars[0] == tars[1]


class Killed(BaseException):
    """What no handler catches."""


class DyingArchive(MemoryArchive):
    """The process dies before or after a name that ends so is added."""

    def __init__(self, when: str, suffix: str) -> None:
        super().__init__()
        self.when, self.suffix = when, suffix

    async def add(self, name: str, data: AsyncIterator[bytes]) -> int:  # type: ignore[override]
        dies, self.suffix = name.endswith(self.suffix), "nothing more" if name.endswith(self.suffix) else self.suffix
        if dies and self.when == "before":
            raise Killed
        size = await super().add(name, data)
        if dies:
            raise Killed
        return size


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("suffix", [".oci.age", ".json"])
async def test_killed_while_archiving_a_second_call_finishes(packing: Packing, when: str, suffix: str) -> None:
    packing.workshop.entrance.archive = DyingArchive(when, suffix)
    with pytest.raises(Killed):
        await package(packing.job, packing.ports)
    assert await packing.workshop.baked(packing.job)
    packaged = await package(packing.job, packing.ports)
    await whole(packing, packaged.folder.path)


PLACES = (
    "operations.package.folder.render",
    "operations.package.folder.sign_folder",
    "operations.package.folder.put_in_place",
    "operations.package.packaging.write_folder",
    "operations.package.packaging.encrypt_image",
)


@pytest.mark.parametrize("place", PLACES)
async def test_killed_while_the_folder_is_made_a_second_call_finishes(
    packing: Packing, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(place, die)
        await package(packing.job, packing.ports)
    assert not (packing.home / "packages" / "acme" / "v1.0-init").exists()
    packaged = await package(packing.job, packing.ports)
    await whole(packing, packaged.folder.path)


async def test_killed_before_the_ledger_hears_of_it_a_second_call_finishes(
    packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(MemoryLedger, "packaged", die)
        await package(packing.job, packing.ports)
    token = (packing.home / "packages/acme/v1.0-init/credentials/token").read_text()
    packaged = await package(packing.job, packing.ports)
    assert (packaged.folder.path / "credentials/token").read_text() == token
    await whole(packing, packaged.folder.path)


async def test_what_a_killed_process_left_beside_the_place_is_removed(packing: Packing) -> None:
    left = packing.home / "packages" / "acme" / ".v1.0-init.killed"
    left.mkdir(parents=True)
    (left / "encrypted").write_bytes(b"half")
    await package(packing.job, packing.ports)
    assert left_over(packing) == []


# -- which version ----------------------------------------------------------------------------------------------------


async def test_the_next_full_job_is_the_next_version_and_keeps_the_customer_s_credentials(packing: Packing) -> None:
    await package(packing.job, packing.ports)
    second = await packing.workshop.finish({"other.txt": "Another text altogether."}, "another")
    packaged = await package(second, packing.ports)
    assert packaged.record.version == "v2.0-full"
    assert not {name for name in packaged.folder.files if name.startswith("credentials/") or name == ".env"}
    assert "update.sh" not in packaged.folder.files
    assert verified(packaged.folder.path).returncode == 0


async def test_an_update_brings_its_script_and_the_bill_of_what_lies_below(packing: Packing) -> None:
    first = await package(packing.job, packing.ports)
    update = await packing.workshop.update({"new.txt": "Something new."})
    packaged = await package(update, packing.ports)
    assert (packaged.record.version, packaged.record.extends) == ("v1.1-update", "v1.0-init")
    assert "update.sh" in packaged.folder.files
    assert packaged.record.sbom == first.record.sbom
    assert "credentials/token" not in packaged.folder.files
    for language in ("en", "de"):
        assert "sh update.sh" in (packaged.folder.path / f"INSTALL.{language}.md").read_text()
    checked = subprocess.run(["sh", "-n", str(packaged.folder.path / "update.sh")], check=False)
    assert checked.returncode == 0
    image = open_image(packing.opened(packaged.folder.path))
    assert image.missing == list(first.record.new_layers)


async def test_an_update_of_what_is_no_longer_the_newest_is_refused(packing: Packing) -> None:
    await package(packing.job, packing.ports)
    update = await packing.workshop.update({"new.txt": "Something new."})
    other = await packing.workshop.update({"more.txt": "Something more."}, reference="at the same time")
    await package(update, packing.ports)
    with refused("version.superseded"):
        await package(other, packing.ports)
    assert [record.version for record in await records(packing.archive, "acme")] == ["v1.0-init", "v1.1-update"]


async def test_a_job_that_is_not_baked_has_no_package(packing: Packing) -> None:
    waiting = await packing.workshop.submit({"late.txt": "Not yet."}, "waiting")
    with refused("package.unbaked"):
        await package(waiting, packing.ports)
    with refused("job.unknown"):
        await package(uuid4(), packing.ports)


async def test_an_image_that_is_not_the_baked_one_has_no_package(packing: Packing) -> None:
    view: JobView = await packing.workshop.view(packing.job)
    layout = CustomerPaths(packing.home, "acme").image(packing.job, view.generation)
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda blob: blob.stat().st_size)
    largest.write_bytes(b"another")
    with refused("image.broken"):
        await package(packing.job, packing.ports)
    assert packing.archive.objects == {}


async def test_a_customer_stands_for_its_newest_baked_job(packing: Packing) -> None:
    assert await newest_job("acme", packing.workshop.entrance.ledger) == packing.job
    with refused("package.nothing"):
        await newest_job("nobody", packing.workshop.entrance.ledger)


# -- handing it over --------------------------------------------------------------------------------------------------


async def test_a_copy_goes_to_a_folder(packing: Packing, tmp_path: Path) -> None:
    packaged = await package(packing.job, packing.ports, to=str(tmp_path / "stick"))
    copy = tmp_path / "stick" / "acme-v1.0-init"
    assert packaged.sent_to == str(copy)
    assert contents(copy) == contents(packaged.folder.path)
    assert stat.S_IMODE((copy / "credentials/token").stat().st_mode) == 0o600


async def test_a_copy_goes_to_a_stick_that_keeps_no_modes(
    packing: Packing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await package(packing.job, packing.ports)
    stick, change = tmp_path / "stick", os.chmod

    def refuse(path: Any, mode: int, **options: Any) -> None:
        if str(path).startswith(str(stick)):
            raise PermissionError
        change(path, mode, **options)

    monkeypatch.setattr(os, "chmod", refuse)
    packaged = await package(packing.job, packing.ports, to=str(stick))
    assert files_of(stick / "acme-v1.0-init").keys() == packaged.folder.files.keys()


@pytest.mark.s3
async def test_a_copy_goes_to_a_bucket_its_signature_last(packing: Packing, s3_url: str) -> None:
    import boto3

    packaged = await package(packing.job, packing.ports, to=s3_url)
    bucket = s3_url.removeprefix("s3://").partition("/")[0]
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=bucket, Prefix="staging/acme-v1.0-init/")["Contents"]
    copied = {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    newest = max(listed, key=lambda one: one["LastModified"])["LastModified"]
    client.close()
    there = {name.removeprefix("staging/acme-v1.0-init/"): content for name, content in copied.items()}
    assert there == contents(packaged.folder.path)
    assert next(one for one in listed if one["Key"].endswith(".sig"))["LastModified"] == newest
    assert packaged.sent_to == f"s3://{bucket}/staging/acme-v1.0-init"


async def test_a_folder_that_cannot_be_written_is_said(packing: Packing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with refused("package.target"):
        await package(packing.job, packing.ports, to=str(tmp_path / "file"))
    with refused("package.target"):
        await package(packing.job, packing.ports, to="s3://?colour=red")


# -- the guides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "de"])
async def test_the_guide_begins_with_opening_and_leaves_nothing_open(packing: Packing, language: str) -> None:
    folder = (await package(packing.job, packing.ports)).folder.path
    guide = (folder / f"INSTALL.{language}.md").read_text()
    first, *_ = commands(guide)
    assert first == "age --decrypt --identity key.txt --output image.tar image.tar.age\n"
    numbers = [int(number) for number in re.findall(r"^## (\d+)\.", guide, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not re.search(r"\{\{|\{%|TODO|None|undefined", guide)
    assert "\n\n\n" not in guide


def commands(guide: str) -> Iterator[str]:
    return iter(re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(folder).items()}


def left_over(packing: Packing) -> list[str]:
    return [path.name for path in (packing.home / "packages" / "acme").glob(".*")]


async def whole(packing: Packing, folder: Path) -> None:
    """One version, one package, nothing left beside it."""
    assert [record.version for record in await records(packing.archive, "acme")] == ["v1.0-init"]
    assert verified(folder).returncode == 0
    assert (await packing.workshop.view(packing.job)).state is JobState.PACKAGED
    assert left_over(packing) == []
    open_image(packing.opened(folder)).verify()
