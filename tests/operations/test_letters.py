"""Every letter, in both languages, filled in to its last place."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.archive.memory import MemoryArchive
from infra.ledger import DocumentState, NewDocument, NewJob, Outcome
from infra.ledger.memory import MemoryLedger
from infra.parameters.memory import MemoryParameters
from operations.package import OF_JOB, OF_VERSION, PackagePorts, letter, load_signer
from operations.package.rendering import LANGUAGES, Language, size
from operations.versions import remember
from schemas.errors import CradleError
from tests.fakes import NOW
from tests.remembered import make_record

JOB = UUID(int=7)
UPDATE = UUID(int=8)
KINDS = (*OF_VERSION, *OF_JOB)
OPEN_PLACE = re.compile(r"\{\{|\}\}|\{%|TODO|None|True|False|undefined|<[^>]*>|\[\]|\bXX+|  \S", re.IGNORECASE)


@pytest.fixture
async def ports(tmp_path: Path) -> PackagePorts:
    """A customer with v1.0 and an update of it; the first job had a broken document and is erased."""
    ledger, archive = MemoryLedger(), MemoryArchive()
    await ledger.open_job(NewJob(JOB, "acme", "contracts 2026", 1, "f" * 64, NOW))
    documents = (
        NewDocument("1" * 32, b"sealed"),
        NewDocument("2" * 32, b"sealed", DocumentState.FAILED, "document.broken"),
    )
    await ledger.record("admit", [Outcome(UUID(int=1), JOB, None, (), documents, 2)], now=NOW)
    await ledger.erased(JOB, now=NOW + timedelta(days=1))
    tar = tmp_path / "tar"
    tar.write_bytes(bytes(1_500_000))
    first = await remember(archive, make_record(job=JOB, left_out={"document.broken": 1}), tar)
    await remember(archive, make_record("v1.1-update", job=UPDATE, extends=first.version), tar)
    return PackagePorts(ledger, MemoryParameters(), archive, tmp_path, load_signer(tmp_path / "key.pem"), lambda: NOW)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_letter_leaves_no_place_open(kind: str, language: Language, ports: PackagePorts) -> None:
    text = await letter(kind, "acme", ports, language=language)  # type: ignore[arg-type]
    assert not OPEN_PLACE.search(text.replace(f"  {ports.signer.fingerprint}", ""))
    assert "\n\n\n" not in text
    assert text.startswith({"en": "Subject: ", "de": "Betreff: "}[language])
    assert text.endswith({"en": "Kind regards\n", "de": "Mit freundlichen Grüßen\n"}[language])
    assert "acme" in text


@pytest.mark.parametrize(
    ("kind", "version", "job", "folder"),
    [
        ("ready", "v1.0", JOB, "acme-v1.0-init"),
        ("updated", "v1.1", UPDATE, "acme-v1.1-update"),
        ("rolled-back", "v1.0", JOB, "acme-v1.0-init-rollback"),
    ],
)
async def test_a_letter_of_a_version_has_its_figures(
    kind: Any, version: str, job: UUID, folder: str, ports: PackagePorts
) -> None:
    await ports.ledger.open_job(NewJob(UPDATE, "acme", "an update", 1, "f" * 64, NOW, extends="v1.0-init"))
    text = await letter(kind, "acme", ports, language="de", version=version)
    assert ports.signer.fingerprint in text
    assert version in text
    assert f" {folder} (1,5 MB)" in text
    assert await letter(kind, job, ports, language="de") == text


@pytest.mark.parametrize(("kind", "version"), [("ready", "v1.1"), ("updated", "v1.0"), ("rolled-back", "v1.2")])
async def test_a_letter_does_not_tell_of_a_version_that_it_does_not_fit(
    kind: Any, version: str, ports: PackagePorts
) -> None:
    await remember(ports.archive, make_record("v1.2-update", extends="v1.1-update"), None)
    with pytest.raises(CradleError) as caught:
        await letter(kind, "acme", ports, language="en", version=version)
    assert caught.value.code == "package.letter"


async def test_the_letter_that_is_sent_first_tells_of_the_first_version(ports: PackagePorts) -> None:
    assert "version v1.0" in await letter("ready", "acme", ports, language="en")


async def test_an_incident_tells_how_many_and_why_but_no_path(ports: PackagePorts) -> None:
    text = await letter("incident", JOB, ports, language="en")
    assert "1 of 2 documents could not be processed" in text
    assert "document.broken" in text
    assert str(JOB) in text


async def test_the_letter_of_an_erasure_tells_what_stays(ports: PackagePorts) -> None:
    text = await letter("erased", JOB, ports, language="en")
    assert (NOW + timedelta(days=1)).strftime("%Y-%m-%d") in text
    assert "encrypted to your key" in text
    assert "still lies with us" not in text
    (ports.home / "images" / "acme" / f"{JOB}.{(await ports.ledger.job(JOB)).generation}").mkdir(parents=True)
    assert "still lies with us" in await letter("erased", JOB, ports, language="en")


async def test_the_image_of_an_earlier_redrive_still_lies_with_us(ports: PackagePorts) -> None:
    (ports.home / "images" / "acme" / f"{JOB}.0").mkdir(parents=True)
    ports.ledger._jobs[JOB].generation = 2  # type: ignore[attr-defined]
    assert "still lies with us" in await letter("erased", JOB, ports, language="en")


async def test_a_job_that_failed_and_was_erased_was_stopped_as_a_whole(ports: PackagePorts) -> None:
    failed = UUID(int=9)
    await ports.ledger.open_job(NewJob(failed, "acme", "another", 1, "f" * 64, NOW))
    await ports.ledger.failed(failed, "job.incomplete")
    await ports.ledger.erased(failed, now=NOW)
    assert "the job was stopped as a whole" in await letter("incident", failed, ports, language="en")


@pytest.mark.parametrize("kind", KINDS)
async def test_there_is_no_letter_of_what_did_not_happen(kind: str, ports: PackagePorts) -> None:
    fresh = UUID(int=99)
    await ports.ledger.open_job(NewJob(fresh, "nova", "a reference", 1, "f" * 64, NOW))
    for about in (fresh, "nova"):
        with pytest.raises(CradleError) as caught:
            await letter(kind, about, ports, language="en")  # type: ignore[arg-type]
        assert caught.value.code == "package.letter"


@pytest.mark.parametrize(
    ("count", "english", "german"),
    [
        (0, "1 kB", "1 kB"),
        (2_600, "3 kB", "3 kB"),
        (2_540_000, "2.5 MB", "2,5 MB"),
        (120_400_000, "120 MB", "120 MB"),
        (1_440_000_000, "1.4 GB", "1,4 GB"),
    ],
)
def test_sizes_are_said_as_people_say_them(count: int, english: str, german: str) -> None:
    assert (size(count), size(count, "de")) == (english, german)
