"""Every letter, in both languages, filled in to its last place."""

import re
from datetime import timedelta
from pathlib import Path
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


@pytest.mark.parametrize("kind", OF_VERSION)
async def test_a_letter_of_a_version_has_its_figures(kind: str, ports: PackagePorts) -> None:
    text = await letter(kind, "acme", ports, language="de", version="v1.0")  # type: ignore[arg-type]
    assert ports.signer.fingerprint in text
    assert "v1.0" in text
    assert "1,5 MB" in text
    about_the_job = await letter(kind, JOB, ports, language="de")  # type: ignore[arg-type]
    assert about_the_job == text


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
